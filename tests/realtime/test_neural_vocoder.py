"""The neural vocoder: contract, parity with torch, latency, bad weights and damaged folders."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from models.errors import BundleError, SettingsError
from models.vocoder import FILES, SUMS, load_vocoder, vocoder_beside
from realtime.pipeline import Pipeline
from realtime.vocoders import (
    GateSettings,
    NeuralVocoder,
    PhaseVocoder,
    make_vocoder,
    vocoder_for,
)
from tests.bundles import noise_uv
from tests.contract import verify_contract
from tests.neural import some_mel, tiny_network, tiny_vocoder_path


@pytest.fixture(scope="module")
def path() -> Path:
    return tiny_vocoder_path()


def test_it_keeps_the_contract(path: Path) -> None:
    out = verify_contract(lambda: make_vocoder(str(path)), some_mel(60), examples=6)
    assert out.shape == (60 * 240,)
    assert np.std(out) > 1e-3


def test_its_latency_is_one_hop(path: Path) -> None:
    assert make_vocoder(str(path)).latency == Fraction(15, 1000)


def test_stepped_it_is_torch_at_once(path: Path) -> None:
    from realtime.graph import OnnxGraph
    from training.vocoders.export import TOLERANCE, at_once, stepped

    mel = some_mel(300, seed=5)
    offline = at_once(tiny_network(), mel)
    online = stepped(OnnxGraph(load_vocoder(path).graph), mel)
    assert np.std(offline) > 1e-3
    # A hop late, and a cold start lacks what comes before the first.
    np.testing.assert_allclose(online[240:], offline[:-240], rtol=0, atol=TOLERANCE)
    assert np.abs(online[480:] - offline[:-480]).max() > 100 * TOLERANCE


def test_an_untrained_network_is_a_single_pass(tmp_path: Path) -> None:
    """With a factor of one the sound is what the phase vocoder makes, a half hop later."""
    import torch

    from models.networks.vocoder import VocoderNetwork
    from models.vocoder import VocoderNetSpec
    from tests.realtime.test_vocoders import speechlike
    from training.vocoders.export import at_once

    network = VocoderNetwork(VocoderNetSpec(size=8, hidden=8, layers=1))
    torch.nn.init.zeros_(network.head.weight)
    made = at_once(network.eval(), speechlike(200))
    single = PhaseVocoder(GateSettings(enabled=False))
    other = single.step(np.concatenate([speechlike(200), speechlike(200)[-1:]]))
    late = int(single.latency * 16_000)
    a, b = made[2400:-2400], other[late:][2400 : len(made) - 2400]
    assert np.corrcoef(a, b)[0, 1] > 0.9


def test_later_frames_never_change_earlier_spectra() -> None:
    import torch

    from realtime.vocoders.neural import FirstSpectra
    from training.vocoders.stretches import first_spectra

    mel = some_mel(40)
    start = torch.from_numpy(first_spectra(mel, FirstSpectra()))[None]
    frames = torch.from_numpy(mel)[None].clone().requires_grad_(True)
    spectra = tiny_network()(frames, start)[0]
    (gradient,) = torch.autograd.grad(spectra[0, 20].abs().sum(), frames)
    assert float(gradient[0, 21:].abs().max()) == 0
    assert float(gradient[0, 20].abs().max()) > 0


class Broken:
    """A step graph that gives no numbers from its third step on, and only then."""

    def __init__(self, path: Path) -> None:
        from realtime.graph import OnnxGraph

        self._inner = OnnxGraph(load_vocoder(path).graph)
        self.inputs, self.outputs = self._inner.inputs, self._inner.outputs
        self.steps = self.resets = 0

    def state(self, name: str) -> np.ndarray:
        return self._inner.state(name)

    def run(self) -> None:
        self._inner.run()
        self.steps += 1
        if self.steps == 3:
            self.outputs["spectrum"][0, 0, 7] = np.nan
            self._inner.state("mel").fill(np.nan)

    def reset(self) -> None:
        self.resets += 1
        self._inner.reset()


def test_what_is_not_a_number_is_silence_and_forgotten(path: Path) -> None:
    graph = Broken(path)
    vocoder = NeuralVocoder(graph, GateSettings(enabled=False))
    mel, resets = some_mel(8), graph.resets
    told = []
    chunks = []
    for frame in mel:
        chunks.append(vocoder.step(frame[None]))
        told.append(vocoder.finite)
    assert told == [True, True, False, True, True, True, True, True]
    assert np.isfinite(np.concatenate(chunks)).all()
    assert not chunks[2].any()
    assert graph.resets == resets + 1
    # From there on as after a cold start.
    fresh = NeuralVocoder(Broken(path), GateSettings(enabled=False))
    np.testing.assert_array_equal(np.concatenate(chunks[3:5]), fresh.step(mel[3:5]))


def test_the_path_says_so_of_the_hop(path: Path, tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    pipeline = Pipeline.from_bundle(bundle, str(path))
    pipeline.vocoder = NeuralVocoder(Broken(path), GateSettings(enabled=False))
    told = [(hop.finite, bool(hop.audio.any())) for hop in pipeline.hops(noise_uv(0.12))]
    assert [finite for finite, _ in told[:6]] == [True, True, False, True, True, True]


def test_the_whole_path_with_it(path: Path, tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    whole = Pipeline.from_bundle(bundle, str(path))
    default = Pipeline.from_bundle(bundle)
    assert whole.latency - default.latency == Fraction(15, 2000)
    facts = whole.vocoder.facts
    assert facts["sha256"] == load_vocoder(path).hash
    assert default.vocoder.facts == {"name": "phase"}


def test_a_frame_of_nan_is_silence(path: Path) -> None:
    mel = some_mel(30)
    mel[10] = np.nan
    vocoder = make_vocoder(str(path))
    assert np.isfinite(vocoder.step(mel)).all()


# ---- folders


def test_neural_is_what_the_bundle_carries(path: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    with pytest.raises(BundleError, match="carries no neural vocoder; expected one in"):
        vocoder_for("neural", bundle)
    beside = Path(shutil.copytree(path, tmp_path / "b.vocoder"))
    assert vocoder_beside(bundle) == beside
    inside = Path(shutil.copytree(path, bundle / "vocoder"))
    assert vocoder_beside(bundle) == inside
    # A bundle with one in it is the bundle that it was.
    assert load_bundle(bundle).hash == load_bundle(tiny_bundle).hash
    assert isinstance(Pipeline.from_bundle(load_bundle(bundle), "neural").vocoder, NeuralVocoder)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte(path: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(path, tmp_path / "v"))
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 16
    (copy / name).write_bytes(raw)
    with pytest.raises(BundleError, match="SHA-256"):
        make_vocoder(str(copy))


def resealed(folder: Path) -> None:
    from models.files import sha256

    (folder / SUMS).write_text("".join(f"{sha256(folder / n)}  {n}\n" for n in FILES))


def test_another_sound_than_the_golden_one_refuses(path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(path, tmp_path / "v"))
    with np.load(copy / "golden.npz") as file:
        mel, audio = file["mel"], file["audio"]
    np.savez(copy / "golden.npz", mel=mel, audio=np.roll(audio, 3))
    resealed(copy)
    with pytest.raises(BundleError, match="golden sound departs by"):
        make_vocoder(str(copy))


def test_other_mels_and_other_schemas_refuse(path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(path, tmp_path / "v"))
    spec = json.loads((copy / "spec.json").read_text())
    for change, said in (
        ({"mel": {**spec["mel"], "fmax_hz": 7600}}, "mel.fmax_hz"),
        ({"schema_version": 2}, "schema_version"),
        ({"hop": 256}, "hop"),
    ):
        (copy / "spec.json").write_text(json.dumps({**spec, **change}))
        resealed(copy)
        with pytest.raises(BundleError, match=said):
            load_vocoder(copy)


def test_what_is_no_vocoder(tiny_bundle: Path, tmp_path: Path) -> None:
    for folder in (tiny_bundle, tmp_path):
        with pytest.raises(BundleError, match="is no neural vocoder"):
            make_vocoder(str(folder))
    with pytest.raises(SettingsError, match="there is no streaming vocoder 'phaze'"):
        make_vocoder("phaze")


def test_eight_bits_are_near_and_smaller() -> None:
    whole, small = load_vocoder(tiny_vocoder_path()), load_vocoder(tiny_vocoder_path(True))
    assert small.spec.weights == "int8"
    assert small.spec.proof["int8_departure"] <= small.spec.proof["int8_tolerance"]
    assert small.graph.stat().st_size < whole.graph.stat().st_size
    verify_contract(lambda: make_vocoder(str(small.path)), some_mel(40), examples=3)
