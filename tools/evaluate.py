"""The verb `evaluate`: honest scores of a network, of folds, or of any two audio files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import SettingsError, need
from models.files import new_file, refuse_busy
from tools.evaluation_source import opened, settings_of

if TYPE_CHECKING:
    from training.baselines import PublicBaseline
    from training.cross_validation import CrossValidation
    from training.evaluate import Evaluation, EvaluationSettings

_DESCRIPTION = """\
Score a trained network on what it has not seen, beside baselines, lines without neural data and
chance; or train and score contiguous folds; or compare two audio files.

  seegvox evaluate EXPERIMENT [--html REPORT]          the held-out part, streamed
  seegvox evaluate BUNDLE --recording FILE             the same, for a bundle
  seegvox evaluate RECORDING --folds 5 --settings TOML  every fold trained anew
  seegvox evaluate RECORDING --public-baseline         the protocol of SingleWordProductionDutch
  seegvox evaluate --against ORIGINAL.wav RECONSTRUCTION.wav --json FILE

Who has SingleWordProductionDutch-iBIDS checks that its public baseline comes out here:

  seegvox evaluate sub-01/ieeg/sub-01_task-wordProduction_ieeg.nwb --public-baseline

An independent run of the authors' scripts gave r .5200; agreement is within .002.
"""
PUBLIC = "public"
"""Among --baselines: the authors' protocol, which has folds, frames and bins of its own."""


def add_parser(subparsers: Any) -> None:
    """Add the verb `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a network, folds, or one audio file against another",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        type=Path,
        nargs="?",
        help="an experiment's or a bundle's folder, or a recording with --folds",
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs=2,
        metavar=("ORIGINAL", "RECONSTRUCTION"),
        help="score a reconstruction (audio file) against its original",
    )
    _add_source(parser)
    _add_scores(parser)
    out = parser.add_argument_group("output")
    out.add_argument("--json", type=Path, metavar="FILE", help="write every figure (new file)")
    out.add_argument("--html", type=Path, metavar="FILE", help="write a report (new file)")
    out.add_argument("--overwrite", action="store_true", help="replace these files")
    parser.set_defaults(run=run)


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is scored")
    group.add_argument("--recording", type=Path, help="where the recording lies (default: as told)")
    group.add_argument("--folds", type=int, metavar="K", help="train and score K contiguous folds")
    group.add_argument(
        "--settings",
        type=Path,
        metavar="TOML",
        help="of the experiment, with --folds or for a bundle; its table [folds] cuts the folds",
    )
    group.add_argument(
        "--no-network", action="store_true", help="with --folds: score the baselines alone"
    )
    group.add_argument("--max-minutes", type=float, help="of training per fold (default: settings)")
    group.add_argument(
        "--exclude-contaminated",
        action="store_true",
        help="with --folds: give up contacts that hold sound in a fold's training parts",
    )
    group.add_argument(
        "--public-baseline",
        action="store_true",
        help="run the SingleWordProductionDutch authors' linear baseline on the recording by their "
        f"own protocol (features, folds, metric); the same as '{PUBLIC}' among --baselines",
    )


def _add_scores(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scores")
    group.add_argument(
        "--baselines",
        metavar="NAMES",
        help="comma-separated, 'all' or 'none' (default: linear, causal linear, causal ridge, "
        "densenet; with --folds without densenet, which takes minutes per fold); with --folds also "
        f"'{PUBLIC}': see --public-baseline",
    )
    group.add_argument(
        "--retrain",
        type=int,
        default=20,
        metavar="N",
        help="linear baselines retrained on shifted neural data, for chance (default: 20)",
    )
    group.add_argument(
        "--retrain-network",
        type=int,
        default=0,
        metavar="N",
        help="the network retrained so, each as long as training took (default: 0)",
    )
    group.add_argument(
        "--contribution-s",
        type=float,
        metavar="S",
        help="seconds decoded without each contact in turn (default: 15 with --html, else 0; "
        "0 with --folds)",
    )
    group.add_argument(
        "--no-sound", action="store_true", help="leave out STOI, distortion, voicing, pitch"
    )
    group.add_argument(
        "--no-contamination", action="store_true", help="leave out the acoustic check"
    )
    group.add_argument("--seed", type=int, default=0, help="of draws (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Score; prints tables, and writes what was asked for."""
    for path in (args.json, args.html):
        if path:
            refuse_busy(path, args.overwrite)
    if args.against:
        return _against(args)
    if args.what is None:
        raise SettingsError(
            "nothing to evaluate was named",
            "an experiment, a bundle, a recording with --folds, or --against",
            "see seegvox evaluate --help",
        )
    for module in ("torch", "lightning", "pystoi", "librosa"):
        need(module, "train")
    if args.html:
        need("matplotlib", "report")
    _check_mode(args)
    if _of_recording(args):
        return _on_recording(args)
    return _held_out(args)


def _of_recording(args: argparse.Namespace) -> bool:
    return args.folds is not None or _public_wanted(args)


def _public_wanted(args: argparse.Namespace) -> bool:
    return args.public_baseline or PUBLIC in _names(args.baselines)


def _names(baselines: str | None) -> list[str]:
    return [name.strip() for name in (baselines or "").split(",") if name.strip()]


_FOR_FOLDS = {
    "no_network": "--no-network",
    "max_minutes": "--max-minutes",
    "exclude_contaminated": "--exclude-contaminated",
}


def _check_mode(args: argparse.Namespace) -> None:
    """Refuse options that would be passed over in silence."""
    given = [option for name, option in _FOR_FOLDS.items() if getattr(args, name)]
    if args.folds is None and given:
        raise SettingsError(
            f"{given[0]} without --folds", "a recording and --folds K", "add it, or leave that out"
        )
    if _of_recording(args) and args.recording is not None:
        raise SettingsError(
            "--recording together with a recording to be scored",
            f"the recording alone: {args.what}",
            "leave it out",
        )
    if args.html and args.folds is None and _public_wanted(args):
        raise SettingsError(
            "--html with the public baseline alone", "--json, or --folds K as well", ""
        )


