"""How well a recording is paced over LSL: ours beside mne-lsl's player and pyxdf's playback.

    python -m tests.tools.replay_pace --seconds 60 [--rounds 2] [--only seegvox] [--json FILE]

One XDF of 112 contacts at 1024 Hz, the sample index in its first contact, with one loss of 0.3 s,
an audio stream at 16 kHz and markers; mne-lsl gets the same sEEG as FIF, which cannot hold the
loss. Players take turns, each in a process of its own, packets of 16 samples where that can be
said. Per player, of the sEEG as an inlet of another process receives it (of raised priority, as the
live decoder's is):

early      share of samples that came before their own timestamp
age        arrival minus timestamp of the last sample of a packet, ms: p1, p50, p99, max
packet     samples that come together, median
lost, doubled, reordered   by the index, between the first and the last that came
stamps     largest departure of the timestamps from those recorded, ms
pace       how the earliest arrivals (against the recorded clock) of the last tenth differ from
           those of the first tenth, ms
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pylsl

from realtime.scheduling import quiet_process
from tests.lsl_config import lsl_config
from tests.xdf_files import Stream, XdfWriter

FS, CONTACTS, PACKET = 1024, 112, 16
PLAYERS = ("seegvox", "mne-lsl", "pyxdf")
_MNE = """
import sys, time
from mne_lsl.player import PlayerLSL
player = PlayerLSL(sys.argv[1], chunk_size=16, n_repeat=1, name="pace", source_id="pace")
player.start()
while player.running if hasattr(player, "running") else True:
    time.sleep(0.2)
