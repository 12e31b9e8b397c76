"""Statistics of a stretch of signal, artefacts left out.

The estimator is training's, by the same code: mean and standard deviation of unmasked samples of
the unscaled front end, without the seconds that hold artefacts (`models.moments`). The estimator
`moments` leaves none out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.errors import CalibrationError
from models.guard import Guard, Mask
from models.moments import Seconds, good_seconds, moments
from models.normalise import Statistics
from models.streaming import Floats

Doubles = NDArray[np.float64]
Estimator = Literal["screened", "moments"]

SETTLE_S = Fraction(1)
"""Left out at the start and after a gap: notches need it to take line noise out."""
LEAST_S = 10.0
PLAUSIBLE = 10.0
"""Deviations that are typically this many times the bundle's, or this part, are no day's change."""
QUIET = 1 / 3
"""Channels below this part of the typical change keep the bundle's statistics: one whose training
data held artefacts was nearly nothing to the network, and must not come at full scale now. A louder
one takes today's; kept, it would stand at the clip."""
LEAST_PART = 0.5
"""A channel without this part of the time keeps the bundle's statistics; too many, and all do."""


@dataclass(frozen=True)
class Measured:
    """What a stretch of signal gave.

    `statistics` per channel, the bundle's where `kept` `(channels,)`: where there was too little
    signal, or `quiet` `(channels,)`, far less than in training. Seconds: `seconds` that counted,
    `artefact_s` `(channels,)` of them left out as artefacts, `masked_s` `(contacts,)` with a
    contact masked. `interruptions` counts gaps.
    """

    statistics: Statistics
    kept: Mask
    quiet: Mask
    seconds: float
    artefact_s: Doubles
    masked_s: Doubles
    interruptions: int
    estimator: Estimator


class Tally:
    """Counts, sums and sums of squares of a bundle's unscaled features, second by second.

    Parameters
    ----------
    bundle : whose front end it is; its statistics stand in where today gave none.
    """

    def __init__(self, bundle: Bundle) -> None:
        spec = bundle.spec
        self._fs, self._own = spec.fs_hz, bundle.statistics
        self._front_end = bundle.unscaled_front_end()
        self._guard = Guard(len(spec.contacts), spec.fs_hz, spec.front_end.guard)
        self._given_up = np.isin(
            np.array(spec.contacts), np.array(spec.front_end.bad_contacts, dtype=str)
        )
        self._settle = ceil(SETTLE_S * spec.fs_hz)
        self._masked = np.zeros(len(spec.contacts), np.int64)
        self.masked_now = self._given_up.copy()
        """Contacts masked at the last sample, `(contacts,)`."""
        self._seconds = Seconds(self._front_end.channels, spec.fs_hz)
        self.interruptions = self._samples = 0
        self._skip = self._settle

    @property
    def seconds(self) -> float:
        """Of signal that counts so far."""
        return float(self._samples / self._fs)

    def interrupt(self) -> None:
        """Samples are missing here: what follows settles anew."""
        self._seconds.close()
        self._skip = self._settle
        self._front_end.reset()
        self._guard.reset()
        self.interruptions += 1

    def feed(self, samples: Floats) -> None:
        """Take `(n, contacts)` microvolts in montage order."""
        features = self._front_end.step(samples).astype(np.float64)
        masked = self._guard.step(samples) | self._given_up
        skip = min(self._skip, len(features))
        self._skip -= skip
        if len(masked):
            self.masked_now = masked[-1]
        self._masked += np.count_nonzero(masked[skip:], axis=0)
        self._samples += len(features) - skip
        self._seconds.feed(features[skip:])

    def measured(self, estimator: Estimator = "screened") -> Measured:
        """The statistics of all that was fed.

        Raises
        ------
        CalibrationError
            If that is less than 10 s, most channels were masked most of the time, or deviations
            are typically ten times the bundle's or a tenth.
        """
        if self.seconds < LEAST_S:
            raise CalibrationError(
                f"{self.seconds:.1f} s of signal after the first second, in which filters settle",
                f"at least {LEAST_S:g} s, better a minute",
                "calibrate for longer",
            )
        self._seconds.close()
        count, total, square = self._seconds.table()
        good = good_seconds(count, square) if estimator == "screened" else count > 0
        n, mean, std = moments(count, total, square, good)
        unknown = (n < LEAST_PART * self._samples) | (std == 0)
        self._refuse_mostly(unknown)
        ratio = std / self._own.std
        typical = float(np.median(ratio[~unknown]))
        _refuse_implausible(typical)
        quiet = ~unknown & (ratio < QUIET * typical)
        kept = unknown | quiet
        fs = float(self._fs)
        return Measured(
            Statistics(np.where(kept, self._own.mean, mean), np.where(kept, self._own.std, std)),
            kept,
            quiet,
            self.seconds,
            artefact_s=(count * ~good).sum(axis=0) / fs,
            masked_s=self._masked / fs,
            interruptions=self.interruptions,
            estimator=estimator,
        )

    def _refuse_mostly(self, kept: Mask) -> None:
        if np.count_nonzero(kept) > LEAST_PART * len(kept):
            raise CalibrationError(
                f"{np.count_nonzero(kept)} of {len(kept)} channels were masked, or full of "
                "artefacts, most of the time",
                "a signal on most of them",
                "check the amplifier, its reference and the unit of its stream",
            )


def _refuse_implausible(typical: float) -> None:
    if not 1 / PLAUSIBLE <= typical <= PLAUSIBLE:
        raise CalibrationError(
            f"features deviate {typical:.3g} times as much as in training",
            f"between {1 / PLAUSIBLE:g} and {PLAUSIBLE:g} times",
            "check the unit and the gain of the signal; --unit says what one of its numbers is",
        )
