"""Paced at the real hop, and back to back: both are measured, since they differ two to four times.

Back to back a step finds its weights in the caches; after 15 ms of sleep it does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from models.errors import SettingsError
from tools.bench.controls import Hiccup, timer
from tools.bench.document import Figure
from tools.bench.machine import watched
from tools.bench.output import say
from tools.bench.rounds import ROUND, Contestant, Turn, interleave

PACED, BACK_TO_BACK = "paced", "back_to_back"
TIMER, HICCUP = "timer", "hiccup"

Turns = dict[str, list[Turn]]


def add_pace(parser: argparse.ArgumentParser, hops: int, pace: str = "both") -> None:
    """The options `--hops` and `--pace`."""
    parser.add_argument("--hops", type=int, default=hops, help="hops to time, at each pace")
    parser.add_argument(
        "--pace",
        choices=("both", PACED, BACK_TO_BACK),
        default=pace,
        help="at the real hop, without pause, or first the one and then the other",
    )


def check_hops(hops: int) -> None:
    """Refuse runs of less than a round.

    Raises
    ------
    SettingsError
        If so.
    """
    if hops < ROUND:
        raise SettingsError(f"--hops {hops}", f"at least {ROUND}", "ask for more")


def paces(asked: str, hop_s: float) -> dict[str, float]:
    """Seconds between steps, by name of the pace."""
    both = {PACED: hop_s, BACK_TO_BACK: 0.0}
    return both if asked == "both" else {asked: both[asked]}


@contextmanager
def measuring(pace_s: float) -> Iterator[dict[str, Any]]:
    """The scheduling of a live run; yields the machine, with what it granted."""
    from realtime.scheduling import quiet_process

    with quiet_process(real_time=pace_s > 0) as granted, watched() as machine:
        machine.update({**vars(granted), "cores": machine["cores"], "cores_used": granted.cores})
        yield machine


def run_paces(
    contestants: Callable[[], Mapping[str, Contestant]],
    args: argparse.Namespace,
    hop_s: float,
) -> tuple[dict[str, Turns], dict[str, Any]]:
    """Turns by pace, with the machine's own controls among them; and the machine.

    Parameters
    ----------
    contestants : made anew for each pace.
    args : with `hops`, `pace` and `seed`.
    hop_s : the pace of those that are paced.
    """
    found: dict[str, Turns] = {}
    machine: dict[str, Any] = {}
    for name, pace_s in paces(args.pace, hop_s).items():
        with measuring(pace_s) as told:
            rivals = dict(contestants()) | {HICCUP: Hiccup().contestant()}
            rivals |= {TIMER: timer()} if pace_s else {}
            said = f"{name.replace('_', ' ')}: {{}} of {args.hops} hops"
            found[name] = interleave(
                rivals,
                args.hops,
                pace_s,
                args.seed,
                progress=lambda done, said=said: say(said.format(done)),  # type: ignore[misc]
            )
        machine = {**told, "load": machine.get("load", told["load"])}
    return found, machine


def controls(pace: str, turns: Turns) -> dict[str, Figure]:
    """The machine's own figures of one pace."""
    spins = [turn.parts[HICCUP] for turn in turns[HICCUP]]
    figures = {
        f"{pace}.{HICCUP}": Figure(
            spins, "longest time for which 1 ms of spinning did not get on", "machine"
        )
    }
    if TIMER in turns:
        wakes = [turn.wake for turn in turns[TIMER]]
        what = "how late a bare timer loop wakes"
        figures[f"{pace}.{TIMER}"] = Figure(wakes, what, "machine")
    return figures


def spent(turns: list[Turn]) -> list[Any]:
    """The actions' own times, by round."""
    return [turn.spent for turn in turns]


def late(turns: list[Turn], hop_s: float) -> dict[str, list[int]]:
    """Of each round, steps that ended later than a hop after they were due, and how many ran."""
    return {
        "late": [int((turn.done > 1e3 * hop_s).sum()) for turn in turns],
        "hops": [len(turn.done) for turn in turns],
    }
