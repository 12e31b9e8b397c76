"""What each contact contributes: the score that is lost when it fails.

Occlusion (Zeiler & Fergus 2014): a contact's samples become NaN, so that the front end masks it as
it would live (feature 0, the training mean; its neighbours too where the reference takes them
together), and the stretch is decoded again through the step graphs. The network is not retrained: a
contact whose information others hold as well shows little. A negative drop is a contact that did
more harm than good on this stretch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.hops import HOP, HopClock
from models.streaming import Floats
from training.scores import Mask, mel_r

EXCERPT_S = 15.0

Decode = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Contribution:
    """Drop of r when a contact is lost, over all frames and speech frames of an excerpt."""

    contact: str
    drop: float
    drop_speech: float


@dataclass(frozen=True)
class Contributions:
    """Every contact's, over `seconds` from `start_s` of the held-out part."""

    contacts: tuple[Contribution, ...]
    start_s: float
    seconds: float


def liveliest(spoken: Mask, hops: int) -> int:
    """Start of the window of so many hops with most speech frames; the first among equals."""
    if len(spoken) <= hops:
        return 0
    total = np.concatenate([[0], np.cumsum(spoken)])
    return int(np.argmax(total[hops:] - total[:-hops]))


def occlude(
    decode: Decode,
    contacts: tuple[str, ...],
    seeg: Floats,
    truth: Floats,
    spoken: Mask,
    clock: HopClock,
    seconds: float = EXCERPT_S,
) -> Contributions:
    """Decode an excerpt without each contact in turn.

    Parameters
    ----------
    decode : microvolts `(samples, contacts)` to mel `(hops, 80)`, row `k` describing frame `k`;
        causal, so that an excerpt may be cut anywhere.
    seeg, truth, spoken : of the held-out part, from the same moment.
    clock : which samples belong to which hop.
    seconds : of the excerpt, the one with most speech.
    """
    hop_s, hops = float(HOP), round(seconds / float(HOP))
    start = liveliest(spoken, hops)
    cut = seeg[clock.end(start - 1) : clock.end(start + hops - 1)]
    whole = decode(cut)
    hops = min(len(whole), len(truth) - start, hops)
    target, mask = truth[start : start + hops], spoken[start : start + hops]

    def scores(mel: Floats) -> tuple[float, float]:
        return mel_r(target, mel[:hops]), mel_r(target, mel[:hops], mask)

    base = scores(whole)
    found = []
    for column, contact in enumerate(contacts):
        lost = cut.copy()
        lost[:, column] = np.nan
        now = scores(decode(lost))
        found.append(Contribution(contact, base[0] - now[0], base[1] - now[1]))
    return Contributions(tuple(found), start * hop_s, hops * hop_s)
