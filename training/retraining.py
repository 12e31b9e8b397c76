"""Decoders retrained on shifted neural data: the null that keeps everything but the relation.

Rolling the features forward against the targets is rolling the targets back against the features;
the second leaves the features, which cost most, as they are. Every training part is its own circle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.hops import HOP
from models.streaming import Floats
from training.baselines import LinearBaseline, Predictor
from training.fit import fit
from training.held_out import HeldOut
from training.proof import decode_offline
from training.scores import SHIFT_S, retraining_places
from training.settings import ExperimentSettings
from training.stretches import Part

# Least squares is linear in its targets: shifted copies are fitted side by side, as many at once
# as keep the memory of 80 columns each bounded.
_AT_ONCE = 10


def rolled(part: Part, place: float) -> Part:
    """The part with its targets rolled back; `place` from `training.scores.retraining_places`.

    By 5 s at least; a part under 15 s by a third of itself.
    """
    seconds = len(part.mel) * float(HOP)
    least = min(SHIFT_S, seconds / 3)
    hops = round((least + place * (seconds - 2 * least)) / float(HOP))
    return replace(part, mel=np.roll(part.mel, -hops, axis=0))


def retrain_linear(held: HeldOut, fitted: Predictor, runs: int, seed: int = 0) -> list[Floats]:
    """Predictions `(hops, 80)` of a linear baseline refitted to shifted training parts.

    Parameters
    ----------
    fitted : the baseline; features and number of components are its own.
    """
    x = np.concatenate([fitted.extractor(p.seeg, len(p.mel)) for p in held.pieces])
    test = fitted.extractor(held.seeg, len(held.mel))
    places = retraining_places(runs, seed)
    made: list[Floats] = []
    for start in range(0, runs, _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        y = np.concatenate([np.hstack([rolled(p, s).mel for s in some]) for p in held.training])
        mels = LinearBaseline.fit(x, y, fitted.report["components"]).predict(test)
        made += np.split(mels, len(some), axis=1)
    return made


def retrain_network(
    held: HeldOut, settings: ExperimentSettings, runs: int, progress: bool = False, seed: int = 0
) -> list[Floats]:
    """Predictions of networks trained anew on shifted training parts; minutes each.

    The same settings and budget; a validation part is shifted too. Decoded offline, which is the
    streamed result within the proof's tolerance.
    """
    features, ahead = held.features(), held.spec.target_lookahead
    made = []
    for place in retraining_places(runs, seed):
        training = [rolled(part, place) for part in held.training]
        validation = [rolled(part, place) for part in held.validation]
        fitted = fit(training, held.spec, settings, progress, validation=validation)
        made.append(decode_offline(fitted.network, held.spec, features)[ahead:])
    return made
