"""Units to microvolts, and amplitudes that cannot be microvolts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from models.errors import MontageError, RecordingError
from realtime.recordings.scratch import Floats, release
from realtime.units import microvolts_per_unit

Unit = str | float
"""A unit's name, or how many microvolts one is."""

PLAUSIBLE_UV = (0.3, 10_000.0)
"""Amplitude of the median contact. Public recordings of sEEG have 26-153 microvolts broadband; a
unit that is wrong by a factor of 1000 leaves this range, a quiet or bipolar montage does not."""
_STEPS = (1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9)
_LOOKS, _LOOK_S = 32, 2


def known_unit(text: str) -> float | None:
    """Microvolts in one unit of that name; None if it is no unit of voltage."""
    try:
        return microvolts_per_unit(text)
    except MontageError:
        return None


def microvolts_in(unit: Unit) -> float:
    """Microvolts in one unit.

    Raises
    ------
    MontageError
        If the unit is not known.
    RecordingError
        If it is a number, and not above 0.
    """
    if isinstance(unit, str):
        return microvolts_per_unit(unit)
    if not (np.isfinite(unit) and unit > 0):
        raise RecordingError(f"one unit is {unit} microvolts", "a number above 0")
    return float(unit)


def amplitude_uv(seeg: Floats, fs: Fraction) -> float:
    """Amplitude of the median contact: half the distance of its 16th and 84th percentile.

    That is the standard deviation of a normal distribution, and neither offsets, drifts nor
    artefacts move it. From 32 stretches of 2 s; contacts without signal do not count; 0 if none
    has any.
    """
    length = round(_LOOK_S * fs)
    starts = np.unique(np.linspace(0, max(0, len(seeg) - length), _LOOKS).astype(int))
    per_look = []
    for start in starts:
        per_look.append(_spread(np.asarray(seeg[start : start + length])))
        release(seeg)
    each = np.median(np.stack(per_look), axis=0)
    live = each[each > 0]
    return float(np.median(live)) if len(live) else 0.0


def check_amplitude(seeg: Floats, fs: Fraction, said: str, per_unit: float) -> None:
    """Refuse a unit that the values deny.

    Parameters
    ----------
    said : what claims the unit, for the message.
    per_unit : microvolts in one unit, as claimed.

    Raises
    ------
    RecordingError
        If the amplitude of the median contact is outside `PLAUSIBLE_UV`; says which unit would be
        plausible.
    """
    found = amplitude_uv(seeg, fs)
    low, high = PLAUSIBLE_UV
    if found == 0 or low <= found <= high:
        return
    better = [step for step in _STEPS if low <= found * step <= high]
    # The middle of the plausible range, in decades, is about 50 microvolts.
    best = min(better, key=lambda step: abs(np.log10(found * step / 50)), default=None)
    hint = f" ({found * best:.3g} with unit={per_unit * best:g})" if best else ""
    raise RecordingError(
        f"{said}: the contacts would have an amplitude of {found:.3g} microvolts{hint}",
        f"between {low:g} and {high:g}, as sEEG has",
        "state the true unit: unit='uV', 'mV', 'V' or how many microvolts one unit is",
    )


def _spread(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Per contact; 0 where nothing is finite."""
    finite = np.isfinite(x)
    clean = np.where(finite, x, np.nan)[:, finite.any(axis=0)].astype(np.float64)
    out = np.zeros(x.shape[1])
    if clean.size:
        low, high = np.nanpercentile(clean, (15.87, 84.13), axis=0)
        out[finite.any(axis=0)] = (high - low) / 2
    return out
