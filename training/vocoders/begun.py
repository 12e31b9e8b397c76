"""What a vocoder's training began with, and where its state is while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import SettingsError
from models.toml import validated
from training.vocoders.corpora import Corpus
from training.vocoders.settings import VocoderTraining

PATIENT, BEGUN = "patient.wav", "begun.json"


@dataclass(frozen=True)
class Begun:
    """What a training began with; all that `resume` needs."""

    speech: tuple[Path, ...]
    settings: VocoderTraining
    decoded: tuple[Path, ...] = ()
    start: Path | None = None
    patient: Path | None = None
    overwrite: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "speech": [str(path.resolve()) for path in self.speech],
            "decoded": [str(path.resolve()) for path in self.decoded],
            "start": _plain(self.start),
            "patient": _plain(self.patient),
            "settings": self.settings.model_dump(mode="json"),
            "overwrite": self.overwrite,
        }


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _plain(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def patient_corpus(begun: Begun, state: Path) -> list[Corpus]:
    """The patient's own voice in pieces, so that some of it can be held out."""
    if begun.patient is None:
        return []
    voice = Corpus("patient", "the patient's own", (state / PATIENT,), lambda path: "patient")
    return [voice]


def state_of(folder: Path) -> Path:
    """Where a training of `folder` keeps its state."""
    return folder.with_name(f"{folder.name}.training")


def files_of(corpora: Iterable[Corpus]) -> Iterator[tuple[Path, str]]:
    """Every file with the name of its voice."""
    for corpus in corpora:
        yield from ((path, f"{corpus.name}/{corpus.voice(path)}") for path in corpus.files)


def about_corpus(corpus: Corpus) -> dict[str, Any]:
    """What a training says of a corpus."""
    voices = {corpus.voice(path) for path in corpus.files}
    return {
        "name": corpus.name,
        "licence": corpus.licence,
        "files": len(corpus.files),
        "voices": len(voices),
    }


def read_begun(folder: Path) -> Begun:
    """What an interrupted training began with.

    Raises
    ------
    SettingsError
        If there is none.
    """
    path = state_of(folder) / BEGUN
    try:
        about = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise SettingsError(
            f"there is no interrupted training of {folder}",
            f"the folder {path.parent} that a training leaves when it is interrupted",
            "train with speech and --out",
        ) from err
    return Begun(
        tuple(map(Path, about["speech"])),
        validated(VocoderTraining, about["settings"], str(path)),
        tuple(map(Path, about["decoded"])),
        _path(about["start"]),
        _path(about["patient"]),
        about["overwrite"],
    )
