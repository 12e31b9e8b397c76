"""The verb `replay`: every stream of a recording as an LSL outlet again, when it was due.

verb, options    what a person types
streams     what a recording consists of, whatever file it comes from
xdf, nwb, neuro (MNE, Micromed), session    one kind of file each; `opened` picks
describe    what an outlet says of itself
choice      which streams, from when to when; what is wrong is said before an outlet appears
regular     timestamps put on a grid, where that is asked for
packets     samples to packets
schedule    packets and faults to commands in the order of their times (tools/faults)
ahead       a thread that reads before it is due
player      outlets, and the clock
control, progress, summary    the keyboard, what is shown, what is told at the end
"""

from tools.replay.verb import add_parser, run

__all__ = ["add_parser", "run"]
