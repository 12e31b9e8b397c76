"""What `seegvox evaluate` scores: an experiment's network or a bundle's, with its recording."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import MontageError, SettingsError

if TYPE_CHECKING:
    from realtime.recordings import Recording
    from training.folds import FoldSettings
    from training.settings import ExperimentSettings
    from training.streamed import Network

Source = tuple["Network", "Recording", "ExperimentSettings", "Path | None"]


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Source]:
    """Network, recording, the settings that split it, and where its features are kept.

    Raises
    ------
    SettingsError
        If nothing that was trained lies there, or options are of no use for it.
    MontageError, RecordingError
        If the recording is not the one that was trained on.
    """
    from training.experiment import feature_folder, load, same_recording
    from training.reading import read_for
    from training.streamed import network_of

    if not (args.what / "experiment.json").is_file():
        yield from _bundle_source(args)
        return
    if args.settings is not None:
        raise SettingsError(
            "--settings for an experiment, which has its own", "none", "leave it out"
        )
    experiment = load(args.what)
    recording = read_for(args.recording or experiment.recording, experiment.settings)
    same_recording(recording, experiment.sha256)
    with network_of(experiment.trained) as network:
        cache = feature_folder(experiment.settings, args.what)
        yield network, recording, experiment.settings, cache


def _bundle_source(args: argparse.Namespace) -> Iterator[Source]:
    from models.bundle import load_bundle
    from training.experiment import same_recording
    from training.reading import read_for
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
    if args.retrain_network and args.settings is None:
        raise SettingsError(
            "--retrain-network for a bundle, which does not hold the settings of its training",
            "those settings: --settings TOML",
            "give them, or evaluate the experiment instead",
        )
    settings, _ = settings_of(args)
    bundle, recording = load_bundle(args.what), read_for(args.recording, settings)
    spec = bundle.spec
    if recording.labels != spec.contacts or recording.fs != spec.fs_hz:
        raise MontageError(
            f"{recording.path} has {len(recording.labels)} contacts at {recording.fs} Hz",
            f"the {len(spec.contacts)} of the bundle, in its order, at {spec.fs_hz} Hz",
            "give the recording that the bundle was trained on",
        )
    if known := spec.provenance.get("recording_sha256"):
        same_recording(recording, str(known))
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


def settings_of(args: argparse.Namespace) -> tuple[ExperimentSettings, FoldSettings]:
    """What the TOML says of the experiment and of the folds; the command line wins.

    Raises
    ------
    SettingsError
        If the file cannot be read, or something in it is unknown or out of range.
    """
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
