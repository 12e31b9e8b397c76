"""What a check of the machine found; checks themselves are in the `doctor_*` modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it is, what was found, and what to do if it is not ok."""

    check: str
    status: Status
    found: str
    todo: str = ""


Check = Callable[[], list[Finding]]


def run_check(check: Check) -> list[Finding]:
    """Findings of a check; one that raises is itself a problem."""
    try:
        return check()
    except Exception as err:
        name = check.__name__.replace("_", " ")
        own = str(getattr(err, "todo", ""))
        text = str(err).removesuffix(f"; {own}") or "no message"
        todo = own or "repair what it names, then run `seegvox doctor` again"
        return [Finding(name, "problem", f"{type(err).__name__}: {text}", todo)]
