"""The verb `simulate`: make a simulated patient, or stream a recording as an amplifier would."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from models.errors import need
from tools.amplifier_options import add_arguments


def add_parser(subparsers: Any) -> None:
    """Add the verb `simulate` with `write` and `stream`."""
    parser = subparsers.add_parser(
        "simulate",
        help="write a simulated patient's recording, or stream one over LSL",
        description="A simulated patient: speech drives 112 contacts. Software, not evidence.",
    )
    kinds = parser.add_subparsers(dest="kind", metavar="write|stream", required=True)
    _add_write(kinds)
    stream = kinds.add_parser("stream", help="stream a recording over LSL, as an amplifier would")
    add_arguments(stream)
    stream.set_defaults(run=run_stream)


def _add_write(kinds: Any) -> None:
    write = kinds.add_parser(
        "write",
        help="write NWB in the layout of SingleWordProductionDutch-iBIDS, the truth beside it",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    write.add_argument("folder", type=Path, help="BIDS folder, made if absent")
    write.add_argument("--subject", default="sub-01", help="name of the subject")
    write.add_argument("--minutes", type=float, default=6.0, help="length")
    write.add_argument("--session", default="sentences", help="words (paced), sentences or mixed")
    write.add_argument("--rate", type=int, default=1024, help="sEEG rate, Hz")
    write.add_argument(
        "--gain",
        type=float,
        default=0.38,
        help="0 no signal, 0.3 poor, 0.5 mean, 1.1 good; at the default the linear baseline scores "
        "what it does on published recordings",
    )
    write.add_argument("--leak-db", type=float, default=None, help="audio leaked into contacts, dB")
    write.add_argument("--seed", type=int, default=0, help="seed of everything")
    write.add_argument("--speech", type=Path, default=None, help="folder of WAV or FLAC to speak")
    write.add_argument("--overwrite", action="store_true", help="replace the subject")
    write.set_defaults(run=run_write)


def run_write(args: argparse.Namespace) -> int:
    """Simulate and write; prints where."""
    from models.toml import validated
    from training.patient import PatientSettings

    chosen = ("minutes", "session", "gain", "leak_db", "seed")
    raw = {**{name: getattr(args, name) for name in chosen}, "fs_hz": args.rate}
    settings = validated(PatientSettings, raw, "simulate write")
    print(write_patient(args.folder, settings, args.speech, args.subject, args.overwrite))
    return 0


def write_patient(
    folder: Path,
    settings: Any,
    speech: Path | None = None,
    subject: str = "sub-01",
    overwrite: bool = False,
) -> Path:
    """Simulate a patient and write the recording, its truth beside it; the path of the NWB file.

    Raises
    ------
    BusyOutputError, MissingExtraError, RecordingError, SettingsError
        See `training.patient.simulate` and `training.nwb.write_recording`.
    """
    need("pynwb", "formats")
    from models.files import refuse_busy
    from training.nwb import write_recording
    from training.patient import simulate
    from training.speech import read_folder

    refuse_busy(folder / subject, overwrite)
    simulation = simulate(settings, None if speech is None else read_folder(speech))
    nwb = write_recording(simulation.recording, folder, subject, overwrite=overwrite)
    simulation.truth.write(nwb.parent / f"{subject}_truth.json", overwrite=True)
    return nwb


def run_stream(args: argparse.Namespace) -> int:
    """Play a recording as a live stream until its end."""
    from tools.amplifier import run

    return run(args)
