"""Small files of the foreign formats, written by hand so that every fault can be built in."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def signal(samples=4096, contacts=4, seed=0, scale=40.0):
    """Whole microvolts, `(samples, contacts)`: integers in every format."""
    return np.round(np.random.default_rng(seed).normal(0, scale, (samples, contacts)))


def write_edf(
    file: Path,
    values,
    labels,
    fs=1024,
    unit="uV",
    reserved="",
    records=None,
    slow=None,
    clock=None,
):
    """EDF with records of one second; integers are physical units.

    `slow` is a signal `(seconds,)` at 1 Hz called DC1; `clock` the onsets of an EDF+D.
    """
    seconds = len(values) // fs
    signals = [(label, unit, fs) for label in labels]
    stored = values.astype("<i2")
    blocks = [stored[i * fs : (i + 1) * fs].T.reshape(-1) for i in range(seconds)]
    if slow is not None:
        signals.append(("DC1", "mV", 1))
        blocks = [np.append(block, np.int16(slow[i])) for i, block in enumerate(blocks)]
    if clock is not None:
        signals.append(("EDF Annotations", "", 16))
        for i, onset in enumerate(clock):
            tal = f"+{onset}\x14\x14\x00".encode().ljust(32, b"\0")
            blocks[i] = np.append(blocks[i], np.frombuffer(tal, "<i2"))
    count = len(signals)
    fixed = [
        ("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.20", 8), ("00.00.00", 8),
        (256 * (count + 1), 8), (reserved, 44), (seconds if records is None else records, 8),
        (1, 8), (count, 4),
    ]  # fmt: skip
    each = [
        ([s[0] for s in signals], 16), ([""] * count, 80), ([s[1] for s in signals], 8),
        ([-32768] * count, 8), ([32767] * count, 8), ([-32768] * count, 8), ([32767] * count, 8),
        ([""] * count, 80), ([s[2] for s in signals], 8), ([""] * count, 32),
    ]  # fmt: skip
    head = "".join(str(text).ljust(width) for text, width in fixed)
    head += "".join(str(text).ljust(width) for texts, width in each for text in texts)
    file.write_bytes(head.encode("latin-1") + b"".join(block.tobytes() for block in blocks))
    return file


def write_brainvision(
    file: Path,
    values,
    labels,
    fs=1024,
    unit="µV",
    orientation="MULTIPLEXED",
    points=None,
    markers=(),
    kind="IEEE_FLOAT_32",
):
    """BrainVision; `markers` are (kind, text, first sample, samples)."""
    stored = values if orientation == "MULTIPLEXED" else values.T
    dtype = {"IEEE_FLOAT_32": "<f4", "INT_16": "<i2"}[kind]
    file.with_suffix(".eeg").write_bytes(np.ascontiguousarray(stored, dtype).tobytes())
    lines = ["Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]"]
    lines += ["Codepage=UTF-8", f"DataFile={file.stem}.eeg", f"MarkerFile={file.stem}.vmrk"]
    lines += ["DataFormat=BINARY", f"DataOrientation={orientation}"]
    lines += [f"NumberOfChannels={len(labels)}", f"SamplingInterval={1e6 / fs}"]
    lines += [] if points is None else [f"DataPoints={points}"]
    lines += ["[Binary Infos]", f"BinaryFormat={kind}", "[Channel Infos]"]
    lines += [f"Ch{i}={label},,1,{unit}" for i, label in enumerate(labels, 1)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    marks = ["Brain Vision Data Exchange Marker File, Version 1.0", "[Common Infos]"]
    marks += ["Codepage=UTF-8", f"DataFile={file.stem}.eeg", "[Marker Infos]"]
    marks += [f"Mk{i}={k},{text},{at + 1},{n},0" for i, (k, text, at, n) in enumerate(markers, 1)]
    file.with_suffix(".vmrk").write_text("\n".join(marks) + "\n", encoding="utf-8")
    return file


def write_table(file: Path, header, rows, encoding="utf-8"):
    """A tab-separated table."""
    lines = ["\t".join(str(cell) for cell in row) for row in (header, *rows)]
    file.write_text("\n".join(lines) + "\n", encoding=encoding)
    return file