"""


def write(folder: Path, seconds: float, seed: int = 0) -> tuple[Path, Path]:
    """The recording as XDF and, its sEEG, as FIF."""
    import mne

    index = np.arange(round(seconds * FS))
    lost = len(index) // 3 + np.arange(round(0.3 * FS))
    kept = np.setdiff1d(index, lost)
    rows = np.zeros((len(index), CONTACTS), np.float32)
    rows[:] = np.random.default_rng(seed).standard_normal((1, CONTACTS))
    rows[:, 0] = index
    labels = tuple(f"A{i}" for i in range(CONTACTS))
    sound = np.arange(round(seconds * 16_000)) % 30_000
    with XdfWriter(folder / "pace.xdf") as out:
        out.header(Stream(1, "pace", "EEG", CONTACTS, FS, "float32", labels, ("uV",) * CONTACTS))
        out.header(Stream(2, "mic", "Audio", 1, 16_000, "int16", ("mic",), ("",)))
        out.header(Stream(3, "words", "Markers", 1, 0, "string", ("word",), ("",)))
        for start in range(0, len(index), FS // 2):
            mine = kept[(kept >= start) & (kept < start + FS // 2)]
            if len(mine):
                out.samples(1, rows[mine], 1000 + mine / FS)
            first = start * 16_000 // FS
            part = sound[first : first + 8_000]
            out.samples(2, part, 1000 + (first + np.arange(len(part))) / 16_000)
            out.samples(3, [(f"mark {start}",)], [1000 + start / FS])
            if start % (5 * FS) == 0:
                for number in (1, 2, 3):
                    out.offset(number, 1000 + start / FS, 0.0)
        for number in (1, 2, 3):
            out.footer(number)
    info = mne.create_info(list(labels), FS, "seeg")
    raw = mne.io.RawArray(rows.T.astype(np.float64), info, verbose="ERROR")
    raw.save(folder / "pace_raw.fif", fmt="double", verbose="ERROR")
    return folder / "pace.xdf", folder / "pace_raw.fif"


def command(player: str, xdf: Path, fif: Path) -> list[str]:
    """How the player is started."""
    if player == "seegvox":
        return [sys.executable, "-m", "tools.cli", "replay", str(xdf), "--wait", "--json"]
    if player == "mne-lsl":
        return [sys.executable, "-c", _MNE, str(fif)]
    return [sys.executable, "-m", "pyxdf.cli.playback_lsl", str(xdf), "--wait_for_consumer"]


def received(player: str, xdf: Path, fif: Path, seconds: float) -> dict[str, Any]:
    """Play once and listen: index, stamps and arrivals of the sEEG, and the player's CPU time."""
    process = subprocess.Popen(
        command(player, xdf, fif), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        # liblsl's own threads inherit the priority.
        with quiet_process():
            rows = _listened(player, seconds)
        cpu = _cpu_s(process.pid)
    finally:
        process.terminate()
        try:
            out, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
    return {**rows, "cpu": cpu, "out": out}


def _listened(player: str, seconds: float) -> dict[str, Any]:
    inlet = _opened("pace", 60)
    # pyxdf begins when all its streams have a listener.
    others = [] if player == "mne-lsl" else [_opened(name, 1) for name in ("mic", "words")]
    rows = _pulled(inlet, seconds)
    del others
    return rows


def _opened(name: str, buffer_s: int) -> pylsl.StreamInlet:
    found = pylsl.resolve_byprop("name", name, timeout=60)
    assert found, f"no stream {name}"
    inlet = pylsl.StreamInlet(found[0], buffer_s, 0, recover=False, processing_flags=0)
    inlet.open_stream(10)
    return inlet


def _pulled(inlet: pylsl.StreamInlet, seconds: float) -> dict[str, Any]:
    buffer = np.empty((256, CONTACTS), np.float32 if inlet.channel_format == 1 else np.float64)
    index, stamps, came = [], [], []
    last = time.monotonic()
    try:
        while time.monotonic() - last < (2.0 if came else 20.0) and (
            not came or came[-1] - came[0] < seconds + 5
        ):
            rows, times = inlet.pull_chunk(0.5, 256, min_samples=1, dest_obj=buffer, as_numpy=True)
            now = pylsl.local_clock()
            if len(times):
                last = time.monotonic()
                index += rows[: len(times), 0].tolist()
                stamps += np.asarray(times).tolist()
                came += [now] * len(times)
    except Exception as err:
        print(f"(the stream ended: {err})", file=sys.stderr)
    return {
        "index": np.array(index),
        "stamps": np.array(stamps),
        "came": np.array(came),
    }


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def figures(got: dict[str, Any], truth_s: np.ndarray) -> dict[str, Any]:
    """What is said at the top; `truth_s` are the recorded times by index."""
    index, stamps, came = np.rint(got["index"]).astype(int), got["stamps"], got["came"]
    age = came - stamps
    # A pull may return a part of a packet; what follows within 1 ms belongs to it.
    ends = np.append(np.diff(came) > 1e-3, True)
    # Between the first and the last that came: not every player waits for a listener.
    known = np.arange(index.min(), min(index.max() + 1, len(truth_s)))
    known = known[~np.isnan(truth_s[known])]
    due = truth_s[np.clip(index, 0, len(truth_s) - 1)]
    due = due - due[0]
    off = stamps - stamps[0] - due
    pace = came - came[0] - due
    tenth = max(1, len(pace) // 10)
    usable = pace[~np.isnan(pace)]
    steps = np.diff(index)
    return {
        "samples": len(index),
        "early": float(np.mean(age < 0)),
        "age_ms": {
            name: round(1e3 * float(np.percentile(age[ends], q)), 3)
            for name, q in (("p1", 1), ("p50", 50), ("p99", 99), ("max", 100))
        },
        "age_of_any_ms": {
            name: round(1e3 * float(np.percentile(age, q)), 3)
            for name, q in (("min", 0), ("p1", 1), ("p50", 50))
        },
        "packet": float(np.median(np.diff(np.flatnonzero(ends)))),
        "lost": len(np.setdiff1d(known, index)),
        "doubled": int(np.count_nonzero(steps == 0)),
        "reordered": int(np.count_nonzero(steps < 0)),
        "stamps_off_ms": round(1e3 * float(np.nanmax(np.abs(off))), 4),
        "pace_ms": round(1e3 * float(usable[-tenth:].min() - usable[:tenth].min()), 4),
        "cpu_s": got["cpu"],
    }


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=PLAYERS, default=list(PLAYERS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    told: dict[str, list[dict[str, Any]]] = {player: [] for player in args.only}
    with tempfile.TemporaryDirectory(prefix="seegvox-pace-") as name:
        folder = Path(name)
        (folder / "lsl_api.cfg").write_text(lsl_config(f"pace{os.getpid()}"))
        os.environ["LSLAPICFG"] = str(folder / "lsl_api.cfg")
        xdf, fif = write(folder, args.seconds)
        whole = np.arange(round(args.seconds * FS)) / FS
        gone = len(whole) // 3 + np.arange(round(0.3 * FS))
        lossy = whole.copy()
        lossy[gone] = np.nan
        for turn in range(args.rounds):
            for player in args.only:
                got = received(player, xdf, fif, args.seconds)
                truth = whole if player == "mne-lsl" else lossy
                row = figures(got, truth)
                if player == "seegvox" and got["out"]:
                    row["own"] = json.loads(got["out"])
                told[player].append(row)
                own = row.pop("own", None)
                print(f"round {turn + 1}, {player}: {json.dumps(row)}", flush=True)
                if own is not None:
                    print(f"   own summary: {json.dumps(own)}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
