"""Re-referencing: none, common average, bipolar or Laplacian along the shaft."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.guard import Mask
from models.montage import Contact

Doubles = NDArray[np.float64]


class Reference:
    """Derives channels from contacts, leaving masked contacts out.

    Sums run over contacts in a fixed order and never through BLAS, whose result depends on the
    number of rows: chunking must not change a bit.

    Parameters
    ----------
    kind : `none`, `average`, `bipolar` (contact minus its deeper neighbour) or `laplacian`
        (contact minus the mean of its neighbours on the shaft).
    contacts : the montage.
    """

    def __init__(self, kind: str, contacts: Sequence[str]) -> None:
        self.kind = kind
        parsed = [Contact.parse(name) for name in contacts]
        place = {(c.shaft, c.number): i for i, c in enumerate(parsed)}
        below = np.array([place.get((c.shaft, c.number - 1), -1) for c in parsed])
        above = np.array([place.get((c.shaft, c.number + 1), -1) for c in parsed])
        self._centre = np.flatnonzero(above >= 0) if kind == "bipolar" else np.arange(len(parsed))
        self._below, self._above = below[self._centre], above[self._centre]
        self.names = tuple(self._name(contacts, i) for i in range(len(self._centre)))

    def _name(self, contacts: Sequence[str], i: int) -> str:
        name = contacts[self._centre[i]]
        return f"{name}-{contacts[self._above[i]]}" if self.kind == "bipolar" else name

    def mask(self, contacts: Mask) -> Mask:
        """Which derived channels cannot be computed, from the mask of contacts `(contacts,)`."""
        centre: Mask = contacts[self._centre]
        if self.kind == "bipolar":
            centre |= contacts[self._above]
        if self.kind == "laplacian":
            good_below, good_above = self._good(contacts)
            centre |= ~(good_below | good_above)
        if self.kind == "average" and np.count_nonzero(~contacts) < 2:
            centre = np.ones_like(centre)
        return centre

    def _good(self, contacts: Mask) -> tuple[Mask, Mask]:
        good = ~contacts
        below = (self._below >= 0) & good[self._below]
        above = (self._above >= 0) & good[self._above]
        return below, above

    def step(self, x: Doubles, masked: Mask) -> Doubles:
        """Derive `(n, channels)` from `(n, contacts)`; masked contacts must hold finite values."""
        if self.kind == "none":
            return x
        if self.kind == "average":
            good = ~masked
            total: Doubles = np.where(good, x, 0.0).sum(axis=1, keepdims=True)
            return np.subtract(x, total / max(1, int(np.count_nonzero(good))))
        if self.kind == "bipolar":
            return np.subtract(x[:, self._centre], x[:, self._above])
        below, above = self._good(masked)
        weight = 1.0 / np.maximum(1, below.astype(int) + above)
        neighbours = below * x[:, self._below] + above * x[:, self._above]
        derived: Doubles = np.subtract(x, weight * neighbours)
        return derived
