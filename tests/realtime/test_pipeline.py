from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle, load_bundle
from models.mel import LOG_FLOOR, VOCODER_HOP
from models.streaming import Floats, total_latency
from realtime.decoder import Decoder
from realtime.encoder import Encoder
from realtime.graph import OnnxGraph
from realtime.limiter import Limiter, LimiterSettings
from realtime.pipeline import Pipeline
from realtime.vocoders import make_vocoder
from tests.bundles import noise_uv
from tests.contract import verify_contract


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(tiny_bundle)


def graph(bundle: Bundle, name: str) -> OnnxGraph:
    return OnnxGraph(bundle.path / f"{name}_step.onnx")


def features(bundle: Bundle, seconds: float = 2.0) -> Floats:
    return bundle.front_end().step(noise_uv(seconds))


def test_encoder_keeps_the_contract(bundle: Bundle) -> None:
    out = verify_contract(lambda: Encoder(graph(bundle, "encoder")), features(bundle))
    assert out.shape == (204, 16 + 8)


def test_decoder_keeps_the_contract(bundle: Bundle) -> None:
    rows = Encoder(graph(bundle, "encoder")).step(features(bundle))
    clock = bundle.spec.clock
    out = verify_contract(lambda: Decoder(graph(bundle, "decoder"), clock), rows)
    assert out.shape == (133, 80)


@pytest.mark.parametrize("vocoder", ["phase", "rtisi"])
def test_vocoders_keep_the_contract(vocoder: str) -> None:
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.standard_normal((60, 80)), axis=0)
    mel = (-5 + 2 * np.tanh(slow / 5)).astype(np.float32)
    mel[20:30] = LOG_FLOOR
    out = verify_contract(lambda: make_vocoder(vocoder), mel, examples=6)
    assert len(out) == 60 * VOCODER_HOP


def test_the_limiter_keeps_the_contract() -> None:
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal(2400) * np.linspace(0, 2, 2400)).astype(np.float32)
    out = verify_contract(lambda: Limiter(LimiterSettings()), audio)
    assert len(out) == len(audio)


@pytest.mark.parametrize("vocoder", ["phase", "rtisi"])
def test_the_whole_path_keeps_the_contract(bundle: Bundle, vocoder: str) -> None:
    x = noise_uv(2.0)
    x[900:903, 2] = np.nan
    x[1200:1500, 5] = 7.0
    out = verify_contract(lambda: Pipeline.from_bundle(bundle, vocoder), x, examples=5)
    assert len(out) == bundle.spec.clock.hops_in(len(x)) * VOCODER_HOP
    assert np.abs(out).max() <= 0.5


def test_latency_is_summed_from_the_stages(bundle: Bundle) -> None:
    pipeline = Pipeline.from_bundle(bundle)
    stages = (pipeline.front_end, pipeline.encoder, pipeline.decoder)
    assert total_latency(stages) == bundle.spec.lookahead_s
    assert pipeline.latency == total_latency((*stages, pipeline.vocoder, pipeline.limiter))


def test_hops_know_their_samples_and_times(bundle: Bundle) -> None:
    pipeline = Pipeline.from_bundle(bundle)
    x, stamps = noise_uv(1.0), 50.0 + np.arange(1024) / 1024
    seen = []
    for start in range(0, 1024, 37):
        block = x[start : start + 37]
        for hop in pipeline.hops(block, stamps[start : start + 37], available=99.0):
            times = [hop.started, hop.front_end, hop.encoder, hop.decoder, hop.vocoder]
            assert times == sorted(times)
            assert hop.available == 99.0
            seen.append((hop.index, hop.first_sample, hop.last_sample, hop.lsl_time))
    clock = bundle.spec.clock
    wanted = [(k, clock.end(k - 1), clock.end(k) - 1, stamps[clock.end(k) - 1]) for k in range(66)]
    assert seen == wanted


def test_a_nan_in_one_contact_never_outlives_the_guard(bundle: Bundle) -> None:
    clean, spoiled = noise_uv(8.0), noise_uv(8.0)
    spoiled[1024:1034, 3] = np.nan
    mels = [
        np.array([hop.mel for hop in Pipeline.from_bundle(bundle).hops(x)])
        for x in (clean, spoiled)
    ]
    assert np.isfinite(mels[1]).all()
    # Masked for a second, then the recurrent states forget: seconds later nothing is left of it.
    np.testing.assert_allclose(mels[1][-100:], mels[0][-100:], atol=0.02)


def test_garbage_from_the_network_is_silence_and_is_forgotten(bundle: Bundle) -> None:
    pipeline = Pipeline.from_bundle(bundle)
    x = noise_uv(3.0)
    for hop in pipeline.hops(x[:1024]):
        assert hop.finite
    decoder_graph = pipeline.decoder._graph
    decoder_graph.state("hidden")[:] = np.nan
    hops = [(h.index, h.finite, h.mel.copy(), h.audio) for h in pipeline.hops(x[1024:])]
    index, finite, mel, _ = hops[0]
    assert (index, finite) == (66, False)
    assert (mel == np.float32(LOG_FLOOR)).all()
    assert all(np.isfinite(audio).all() for *_, audio in hops)
    assert all(finite for _, finite, *_ in hops[1:])
    assert [h[0] for h in hops] == list(range(66, 66 + len(hops)))


def test_a_step_writes_into_the_buffers_that_are_kept(bundle: Bundle) -> None:
    encoder = graph(bundle, "encoder")
    encoder.inputs["samples"][:] = 1.0
    for read in (0, 1):
        # Whatever ONNX Runtime wrote elsewhere would leave these values standing.
        encoder.outputs["frame"].fill(np.nan)
        for state in encoder._sets[1 - read].values():
            state.fill(np.nan)
        encoder.run()
        assert np.isfinite(encoder.outputs["frame"]).all()
        assert all(np.isfinite(state).all() for state in encoder._sets[1 - read].values())


def test_memory_does_not_grow_with_hops(bundle: Bundle) -> None:
    pipeline, x = Pipeline.from_bundle(bundle), noise_uv(3.0)
    pipeline.step(x)
    tracemalloc.start()
    try:
        pipeline.step(x)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            pipeline.step(x)
        # Two hundred hops a round: 100 kB in all is less than 200 bytes a hop.
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