# --- two audio files ----------------------------------------------------------------------------


def _against(args: argparse.Namespace) -> int:
    if args.what or args.html:
        raise SettingsError(
            "--against was given together with " + ("--html" if args.html else f"{args.what}"),
            "two audio files and, if wanted, --json",
        )
    from training.against import compare

    found = compare(*args.against)
    chance = found["chance"]
    for key in ("mel_r", "mel_r_speech", "oracle_mel_r", "stoi", "estoi", "mcd_db", "mcd_dtw_db"):
        limit = chance.get(f"{key}_95")
        beside = (
            "" if limit is None else f"  (95 % of chance {limit:.3f}, p {chance[key + '_p']:.4f})"
        )
        print(f"{key:20} {found[key]:8.3f}{beside}")
    for key in ("voicing_error", "voicing_error_speech", "log_f0_r"):
        print(f"{key:20} " + ("       -" if found[key] is None else f"{found[key]:8.3f}"))
    print(f"{found['seconds']:.1f} s, {found['speech_frames']} of {found['frames']} frames speech")
    for note in found["notes"]:
        print(f"note: {note}")
    _write_json(args, found)
    return 0


# --- a trained network --------------------------------------------------------------------------


def _held_out(args: argparse.Namespace) -> int:
    from training.evaluate import evaluate_held_out
    from training.held_out import held_out_fold, single_fold
    from training.scores import format_table

    with opened(args) as (network, recording, settings, cache):
        fold = single_fold(recording, settings)
        held = held_out_fold(recording, settings, fold, cache)
        found = evaluate_held_out(held, network, _chosen(args, folds=False), settings)
    print(format_table(found.table))
    _warn(found)
    figures = {"evaluated": str(args.what), **found.as_json()}
    _write_json(args, figures)
    _write_html(args, [found])
    return 0


# --- folds --------------------------------------------------------------------------------------


def _on_recording(args: argparse.Namespace) -> int:
    figures: dict[str, Any] = {"evaluated": str(args.what)}
    found: list[Evaluation] = []
    public = _public(args) if _public_wanted(args) else None
    if public is not None:
        figures["public_baseline"] = public.as_json()
    if args.folds is not None:
        result = _cross_validated(args)
        figures.update(result.as_json())
        found = list(result.folds)
    _write_json(args, figures)
    _write_html(args, found, public)
    return 0


def _cross_validated(args: argparse.Namespace) -> CrossValidation:
    from training.cross_validation import cross_validate, format_folds
    from training.reading import read_for, settings_for
    from training.scores import format_table

    experiment, folds = settings_of(args)
    recording = read_for(args.what, experiment)
    experiment = settings_for(recording, experiment)

    def told(i: int, found: Evaluation) -> None:
        print(f"fold {i + 1}, {found.held.start_s:.1f} s on")
        print(format_table(found.table), flush=True)
        _warn(found)

    result = cross_validate(
        recording,
        experiment,
        folds,
        _chosen(args, folds=True),
        network=not args.no_network,
        exclude_contaminated=args.exclude_contaminated,
        progress=sys.stderr.isatty(),
        told=told,
    )
    print(format_folds(result))
    return result


def _public(args: argparse.Namespace) -> PublicBaseline:
    from training.baselines import SUB_01, public_baseline, read_public

    options = settings_of(args)[0].recording.model_dump()
    found = public_baseline(read_public(args.what, options))
    folds = found.folds.mean(axis=1)
    print(
        f"public baseline (SingleWordProductionDutch authors' protocol: 23 bins, 10 folds, all "
        f"frames): r {found.r:.4f}, folds {folds.min():.3f} to {folds.max():.3f}, 95 % of their "
        f"chance {found.chance_95:.4f}"
    )
    print(f"(an independent run of their scripts on their sub-01 gave {SUB_01:.4f})", flush=True)
    return found


# --- what is common -----------------------------------------------------------------------------


def _chosen(args: argparse.Namespace, folds: bool) -> EvaluationSettings:
    from models.toml import validated
    from training.baselines import BASELINES
    from training.evaluate import QUICK, EvaluationSettings

    usual = QUICK if folds else (*QUICK, "densenet")
    named = {None: usual, "all": tuple(BASELINES), "none": ()}.get(args.baselines)
    if named is None:
        named = tuple(name for name in _names(args.baselines) if name != PUBLIC)
    seconds = args.contribution_s
    if seconds is None:
        seconds = 15.0 if args.html and not folds else 0.0
    raw = {
        "baselines": named,
        "retrainings": args.retrain,
        "network_retrainings": args.retrain_network,
        "sound": not args.no_sound,
        "contribution_s": seconds,
        "contamination": not args.no_contamination,
        "seed": args.seed,
    }
    return validated(EvaluationSettings, raw, "the command line")


def _warn(found: Evaluation) -> None:
    if found.contamination and (warning := found.contamination.warning()):
        print(f"warning: {warning}", file=sys.stderr)


def _write_html(
    args: argparse.Namespace, found: list[Evaluation], public: PublicBaseline | None = None
) -> None:
    if args.html and found:
        from tools.evaluation_report import write_evaluation_report

        title = f"{args.what.name}: evaluation"
        write_evaluation_report(args.html, title, found, args.overwrite, public=public)
        print(f"{args.html}")


def _write_json(args: argparse.Namespace, figures: dict[str, Any]) -> None:
    if args.json:
        with new_file(args.json, args.overwrite) as partial:
            partial.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
