"""The pipeline where nothing is due: hops are promised at once, and computed many at a time.

A session's core needs of a hop, before the next block, its place, its mask and whether it is
finite; never its mel or its sound. So `Bulk` answers these at once (the guard alone decides
masks), and runs every stage over hundreds of hops when asked to `settle`: by the streaming
contract any chunking gives the same bits, and a stage that stays in the processor's cache is
several times faster. Only a network that gives no numbers is not foreseen: it resets itself in
mid-stream. Then `Bulk` raises `NotFiniteError`, and `Stepwise` has to do it all, hop by hop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.guard import Guard
from models.mel import BANDS, VOCODER_HOP
from models.streaming import Floats
from realtime.pipeline import Hop, Pipeline

_ROWS = 1024
"""Samples that the front end takes at once: their temporaries stay in the cache."""

Settled = tuple[Floats, Floats]
"""Mel `(n, 80)` and audio `(n, 240)` of hops in order."""


class NotFiniteError(Exception):
    """The network gave no numbers; never leaves this package."""


class Offline(Pipeline):
    """The stages of a pipeline, for a session's core that runs on a virtual clock.

    Parameters
    ----------
    pipeline : its stages become this object's own.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(
            pipeline.clock,
            pipeline.front_end,
            pipeline.encoder,
            pipeline.decoder,
            pipeline.vocoder,
            pipeline.limiter,
            # Nothing is timed.
            now=lambda: float("nan"),
        )

    def amplify(self, gain_db: float) -> None:
        """The operator's gain from the next hop on, dB."""
        self.limiter.amplify(gain_db)

    @abstractmethod
    def settle(self) -> Settled:
        """Mel and audio of the hops since the last time."""


class Stepwise(Offline):
    """Hop by hop, as live."""

    def __init__(self, pipeline: Pipeline, contacts: Sequence[str] = ()) -> None:
        self._done: list[tuple[Floats, Floats]] = []
        super().__init__(pipeline)

    def _step_hop(self, samples: Floats, lsl_time: float, available: float) -> Hop:
        hop = super()._step_hop(samples, lsl_time, available)
        self._done.append((hop.mel.copy(), hop.audio.copy()))
        return hop

    def settle(self) -> Settled:
        """Mel and audio of the hops since the last time."""
        done, self._done = self._done, []
        mel = np.array([mel for mel, _ in done], np.float32).reshape(-1, BANDS)
        audio = np.array([audio for _, audio in done], np.float32).reshape(-1, VOCODER_HOP)
        return mel, audio


@dataclass
class _Run:
    """Hops without a break: their samples, and gains by the number of hops before them.

    It begins with a cold start at hop `begin`; None goes on from the run before.
    """

    begin: int | None
    hops: list[Floats] = field(default_factory=list)
    gains: list[tuple[int, float]] = field(default_factory=list)


class Bulk(Offline):
    """Hundreds of hops at a time; a hop's `mel` and `audio` are not there before `settle`.

    Parameters
    ----------
    pipeline : its stages become this object's own.
    contacts : the montage's labels.
    """

    def __init__(self, pipeline: Pipeline, contacts: Sequence[str]) -> None:
        spec = pipeline.front_end.spec
        self._runs: list[_Run] = []
        self._guard = Guard(len(contacts), pipeline.clock.fs, spec.guard)
        self._unused = np.isin(np.array(contacts), np.array(spec.bad_contacts, dtype=str))
        super().__init__(pipeline)

    def restart(self, index: int) -> None:
        """A cold start of every stage at hop `index`, once it is its turn."""
        self._runs.append(_Run(index))
        self._guard.reset()
        self._held, self._bridged, self._index = 0, 0, index
        self._start, self._end = self.clock.end(index - 1), self.clock.end(index)

    def amplify(self, gain_db: float) -> None:
        """The operator's gain from the next hop on, dB."""
        run = self._runs[-1]
        run.gains.append((len(run.hops), gain_db))

    def _step_hop(self, samples: Floats, lsl_time: float, available: float) -> Hop:
        hop = self._hop
        hop.index, hop.first_sample, hop.last_sample = self._index, self._start, self._end - 1
        hop.lsl_time, hop.available, hop.finite = lsl_time, available, True
        self._runs[-1].hops.append(samples.copy())
        hop.mask = self._guard.step(samples)[-1] | self._unused
        hop.masked = int(np.count_nonzero(hop.mask))
        hop.bridged, self._bridged = self._bridged, 0
        self._index += 1
        self._start, self._end = self._end, self.clock.end(self._index)
        return hop

    def settle(self) -> Settled:
        """Mel and audio of the hops since the last time.

        Raises
        ------
        NotFiniteError
            If the network, or the vocoder, gave no numbers.
        """
        runs, self._runs = self._runs, [_Run(None)]
        done = [self._compute(run) for run in runs]
        return np.concatenate([mel for mel, _ in done]), np.concatenate([x for _, x in done])

    def _compute(self, run: _Run) -> Settled:
        if run.begin is not None:
            for stage in self._stages:
                stage.reset()
            self.decoder.begin(run.begin)
        mel = self._mel_of(run.hops)
        if not np.isfinite(mel).all():
            raise NotFiniteError
        return mel, self._audio_of(mel, run.gains)

    def _mel_of(self, hops: list[Floats]) -> Floats:
        if not hops:
            return np.zeros((0, BANDS), np.float32)
        samples = np.concatenate(hops)
        starts = range(0, len(samples), _ROWS)
        features = np.concatenate([self.front_end.step(samples[s : s + _ROWS]) for s in starts])
        mel: Floats = self.decoder.step(self.encoder.step(features))
        return mel

    def _audio_of(self, mel: Floats, gains: list[tuple[int, float]]) -> Floats:
        voiced = self.vocoder.step(mel)
        if not self.vocoder.finite:
            raise NotFiniteError
        parts: list[NDArray[np.float32]] = []
        done = 0
        for hop, gain_db in gains:
            parts.append(self._limited(voiced, done, hop))
            self.limiter.amplify(gain_db)
            done = hop
        parts.append(self._limited(voiced, done, len(mel)))
        return np.concatenate(parts).reshape(-1, VOCODER_HOP)

    def _limited(self, voiced: Floats, start: int, stop: int) -> Floats:
        return self.limiter.step(voiced[start * VOCODER_HOP : stop * VOCODER_HOP])
