"""Is what we import what we think it is: versions, extras, and packages of the same name."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from tools.findings import Finding

ROOMS = ("realtime", "training", "models", "tools")
ROOT = Path(__file__).resolve().parent.parent
# Modules that a file of the same name beside the person's work would hide.
DEPENDENCIES = (
    *(
        "numpy",
        "scipy",
        "pylsl",
        "sounddevice",
        "samplerate",
        "onnxruntime",
        "pydantic",
        "threadpoolctl",
    ),
    *("torch", "lightning", "librosa", "onnx", "onnxscript", "matplotlib", "pynwb", "h5py"),
    *("soundfile", "soxr"),
)
_OLDEST = (3, 11)


def python() -> list[Finding]:
    """The interpreter."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < _OLDEST:
        return [Finding("python", "problem", found, "use Python 3.11 or newer")]
    return [Finding("python", "ok", found)]


# --- versions -----------------------------------------------------------------------------------


def packages() -> list[Finding]:
    """The packages that seegvox asks for, and those of each extra."""
    wanted: dict[str, list[str]] = {}
    for text in metadata.requires("seegvox") or []:
        requirement, _, marker = text.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if not requirement.startswith("seegvox"):
            wanted.setdefault(extra[1] if extra else "", []).append(requirement.strip())
    return [_group(extra, requirements) for extra, requirements in wanted.items()]


def _group(extra: str, requirements: list[str]) -> Finding:
    states = [_installed(text) for text in requirements]
    found = ", ".join(text for text, _ in states)
    if all(good for _, good in states):
        return Finding(f"extra {extra}" if extra else "runtime packages", "ok", found)
    if extra:
        return Finding(f"extra {extra}", "note", found, f"pip install 'seegvox[{extra}]'")
    return Finding("runtime packages", "problem", found, "pip install --upgrade seegvox")


def _installed(requirement: str) -> tuple[str, bool]:
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    least = re.search(r">=\s*([\d.]+)", requirement)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} MISSING", False
    if least and _numbers(version) < _numbers(least[1]):
        return f"{name} {version} (needs {least[1]})", False
    return f"{name} {version}", True


def _numbers(version: str) -> tuple[int, ...]:
    plain = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (plain[0] if plain else "").split(".") if part)


def onnx_runtime() -> list[Finding]:
    """ONNX Runtime and its CPU provider."""
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    found = f"{onnxruntime.__version__}, {', '.join(providers)}"
    if "CPUExecutionProvider" not in providers:
        todo = "install the usual build: pip install --force-reinstall onnxruntime"
        return [Finding("ONNX Runtime", "problem", found, todo)]
    return [Finding("ONNX Runtime", "ok", found)]


# --- packages of the same name ------------------------------------------------------------------


def shadowed_packages() -> list[Finding]:
    """Whether `realtime`, `training`, `models` and `tools` are ours and only ours."""
    bad = [*_foreign_rooms(), *_other_places(), *_other_distributions()]
    return bad or [Finding("package names", "ok", f"{', '.join(ROOMS)} from {ROOT}")]


def _foreign_rooms() -> Iterator[Finding]:
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        origin = None if spec is None else spec.origin
        if origin is None or Path(origin).resolve().parent.parent != ROOT:
            yield Finding(
                "package names",
                "problem",
                f"`{room}` comes from {origin or 'nowhere, or a folder without __init__.py'}, "
                f"not from {ROOT}",
                "start from another directory, unset PYTHONPATH, or use a virtual environment "
                "with nothing but seegvox",
            )


def _other_places() -> Iterator[Finding]:
    """Entries of the import path that hold a package of our names, before ours or after it."""
    for entry in dict.fromkeys(Path(entry or ".").resolve() for entry in sys.path):
        taken = [room for room in ROOMS if entry != ROOT and _provides(entry, room)]
        if taken:
            yield Finding(
                "package names",
                "problem",
                f"{entry} on the import path also has {', '.join(taken)}",
                "rename or remove it there, or take that entry off PYTHONPATH; which one is "
                "imported depends on the order of the path",
            )


def _provides(entry: Path, name: str) -> bool:
    return (entry / name / "__init__.py").is_file() or (entry / f"{name}.py").is_file()


def _other_distributions() -> Iterator[Finding]:
    owners = metadata.packages_distributions()
    for room in ROOMS:
        others = sorted(set(owners.get(room, [])) - {"seegvox"})
        if others:
            yield Finding(
                "package names",
                "problem",
                f"the installed distribution {', '.join(others)} also has a package `{room}`",
                f"pip uninstall {' '.join(others)}, or use a virtual environment for seegvox alone",
            )


def files_like_dependencies() -> list[Finding]:
    """Files in the current directory that are named like a package we import."""
    here = Path.cwd()
    hiding = [name for name in DEPENDENCIES if _provides(here, name)]
    if not hiding:
        return [Finding("file names here", "ok", "none named like a dependency")]
    searched = here in {Path(entry or ".").resolve() for entry in sys.path}
    effect = "hides the package" if searched else "would hide the package under `python -m`"
    return [
        Finding(
            "file names here",
            "problem" if searched else "note",
            f"{here / name}(.py) {effect} `{name}`",
            "rename it or start from another directory",
        )
        for name in hiding
    ]
