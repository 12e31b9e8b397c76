"""Scores of the validation part, collected over its tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from models.streaming import Floats
from training.scores import mel_r, speech_frames


@dataclass(frozen=True)
class Example:
    """One stretch to look at and listen to: mels `(hops, 80)`, natural log; alignment or none."""

    truth: Floats
    decoded: Floats
    alignment: Floats | None


class Validation:
    """Collects predictions over the validation tiles of one check.

    Parameters
    ----------
    speech_threshold : mean log-mel above which a frame is speech.
    examples : stretches kept to be shown.
    """

    def __init__(self, speech_threshold: float, examples: int = 0) -> None:
        self._threshold, self._wanted = speech_threshold, examples
        self.examples: list[Example] = []
        self._truth: list[Floats] = []
        self._decoded: list[Floats] = []
        self._losses: list[tuple[int, dict[str, float]]] = []

    def add(
        self,
        losses: dict[str, Tensor],
        truth: Tensor,
        decoded: Tensor,
        alignment: Tensor | None,
        warm: int,
    ) -> None:
        """Take in tiles: mels `(batch, hops, 80)`, of which the first `warm` hops do not count."""
        if not self._losses:
            self.examples = []
        a, b = truth.float().cpu().numpy(), decoded.float().cpu().numpy()
        self._truth.extend(a[:, warm:])
        self._decoded.extend(b[:, warm:])
        self._losses.append((len(a), {k: float(v) for k, v in losses.items()}))
        weights = None if alignment is None else alignment.float().cpu().numpy()
        for i in range(min(len(a), self._wanted - len(self.examples))):
            self.examples.append(Example(a[i], b[i], None if weights is None else weights[i]))

    def close(self) -> dict[str, float]:
        """Mean losses, r over all frames and over speech frames (0 where there are too few)."""
        truth, decoded = np.concatenate(self._truth), np.concatenate(self._decoded)
        spoken = speech_frames(truth, self._threshold)
        tiles = sum(count for count, _ in self._losses)
        found = {
            key: sum(count * losses[key] for count, losses in self._losses) / tiles
            for key in self._losses[0][1]
        }
        self._truth, self._decoded, self._losses = [], [], []
        found["r"] = mel_r(truth, decoded)
        found["r_speech"] = mel_r(truth, decoded, spoken) if spoken.sum() > 2 else 0.0
        return found
