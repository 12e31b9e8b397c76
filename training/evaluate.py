"""Scores of a held-out part: the network, streamed, beside baselines, nulls and no neural data.

`evaluate` is the short table that goes into a bundle; `evaluate_held_out` everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import Field

from models.errors import SettingsError
from models.mel import VOCODER_RATE
from models.spec import Model
from models.streaming import Floats
from realtime.pipeline import Pipeline
from training.baselines import (
    BASELINES,
    Predictor,
    fit_baseline,
    fit_baselines,
    pieces_of,
    predict_all,
)
from training.contamination import Contamination, contamination
from training.contribution import Contributions, occlude
from training.copy_synthesis import streaming
from training.held_out import HeldOut
from training.prepare import Prepared
from training.retraining import retrain_linear, retrain_network
from training.scores import (
    Cues,
    Mels,
    Reference,
    ScoreLine,
    ScoreTable,
    SoundScores,
    bins_r,
    score_table,
    sound_scores,
    table_of,
)
from training.settings import ExperimentSettings
from training.streamed import NETWORK, OFFLINE, Network

BASELINE = "linear baseline"
QUICK = ("linear", "causal linear", "causal ridge")
VOCODER = "phase"

__all__ = [
    "BASELINE",
    "NETWORK",
    "OFFLINE",
    "Evaluation",
    "EvaluationSettings",
    "evaluate",
    "evaluate_held_out",
    "linear_mel",
    "stream_mel",
    "training_contamination",
    "vocoded",
]


# --- the table of a bundle ----------------------------------------------------------------------


def stream_mel(pipeline: Pipeline, seeg: Floats) -> Floats:
    """Mel `(hops, 80)` of a held-out part, stepped hop by hop from a cold start."""
    pipeline.reset()
    mel = np.array([hop.mel for hop in pipeline.hops(seeg)], np.float32)
    pipeline.reset()
    return mel


def evaluate(
    pipeline: Pipeline, prepared: Prepared, note: str = "", cues: Cues | None = None
) -> ScoreTable:
    """The held-out table: network and linear baseline beside the lines without neural data.

    With a look-ahead of `n` hops, hop `k` describes frame `k - n`: compared as such.

    Parameters
    ----------
    cues : from `training.held_out.split_cues`; with them, the cue-locked average too.
    """
    ahead = prepared.spec.target_lookahead
    decoded = stream_mel(pipeline, prepared.held_out_seeg)[ahead:]
    truth = prepared.held_out_mel[: len(decoded)]
    linear = linear_mel(prepared)[: len(decoded)]
    return score_table(
        truth,
        prepared.training.mel,
        {NETWORK: decoded, BASELINE: linear},
        {BASELINE: "sees 200 ms of future"},
        note,
        cues,
    )


def linear_mel(prepared: Prepared) -> Floats:
    """What the linear baseline, fitted on the training part, makes of the held-out part."""
    fitted = fit_baseline("linear", pieces_of(prepared), prepared.spec)
    return fitted.predict(prepared.held_out_seeg)


# --- everything ---------------------------------------------------------------------------------


class EvaluationSettings(Model):
    """What is scored beside the network, and how often chance is tried."""

    baselines: tuple[str, ...] = Field(
        (*QUICK, "densenet"), description="names of `training.baselines.BASELINES`"
    )
    retrainings: int = Field(20, ge=0, description="of linear baselines, on shifted neural data")
    network_retrainings: int = Field(0, ge=0, description="of the network; minutes each")
    sound: bool = Field(True, description="STOI, ESTOI, distortion, voicing, pitch")
    contribution_s: float = Field(0.0, ge=0, description="excerpt on which contacts are occluded")
    contamination: bool = Field(True, description="the check of Roussel et al. 2020")
    seed: int = Field(0, ge=0)


@dataclass(frozen=True)
class Evaluation:
    """One held-out part, scored.

    `mels` holds every prediction `(frames, 80)`, those without neural data too; `ceiling` what the
    vocoder makes of the true mels, the best that sound scores can be.
    """

    table: ScoreTable
    reference: Reference
    held: HeldOut
    mels: dict[str, Mels]
    ceiling: SoundScores | None = None
    attention: Floats | None = None
    contributions: Contributions | None = None
    contamination: Contamination | None = None
    notes: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Plain values: the table, r per bin, what the vocoder allows, contacts."""
        spoken = self.reference.spoken
        found = self.contamination
        return {
            **self.table.as_json(),
            "bins_r": {n: bins_r(self.reference.truth, m).tolist() for n, m in self.mels.items()},
            "bins_r_speech": {
                name: bins_r(self.reference.truth, mel, spoken).tolist()
                for name, mel in self.mels.items()
            },
            "vocoder": VOCODER,
            "vocoder_ceiling": None if self.ceiling is None else asdict(self.ceiling),
            "contributions": None if self.contributions is None else asdict(self.contributions),
            "contamination": None if found is None else found.as_json(),
            "held_out_start_s": self.held.start_s,
            "target_lookahead": self.held.spec.target_lookahead,
            "notes": list(self.notes),
        }


