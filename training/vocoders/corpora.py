"""Speech to train a vocoder on: folders as their publishers lay them out, with their licences.

A corpus is known by its layout; any other folder of sound is taken as it is, its licence unknown
and said to be so. Nothing is downloaded here.

    LibriTTS    openslr.org/60        CC BY 4.0      English, 585 h, 24 kHz
    MLS         openslr.org/94        CC BY 4.0      Dutch and seven others, 16 kHz
    CML-TTS     openslr.org/146       CC BY 4.0      Dutch and six others, 24 kHz
    VCTK 0.92   datashare.ed.ac.uk    CC BY 4.0      English, 110 voices, 48 kHz
    LJSpeech    keithito.com          public domain  English, one voice, 22 050 Hz

Half an hour of one voice alone is learned by heart: begin with one of these (`--from` goes on to
a patient's own voice).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import RecordingError

SOUND = (".wav", ".flac", ".ogg", ".opus")
UNKNOWN = "unknown: ask before a vocoder trained on it is passed on"


@dataclass(frozen=True)
class Corpus:
    """Files of one source; `voice` tells whose voice a file is."""

    name: str
    licence: str
    files: tuple[Path, ...]
    voice: Callable[[Path], str]


@dataclass(frozen=True)
class _Layout:
    name: str
    licence: str
    pattern: str
    voice: Callable[[Path], str]


# The first layout that has files wins; patterns from the folder that was named.
_LAYOUTS = (
    _Layout("VCTK", "CC BY 4.0", "wav48_silence_trimmed/*/*_mic1.flac", lambda p: p.parent.name),
    _Layout("LJSpeech", "public domain", "wavs/LJ*.wav", lambda p: "LJ"),
    _Layout("CML-TTS", "CC BY 4.0", "*/audio/*/*/*.wav", lambda p: p.parent.parent.name),
    _Layout("MLS", "CC BY 4.0", "*/audio/*/*/*.flac", lambda p: p.parent.parent.name),
    _Layout("LibriTTS", "CC BY 4.0", "*/*/*/*_*_*_*.wav", lambda p: p.parent.parent.name),
    _Layout("LibriTTS", "CC BY 4.0", "*/*/*_*_*_*.wav", lambda p: p.parent.parent.name),
)


def read_corpus(path: Path) -> Corpus:
    """The files of a folder, or a single file.

    Raises
    ------
    RecordingError
        If there is no sound.
    """
    if path.is_file():
        return Corpus(path.stem, UNKNOWN, (path,), lambda p: p.stem)
    for layout in _LAYOUTS:
        files = tuple(sorted(path.glob(layout.pattern)))
        if files:
            return Corpus(layout.name, layout.licence, files, layout.voice)
    files = tuple(sorted(_sound(path))) if path.is_dir() else ()
    if not files:
        raise RecordingError(
            f"there is no sound in {path}",
            f"files of {', '.join(SOUND)}, or a corpus' folder",
            "check the path",
        )
    return Corpus(path.name, _licence_of(path), files, lambda p: p.parent.name)


def _sound(path: Path) -> Iterator[Path]:
    return (p for p in path.rglob("*") if p.suffix.lower() in SOUND)


def _licence_of(folder: Path) -> str:
    """What a licence file beside the sound begins with, if it is short enough to be a name."""
    for file in sorted(folder.glob("*LICENSE*")):
        text = file.read_text(encoding="utf-8", errors="replace")
        if "CC0" in text:
            return "CC0"
    return UNKNOWN
