"""The same evaluation over simulated patients: networks beside baselines, as a table.

A cell is one patient (gain and seed), one fold and one variant of the network, trained and scored
like any experiment. Cells are kept as JSON, so a study that was interrupted goes on where it was.
Figures on simulated patients test software; they are never evidence about patients.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from models.errors import SettingsError
from models.files import new_file
from models.spec import Model, NetworkSpec
from realtime.recordings import Recording
from training.evaluate import Evaluation, EvaluationSettings, evaluate_held_out
from training.fit import fit
from training.folds import Fold, FoldSettings, make_folds, needed_guard_s
from training.held_out import HeldOut, held_out_fold, single_fold
from training.markers import cached, remember
from training.package import Trained
from training.patient import PatientSettings, simulate
from training.prepare import bundle_spec
from training.scores import Interval, interval
from training.settings import ExperimentSettings
from training.streamed import network_of

MEASURES = ("mel_r", "mel_r_speech", "components_r")
BASELINES = ("causal linear", "causal ridge", "linear", "densenet")
Change = Mapping[str, Any]
VARIANTS: Mapping[str, Change] = {
    "causal": {},
    "offline": {"causal": False},
    "no attention": {"attention": "none"},
    "no pre-net": {"prenet": False},
    "no post-net": {"postnet": False},
}
LOOKAHEAD = "look-ahead "
"""`look-ahead 4` is the causal network with a target look-ahead of 4 hops."""


class StudySettings(Model):
    """Which patients, folds and variants."""

    gains: tuple[float, ...] = (0.3, 0.5, 1.1)
    seeds: tuple[int, ...] = (20, 21, 22)
    minutes: float = Field(7.0, gt=1)
    session: str = "words"
    folds: int = Field(1, ge=1, description="1 holds out the last part only, as training does")
    variants: tuple[str, ...] = ("causal",)
    baselines: tuple[str, ...] = BASELINES


@dataclass(frozen=True)
class Cell:
    """Where one result belongs."""

    gain: float
    seed: int
    fold: int
    variant: str

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"gain{self.gain:g}_seed{self.seed}_fold{self.fold}_{self.variant}.json".replace(
            " ", "-"
        )


def variant_of(name: str, experiment: ExperimentSettings) -> ExperimentSettings:
    """The experiment with a variant's network.

    Raises
    ------
    SettingsError
        If there is no such variant.
    """
    if name.startswith(LOOKAHEAD) and name.removeprefix(LOOKAHEAD).isdecimal():
        hops = int(name.removeprefix(LOOKAHEAD))
        return experiment.model_copy(update={"target_lookahead": hops})
    if name not in VARIANTS:
        known = ", ".join([*VARIANTS, f"{LOOKAHEAD}N"])
        raise SettingsError(f"no variant {name!r}", f"one of {known}")
    shapes = {**experiment.network.model_dump(), **VARIANTS[name]}
    return experiment.model_copy(update={"network": NetworkSpec.model_validate(shapes)})


def run_study(
    settings: StudySettings,
    experiment: ExperimentSettings,
    folder: Path,
    told: Callable[[str], None] = lambda line: None,
) -> dict[Cell, dict[str, Any]]:
    """Train and score what is not in `folder` yet; every cell's scores.

    Raises
    ------
    SettingsError
        If a variant is unknown, or the folder holds cells of other settings.
    """
    changed = {name: variant_of(name, experiment) for name in settings.variants}
    _same_study(folder, settings, experiment)
    found = {}
    for gain in settings.gains:
        for seed in settings.seeds:
            cells = [
                Cell(gain, seed, fold, name)
                for fold in range(settings.folds)
                for name in settings.variants
            ]
            missing = [cell for cell in cells if not (folder / cell.file).exists()]
            for cell, scores in _score(missing, settings, changed, told):
                with new_file(folder / cell.file) as partial:
                    partial.write_text(json.dumps(scores, indent=1))
            found.update({c: json.loads((folder / c.file).read_text()) for c in cells})
    return found


def _same_study(folder: Path, settings: StudySettings, experiment: ExperimentSettings) -> None:
    """Cells of one folder come from the same patients and training."""
    kept = {"minutes", "session", "folds", "baselines"}
    about = {
        "experiment": experiment.model_dump(mode="json"),
        **{name: settings.model_dump(mode="json")[name] for name in sorted(kept)},
    }
    marker = folder / "study.json"
    if not marker.exists():
        remember(marker, about)
    elif not cached(marker, about):
        raise SettingsError(
            f"{folder} holds cells of other settings ({marker.name} there says of which)",
            "the same length, session, folds, baselines and training",
            "choose another folder",
        )


def _score(
    cells: Sequence[Cell],
    settings: StudySettings,
    experiments: Mapping[str, ExperimentSettings],
    told: Callable[[str], None],
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    if not cells:
        return
    first = cells[0]
    patient = PatientSettings.model_validate(
        {
            **{name: getattr(settings, name) for name in ("minutes", "session")},
            "gain": first.gain,
            "seed": first.seed,
        }
    )
    recording = simulate(patient).recording
    for cell in cells:
        start = time.perf_counter()
        scores = _cell(recording, cell, settings, experiments[cell.variant])
        yield cell, {**scores, "seconds": round(time.perf_counter() - start, 1)}
        line = scores["network"]
        told(
            f"gain {cell.gain:g} seed {cell.seed} fold {cell.fold} {cell.variant}: "
            f"r {line['mel_r']:.3f}, speech-only {line['mel_r_speech']:.3f}, "
            f"{time.perf_counter() - start:.0f} s"
        )


def _cell(
    recording: Recording, cell: Cell, settings: StudySettings, experiment: ExperimentSettings
) -> dict[str, Any]:
    held = held_out_fold(recording, experiment, _fold(recording, cell, settings, experiment))
    # What does not depend on the network counts once for a patient and fold.
    first = cell.variant == settings.variants[0]
    names = settings.baselines if first else ()
    found = _evaluated(
        held,
        experiment,
        EvaluationSettings(baselines=names, retrainings=0, sound=False, contamination=False),
    )
    network, *others = found.table.as_json()["lines"]
    return {"network": network, "others": others if first else []}


def _fold(
    recording: Recording, cell: Cell, settings: StudySettings, experiment: ExperimentSettings
) -> Fold:
    if settings.folds == 1:
        return single_fold(recording, experiment)
    wanted = FoldSettings(count=settings.folds, validation_fraction=experiment.validation.fraction)
    guard = needed_guard_s(bundle_spec(recording, experiment), wanted.guard_s)
    return list(make_folds(recording, wanted, guard))[cell.fold]


def _evaluated(
    held: HeldOut, experiment: ExperimentSettings, settings: EvaluationSettings
) -> Evaluation:
    fitted = fit(
        list(held.training), held.spec, experiment, False, validation=list(held.validation)
    )
    with network_of(Trained(held.spec, fitted.network, held.statistics)) as network:
        return evaluate_held_out(held, network, settings, experiment)


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One kind of patient, one decoder: mean and 95 % interval over patients and folds."""

    gain: float
    name: str
    count: int
    scores: dict[str, Interval | float]