def evaluate_held_out(
    held: HeldOut,
    network: Network | None,
    settings: EvaluationSettings,
    experiment: ExperimentSettings | None = None,
) -> Evaluation:
    """Score a network on a held-out part beside baselines and nulls.

    Parameters
    ----------
    network : None scores the baselines alone.
    experiment : settings to retrain the network with, for `network_retrainings`.

    Raises
    ------
    SettingsError
        If the part is too short or holds too little speech, or a baseline is unknown.
    """
    fitted = fit_baselines(settings.baselines, held.pieces, held.spec, settings.seed)
    mels: dict[str, Mels] = {**predict_all(fitted, held.seeg)}
    notes = {name: predictor.note for name, predictor in fitted.items()}
    decoded = None
    if network is not None:
        decoded = network.decode(held.seeg)
        mels, notes = {network.name: decoded.mel, **mels}, {network.name: network.note, **notes}
    # A look-ahead shortens what is decoded.
    frames = min([len(held.mel), *map(len, mels.values())])
    reference = Reference.fit(held.mel[:frames], held.training_mel, held.cues)
    mels = {**{name: mel[:frames] for name, mel in mels.items()}, **reference.without_neural_data()}
    nulls = _nulls(held, network, fitted, settings, experiment)
    lines = [
        _line(held, reference, name, mel, notes.get(name, ""), nulls.get(name, []), settings)
        for name, mel in mels.items()
    ]
    return Evaluation(
        table_of(reference, lines),
        reference,
        held,
        mels,
        _sound(held, reference, reference.truth) if settings.sound else None,
        None if decoded is None else decoded.attention,
        _contributions(held, reference, network, settings.contribution_s),
        training_contamination(held) if settings.contamination else None,
    )


def _line(
    held: HeldOut,
    reference: Reference,
    name: str,
    mel: Mels,
    note: str,
    nulls: Sequence[Floats],
    settings: EvaluationSettings,
) -> ScoreLine:
    line = reference.line(name, mel, note)
    if nulls:
        line = reference.retrained(line, mel, nulls)
    return replace(line, sound=_sound(held, reference, mel)) if settings.sound else line


def _nulls(
    held: HeldOut,
    network: Network | None,
    fitted: Mapping[str, Predictor],
    settings: EvaluationSettings,
    experiment: ExperimentSettings | None,
) -> Mapping[str, list[Floats]]:
    """Predictions of decoders retrained on shifted neural data, by name."""
    found: dict[str, list[Floats]] = {}
    if settings.retrainings:
        for name, predictor in fitted.items():
            if BASELINES[name].kind == "least_squares":
                found[name] = retrain_linear(held, predictor, settings.retrainings, settings.seed)
    if settings.network_retrainings and network is not None:
        if experiment is None:
            raise SettingsError(
                "the network is to be retrained, and its training settings are not known",
                "the folder of an experiment",
                "evaluate the experiment instead of its bundle",
            )
        found[network.name] = retrain_network(held, experiment, settings.network_retrainings)
    return found


def _sound(held: HeldOut, reference: Reference, mel: Mels) -> SoundScores:
    """Scores of the sound that the streaming vocoder makes of a prediction."""
    audio = vocoded(mel)
    mels = reference.truth, mel
    return sound_scores((held.audio, audio), VOCODER_RATE, mels, reference.spoken)


def vocoded(mel: Mels) -> Floats:
    """Sound at 16 kHz `(n,)` by the streaming vocoder, its delay taken off."""
    return streaming(VOCODER)(mel.astype(np.float32)).astype(np.float32)


def _contributions(
    held: HeldOut, reference: Reference, network: Network | None, seconds: float
) -> Contributions | None:
    if network is None or not seconds:
        return None
    truth = np.asarray(reference.truth, np.float32)
    spec, spoken = held.spec, reference.spoken
    return occlude(network.mel, spec.contacts, held.seeg, truth, spoken, spec.clock, seconds)


def training_contamination(held: HeldOut) -> Contamination:
    """The acoustic check on the training parts alone, so that it may choose contacts.

    Of the contacts that are in use: what was given up can no longer be decoded.

    Raises
    ------
    RecordingError
        If they are shorter than 10 s.
    """
    spec = held.spec
    used = [i for i, name in enumerate(spec.contacts) if name not in spec.front_end.bad_contacts]
    audio = np.concatenate(held.training_sound)
    seeg = np.concatenate([piece.seeg[:, used] for piece in held.pieces])
    return contamination(audio, seeg, float(spec.fs_hz), [spec.contacts[i] for i in used])
