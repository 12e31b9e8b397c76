"""Trials from the markers of a recording."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_SIDES = {
    **dict.fromkeys(("start", "begin", "onset"), "start"),
    **dict.fromkeys(("end", "stop", "offset"), "end"),
}
_WORD = "|".join(_SIDES)
_GAP = r"[;:,=_\s-]+"
_FIRST = re.compile(rf"({_WORD}){_GAP}(.+)", re.IGNORECASE)
_LAST = re.compile(rf"(.+?){_GAP}({_WORD})", re.IGNORECASE)

Mark = tuple[float, float, str]


def marked(times: Sequence[float], texts: Sequence[str]) -> tuple[list[Mark], list[str]]:
    """Intervals told by pairs of markers, and notes.

    A pair is a marker that begins or ends with start, begin or onset, and a later one of the same
    text with end, stop or offset: `start;house` ... `end;house`, `house_onset` ... `house_offset`.
    Other markers are moments, from which no interval can be told.

    Parameters
    ----------
    times : seconds, one per marker.
    texts : the markers.

    Returns
    -------
    Onset, duration and text of each pair, in order; what was left out.
    """
    found: list[Mark] = []
    begun: dict[str, float] = {}
    lonely, others = 0, Counter[str]()
    for time, text in sorted(zip(times, texts, strict=True)):
        side, word = _sided(text)
        if side == "start":
            lonely += word in begun
            begun[word] = time
        elif side == "end" and word in begun:
            start = begun.pop(word)
            found.append((start, time - start, word))
        elif side == "end":
            lonely += 1
        else:
            others[text] += 1
    return sorted(found), _notes(lonely + len(begun), others)


def _sided(text: str) -> tuple[str, str]:
    """Which side of an interval a marker is, and of what; empty sides for a moment."""
    if first := _FIRST.fullmatch(text.strip()):
        return _SIDES[first[1].lower()], first[2].strip()
    if last := _LAST.fullmatch(text.strip()):
        return _SIDES[last[2].lower()], last[1].strip()
    return "", text


def _notes(lonely: int, others: Counter[str]) -> list[str]:
    notes = []
    if lonely:
        notes.append(f"{lonely} markers of a start without an end, or the reverse, were left out")
    if others:
        most = ", ".join(f"{text!r} ({count})" for text, count in others.most_common(4))
        notes.append(f"{others.total()} markers are moments, no trials: {most}")
    return notes
