"""The end of a session: silence first, then what it came to, for the record."""

from __future__ import annotations

import time
from typing import Any

import pylsl

from realtime.environment import resident_mb
from realtime.live_loop import LiveLoop
from realtime.outlets.outlets import Outlets
from realtime.plain import plain
from realtime.playout.playout import Playout
from realtime.record.record import Record
from realtime.session_core import SessionCore
from realtime.watch import Watch

# At most this long is waited for what playout still holds.
_PLAY_OUT_S = 1.0


def conclude(
    core: SessionCore,
    loop: LiveLoop,
    playout: Playout,
    record: Record,
    outlets: Outlets,
    watch: Watch,
) -> dict[str, Any]:
    """Fade out, stop the sound, tell the record what the session came to; returns that."""
    # Silence first: the rest may take its time.
    playout.mute(True)
    watch.stop()
    stats = playout.stats()
    if stats.alive:
        # The fill of a player that is gone says nothing.
        time.sleep(min(stats.fill_ms / 1e3, _PLAY_OUT_S) + 0.05)
    playout.stop()
    record.dac_times(playout.drain_dac_times())
    core.stop(f"after {loop.counts.hops} hops", pylsl.local_clock())
    facts = {
        **vars(loop.counts),
        **vars(core.counts),
        **outlets.facts,
        "odd_stamps": core.odd_stamps,
        "burst_ms": round(1e3 * core.burst_s, 2),
        "stream_returns": loop.source.returns,
        "playout": plain(vars(stats)),
        "sound_losses": watch.sound_losses,
        "first_hop_s": loop.first_hop_s,
        "resident_mb": resident_mb(),
        "resident_mb_every_10_s": watch.resident_mb,
    }
    record.conclude(**facts)
    return facts
