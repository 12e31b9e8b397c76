"""How far today's statistics are from a bundle's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.guard import Mask
from models.normalise import Statistics

WORST = 5


@dataclass(frozen=True)
class Channel:
    """One channel: deviation today over the bundle's, and its mean's shift in the bundle's z."""

    name: str
    ratio: float
    shift: float


@dataclass(frozen=True)
class Comparison:
    """Over the channels that were measured today.

    `log_ratio`: median of `|ln(std today / std of the bundle)|`; `shift`: median of the mean's
    `|shift|`, in the bundle's standard deviations; `worst`: channels by the larger of the two.
    """

    log_ratio: float
    shift: float
    worst: tuple[Channel, ...]

    def lines(self) -> list[str]:
        """The comparison in words."""
        factor = np.exp(self.log_ratio)
        lines = [
            f"against the bundle: deviation typically x{factor:.2f} or 1/{factor:.2f} "
            f"(median |ln ratio| {self.log_ratio:.3f}), mean off by {self.shift:.2f} sd (median)",
            "furthest:",
        ]
        each = [f"  {c.name}: deviation x{c.ratio:.2f}, mean {c.shift:+.2f} sd" for c in self.worst]
        return [*lines, *each]


def compare(own: Statistics, today: Statistics, names: Sequence[str], measured: Mask) -> Comparison:
    """Compare channel by channel; `measured` `(channels,)` says which to look at, at least one."""
    at = np.flatnonzero(measured)
    ratio = today.std[at] / own.std[at]
    shift = (today.mean[at] - own.mean[at]) / own.std[at]
    log_ratio = np.abs(np.log(ratio))
    worst = np.argsort(-np.maximum(log_ratio, np.abs(shift)), kind="stable")[:WORST]
    return Comparison(
        float(np.median(log_ratio)),
        float(np.median(np.abs(shift))),
        tuple(Channel(names[at[i]], float(ratio[i]), float(shift[i])) for i in worst),
    )
