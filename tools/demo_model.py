"""The demo's first half: patient, training, bundle; each reused if made from the same settings."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import Bundle, load_bundle
from models.files import sha256
from models.toml import validated
from tools.demo_cache import code_hash, folder_hash
from tools.simulate import write_patient
from training.evaluate import NETWORK
from training.experiment import export, train
from training.markers import cached, remember
from training.patient import PatientSettings
from training.scores import ScoreTable, format_table, table_from_json
from training.settings import ExperimentSettings, OptimiserSettings

# The defaults fit into it on two idle cores.
OPTIMISER = OptimiserSettings(max_minutes=4.0)


def demo_patient(args: argparse.Namespace, folder: Path) -> Path:
    """The NWB file of the demo's patient."""
    chosen = {name: getattr(args, name) for name in ("seed", "minutes", "gain")}
    settings = validated(PatientSettings, {**chosen, "session": "sentences"}, "demo")
    key = {
        "patient": settings.model_dump(),
        "speech": args.speech,
        "files": folder_hash(args.speech) if args.speech else None,
        "code": code_hash("training"),
    }
    marker = folder / "recording" / "made_from.json"
    found = list((folder / "recording").rglob("*_ieeg.nwb"))
    if cached(marker, key) and found:
        print("      reused")
        return found[0]
    nwb = write_patient(folder / "recording", settings, args.speech, overwrite=True)
    remember(marker, key)
    return nwb


@dataclass(frozen=True)
class Maker:
    """Trains and exports in the demo's folder."""

    folder: Path
    nwb: Path
    settings: ExperimentSettings
    key: dict[str, Any]

    def train(self) -> Path:
        """The experiment's folder."""
        experiment = self.folder / "experiment"
        if cached(experiment / "made_from.json", self.key):
            print("      reused")
            return experiment
        told = train(self.nwb, self.settings, experiment, overwrite=True).spec.provenance
        if told["stopped_by_time"]:
            print(f"      stopped at {OPTIMISER.max_minutes:g} minutes: steps {told['steps']}")
        remember(experiment / "made_from.json", self.key)
        return experiment

    def export(self, experiment: Path) -> Bundle:
        """The bundle."""
        bundle, marker = self.folder / "bundle", self.folder / "bundle_made_from.json"
        key = {**self.key, "weights": sha256(experiment / "weights.pt")}
        if cached(marker, key) and bundle.is_dir():
            print("      reused")
            return load_bundle(bundle)
        made = export(experiment, bundle, self.nwb, overwrite=True).bundle
        remember(marker, key)
        return made


def demo_bundle(args: argparse.Namespace, folder: Path, nwb: Path) -> Maker:
    """What trains and exports for these arguments."""
    settings = ExperimentSettings(name="demo", seed=args.seed, optimiser=OPTIMISER)
    key = {"settings": settings.model_dump(mode="json"), "recording": sha256(nwb)}
    return Maker(
        folder, nwb, settings, {**key, "code": code_hash("models", "realtime", "training")}
    )


def print_scores(scores: dict[str, Any]) -> bool:
    """Print the held-out table; whether the network's speech-only r is above chance."""
    table: ScoreTable = table_from_json(scores)
    print(format_table(table))
    network = next(line for line in table.lines if line.name == NETWORK)
    return network.mel_r_speech > network.chance_95_speech
