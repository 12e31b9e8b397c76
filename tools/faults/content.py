"""Faults of what the samples say: NaN, infinity, flat lines, saturation, line noise."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from models.errors import SettingsError
from tools.faults.occurrences import Occurrence, Occurrences
from tools.faults.packets import Note
from tools.faults.plan import Flat, Infinity, LineNoise, NotANumber, OnContacts, Saturation
from tools.faults.source import Block, Blocks, Samples, Times

Put = Callable[[Any, Samples, Times, dict[str, Any], float], Any]


def apply_content(
    blocks: Blocks,
    faults: list[Occurrences],
    labels: tuple[str, ...],
    note: Note,
    uv: float = 1.0,
) -> Blocks:
    """Put content faults into blocks; the contacts that were drawn are in the note.

    `uv` is how many microvolts one unit of the samples is.
    """
    for samples, times, stamps in blocks:
        out = samples
        for occurrences in faults:
            running, new = occurrences.during(float(times[0]), float(times[-1]))
            for occurrence in new:
                _draw(occurrence, occurrences.rng, labels, note)
            for occurrence in running:
                out = _put(occurrence, out if out is not samples else samples.copy(), times, uv)
        yield Block(out, times, stamps)


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


def _put(occurrence: Occurrence, samples: Samples, times: Times, uv: float) -> Samples:
    rows = occurrence.rows(times)
    columns = occurrence.memory["columns"]
    if rows.start < rows.stop:
        part = samples[rows][:, columns]
        put = _PUTS[type(occurrence.fault)]
        values = put(occurrence.fault, part, times[rows], occurrence.memory, uv)
        samples[rows, columns] = _fitted(values, samples.dtype)
    return samples


def _fitted(values: Any, kind: np.dtype[Any]) -> Any:
    """Values of faults in the type of the samples; integers saturate."""
    if not np.issubdtype(kind, np.integer) or np.issubdtype(values.dtype, np.integer):
        return values
    limits = np.iinfo(kind)
    return np.clip(np.rint(values), limits.min, limits.max)


def _nan(fault: NotANumber, part: Samples, times: Times, memory: dict[str, Any], uv: float) -> Any:
    return np.full_like(part, np.nan)


def _infinity(
    fault: Infinity, part: Samples, times: Times, memory: dict[str, Any], uv: float
) -> Any:
    signs = np.where(np.arange(part.shape[1]) % 2, -1.0, 1.0)
    return np.broadcast_to(signs * np.inf, part.shape)


def _flat(fault: Flat, part: Samples, times: Times, memory: dict[str, Any], uv: float) -> Any:
    held: Samples = memory.setdefault("held", part[0].copy())
    return np.broadcast_to(held, part.shape)


def _saturation(
    fault: Saturation, part: Samples, times: Times, memory: dict[str, Any], uv: float
) -> Any:
    return np.where(part < 0, -fault.uv / uv, fault.uv / uv)


def _line(fault: LineNoise, part: Samples, times: Times, memory: dict[str, Any], uv: float) -> Any:
    sine = fault.uv / uv * np.sin(2 * np.pi * fault.hz * times)
    return part + sine[:, None]


_PUTS: dict[type, Put] = {
    NotANumber: _nan,
    Infinity: _infinity,
    Flat: _flat,
    Saturation: _saturation,
    LineNoise: _line,
}
