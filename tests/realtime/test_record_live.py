"""The record of a live run, by the service against a real outlet: enough to decode it again."""

import wave
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import h5py
import numpy as np
import pytest

from models.bundle import load_bundle
from realtime.pipeline import Pipeline
from realtime.record.reading import ending, read_run
from realtime.service import Service
from tests.bundles import TINY_CONTACTS, noise_uv
from tests.realtime.test_service import SECONDS, settings
from tools.amplifier import save_array, spawn_amplifier

pytestmark = pytest.mark.lsl
SHUFFLED = [3, 1, 0, 2, 7, 6, 5, 4]


@pytest.fixture(scope="module")
def kept(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run` and `played.wav`."""
    folder, source_id = tmp_path_factory.mktemp("live"), uuid4().hex
    path = folder / "amp.npy"
    labels = [TINY_CONTACTS[i] for i in SHUFFLED]
    save_array(path, noise_uv(SECONDS + 6)[:, SHUFFLED], Fraction(1024), labels)
    service = Service(settings(tiny_bundle, folder, source_id))
    with spawn_amplifier(path, "--source-id", source_id, "--burst", "32", "--wait"):
        service.run()
    return folder


def test_recorded_samples_and_arrival_decode_to_the_recorded_hops(
    tiny_bundle: Path, kept: Path
) -> None:
    run = read_run(kept / "run")
    sent = noise_uv(SECONDS + 6)
    # The montage was shuffled at the amplifier.
    assert run.samples.tobytes() == sent[: len(run.samples)].tobytes()
    assert run.contacts == list(TINY_CONTACTS)
    pipeline = Pipeline.from_bundle(load_bundle(tiny_bundle))
    again = []
    for block in run.blocks[run.blocks["count"] > 0]:
        rows = slice(block["row"], block["row"] + block["count"])
        hops = pipeline.hops(run.samples[rows], run.timestamps[rows], block["available"])
        again += [(hop.mel, hop.lsl_time, hop.available) for hop in hops]
    mel, stamps, available = (np.array(values) for values in zip(*again, strict=True))
    np.testing.assert_array_equal(run.mel, mel[: len(run.mel)])
    np.testing.assert_array_equal(run.hops["lsl_time"], stamps[: len(run.mel)])
    np.testing.assert_array_equal(run.hops["available"], available[: len(run.mel)])


def test_the_record_says_what_ran(tiny_bundle: Path, kept: Path) -> None:
    run = read_run(kept / "run")
    assert ending(run.facts) == "closed"
    assert run.facts["dropped_records"] == 0
    assert run.about["bundle_sha256"] == load_bundle(tiny_bundle).hash
    assert run.about["settings"]["bundle"] == str(tiny_bundle)
    assert run.about["environment"]["versions"]["h5py"] == h5py.__version__
    assert run.mask.shape == (len(run.hops), len(TINY_CONTACTS))
    assert np.array_equal(run.mask.sum(axis=1), run.hops["masked"])


def test_audio_as_played_is_what_the_device_took(kept: Path) -> None:
    run = read_run(kept / "run")
    with wave.open(str(kept / "played.wav")) as file:
        wav = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert (run.played_times["rate"] == file.getframerate()).all()
    # The player's shared memory is as old as the file: not a sample is missing, fades included.
    assert np.array_equal((np.clip(run.played, -1, 1) * 32767).astype("<i2"), wav)
    assert np.abs(run.played).max() > 1e-3
