"""Faults of what the samples say: NaN, infinity, flat lines, saturation, line noise."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from models.errors import SettingsError
from models.streaming import Floats
from tools.faults.occurrences import Occurrence, Occurrences
from tools.faults.packets import Note
from tools.faults.plan import Flat, Infinity, LineNoise, NotANumber, OnContacts, Saturation
from tools.faults.source import Blocks, Times

Put = Callable[[Any, Floats, Times, dict[str, Any]], Floats]


def apply_content(
    blocks: Blocks, faults: list[Occurrences], labels: tuple[str, ...], note: Note
) -> Blocks:
    """Put content faults into blocks; the contacts that were drawn are in the note."""
    for samples, times in blocks:
        out = samples
        for occurrences in faults:
            running, new = occurrences.during(float(times[0]), float(times[-1]))
            for occurrence in new:
                _draw(occurrence, occurrences.rng, labels, note)
            for occurrence in running:
                out = _put(occurrence, out if out is not samples else samples.copy(), times)
        yield out, times


def check_contacts(fault: OnContacts, labels: tuple[str, ...]) -> None:
    """Refuse contacts that the source has not.

    Raises
    ------
    SettingsError
        Naming them.
    """
    unknown = sorted(set(fault.contacts) - set(labels))
    if unknown:
        raise SettingsError(
            f"the source has no contact {', '.join(unknown)}",
            f"some of its {len(labels)}: {', '.join(labels[:8])} ...",
            "correct the fault plan",
        )


def _draw(
    occurrence: Occurrence, rng: np.random.Generator, labels: tuple[str, ...], note: Note
) -> None:
    fault = occurrence.fault
    assert isinstance(fault, OnContacts)
    if fault.contacts:
        columns = np.array([labels.index(name) for name in fault.contacts])
    else:
        wanted = max(1, ceil(fault.share * len(labels) - 1e-9))
        columns = np.sort(rng.choice(len(labels), wanted, replace=False))
    occurrence.memory = {"columns": columns}
    note(occurrence.told(contacts=[labels[c] for c in columns]))


def _put(occurrence: Occurrence, samples: Floats, times: Times) -> Floats:
    rows = occurrence.rows(times)
    columns = occurrence.memory["columns"]
    if rows.start < rows.stop:
        part = samples[rows][:, columns]
        put = _PUTS[type(occurrence.fault)]
        samples[rows, columns] = put(occurrence.fault, part, times[rows], occurrence.memory)
    return samples


def _nan(fault: NotANumber, part: Floats, times: Times, memory: dict[str, Any]) -> Floats:
    return np.full_like(part, np.nan)


def _infinity(fault: Infinity, part: Floats, times: Times, memory: dict[str, Any]) -> Floats:
    signs = np.where(np.arange(part.shape[1]) % 2, -1.0, 1.0)
    return np.broadcast_to(signs * np.inf, part.shape).astype(np.float32)


def _flat(fault: Flat, part: Floats, times: Times, memory: dict[str, Any]) -> Floats:
    held: Floats = memory.setdefault("held", part[0].copy())
    return np.broadcast_to(held, part.shape)


def _saturation(fault: Saturation, part: Floats, times: Times, memory: dict[str, Any]) -> Floats:
    return np.where(part < 0, -fault.uv, fault.uv).astype(np.float32)


def _line(fault: LineNoise, part: Floats, times: Times, memory: dict[str, Any]) -> Floats:
    sine = fault.uv * np.sin(2 * np.pi * fault.hz * times)
    return (part + sine[:, None]).astype(np.float32)


_PUTS: dict[type, Put] = {
    NotANumber: _nan,
    Infinity: _infinity,
    Flat: _flat,
    Saturation: _saturation,
    LineNoise: _line,
}
