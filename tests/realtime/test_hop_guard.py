from __future__ import annotations

import numpy as np

from realtime.events import Event
from realtime.hop_guard import HopGuard
from realtime.pipeline import Hop
from realtime.states import States


def test_too_many_masks_mute_at_once_though_masks_were_just_told() -> None:
    events: list[Event] = []
    states = States(events.append)
    nobody = np.zeros(20, np.bool_)
    guard = HopGuard(states, events.append, [f"C{i}" for i in range(20)], nobody, 0.2)
    states.update({"warming": None}, 0.0)
    heard = []
    for k, masked in enumerate([0, 1, 8, 8, 1, 0]):
        hop = Hop(index=k)
        hop.mask = np.arange(20) < masked
        guard.look(hop, 1.0 + 0.015 * k)
        heard.append(states.audible)
    assert heard[:4] == [True, True, False, False]
    # What clears may wait for the next time that masks are told.
    hop.mask = nobody
    guard.look(hop, 2.0)
    assert states.audible
