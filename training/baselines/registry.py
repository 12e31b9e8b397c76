"""All baselines by name, behind one interface, so that an evaluation can loop over them.

    predictors = fit_baselines(["linear", "causal ridge"], pieces, spec)
    mels = predict_all(predictors, held_out_seeg)        # name to (hops, 80)

Features are computed once for all baselines that share them. Nothing but the pieces given is ever
looked at: statistics, penalties and early stopping come from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import Field

from models.errors import SettingsError
from models.spec import BundleSpec, Model
from training.baselines.envelopes import CENTRED, PAST, Causal, ContextSpec, Floats, ZeroPhase
from training.baselines.least_squares import COMPONENTS, LinearBaseline
from training.baselines.ridge import Ridge, RidgeSettings

if TYPE_CHECKING:
    from training.prepare import Prepared

Extractor = Callable[[Floats, int], Floats]
_GUARD_HOPS = 34  # 0.5 s, as between the parts of a split


class BaselineSettings(Model):
    """One baseline: which regression on which windows."""

    kind: Literal["least_squares", "ridge", "densenet"]
    context: ContextSpec = CENTRED
    components: int | None = COMPONENTS
    """Principal components kept before least squares; None keeps all."""
    ridge: RidgeSettings = RidgeSettings()
    densenet: dict[str, Any] = Field(default_factory=dict)
    """Changes to `DenseNetSettings`."""

    @property
    def note(self) -> str:
        """What a reader of its scores must know."""
        if self.context.causal:
            return "causal"
        return f"sees {1000 * self.context.future_s:g} ms of future, zero-phase filters"


BASELINES: Mapping[str, BaselineSettings] = {
    "linear": BaselineSettings(kind="least_squares"),
    "ridge": BaselineSettings(kind="ridge"),
    "causal linear": BaselineSettings(kind="least_squares", context=PAST),
    "causal ridge": BaselineSettings(kind="ridge", context=PAST),
    "densenet": BaselineSettings(kind="densenet"),
    "causal densenet": BaselineSettings(kind="densenet", context=PAST),
}


@dataclass(frozen=True)
class Piece:
    """A contiguous training stretch: `seeg` `(samples, contacts)` microvolts, `mel` `(hops, 80)`.

    Hop 0 starts at sample 0.
    """

    seeg: Floats
    mel: Floats


class Regression(Protocol):
    """What has been fitted on features."""

    def predict(self, x: Floats) -> Floats:
        """Targets `(frames, outputs)` for features `(frames, inputs)`."""
        ...


@dataclass(frozen=True)
class Predictor:
    """A fitted baseline; `report` says what was chosen while fitting."""

    name: str
    note: str
    spec: BundleSpec
    extractor: Extractor = field(repr=False)
    regression: Regression = field(repr=False)
    report: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, seeg: Floats) -> Floats:
        """Mel `(hops, 80)` of `(samples, contacts)` microvolts, from a cold start.

        Row `k` describes frame `k`, whatever the look-ahead.
        """
        return self.regression.predict(self.extractor(seeg, self.hops(seeg)))

    def hops(self, seeg: Floats) -> int:
        """Whole hops in these samples."""
        return self.spec.clock.hops_in(len(seeg))


def pieces_of(prepared: Prepared) -> list[Piece]:
    """The training part of a prepared recording."""
    return [Piece(prepared.training_seeg, prepared.training.mel)]


def fit_baselines(
    names: Sequence[str],
    pieces: Sequence[Piece],
    spec: BundleSpec,
    seed: int = 0,
    baselines: Mapping[str, BaselineSettings] = BASELINES,
) -> dict[str, Predictor]:
    """Fit several baselines to the same pieces.

    Parameters
    ----------
    names : keys of `baselines`.
    spec : montage, rate, front end (its bad contacts are given up) and look-ahead.
    seed : of the DenseNet.

    Raises
    ------
    SettingsError
        If a name is unknown, or the pieces are too short for the choice of a penalty.
    """
    unknown = [name for name in names if name not in baselines]
    if unknown:
        raise SettingsError(f"no baseline {unknown[0]!r}", f"one of {', '.join(baselines)}")
    shared: dict[ContextSpec, tuple[Extractor, Sequence[str], list[tuple[Floats, Floats]]]] = {}
    found = {}
    for name in names:
        settings = baselines[name]
        if settings.context not in shared:
            shared[settings.context] = _features(settings.context, pieces, spec)
        extractor, channels, parts = shared[settings.context]
        regression, report = _fit(settings, parts, channels, seed)
        found[name] = Predictor(name, settings.note, spec, extractor, regression, report)
    return found


def fit_baseline(name: str, pieces: Sequence[Piece], spec: BundleSpec, seed: int = 0) -> Predictor:
    """Fit one baseline; see `fit_baselines`."""
    return fit_baselines([name], pieces, spec, seed)[name]


def predict_all(predictors: Mapping[str, Predictor], seeg: Floats) -> dict[str, Floats]:
    """Mel `(hops, 80)` of every predictor; shared features are computed once."""
    shared: dict[int, Floats] = {}
    out = {}
    for name, predictor in predictors.items():
        key = id(predictor.extractor)
        if key not in shared:
            shared[key] = predictor.extractor(seeg, predictor.hops(seeg))
        out[name] = predictor.regression.predict(shared[key])
    return out


def _features(
    context: ContextSpec, pieces: Sequence[Piece], spec: BundleSpec
) -> tuple[Extractor, Sequence[str], list[tuple[Floats, Floats]]]:
    """The extractor, the names of its channels, and the features and targets of the pieces."""
    extractor: Extractor
    if context.causal:
        causal = Causal.fit(spec, [piece.seeg for piece in pieces], context)
        extractor, channels = causal, causal.names
    else:
        given_up = spec.front_end.bad_contacts
        bad = tuple(i for i, name in enumerate(spec.contacts) if name in given_up)
        extractor, channels = ZeroPhase(spec.fs_hz, context, bad), spec.contacts
    return extractor, channels, [(extractor(p.seeg, len(p.mel)), p.mel) for p in pieces]


def _fit(
    settings: BaselineSettings,
    parts: list[tuple[Floats, Floats]],
    channels: Sequence[str],
    seed: int,
) -> tuple[Regression, dict[str, Any]]:
    gap = max(_GUARD_HOPS, settings.context.reach_hops)
    if settings.kind == "ridge":
        ridge = Ridge.fit(parts, gap, settings.ridge)
        return ridge, {"penalty": ridge.penalty, "chosen_by": settings.ridge.choose}
    if settings.kind == "densenet":
        # Torch takes seconds to import, and the simulated patient is calibrated without it.
        from training.baselines.densenet import DenseNetSettings, fit_densenet

        wanted = DenseNetSettings.model_validate(settings.densenet)
        net = fit_densenet(parts, channels, gap, wanted, seed)
        return net, net.report
    return _least_squares(parts, settings.components), {"components": settings.components}


def _least_squares(parts: list[tuple[Floats, Floats]], components: int | None) -> LinearBaseline:
    x = parts[0][0] if len(parts) == 1 else np.concatenate([x for x, _ in parts])
    y = np.concatenate([y for _, y in parts])
    return LinearBaseline.fit(x, y, components)
