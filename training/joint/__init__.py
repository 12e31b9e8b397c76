"""Training over patients of different montages, and going on from such a training.

settings.py     the table [joint]
contrast.py     the contrastive loss
network.py      networks with an input convolution of their own and everything else in common
stretches.py    stretches of several patients in one batch
phases.py       the phases of training with the contrastive loss
fit.py          from the parts of several recordings to one network each
start.py        a training that starts from another's shared part
experiment.py   from recordings to a folder with one experiment per patient
"""