def rows_of(cells: Mapping[Cell, dict[str, Any]]) -> list[Row]:
    """A row per gain and decoder, variants first."""
    lines: dict[tuple[float, str], list[dict[str, Any]]] = {}
    for cell, scores in cells.items():
        lines.setdefault((cell.gain, cell.variant), []).append(scores["network"])
    for cell, scores in cells.items():
        for line in scores["others"]:
            lines.setdefault((cell.gain, line["name"]), []).append(line)
    return [
        Row(gain, name, len(found), {m: _mean([line[m] for line in found]) for m in MEASURES})
        for (gain, name), found in sorted(lines.items(), key=lambda item: item[0][0])
    ]


def differences_of(cells: Mapping[Cell, dict[str, Any]]) -> list[Row]:
    """The first variant less every other decoder, paired over patients and folds; rows as above.

    Patients differ more than decoders do: an interval of their difference says what two intervals
    of means cannot.
    """
    first = next(iter(cells)).variant
    lines: dict[tuple[float, str], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for cell, scores in cells.items():
        reference = cells[replace(cell, variant=first)]
        own = [] if cell.variant == first else [{**scores["network"], "name": cell.variant}]
        for line in [*own, *scores["others"]]:
            pair = reference["network"], line
            lines.setdefault((cell.gain, f"{first} less {line['name']}"), []).append(pair)
    return [
        Row(
            gain,
            name,
            len(pairs),
            {m: _mean([a[m] - b[m] for a, b in pairs]) for m in MEASURES},
        )
        for (gain, name), pairs in sorted(lines.items(), key=lambda item: item[0][0])
    ]


def _mean(values: list[float]) -> Interval | float:
    return interval(values) or sum(values) / len(values)


def format_rows(rows: Sequence[Row]) -> str:
    """The table as text."""
    width = max(len(row.name) for row in rows)
    heads = "  ".join(f"{name:>22}" for name in ("mel r", "speech-only r", "PC50 r"))
    text = [f" gain  {'':{width}}  n  {heads}"]
    for row in rows:
        scores = "  ".join(f"{_text(row.scores[m]):>22}" for m in MEASURES)
        text.append(f"{row.gain:5.2f}  {row.name:{width}}  {row.count}  {scores}")
    return "\n".join(text)


def _text(x: Interval | float) -> str:
    return f"{x:.3f}" if isinstance(x, float) else f"{x.mean:.3f} [{x.low:.3f} {x.high:.3f}]"
