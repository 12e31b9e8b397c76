"""Streams that answer now, by queries begun one after another: who returns is soon found.

One query of liblsl (1.18, `resolver_impl`) asks by multicast at once; where a configuration names
KnownPeers, half a second later each of them directly; and all again a second or two after that. A
stream that returns in between would wait. Here a new query begins five times a second and ends when
its direct questions have had time for an answer, so that both kinds go out five times a second. New
ones also see interfaces and names that came back with a cable; an old one keeps what it began with.
"""

from __future__ import annotations

from collections import deque

import pylsl

BEGIN_EVERY_S = 0.2
# The direct questions after 0.5 s, and 0.4 s for their answers. Each question holds a port of
# liblsl's range of 32, which outlets of this machine need too: 7 at a time, no more.
END_AFTER_S = 0.9
# Two answers may be lost on their way; one that is gone is not listed for much longer.
FORGET_S = 0.5


class Finder:
    """Asks as long as it is asked; drop it to end its queries."""

    def __init__(self) -> None:
        self._queries: deque[tuple[float, pylsl.ContinuousResolver]] = deque()

    def look(self) -> list[pylsl.StreamInfo]:
        """Streams that answered within the last half second; never waits, call it often.

        Raises
        ------
        RuntimeError
            If liblsl cannot begin a query.
        """
        now = pylsl.local_clock()
        if not self._queries or now - self._queries[-1][0] >= BEGIN_EVERY_S:
            self._queries.append((now, pylsl.ContinuousResolver(forget_after=FORGET_S)))
        while now - self._queries[0][0] > END_AFTER_S:
            self._queries.popleft()
        found = {info.uid(): info for _, query in self._queries for info in query.results()}
        return [found[uid] for uid in sorted(found)]
