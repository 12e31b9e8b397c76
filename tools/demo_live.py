"""The demo's second half: amplifier and decoder in processes of their own, then the report."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import AudioError, StreamError
from models.files import new_file
from models.mel import RATE, VOCODER_RATE, log_mel
from models.streaming import Floats
from realtime.devices import usable_output
from realtime.environment import environment
from realtime.latency import summarise
from realtime.pipeline import Pipeline
from realtime.playout.playout import open_playout
from realtime.playout.settings import PlayoutSettings
from realtime.record.reading import Run, read_run
from realtime.recordings import Recording, audio_at, read_recording
from tools.amplifier import spawn_amplifier
from tools.wav import wav_bytes
from training.experiment import load
from training.scores import score_table, split_trials

ROOT = Path(__file__).resolve().parents[1]
LIVE = "decoded live"
NOTE = (
    "A simulated patient: these are regression figures for software, never evidence about patients."
)


def held_out(folder: Path, nwb: Path) -> tuple[Recording, slice]:
    """The recording and its held-out part, as training split it."""
    recording = read_recording(nwb)
    settings = load(folder / "experiment").settings
    return recording, split_trials(recording, settings.test_fraction).test


def live_run(
    args: argparse.Namespace, folder: Path, nwb: Path, bundle: Bundle, part: slice
) -> Path:
    """Decode the held-out `part` of the samples in `nwb` live; the folder of the run.

    Raises
    ------
    StreamError
        If the decoder's process failed; its own words went to standard error.
    """
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    (folder / "played.wav").unlink(missing_ok=True)
    out, folder, fs = out.absolute(), folder.absolute(), bundle.spec.fs_hz
    start_s = str(float(part.start / fs))
    source_id = f"seegvox-demo-{os.getpid()}"
    options = ["--source-id", source_id, "--start-s", start_s, "--burst", str(args.burst), "--wait"]
    seconds = min(args.seconds, float((part.stop - part.start) / fs) - 1.0)
    # The delay must cover a burst; 30 ms beyond it are the default's own margin.
    target_ms = max(45.0, 1e3 * args.burst / float(fs) + 30.0)
    command = [
        sys.executable,
        "-m",
        "tools.cli",
        "live",
        str(bundle.path.absolute()),
        "--out",
        str(out),
    ]
    command += ["--seconds", f"{seconds:g}", "--source-id", source_id]
    command += ["--target-ms", f"{target_ms:g}"]
    if why := _no_sound():
        print(f"      no sound: {why}; playing into {folder / 'played.wav'}")
        command += ["--wav", str(folder / "played.wav")]
    with spawn_amplifier(nwb, *options):
        status = _wait(subprocess.Popen(command, cwd=ROOT))
    if status != 0:
        raise StreamError(
            f"the live decoder ended with status {status}", "0", "its message stands above"
        )
    return out


def _no_sound() -> str | None:
    """Why nothing can be heard here; None if a sound device was opened and closed again."""
    if why := usable_output():
        return why
    try:
        open_playout(PlayoutSettings()).stop()
    except AudioError as err:
        return str(err)
    return None


def _wait(child: subprocess.Popen[bytes]) -> int:
    try:
        return child.wait()
    except KeyboardInterrupt:
        # It was interrupted too, and needs a moment to fade out and close its run.
        child.wait(10)
        raise


@dataclass(frozen=True)
class Finished:
    """A live run beside the truth of the same seconds, and the same decoded offline."""

    bundle: Bundle
    run: Run
    true_mel: Floats
    true_audio: Floats
    offline_mel: Floats
    training_mel: Floats

    @classmethod
    def of(cls, bundle: Bundle, run_folder: Path, recording: Recording, part: slice) -> Finished:
        """Read the run, and step the pipeline offline over the samples that were live."""
        run = read_run(run_folder)
        seeg = recording.seeg[part][: int(run.hops["last_sample"][-1]) + 1]
        pipeline = Pipeline.from_bundle(bundle)
        offline = np.array([hop.mel for hop in pipeline.hops(seeg)], np.float32)
        start = part.start / recording.fs
        audio, hops = audio_at(recording, RATE), len(run.mel)
        low = audio_at(recording, VOCODER_RATE)[_at(start, VOCODER_RATE) :]
        training = log_mel(audio[: _at(start, RATE)])
        truth = log_mel(audio[_at(start, RATE) :], hops)
        return cls(bundle, run, truth, low[: len(run.audio)], offline, training)

    def numbers(self) -> dict[str, Any]:
        """Every figure of the run, plain values."""
        spec, run = self.bundle.spec, self.run
        live = score_table(self.true_mel, self.training_mel, {LIVE: run.mel})
        return {
            "note": NOTE,
            "held_out_scores": spec.scores,
            "live_scores": live.as_json(),
            "proof": spec.proof,
            "live_equals_offline_max_mel": float(np.max(np.abs(self.offline_mel - run.mel))),
            "stages": summarise(run.hops, run.dac),
            **{k: run.about[k] for k in ("hops", "late_hops", "playout", "resident_mb")},
            "lookahead_ms": run.about["lookahead_ms"],
            "bundle_sha256": self.bundle.hash,
            "provenance": spec.provenance,
            "environment": environment(),
        }


def _at(seconds: Fraction, rate: int) -> int:
    return round(seconds * rate)


def write_results(folder: Path, finished: Finished, more: dict[str, Any]) -> None:
    """`decoded.wav`, `true.wav`, `numbers.json` and `report.html`, replacing the last run's."""
    from tools.report import ReportContent, write_report

    numbers = {**finished.numbers(), **more}
    _write_wav(folder / "decoded.wav", finished.run.audio)
    _write_wav(folder / "true.wav", finished.true_audio)
    with new_file(folder / "numbers.json", overwrite=True) as partial:
        partial.write_text(json.dumps(numbers, indent=2, default=str))
    difference = numbers["live_equals_offline_max_mel"]
    same = "bit for bit" if difference == 0 else f"within {difference:.2g}"
    content = ReportContent(
        title="seegvox demo: a simulated patient, decoded live",
        run=finished.run,
        true_mel=finished.true_mel,
        true_audio=finished.true_audio,
        decoded_audio=finished.run.audio,
        scores=finished.bundle.spec.scores,
        live_scores=numbers["live_scores"],
        spec=finished.bundle.spec,
        notes=[NOTE, f"The live mel frames are the offline ones {same}."],
    )
    write_report(folder / "report.html", content, overwrite=True)
    print(f"      live mel equals offline mel {same}")


def _write_wav(path: Path, audio: Floats) -> None:
    with new_file(path, overwrite=True) as partial:
        partial.write_bytes(wav_bytes(audio, VOCODER_RATE))
