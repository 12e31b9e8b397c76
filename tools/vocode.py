"""The verb `vocode`: mel frames, a session or sound to a WAV by any vocoder, with scores."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import SettingsError, need
from models.files import new_file, refuse_busy

if TYPE_CHECKING:
    from training.vocoders.rendering import Progress, RenderSettings
    from training.vocoders.scoring import CopyScores
    from training.vocoders.sources import Source

_DESCRIPTION = """\
Turn mel frames into sound by any vocoder, and say how near the sound is.

  seegvox vocode SPEECH.wav --with phase --out COPY.wav         copy synthesis, scored
  seegvox vocode SESSION --with waveglow --waveglow W.pt --out SESSION.wav
  seegvox vocode MEL.npy --with neural --neural FOLDER --out SOUND.wav
  seegvox vocode VOICES --table                 all vocoders on a folder of voices

Frames are (hops, 80) natural-log mels every 15 ms, .npy or .npz. Sound of several channels is
averaged; clipped sound is taken as it is and named; under 16 kHz, silent or broken sound is
refused. WaveGlow is offline: some three to five times slower than real time on two cores.
"""
PER_VOICE = 8


def add_parser(subparsers: Any) -> None:
    """Add the verb `vocode`."""
    parser = subparsers.add_parser(
        "vocode",
        help="render mel frames, a session or sound by any vocoder, and score it",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="mel frames, a session, sound; or voices")
    parser.add_argument(
        "--with",
        dest="vocoder",
        default="phase",
        metavar="NAME",
        help="phase, rtisi, neural or waveglow (default: phase)",
    )
    parser.add_argument("--out", type=Path, help="WAV file, new (default: scores only)")
    parser.add_argument("--neural", type=Path, metavar="FOLDER", help="of train-vocoder")
    parser.add_argument("--waveglow", type=Path, metavar="FILE", help="of convert-waveglow")
    _add_waveglow(parser)
    parser.add_argument(
        "--table", action="store_true", help="score all vocoders on a folder per voice"
    )
    parser.add_argument(
        "--per-voice",
        type=int,
        default=PER_VOICE,
        help="utterances of a voice in the table (default: %(default)s)",
    )
    parser.add_argument("--save-mel", type=Path, metavar="FILE.npz", help="also keep the frames")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also keep the scores")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.set_defaults(run=run)


def _add_waveglow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sigma", type=float, default=0.6, help="of the noise (default: 0.6)")
    parser.add_argument(
        "--denoise", type=float, default=0.1, help="share of the bias taken off (default: 0.1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument(
        "--piece-s", type=float, default=8.0, help="seconds rendered at a time (default: 8)"
    )


def run(args: argparse.Namespace) -> int:
    """Render and score, or make the table."""
    need("pystoi", "train")
    outputs = [path for path in (args.out, args.json, args.save_mel) if path is not None]
    for path in outputs:
        refuse_busy(path, args.overwrite)
    if args.table:
        return _table(args)
    return _vocode(args)


def _settings(args: argparse.Namespace) -> RenderSettings:
    from models.toml import validated
    from training.vocoders.rendering import RenderSettings

    names = ("sigma", "denoise", "seed", "piece_s")
    return validated(
        RenderSettings, {name: getattr(args, name) for name in names}, "the command line"
    )


# --- one source ---------------------------------------------------------------------------------


def _vocode(args: argparse.Namespace) -> int:
    from training.vocoders.sources import read_source
    from training.vocoders.synthesis import WAVEGLOW, make_synthesis

    settings = _settings(args)
    source = read_source(args.source)
    for note in source.notes:
        print(f"note: {note}")
    seconds = len(source.mel) * 0.015
    with _bar(seconds, args.vocoder == WAVEGLOW) as progress:
        vocoder = make_synthesis(args.vocoder, args.neural, args.waveglow, settings, progress)
        sound = vocoder.run(source.mel)
    _write(args, source, sound, vocoder.rate_hz)
    ahead = vocoder.lookahead_ms
    said = "offline" if ahead is None else f"look-ahead {ahead:g} ms"
    print(f"{args.vocoder}, {said}: {len(source.mel)} hops, {seconds:.2f} s")
    scores = _scores(source, sound, vocoder.rate_hz)
    _tell(scores)
    if args.json and scores:
        about = {"source": str(args.source), "vocoder": args.vocoder, "notes": list(source.notes)}
        _write_json(args, {**about, "seconds": seconds, **asdict(scores)})
    return 0


def _scores(source: Source, sound: Any, rate_hz: int) -> CopyScores | None:
    from training.vocoders.scoring import score_copy, to_vocoder_rate

    try:
        return score_copy(source.mel, to_vocoder_rate(sound, rate_hz), source.audio)
    except SettingsError as err:
        # The sound is there all the same.
        print(f"no scores: {err}", file=sys.stderr)
        return None


def _tell(scores: CopyScores | None) -> None:
    if scores is None:
        return
    if scores.stoi is None:
        print("no original to compare with: scores are against the mel frames alone")
    names = {
        "stoi": "STOI {:.3f}",
        "estoi": "ESTOI {:.3f}",
        "mel_error": "log-mel error {:.3f} nepers",
        "mel_r": "mel r {:.3f}",
        "mcd_db": "MCD {:.2f} dB",
        "lsd_db": "log-spectral distance {:.2f} dB",
        "buzz": "buzz {:.2f}",
    }
    values = asdict(scores)
    print(", ".join(said.format(values[k]) for k, said in names.items() if values[k] is not None))


def _write(args: argparse.Namespace, source: Source, sound: Any, rate_hz: int) -> None:
    from tools.wav import wav_bytes
    from training.vocoders.sources import write_mel

    if args.out:
        with new_file(args.out, args.overwrite) as partial:
            partial.write_bytes(wav_bytes(sound, rate_hz))
        print(f"{args.out}  {rate_hz} Hz, 16 bit")
    if args.save_mel:
        with new_file(args.save_mel, args.overwrite) as partial:
            write_mel(partial, source.mel)


def _write_json(args: argparse.Namespace, found: Any) -> None:
    with new_file(args.json, args.overwrite) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _bar(seconds: float, wanted: bool) -> Iterator[Progress]:
    """A bar over seconds of sound on standard error; in a log a line now and then."""
    if not wanted:
        yield lambda done: None
        return
    tqdm = need("tqdm", "train").tqdm
    shape = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
    quiet = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(total=seconds, desc="waveglow", bar_format=shape, mininterval=quiet) as bar:
        yield lambda done: bar.update(min(done, max(0.0, bar.total - bar.n)))


# --- the table ----------------------------------------------------------------------------------


def _table(args: argparse.Namespace) -> int:
    from realtime.vocoders import NEURAL, VOCODERS
    from training.vocoders.synthesis import WAVEGLOW, make_synthesis
    from training.vocoders.table import (
        Row,
        as_json,
        as_text,
        offline_griffin_lim,
        score_all,
        utterances,
    )

    if args.per_voice < 1:
        raise SettingsError(f"--per-voice {args.per_voice}", "at least 1", "ask for more")
    if args.out or args.save_mel:
        raise SettingsError("--table with --out or --save-mel", "--json alone", "leave them out")
    names = [*VOCODERS, *([NEURAL] if args.neural else []), *([WAVEGLOW] if args.waveglow else [])]
    settings = _settings(args)
    made = [make_synthesis(name, args.neural, args.waveglow, settings) for name in names]
    spoken = utterances(args.source, args.per_voice)

    def told(row: Row) -> None:
        print(f"{row.vocoder}, {row.voice}, {row.mel}", file=sys.stderr)

    rows = score_all(spoken, [*made, offline_griffin_lim()], told)
    print(as_text(rows))
    if args.json:
        _write_json(args, as_json(rows))
    return 0
