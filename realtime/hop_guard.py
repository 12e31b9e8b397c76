"""What each decoded hop says about the session: warm or not, which contacts are masked, garbage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realtime.events import Emit, Event, Tally
from realtime.pipeline import Hop
from realtime.states import States

# Masks of contacts that come and go are told at most this often; every hop carries its own.
MASKS_TOLD_S = 0.1
NAMED_S = 1.0
"""A fault of a single hop names the state for this long."""


class HopGuard:
    """Turns hops into reasons.

    Parameters
    ----------
    states, emit : where reasons and events go.
    contacts : the montage's labels.
    expected_mask : `(contacts,)`, True for those that are given up anyway.
    masked_limit : muted above this share of the others.
    """

    def __init__(
        self,
        states: States,
        emit: Emit,
        contacts: Sequence[str],
        expected_mask: NDArray[np.bool_],
        masked_limit: float,
    ) -> None:
        self._states, self._emit, self._contacts = states, emit, contacts
        self._used = ~expected_mask
        self._limit = masked_limit * max(1, int(np.count_nonzero(self._used)))
        self._mask = np.zeros(len(contacts), np.bool_)
        self._mask_told = float("-inf")
        self._warm_hops = 0
        self._not_finite = Tally(emit, "not finite", "hops")
        self._named_until = float("-inf")

    def warm_up(self, hops: int) -> None:
        """So many hops from here on are not heard."""
        self._warm_hops = hops

    def look(self, hop: Hop, now: float) -> bool:
        """Take one hop; returns whether it was the last of a warm-up."""
        self._look_at_masks(hop, now)
        self._look_at_values(hop, now)
        self._warm_hops -= 1
        return self._warm_hops == 0

    def flush(self, now: float) -> None:
        """Tell what was only counted."""
        self._not_finite.flush(now, at_once=True)

    def _look_at_masks(self, hop: Hop, now: float) -> None:
        mask = hop.mask & self._used
        count = int(np.count_nonzero(mask))
        # Only what is told may wait, not the mute.
        at_once = count > self._limit and not self._states.holds("masks")
        soon = now - self._mask_told < MASKS_TOLD_S and not at_once
        if soon or np.array_equal(mask, self._mask):
            return
        self._mask, self._mask_told = mask, now
        named = [name for name, bad in zip(self._contacts, mask, strict=True) if bad]
        self._emit(Event("masks", now, {"masked": count, "contacts": named}))
        words = f"{count} of {len(mask)} contacts are masked"
        self._states.update(
            {"masks": words if count > self._limit else None, "masked": words if count else None},
            now,
        )

    def _look_at_values(self, hop: Hop, now: float) -> None:
        if not hop.finite:
            self._not_finite.add(1, now)
            self._named_until = now + NAMED_S
            self._states.update({"not finite": "the network gave no numbers"}, now)
        elif now > self._named_until:
            self._named_until = float("inf")
            self._states.update({"not finite": None}, now)
