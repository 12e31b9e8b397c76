"""Acoustic contamination: does the sEEG hold the sound itself? After Roussel et al. 2020.

Roussel et al. 2020, J Neural Eng 17:056028. A microphonic cable or amplifier puts the voice's own
frequencies into the recording, and a decoder then reads speech out of the cable: on a simulated
patient without any signal such a leak alone gives a correlation of .6. True neural activity follows
the loudness of speech over a wide band; only sound correlates with itself *at the same frequency*.

* power spectrograms of the audio (less its moving average of 1 s) and of every contact: Hamming
  windows of 200 ms, 50 frames a second, symmetric padding, linear power;
* per contact the correlations over time of every audio frequency with every contact frequency; the
  contamination matrix is their maximum over contacts, its diagonal equal frequencies;
* measure: mean of the diagonal within the limits; P: share of surrogates, matrices with rows or
  columns permuted as a whole, whose measure is as high.

P has limits. Frequencies are not exchangeable (neighbouring bins share a window's main lobe), and
in a patient who decodes well the bins where speech is loud and those where neurons show best may
happen to agree: of 60 simulated patients without leak four fell below .05, one of them far. And P
names no contact. Contacts are therefore tested in time: what is common to all frequencies is
regressed out of audio and contact (loudness, and what neurons make of it), and the mean correlation
at equal frequencies of the rest is held against the same with the audio shifted circularly by 5 s
and more. Contacts are recommended for exclusion by Benjamini & Hochberg's (1995) step-up rule at
`alpha`: of those named, that share is named wrongly on average, and without any leak the risk of
naming one is no higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.fft import irfft, rfft
from scipy.ndimage import uniform_filter1d

from models.errors import RecordingError, SettingsError
from models.spec import FrontEndSpec, Model
from realtime.recordings import Recording, audio_at

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW_S, FRAME_HZ = 0.2, 50.0
_AUDIO_AVERAGE_S, _SEEG_AVERAGE_S = 1.0, 0.5
_ARTEFACT_MADS, _ARTEFACT_SHARE, _ARTEFACT_MARGIN_S = 5 * 1.4826, 0.1, 0.5
_LAG_S, _SHIFT_S = 0.5, 5.0
_LEAST_FRAMES = 1000
_FLAT = 1e-9


class ContaminationSettings(Model):
    """Limits and surrogates of the check."""

    low_hz: float = Field(70.0, ge=0)
    high_hz: float = Field(170.0, gt=0)
    surrogates: int = Field(10_000, ge=99)
    seed: int = Field(0, ge=0)
    alpha: float = Field(0.05, gt=0, lt=1)
    mask_artefacts: bool = Field(
        False, description="leave out frames near deflections shared by a tenth of the contacts"
    )

    @model_validator(mode="after")
    def _ordered(self) -> ContaminationSettings:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"no frequency lies between {self.low_hz} and {self.high_hz} Hz")
        return self


@dataclass(frozen=True)
class Contamination:
    """What the check found.

    Parameters
    ----------
    hz : frequencies within the limits, `(n,)`.
    matrix : contamination matrix, audio by contact frequency, `(n, n)`: maximum over contacts.
    measure : mean of its diagonal.
    p : share of surrogates at least as high; below `alpha` the recording is contaminated.
    surrogate_95 : 95 % of the surrogates' measure.
    labels, contact_measure, contact_p : every contact, its own diagonal's mean, and its p by
        shifts in time, of this contact alone.
    exclude : contacts that stand the correction for the number of contacts.
    lags_s, cross : mean correlation at equal frequencies, `(contacts, lags)`; the contact later by
        a positive lag. Sound peaks at 0.
    frames, masked_frames : what was compared, and what was left out as artefact.
    """

    settings: ContaminationSettings
    hz: Doubles
    matrix: Doubles
    measure: float
    p: float
    surrogate_95: float
    labels: tuple[str, ...]
    contact_measure: Doubles
    contact_p: Doubles
    exclude: tuple[str, ...]
    lags_s: Doubles
    cross: Doubles
    frames: int
    masked_frames: int

    @property
    def contaminated(self) -> bool:
        """Whether P is below `alpha`."""
        return self.p < self.settings.alpha

    @property
    def diagonal(self) -> Doubles:
        """Correlation at equal frequencies, maximum over contacts, `(n,)`."""
        return np.diag(self.matrix)

    @property
    def peak_lag_s(self) -> Doubles:
        """Lag at which each contact's cross-correlation is highest, `(contacts,)`."""
        peaks: Doubles = self.lags_s[np.argmax(self.cross, axis=1)]
        return peaks

    def warning(self) -> str | None:
        """What to tell the person; None if nothing was found."""
        if not self.contaminated and not self.exclude:
            return None
        p = f"P = {self.p:.4f}" if self.p else f"P < {1 / self.settings.surrogates:g}"
        limits = f"{self.settings.low_hz:g}-{self.settings.high_hz:g} Hz"
        concerned = (
            f"contacts concerned: {', '.join(self.exclude)}"
            if self.exclude
            else "no contact stands out singly, so it may also be chance"
        )
        return (
            f"the sEEG may contain the sound itself ({p}, {limits}, Roussel et al. 2020), and a "
            f"decoder trained on it may decode a cable; {concerned}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, the table of contacts among them."""
        each = zip(self.labels, self.contact_measure, self.contact_p, self.peak_lag_s, strict=True)
        return {
            "settings": self.settings.model_dump(),
            "p": self.p,
            "measure": self.measure,
            "surrogate_95": self.surrogate_95,
            "contaminated": self.contaminated,
            "exclude": list(self.exclude),
            "hz": self.hz.tolist(),
            "matrix": self.matrix.tolist(),
            "contacts": [
                {"contact": name, "measure": float(m), "p": float(p), "peak_lag_s": float(lag)}
                for name, m, p, lag in each
            ],
            "frames": self.frames,
            "masked_frames": self.masked_frames,
            "warning": self.warning(),
        }


def check_contamination(
    recording: Recording, settings: ContaminationSettings | None = None
) -> Contamination:
    """Check a recording: its sEEG against its audio, brought to the rate of the sEEG.

    Raises
    ------
    RecordingError
        If the audio is silent or the recording shorter than 20 s.
    SettingsError
        If the limits do not lie below half the rate.
    MissingExtraError
        Without the extra `formats` (soxr).
    """
    sound = audio_at(recording, round(recording.fs))
    return contamination(sound, recording.seeg, float(recording.fs), recording.labels, settings)


def without_contaminated(front_end: FrontEndSpec, found: Contamination) -> FrontEndSpec:
    """The front end with the contaminated contacts given up."""
    bad = dict.fromkeys((*front_end.bad_contacts, *found.exclude))
    return front_end.model_copy(update={"bad_contacts": tuple(bad)})


def contamination(
    audio: Floats,
    seeg: Floats,
    fs: float,
    labels: Sequence[str],
    settings: ContaminationSettings | None = None,
) -> Contamination:
    """Check sEEG `(samples, contacts)` against audio `(samples,)`, both at `fs` Hz.

    Samples of the sEEG that are no number count as 0.

    Raises
    ------
    RecordingError, SettingsError
        See `check_contamination`.
    """
    settings = settings or ContaminationSettings()
    samples = min(len(audio), len(seeg))
    spectra = _Spectra(samples, fs, settings)
    kept = ~_artefacts(seeg[:samples], fs) if settings.mask_artefacts else np.ones(samples, bool)
    frames = spectra.frames_within(kept)
    _enough(frames, audio)
    loud = audio[:samples].astype(np.float64)
    loud -= uniform_filter1d(loud, max(1, round(_AUDIO_AVERAGE_S * fs)))
    heard = _standardised(spectra.power(loud), frames)
    wide, narrow = _Lags(heard, frames), _Lags(_narrow(heard), frames)
    matrix = np.full((len(spectra.hz), len(spectra.hz)), -np.inf)
    same = np.empty((seeg.shape[1], len(frames)))
    specific = np.empty_like(same)
    for column in range(seeg.shape[1]):
        trace = np.nan_to_num(seeg[:samples, column].astype(np.float64), posinf=0, neginf=0)
        own = _standardised(spectra.power(trace), frames)
        np.maximum(matrix, heard.T @ own / frames.sum(), out=matrix)
        same[column], specific[column] = wide(own), narrow(_narrow(own))
    return _judged(matrix, same, specific, spectra.hz, frames, labels, settings)


class _Spectra:
    """Power within the limits, `(frames, frequencies)`: Hamming windows with symmetric padding."""

    def __init__(self, samples: int, fs: float, settings: ContaminationSettings) -> None:
        self.width = round(WINDOW_S * fs)
        count = int(samples / fs * FRAME_HZ)
        self.starts = np.floor(np.arange(count) * fs / FRAME_HZ).astype(np.int64)
        self.before = self.width // 2
        every = np.arange(self.width // 2 + 1) * fs / self.width
        self.bins = np.flatnonzero((every >= settings.low_hz) & (every <= settings.high_hz))
        if settings.high_hz > fs / 2 or len(self.bins) < 3:
            raise SettingsError(
                f"limits of {settings.low_hz:g}-{settings.high_hz:g} Hz at {fs:g} Hz",
                f"at least three bins of {fs / self.width:.2f} Hz below {fs / 2:g} Hz",
            )
        self.hz: Doubles = every[self.bins]
        self.window = np.hamming(self.width).astype(np.float32)

    def power(self, trace: Doubles) -> Floats:
        """Power of `(samples,)`, each trace scaled to unit deviation for single precision."""
        scale = float(trace.std()) or 1.0
        scaled = ((trace - trace.mean()) / scale).astype(np.float32)
        padded = np.pad(scaled, (self.before, self.width), "symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.width)[self.starts]
        found = rfft(windows * self.window, axis=1)[:, self.bins]
        power: Floats = np.square(found.real) + np.square(found.imag)
        return power

    def frames_within(self, kept: Mask) -> Mask:
        """Frames whose window holds kept samples only, `(frames,)`."""
        padded = np.pad(~kept, (self.before, self.width), "symmetric")
        lost = np.concatenate([[0], np.cumsum(padded)])
        whole: Mask = lost[self.starts + self.width] == lost[self.starts]
        return whole


def _enough(frames: Mask, audio: Floats) -> None:
    if frames.sum() < _LEAST_FRAMES:
        raise RecordingError(
            f"{frames.sum() / FRAME_HZ:.1f} s to compare audio and sEEG on",
            f"at least {_LEAST_FRAMES / FRAME_HZ:g} s",
            "record longer, or do not mask artefacts",
        )
    if not np.isfinite(audio).all() or float(np.ptp(audio)) == 0:
        raise RecordingError("the audio is silent or holds values that are no number", "speech")


def _artefacts(seeg: Floats, fs: float) -> Mask:
    """Samples within 0.5 s of a large deflection on a tenth of the contacts, `(samples,)`."""
    large = np.zeros(len(seeg), np.int64)
    width = max(1, round(_SEEG_AVERAGE_S * fs))
    for column in range(seeg.shape[1]):
        trace = np.nan_to_num(seeg[:, column].astype(np.float64), posinf=0, neginf=0)
        size = np.abs(trace - uniform_filter1d(trace, width))
        large += size > _ARTEFACT_MADS * max(float(np.median(size)), _FLAT)
    shared = large >= _ARTEFACT_SHARE * seeg.shape[1]
    margin = 2 * round(_ARTEFACT_MARGIN_S * fs) + 1
    near: Mask = uniform_filter1d(shared.astype(np.float64), margin) > 0.5 / margin
    return near


def _standardised(power: Floats, frames: Mask) -> Floats:
    """Zero mean and unit deviation over the kept frames, zero elsewhere and where constant."""
    kept = power[frames]
    mean = kept.mean(axis=0, dtype=np.float64)
    deviation = kept.std(axis=0, dtype=np.float64)
    flat = deviation <= _FLAT * np.maximum(mean, _FLAT)
    z = (power - mean) / np.where(flat, np.inf, deviation)
    z[~frames] = 0
    standard: Floats = z.astype(np.float32)
    return standard


def _narrow(z: Floats) -> Floats:
    """Without what is common to all frequencies, again of unit deviation where anything is left."""
    common = z.mean(axis=1, dtype=np.float64)
    power = max(float(common @ common), _FLAT)
    rest = z - np.outer(common, common @ z / power)
    size = np.sqrt(np.square(rest).sum(axis=0) / np.maximum(np.square(z).sum(axis=0), _FLAT))
    return (rest / np.where(size > _FLAT, size, np.inf)).astype(np.float32)


class _Lags:
    """Mean correlation at equal frequencies for every circular lag, the contact later."""

    def __init__(self, heard: Floats, frames: Mask) -> None:
        self._heard = np.conj(rfft(heard, axis=0)) / heard.shape[1]
        mask = rfft(frames.astype(np.float64))
        self._pairs = np.maximum(irfft(np.conj(mask) * mask, len(frames)), 1)

    def __call__(self, own: Floats) -> Doubles:
        """`(lags,)`; the last ones are the negative lags."""
        product = (self._heard * rfft(own, axis=0)).sum(axis=1)
        found: Doubles = irfft(product, len(self._pairs)) / self._pairs
        return found


def _surrogates(matrix: Doubles, settings: ContaminationSettings) -> Doubles:
    """Mean diagonals with whole rows or columns permuted, `(surrogates,)`."""
    rng = np.random.default_rng(settings.seed)
    still = np.arange(len(matrix))
    order = rng.permuted(np.tile(still, (settings.surrogates, 1)), axis=1)
    rows_move = rng.random((settings.surrogates, 1)) < 0.5
    rows, columns = np.where(rows_move, order, still), np.where(rows_move, still, order)
    means: Doubles = matrix[rows, columns].mean(axis=1)
    return means


def _shift_p(specific: Doubles) -> Doubles:
    """p of each contact's correlation at lag 0 among all shifts of 5 s and more, `(contacts,)`."""
    least = round(_SHIFT_S * FRAME_HZ)
    null = specific[:, least : specific.shape[1] - least + 1]
    as_high = (null >= specific[:, :1]).sum(axis=1)
    p: Doubles = (1 + as_high) / (1 + null.shape[1])
    return p


def _step_up(p: Doubles, alpha: float) -> list[int]:
    """Indices that Benjamini & Hochberg's rule rejects, in order."""
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= alpha * np.arange(1, len(p) + 1) / len(p))
    count = int(passed[-1]) + 1 if len(passed) else 0
    return sorted(order[:count].tolist())


def _judged(
    matrix: Doubles,
    same: Doubles,
    specific: Doubles,
    hz: Doubles,
    frames: Mask,
    labels: Sequence[str],
    settings: ContaminationSettings,
) -> Contamination:
    measure, null = float(np.diag(matrix).mean()), _surrogates(matrix, settings)
    contact_p, most = _shift_p(specific), round(_LAG_S * FRAME_HZ)
    return Contamination(
        settings=settings,
        hz=hz,
        matrix=matrix,
        measure=measure,
        p=float(np.mean(null >= measure)),
        surrogate_95=float(np.quantile(null, 0.95)),
        labels=tuple(labels),
        contact_measure=same[:, 0].copy(),
        contact_p=contact_p,
        exclude=tuple(labels[i] for i in _step_up(contact_p, settings.alpha)),
        lags_s=np.arange(-most, most + 1) / FRAME_HZ,
        cross=np.concatenate([same[:, -most:], same[:, : most + 1]], axis=1),
        frames=int(frames.sum()),
        masked_frames=int((~frames).sum()),
    )
