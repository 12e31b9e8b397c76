"""Whether a sender's clock is our own.

A sender on this machine has the local LSL clock, to the bit: measuring its offset would only add
noise. But a host's name does not tell that it is this machine: those set up from one image share
it, and liblsl hides the address that a stream answered from. So a namesake is believed to have our
clock until its offset was measured and is far more than what a busy machine makes of nothing.
"""

from __future__ import annotations

import socket

# The clocks of two machines count from their own starts; measured on one, 0.1 ms, busy a few ms.
TWIN_S = 0.05


def offset_from(hostname: str, measured_s: float | None) -> float | None:
    """Seconds to add to the timestamps of a sender on `hostname`; None while it is not known.

    `measured_s` is the offset as measured, None before the first answer.
    """
    namesake = hostname == socket.gethostname()
    if namesake and (measured_s is None or abs(measured_s) < TWIN_S):
        return 0.0
    return measured_s
