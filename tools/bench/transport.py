"""`bench transport`: from an outlet's push to the samples' being there, in another process.

Receivers take turns on the same stream: the service's own inlet, mne-lsl's pull loop (where mne-lsl
is installed), the same loop with pylsl, and a pull that waits for a hop, as tutorials have it.
Time is from the outlet's own note of a packet's push to the receiver's of its last sample; both run
on this machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from models.bundle import Bundle, load_bundle
from tools.bench.document import Document, Figure, document
from tools.bench.machine import watched
from tools.bench.output import add_output, asked, deliver, refuse_taken, say
from tools.bench.processes import beside, expect
from tools.bench.receivers import DONE, KINDS
from tools.bench.rounds import Times

WHAT = {
    "seegvox": ("push to available: the service's own inlet", "transport"),
    "poll": ("push to available: pylsl, asked every millisecond", "yardstick"),
    "mne-lsl": ("push to available: mne-lsl's inlet in StreamLSL's loop, 1 ms", "yardstick"),
    "hop": ("push to available: pylsl, pull_chunk(timeout=15 ms)", "yardstick"),
}
NOISE_S, NOISE_UV = 10, 30.0
# Far less than a sample, and far more than float64 rounds.
_SAME_S = 1e-6


def add_parser(subparsers: Any) -> None:
    """Add `bench transport`."""
    parser = subparsers.add_parser(
        "transport", help="from an outlet in another process to us", description=__doc__
    )
    parser.add_argument("bundle", type=Path, help="bundle folder: contacts and rate")
    parser.add_argument("--bursts", type=int, nargs="+", default=[1, 16], help="samples a packet")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each receiver")
    parser.add_argument("--turn-s", type=float, default=2.0, help="seconds of a turn")
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints a table."""
    refuse_taken(args)
    bundle = load_bundle(args.bundle)
    figures: dict[str, Figure] = {}
    with watched() as machine:
        for burst in args.bursts:
            figures |= measure(bundle, burst, args.rounds, args.turn_s, args.seed)
    found: Document = document("transport", asked(args), figures, machine, bundle)
    if not _has_mne():
        found["notes"] = ["mne-lsl is not installed: its loop was left out"]
    deliver(found, args)
    return 0


def measure(
    bundle: Bundle, burst: int, rounds: int, turn_s: float, seed: int = 0
) -> dict[str, Figure]:
    """Figures of one packet size, by receiver."""
    kinds = [kind for kind in KINDS if kind != "mne-lsl" or _has_mne()]
    with tempfile.TemporaryDirectory(prefix="seegvox-bench-") as name:
        folder, source_id = Path(name), uuid4().hex
        recording = noise(folder, bundle, seed)
        with ExitStack() as stack:
            pushed = [recording, source_id, burst, folder / "pushed.npy"]
            stack.enter_context(beside("tools.bench.outlet", pushed))
            running = {
                kind: stack.enter_context(_receiver(kind, recording, source_id, folder))
                for kind in kinds
            }
            _take_turns(running, rounds, turn_s, burst, seed)
            for process in running.values():
                # The end of its input lets a receiver write its log.
                assert process.stdin is not None
                process.stdin.close()
                process.wait(20)
        sent = np.load(folder / "pushed.npy")
        return {
            f"burst_{burst}.{kind}": Figure(
                by_turn(np.load(folder / f"{kind}.npy"), sent),
                f"{WHAT[kind][0]}, bursts of {burst}",
                WHAT[kind][1],
            )
            for kind in kinds
        }


def noise(folder: Path, bundle: Bundle, seed: int) -> Path:
    """A recording of noise in the bundle's montage."""
    from tools.amplifier import save_array

    spec = bundle.spec
    rng = np.random.default_rng(seed)
    shape = (int(NOISE_S * spec.fs_hz), len(spec.contacts))
    seeg = rng.normal(0, NOISE_UV, shape).astype(np.float32)
    save_array(folder / "noise.npy", seeg, spec.fs_hz, spec.contacts)
    return folder / "noise.npy"


def by_turn(log: Times, sent: Times) -> list[Times]:
    """From each packet's push to its last sample's being there, ms, turn by turn.

    Parameters
    ----------
    log : `(pulls, 3)` of a receiver: turn, newest timestamp, when it was there. A pull may bring
        part of a packet, or several.
    sent : `(packets, 2)` of the outlet: last timestamp, when it was pushed.
    """
    turns = []
    for number in np.unique(log[:, 0]):
        newest, there = log[log[:, 0] == number, 1:].T
        # What the first pull brought may have waited since before the turn.
        inside = (sent[:, 0] > newest[0] + _SAME_S) & (sent[:, 0] <= newest[-1] + _SAME_S)
        packets = sent[inside]
        whole = np.searchsorted(newest, packets[:, 0] - _SAME_S)
        turns.append(1e3 * (there[whole] - packets[:, 1]))
    return turns


def _receiver(kind: str, recording: Path, source_id: str, folder: Path) -> Any:
    args = [kind, recording, source_id, folder / f"{kind}.npy"]
    return beside("tools.bench.receivers", args, hardware=False)


def _take_turns(
    running: Mapping[str, subprocess.Popen[str]],
    rounds: int,
    turn_s: float,
    burst: int,
    seed: int,
) -> None:
    rng, names = np.random.default_rng(seed), list(running)
    for number in range(rounds):
        for place in rng.permutation(len(names)):
            process = running[names[place]]
            assert process.stdin is not None
            process.stdin.write(f"{turn_s}\n")
            process.stdin.flush()
            expect(process, DONE, turn_s + 20.0)
        say(f"bursts of {burst}: round {number + 1} of {rounds}")


def _has_mne() -> bool:
    return importlib.util.find_spec("mne_lsl") is not None
