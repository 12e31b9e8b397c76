"""Offline replay: a session, or any recording, through the live path on a virtual clock.

pulls.py       what arrives, pull by pull, and how it is played to the core
session.py     the pulls that a session recorded
offline.py     the pipeline where nothing is due: hundreds of hops at a time, the same bits
series.py      a recording's sEEG in the bundle's montage, in pieces
xdf.py, nwb.py of files that hold several streams, with the stamps they were recorded with
bursts.py      a recording's samples as pulls, as if they came in bursts
plan.py        what to decode, with what, and what that changes
batches.py     hops, some hundreds at a time
folder.py      the folder that is written: a session of its own, audio, events, summary
compare.py     decoded hops against recorded ones, bit for bit
decode.py      all of it for one file

The same pulls give the same bits: nothing here computes, `session_core` and `pipeline` do.
"""

from realtime.redecode.compare import Comparison
from realtime.redecode.plan import BURST, Plan, Request, plan
from realtime.redecode.run import decode

__all__ = ["BURST", "Comparison", "Plan", "Request", "decode", "plan"]
