"""What was played, as figures and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.replay.choice import Choice
from tools.replay.player import Line, Played


def summary(
    file: str, choice: Choice, lines: Sequence[Line], played: Played, speed: float
) -> dict[str, Any]:
    """Seconds played, and per stream what was pushed and how late, ms after it was due."""
    return {
        "file": file,
        "seconds": round(played.position_s, 6),
        "of_seconds": round(choice.window.seconds, 6),
        "speed": speed,
        "paused_s": round(played.paused_s, 3),
        "late_ms": played.late.figures(),
        "faults": sum(line.carrier.faults for line in lines),
        "streams": [_row(line) for line in lines],
        "notes": choice.notes,
    }


def _row(line: Line) -> dict[str, Any]:
    about, carrier = line.about, line.carrier
    return {
        "name": about.name,
        "type": about.type,
        "source_id": about.source_id,
        "format": about.format,
        "channels": about.channels,
        "rate_hz": about.rate_hz,
        "samples": carrier.pushed,
        "packets": carrier.packets,
        "late_ms": line.late.figures(),
    }


def as_text(told: dict[str, Any]) -> str:
    """A line per stream, and one for all."""
    lines = [
        f"{row['name']}: {row['samples']} samples in {row['packets']} packets, late p50 "
        f"{row['late_ms']['p50']:.2f} ms, p99 {row['late_ms']['p99']:.2f} ms, "
        f"max {row['late_ms']['max']:.2f} ms"
        for row in told["streams"]
    ]
    end = "stopped after" if told["stopped"] else "played"
    lines.append(
        f"{end} {told['seconds']:.3f} s of {told['of_seconds']:.3f} s at {told['speed']:g}x"
        + (f", {told['faults']} faults injected" if told["faults"] else "")
        + (f", paused for {told['paused_s']:.1f} s" if told["paused_s"] else "")
        + (f", reading was late {told['late_reads']} times" if told["late_reads"] else "")
    )
    return "\n".join(lines)
