"""All vocoders on real speech: quality, look-ahead and cost, one line per mel and vocoder.

Every utterance becomes log-mel frames on the hop grid, plain and averaged over seven frames in time
(as smooth as decoders' predictions are), and each vocoder turns the same frames back to sound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from models.errors import RecordingError
from models.mel import VOCODER_RATE
from models.streaming import Floats
from training.copy_synthesis import GRIFFIN_LIM, Utterance, griffin_lim, load, pick, smooth, voices
from training.vocoders.scoring import CopyScores, score_copy, to_vocoder_rate
from training.vocoders.synthesis import Synthesis

KINDS: dict[str, Callable[[Floats], Floats]] = {"clean": lambda mel: mel, "smoothed": smooth}
_HEADS = {
    "stoi": "STOI",
    "estoi": "ESTOI",
    "mel_error": "mel err",
    "mel_r": "mel r",
    "mcd_db": "MCD dB",
    "lsd_db": "LSD dB",
    "buzz": "buzz",
}
LEGEND = (
    "STOI, ESTOI against the original; mel err: mean |difference| of log-mels to those given, "
    "nepers, over speech; LSD dB: log-spectral distance, in place of PESQ; look-ahead beyond the "
    "hop that is decoded; ms per hop: mean, back to back, one process."
)


@dataclass(frozen=True)
class Row:
    """One vocoder on one voice and one kind of mel: means over utterances."""

    voice: str
    mel: str
    vocoder: str
    scores: CopyScores
    lookahead_ms: float | None
    ms_per_hop: float
    utterances: int


def utterances(directory: Path, per_voice: int) -> list[Utterance]:
    """Some utterances of every voice, of 2.5 to 8 s.

    Raises
    ------
    RecordingError
        If there are none.
    """
    found = [
        load(path, voice)
        for voice, files in voices(directory).items()
        for path in pick(files, per_voice)
    ]
    if not found:
        raise RecordingError(
            f"no recording in {directory} lasts 2.5 to 8 s", "utterances", "cut them to sentences"
        )
    return found


def offline_griffin_lim() -> Synthesis:
    """60 iterations over the whole utterance: what needs no weights but the future."""
    return Synthesis(
        GRIFFIN_LIM, VOCODER_RATE, None, lambda mel: griffin_lim(mel).astype(np.float32)
    )


def score_all(
    spoken: Sequence[Utterance],
    vocoders: Iterable[Synthesis],
    told: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Every vocoder on every voice and kind of mel; `told` each row when it is there."""
    rows = []
    for vocoder in vocoders:
        for voice in sorted({one.voice for one in spoken}):
            ours = [one for one in spoken if one.voice == voice]
            for kind, change in KINDS.items():
                rows.append(_row(vocoder, voice, kind, ours, change))
                told(rows[-1])
    return rows


def _row(
    vocoder: Synthesis,
    voice: str,
    kind: str,
    spoken: Sequence[Utterance],
    change: Callable[[Floats], Floats],
) -> Row:
    scores, spent, hops = [], 0.0, 0
    for one in spoken:
        mel = change(one.mel)
        began = time.perf_counter()
        sound = vocoder.run(mel)
        spent, hops = spent + time.perf_counter() - began, hops + len(mel)
        copy = to_vocoder_rate(sound, vocoder.rate_hz)
        scores.append(score_copy(mel, copy, one.audio.astype(np.float32)))
    cost = 1e3 * spent / hops
    return Row(voice, kind, vocoder.name, mean(scores), vocoder.lookahead_ms, cost, len(spoken))


def mean(scores: Sequence[CopyScores]) -> CopyScores:
    """Of every score over utterances."""
    each = [asdict(one) for one in scores]
    return CopyScores(
        **{f.name: float(np.mean([one[f.name] for one in each])) for f in fields(CopyScores)}
    )


def as_text(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    wide = max(len("voice"), *(len(row.voice) for row in rows))
    name = max(len("vocoder"), *(len(row.vocoder) for row in rows))
    heads = "".join(f"{head:>9}" for head in _HEADS.values())
    lines = [f"{'voice':{wide}}  {'mel':8}  {'vocoder':{name}}{heads}  look-ahead  ms per hop   n"]
    for row in sorted(rows, key=lambda row: (row.voice, row.mel)):
        values = "".join(f"{getattr(row.scores, key):9.3f}" for key in _HEADS)
        ahead = "all" if row.lookahead_ms is None else f"{row.lookahead_ms:g} ms"
        lines.append(
            f"{row.voice:{wide}}  {row.mel:8}  {row.vocoder:{name}}{values}  {ahead:>10}  "
            f"{row.ms_per_hop:10.3f}  {row.utterances:2d}"
        )
    return "\n".join([*lines, LEGEND])


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows as plain values."""
    plain = [asdict(row) for row in rows]
    return [{**one, **one.pop("scores")} for one in plain]
