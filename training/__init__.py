"""Recordings to a bundle: data, targets, losses, training, evaluation, export."""
