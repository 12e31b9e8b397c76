"""Copy synthesis: what the streaming vocoders make of the mels of real speech.

    python -m training.copy_synthesis DIR [--json FILE] [--per-voice N]

`DIR` holds a folder of recordings (wav or flac) per voice. Each utterance becomes log-mel frames on
the 15 ms grid, plain and averaged over seven frames in time, as smooth as decoders' predictions
are; every vocoder turns the same frames back to 16 kHz, and STOI (Taal et al. 2011) and ESTOI
(Jensen & Taal 2016) compare with the original at the latency the vocoder declares. Beside them: 60
offline iterations of fast Griffin-Lim (Perraudin et al. 2013, in librosa) from the same mels on the
same grid, non-causal; and the originals themselves, for the last column.

`buzz` is what STOI cannot hear: the power above 2 kHz folded over half hops, peak over mean. Sound
that knows nothing of hops comes near 1; pulses at the frames' centres go far above.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfilt

from models.errors import BusyOutputError, RecordingError, SeegvoxError, need
from models.mel import LOG_FLOOR, RATE, VOCODER_FFT, VOCODER_HOP, VOCODER_RATE, log_mel
from realtime.vocoders import VOCODERS, make_vocoder
from realtime.vocoders.mel_inversion import BINS, MelInversion

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Synthesis = Callable[[Floats], NDArray[np.floating]]

GRIFFIN_LIM = "griffin-lim 60 (offline)"
ORIGINAL = "(original)"
SMOOTHING_FRAMES = 7
PER_VOICE = 8
# STOI needs 384 ms of speech; very long files would outweigh the others in time, not in score.
SECONDS = (2.5, 8.0)
# librosa puts frame k at sample k * hop; ours is centred half a hop later.
_HALF_HOP = VOCODER_HOP // 2


@dataclass(frozen=True)
class Utterance:
    """One recording: the original at 16 kHz, cut to whole hops, and its mel frames `(n, 80)`."""

    voice: str
    name: str
    audio: Doubles
    mel: Floats


@dataclass(frozen=True)
class Score:
    """Mean scores of one vocoder on one voice and one kind of mel."""

    voice: str
    vocoder: str
    mel: str
    stoi: float
    estoi: float
    buzz: float
    utterances: int


def smooth(mel: Floats, frames: int = SMOOTHING_FRAMES) -> Floats:
    """Centred moving average over time, `(n, 80)`; the ends repeat their outermost frame."""
    half = frames // 2
    padded = np.pad(mel, ((half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0)
    average: Floats = windows.mean(axis=-1, dtype=np.float64).astype(np.float32)
    return average


def voices(directory: Path) -> dict[str, list[Path]]:
    """Recordings per immediate sub-folder that has any, sorted.

    Raises
    ------
    RecordingError
        If there are none.
    """
    found = {}
    for folder in sorted(path for path in directory.glob("*") if path.is_dir()):
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".wav", ".flac"))
        if files:
            found[folder.name] = files
    if not found:
        raise RecordingError(
            f"no folder of wav or flac files in {directory}",
            "one folder of recordings per voice",
            "name the directory above the voices' folders",
        )
    return found


def pick(files: Sequence[Path], count: int) -> list[Path]:
    """At most `count` files of suitable length, evenly spread over the sorted list."""
    soundfile = need("soundfile", "formats")
    fit = [p for p in files if SECONDS[0] < soundfile.info(p).duration < SECONDS[1]]
    count = min(count, len(fit))
    return [fit[i * len(fit) // count] for i in range(count)]


def load(path: Path, voice: str) -> Utterance:
    """Read a recording (channels averaged) and compute its mel frames at 22 050 Hz."""
    soundfile, soxr = need("soundfile", "formats"), need("soxr", "formats")
    audio, rate = soundfile.read(path, always_2d=True)
    mono = audio.mean(axis=1)
    mel = log_mel(soxr.resample(mono, rate, RATE))
    original = soxr.resample(mono, rate, VOCODER_RATE)
    return Utterance(voice, path.name, original[: len(mel) * VOCODER_HOP], mel)


def streaming(name: str) -> Synthesis:
    """Synthesis by a streaming vocoder, its declared latency taken off."""
    vocoder = make_vocoder(name)
    late = int(vocoder.latency * VOCODER_RATE)
    flush = np.full((-(-late // VOCODER_HOP), 80), LOG_FLOOR, np.float32)

    def run(mel: Floats) -> NDArray[np.floating]:
        vocoder.reset()
        return vocoder.step(np.concatenate([mel, flush]))[late:]

    return run


def griffin_lim(mel: Floats) -> NDArray[np.floating]:
    """60 offline iterations of fast Griffin-Lim, magnitudes by the same method."""
    # 20 updates served it best of 3, 5, 20 and librosa's non-negative least squares.
    inversion, magnitudes = MelInversion(20), np.empty((len(mel), BINS), np.float32)
    for frame, out in zip(mel, magnitudes, strict=True):
        inversion.magnitudes(frame.astype(np.float64), out)
    audio = need("librosa", "train").griffinlim(
        magnitudes.T,
        n_iter=60,
        hop_length=VOCODER_HOP,
        win_length=VOCODER_FFT,
        n_fft=VOCODER_FFT,
        random_state=0,
    )
    return np.concatenate([np.zeros(_HALF_HOP), audio])


def stoi_pair(original: Doubles, copy: NDArray[np.floating]) -> tuple[float, float]:
    """STOI and ESTOI of two aligned signals at 16 kHz, over their common length."""
    stoi = need("pystoi", "train").stoi
    n = min(len(original), len(copy))
    x, y = original[:n], np.asarray(copy[:n], np.float64)
    return float(stoi(x, y, VOCODER_RATE)), float(stoi(x, y, VOCODER_RATE, extended=True))


def buzz(audio: NDArray[np.floating]) -> float:
    """Peak over mean of the power above 2 kHz, folded over half hops, smoothed over 6 samples."""
    sections = butter(4, 2000.0, "highpass", fs=VOCODER_RATE, output="sos")
    power = sosfilt(sections, np.asarray(audio, np.float64)) ** 2
    folded = power[: len(power) // _HALF_HOP * _HALF_HOP].reshape(-1, _HALF_HOP).mean(axis=0)
    around = uniform_filter1d(folded, 6, mode="wrap")
    return float(around.max() / around.mean())


def score(original: Doubles, copy: NDArray[np.floating]) -> tuple[float, float, float]:
    """STOI, ESTOI and buzz of a copy."""
    return *stoi_pair(original, copy), buzz(copy)


def evaluate(utterances: Sequence[Utterance]) -> list[Score]:
    """Score every vocoder and Griffin-Lim on every voice, plain and smoothed mels."""
    methods: dict[str, Synthesis] = {name: streaming(name) for name in VOCODERS}
    methods[GRIFFIN_LIM] = griffin_lim
    return list(_scores(utterances, methods))


def _scores(utterances: Sequence[Utterance], methods: dict[str, Synthesis]) -> Iterator[Score]:
    for voice in sorted({u.voice for u in utterances}):
        ours = [u for u in utterances if u.voice == voice]
        itself = [score(u.audio, u.audio) for u in ours]
        yield _mean(voice, ORIGINAL, "-", itself)
        for kind, change in (("clean", _as_is), ("smoothed", smooth)):
            for name, run in methods.items():
                yield _mean(voice, name, kind, [score(u.audio, run(change(u.mel))) for u in ours])


def _as_is(mel: Floats) -> Floats:
    return mel


def _mean(voice: str, name: str, kind: str, values: list[tuple[float, float, float]]) -> Score:
    stoi, estoi, hum = (float(v) for v in np.mean(values, axis=0))
    return Score(voice, name, kind, stoi, estoi, hum, len(values))


def table(scores: Sequence[Score]) -> str:
    """The scores as text, one line per voice, mel and vocoder."""
    width = max(len(s.voice) for s in scores)
    lines = [f"{'voice':{width}}  {'mel':8}  {'vocoder':24}    STOI   ESTOI   buzz    n"]
    lines += [
        f"{s.voice:{width}}  {s.mel:8}  {s.vocoder:24}  {s.stoi:6.3f}  {s.estoi:6.3f}  "
        f"{s.buzz:5.2f}  {s.utterances:3d}"
        for s in scores
    ]
    return "\n".join(lines)


def refuse_busy(path: Path) -> None:
    """Raise `BusyOutputError` if there is something at `path`."""
    if path.exists():
        raise BusyOutputError(f"{path} exists", "a new file", "choose another name or remove it")


def write_json(scores: Sequence[Score], path: Path) -> None:
    """Write the scores to a new file, whole or not at all.

    Raises
    ------
    BusyOutputError
        If the file exists.
    """
    refuse_busy(path)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps([asdict(s) for s in scores], indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 if scored, 2 after an error that says what to do."""
    parser = argparse.ArgumentParser(prog="python -m training.copy_synthesis", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("directory", type=Path, metavar="DIR", help="a folder per voice")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the scores (new file)"
    )
    parser.add_argument(
        "--per-voice",
        type=int,
        default=PER_VOICE,
        metavar="N",
        help="utterances per voice (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    if args.per_voice < 1:
        parser.error("--per-voice must be at least 1")
    try:
        if args.json:
            # Before the long part, not after it.
            refuse_busy(args.json)
        utterances = [
            load(path, voice)
            for voice, files in voices(args.directory).items()
            for path in pick(files, args.per_voice)
        ]
        if not utterances:
            raise RecordingError(
                f"no recording in {args.directory} has a suitable length",
                f"{SECONDS[0]} to {SECONDS[1]} s",
                "add utterances of that length",
            )
        scores = evaluate(utterances)
        sys.stdout.write(table(scores) + "\n")
        if args.json:
            write_json(scores, args.json)
    except SeegvoxError as err:
        sys.stderr.write(f"error: {err}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
