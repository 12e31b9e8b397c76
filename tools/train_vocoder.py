"""The verb `train-vocoder`: a neural vocoder or a WaveGlow from speech, and decoded mels for it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from models.errors import SettingsError, need

_DESCRIPTION = """\
Train a vocoder: first on speech of many, then on one voice, best with what a decoder really gives.

  seegvox train-vocoder LibriTTS/train-clean-100 MLS/mls_dutch/train --out GENERAL --max-minutes 900
  seegvox train-vocoder --decode RECORDING --out DECODED
  seegvox train-vocoder --patient RECORDING --from GENERAL --decoded DECODED --out MINE
  seegvox live BUNDLE --vocoder MINE/vocoder --out RUN

Corpora that it knows by their layout, each to be downloaded by you: LibriTTS (openslr.org/60), MLS
(openslr.org/94), CML-TTS (openslr.org/146), VCTK 0.92, all CC BY 4.0, and LJSpeech (public domain).
Any folder of WAV or FLAC will do. One voice's half hour alone is learned by heart: start from a
general vocoder.
"""
ADVERSARIAL_STEPS = 20_000


def add_parser(subparsers: Any) -> None:
    """Add the verb `train-vocoder`."""
    parser = subparsers.add_parser(
        "train-vocoder",
        help="train a neural vocoder or a WaveGlow on speech",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("speech", type=Path, nargs="*", help="folders or files of speech")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="folder of the vocoder, new")
    where.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="go on with the interrupted training of it"
    )
    _add_data(parser)
    parser.add_argument(
        "--waveglow", action="store_true", help="train a WaveGlow (default: the neural vocoder)"
    )
    parser.add_argument(
        "--adversarial",
        action="store_true",
        help=f"afterwards against judges, {ADVERSARIAL_STEPS} steps if the TOML says none; "
        "for a GPU (default: spectra alone)",
    )
    parser.add_argument(
        "--settings", type=Path, help="TOML; see training/vocoders/settings.py (default: none)"
    )
    parser.add_argument("--seed", type=int, help="seed (default: 0)")
    parser.add_argument("--max-minutes", type=float, help="stop after this long (default: 60)")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder")
    parser.set_defaults(run=run)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patient", type=Path, metavar="RECORDING", help="also its own voice, but for held-out"
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="FOLDER",
        help="start from a trained vocoder (default: fresh weights)",
    )
    parser.add_argument(
        "--decoded",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="train on these decoded mels too (default: on degraded ones)",
    )
    parser.add_argument(
        "--decode",
        type=Path,
        metavar="RECORDING",
        help="make decoded mels by cross-validation instead of training a vocoder",
    )
    parser.add_argument("--folds", type=int, default=5, help="with --decode (default: 5)")
    parser.add_argument(
        "--experiment", type=Path, metavar="TOML", help="with --decode: how the decoder is trained"
    )


def run(args: argparse.Namespace) -> int:
    """Train, or decode; prints what was made and what is next."""
    for module in ("torch", "lightning", "onnxscript"):
        need(module, "train")
    if args.decode is not None:
        return _decode(args)
    from training.vocoders.begun import Begun
    from training.vocoders.fit import resume, train_vocoder

    if args.resume is not None:
        _refuse_more(args)
    try:
        if args.resume is not None:
            found = resume(args.resume, told=_told)
        else:
            begun = Begun(
                tuple(args.speech),
                _settings(args),
                tuple(args.decoded),
                args.start,
                args.patient,
                args.overwrite,
            )
            found = train_vocoder(begun, args.out, told=_told)
    except KeyboardInterrupt:
        print(f"go on with: seegvox train-vocoder --resume {args.out or args.resume}")
        raise
    _say(found)
    return 0


def _told(line: str) -> None:
    print(line, file=sys.stderr)


def _refuse_more(args: argparse.Namespace) -> None:
    given = ("speech", "patient", "start", "decoded", "settings", "seed", "max_minutes")
    other = [name for name in given if getattr(args, name)]
    if other or args.waveglow or args.adversarial or args.overwrite:
        raise SettingsError(
            "--resume together with other settings",
            "--resume alone: a training goes on with what it began with",
            "leave them out",
        )


def _settings(args: argparse.Namespace) -> Any:
    from models.toml import read_toml, validated
    from training.vocoders.settings import VocoderTraining

    raw = read_toml(args.settings) if args.settings else {}
    for name in ("seed", "max_minutes"):
        if getattr(args, name) is not None:
            raw[name] = getattr(args, name)
    if args.waveglow:
        raw["kind"] = "waveglow"
    if args.adversarial:
        table = raw.get("adversarial", {})
        if isinstance(table, dict):
            raw["adversarial"] = {"steps": ADVERSARIAL_STEPS, "learning_rate": 2e-4, **table}
    return validated(VocoderTraining, raw, str(args.settings or "the command line"))


def _say(found: dict[str, Any]) -> None:
    for corpus in found["corpora"]:
        print(
            f"{corpus['name']}: {corpus['files']} files, {corpus['voices']} voices, "
            f"licence {corpus['licence']}"
        )
    if found["skipped_files"]:
        print(f"{len(found['skipped_files'])} files could not serve and were left out")
    for name, stage in found["stages"].items():
        early = {"time": " (stopped by --max-minutes)", "patience": " (no better for long)"}
        best = "" if stage["best_loss"] is None else f", held-out loss {stage['best_loss']:.4f}"
        print(f"{name}: {stage['steps']} steps{early.get(stage['stopped'], '')}{best}")
    print(f"{found['minutes']} minutes of speech -> {found['made']}")
    option = "--waveglow" if found["settings"]["kind"] == "waveglow" else "--neural"
    print(f"next: seegvox vocode SPEECH.wav --with {option[2:]} {option} {found['made']}")


def _decode(args: argparse.Namespace) -> int:
    from models.toml import read_toml, validated
    from training.folds import FoldSettings
    from training.reading import read_for, settings_for
    from training.settings import ExperimentSettings
    from training.vocoders.decoded import decode_folds

    if args.out is None or args.speech or args.patient:
        raise SettingsError(
            "--decode with other sources", "--decode RECORDING --out FOLDER", "leave them out"
        )
    raw = read_toml(args.experiment) if args.experiment else {}
    settings = validated(ExperimentSettings, raw, str(args.experiment or "the command line"))
    recording = read_for(args.decode, settings)
    settings = settings_for(recording, settings)
    folds = validated(FoldSettings, {"count": args.folds}, "--folds")
    hops = decode_folds(recording, settings, folds, args.out, args.overwrite, _told)
    print(f"{hops} hops decoded by networks that never saw them -> {args.out}")
    print(f"next: seegvox train-vocoder --patient {args.decode} --decoded {args.out} --out NEW")
    return 0
