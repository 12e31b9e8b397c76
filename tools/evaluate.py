"""The verb `evaluate`: honest scores of a network, of folds, or of any two audio files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import MontageError, SettingsError, need
from models.files import new_file, refuse_busy, sha256

if TYPE_CHECKING:
    from realtime.recordings import Recording
    from training.cross_validation import CrossValidation
    from training.evaluate import Evaluation, EvaluationSettings
    from training.folds import FoldSettings
    from training.settings import ExperimentSettings
    from training.streamed import Network

_DESCRIPTION = """\
Score a trained network on what it has not seen, beside baselines, lines without neural data and
chance; or train and score contiguous folds; or compare two audio files.

  seegvox evaluate EXPERIMENT [--html REPORT]          the held-out part, streamed
  seegvox evaluate BUNDLE --recording FILE             the same, for a bundle
  seegvox evaluate RECORDING --folds 5 --settings TOML  every fold trained anew
  seegvox evaluate --against ORIGINAL.wav RECONSTRUCTION.wav --json FILE
"""


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
        help="also run the SingleWordProductionDutch authors' own protocol on the recording",
    )


def _add_scores(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scores")
    group.add_argument(
        "--baselines",
        metavar="NAMES",
        help="comma-separated, 'all' or 'none' (default: linear, causal linear, causal ridge, "
        "densenet; with --folds without densenet, which takes minutes per fold)",
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
    if args.folds is not None or args.public_baseline:
        return _on_recording(args)
    return _held_out(args)


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

    with _source(args) as (network, recording, settings, cache):
        fold = single_fold(recording, settings)
        held = held_out_fold(recording, settings, fold, cache)
        found = evaluate_held_out(held, network, _chosen(args, folds=False), settings)
    print(format_table(found.table))
    _warn(found)
    _write(args, {"evaluated": str(args.what), **found.as_json()}, [found])
    return 0


Source = tuple["Network", "Recording", "ExperimentSettings", "Path | None"]


@contextmanager
def _source(args: argparse.Namespace) -> Iterator[Source]:
    """Network, recording, the settings that split it, and where its features are kept."""
    from training.experiment import feature_folder, load
    from training.streamed import network_of

    if not (args.what / "experiment.json").is_file():
        yield from _bundle_source(args)
        return
    experiment = load(args.what)
    recording = _read(args.recording or experiment.recording, experiment.settings)
    _same(recording.path, experiment.sha256)
    with network_of(experiment.trained) as network:
        cache = feature_folder(experiment.settings, args.what)
        yield network, recording, experiment.settings, cache


def _bundle_source(args: argparse.Namespace) -> Iterator[Source]:
    from models.bundle import load_bundle
    from training.streamed import Streamed

    if not (args.what / "spec.json").is_file():
        raise SettingsError(
            f"{args.what} is neither an experiment nor a bundle",
            "a folder that `train` or `export` wrote",
            "for a recording give --folds K",
        )
    if args.recording is None:
        raise SettingsError(
            "a bundle does not hold its recording", "--recording FILE", "or name its experiment"
        )
    settings, _ = _settings(args)
    bundle, recording = load_bundle(args.what), _read(args.recording, settings)
    spec = bundle.spec
    if recording.labels != spec.contacts or recording.fs != spec.fs_hz:
        raise MontageError(
            f"{recording.path} has {len(recording.labels)} contacts at {recording.fs} Hz",
            f"the {len(spec.contacts)} of the bundle, in its order, at {spec.fs_hz} Hz",
            "give the recording that the bundle was trained on",
        )
    if known := spec.provenance.get("recording_sha256"):
        _same(recording.path, str(known))
    else:
        print("note: the bundle does not say what it was trained on; make sure it was this file")
    shapes = ("front_end", "network", "target_lookahead")
    settings = settings.model_copy(update={name: getattr(spec, name) for name in shapes})
    if split := spec.provenance.get("split"):
        # What is held out must be what training left out, whatever the TOML says.
        validation = settings.validation.model_copy(
            update={"fraction": split["validation_fraction"]}
        )
        settings = settings.model_copy(
            update={"test_fraction": split["test_fraction"], "validation": validation}
        )
    yield Streamed.from_bundle(bundle), recording, settings, None


def _same(path: Path, expected: str) -> None:
    if (found := sha256(path)) != expected:
        raise SettingsError(
            f"{path} has SHA-256 {found[:16]}",
            f"{expected[:16]}, the recording that was trained on: else held out means nothing",
            "give that file with --recording",
        )


# --- folds --------------------------------------------------------------------------------------


def _on_recording(args: argparse.Namespace) -> int:
    recording = _read(args.what, _settings(args)[0])
    figures: dict[str, Any] = {"evaluated": str(args.what)}
    found: list[Evaluation] = []
    if args.public_baseline:
        figures["public_baseline"] = _public(recording)
    if args.folds is not None:
        result = _cross_validated(args, recording)
        figures.update(result.as_json())
        found = list(result.folds)
    _write(args, figures, found)
    return 0


def _cross_validated(args: argparse.Namespace, recording: Recording) -> CrossValidation:
    from training.cross_validation import cross_validate, format_folds
    from training.reading import settings_for
    from training.scores import format_table

    experiment, folds = _settings(args)
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


def _public(recording: Recording) -> dict[str, Any]:
    from training.baselines import public_baseline

    found = public_baseline(recording)
    print(
        f"SingleWordProductionDutch protocol (23 bins, 10 folds, all frames): r {found.r:.4f}, "
        f"95 % of their chance {found.chance_95:.4f}; published pipeline on sub-01: .5200"
    )
    return {"r": found.r, "chance_95": found.chance_95, "folds": found.folds.mean(1).tolist()}


def _settings(args: argparse.Namespace) -> tuple[ExperimentSettings, FoldSettings]:
    from models.toml import read_toml, validated
    from training.folds import FoldSettings
    from training.settings import ExperimentSettings

    raw = read_toml(args.settings) if args.settings else {}
    source = str(args.settings or "the command line")
    cut = raw.pop("folds", {})
    if not isinstance(cut, dict):
        raise SettingsError(f"{source}: folds = {cut!r}", "a table [folds]", "use folds.count")
    if "shuffle_frames" in raw:
        cut["shuffle_frames"] = raw.pop("shuffle_frames")
    if args.folds is not None:
        cut["count"] = args.folds
    if args.max_minutes is not None:
        raw["optimiser"] = {**raw.get("optimiser", {}), "max_minutes": args.max_minutes}
    return validated(ExperimentSettings, raw, source), validated(FoldSettings, cut, source)


# --- what is common -----------------------------------------------------------------------------


def _read(path: Path, settings: ExperimentSettings) -> Recording:
    from training.reading import read_for

    return read_for(path, settings)


def _chosen(args: argparse.Namespace, folds: bool) -> EvaluationSettings:
    from models.toml import validated
    from training.baselines import BASELINES
    from training.evaluate import QUICK, EvaluationSettings

    usual = QUICK if folds else (*QUICK, "densenet")
    named = {None: usual, "all": tuple(BASELINES), "none": ()}.get(args.baselines)
    if named is None:
        named = tuple(name.strip() for name in args.baselines.split(",") if name.strip())
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


def _write(args: argparse.Namespace, figures: dict[str, Any], found: list[Evaluation]) -> None:
    _write_json(args, figures)
    if args.html and found:
        from tools.evaluation_report import write_evaluation_report

        write_evaluation_report(args.html, f"{args.what.name}: evaluation", found, args.overwrite)
        print(f"{args.html}")


def _write_json(args: argparse.Namespace, figures: dict[str, Any]) -> None:
    if args.json:
        with new_file(args.json, args.overwrite) as partial:
            partial.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
