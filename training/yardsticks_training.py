"""What training is measured against: a plain loop of the same network; and what else it costs.

    python -m training.yardsticks_training [step] [epoch] [features]

`step` is a training step at the published sizes, batch 32, windows of 200 ms, beside loops as the
published code has them (Kohler et al. 2022): torch's own GRU encodes, then for every frame Python
attends and steps the decoder. That code calls the post-net for every frame, too; a plain loop may
as well call it once for all frames, and has to where the post-net is centred. Both are measured.
Weights, inputs and results are the same; a test holds them together. `epoch` trains the causal
network on 10 minutes, `features` takes 30 minutes through the front end. Inputs are noise: nothing
here depends on values.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.hops import HopClock, encoder_stride
from models.networks.attended_step import shift
from models.networks.attention import Ages, Memory
from models.networks.decoder import Decoder, DecoderState
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec, NetworkSpec
from models.streaming import Floats
from training.features import FeatureStore
from training.fit import fit
from training.settings import ExperimentSettings
from training.stretches import Part

BATCH = 32
CONTACTS = 112
RATE_HZ = 1024
Pair = tuple[Tensor, Tensor]


def plain_encode(network: SpeechNetwork, features: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Encoder frames `(batch, ticks, size)` of a run and last states, by torch's own GRU."""
    encoder = network.encoder
    whole = features.shape[1] // network.stride * network.stride
    state = encoder.initial_state(len(features))
    frames: Tensor = encoder.conv(features[:, :whole], state.tails)[0]
    if not network.spec.causal:
        frames = torch.cat([frames, encoder._positions(frames)], 2)
    last = []
    for gru, hidden in zip(encoder.grus, state.hidden, strict=True):
        frames, hidden = gru(frames, hidden)
        last.append(hidden)
    return frames, last


def plain_step(
    decoder: Decoder, memory: Memory, ages: Ages, state: DecoderState
) -> tuple[Tensor, DecoderState]:
    """One frame by the layers' own modules: output `(batch, width)` and next state."""
    attention, hidden = decoder.attention, state.hidden[0]
    context, alignment = attention(
        attention.query_of(hidden), memory, ages, attention.locate(state.alignment)
    )
    fed = state.last if decoder.prenet is None else decoder.prenet(state.last)
    _, following = decoder.gru(torch.cat([context, fed], 1)[:, None], state.hidden)
    output = decoder.project(F.elu(decoder.dense(torch.cat([following[0], context], 1))))
    return output, DecoderState(alignment, decoder.frames(output), following)


def plain_forward(
    network: SpeechNetwork,
    features: Tensor,
    ticks: Sequence[int],
    teacher: Tensor,
    forced: Tensor,
    stepped_postnet: bool = False,
) -> Pair:
    """`SpeechNetwork.forward` frame by frame: frames before and after the post-net.

    Parameters
    ----------
    network : causal; or not, for runs of one window without context, not reversed in time.
    features, ticks, teacher, forced : as in `SpeechNetwork.forward`.
    stepped_postnet : call the post-net for every frame, if causal; else once for all.
    """
    decoder, postnet, batch = network.decoder, network.postnet, len(features)
    memories, hidden = _memories(network, features, ticks)
    alignment, last, _ = decoder.initial_state(batch)
    state, tails = DecoderState(alignment, last, hidden), postnet.initial_tails(batch)
    outputs, corrected = [], []
    for hop, (memory, ages, new) in enumerate(memories):
        moved = state._replace(alignment=shift(state.alignment, new) if new else state.alignment)
        output, state = plain_step(decoder, memory, ages, moved)
        outputs.append(output)
        if stepped_postnet:
            frame, tails = postnet(output[:, None], tails)
            corrected.append(frame[:, 0])
        fed = torch.where(forced[hop][:, None], teacher[:, hop], state.last)
        state = state._replace(last=fed)
    before = torch.stack(outputs, 1)
    after = torch.stack(corrected, 1) if corrected else postnet(before, tails)[0]
    return decoder.frames(before), decoder.frames(after)


def _memories(
    network: SpeechNetwork, features: Tensor, ticks: Sequence[int]
) -> tuple[Iterator[tuple[Memory, Ages, int]], Tensor]:
    """What each frame attends to, with the number of new frames in it, and the first GRU state."""
    frames, last = plain_encode(network, features)
    keys, table = network.decoder.attention.keys(frames), network.decoder.attention.age_table()
    if network.spec.causal:
        cold = network.decoder.initial_state(len(features)).hidden
        return _rings(network, Memory(frames, keys, None), table, ticks), cold
    assert network.bridge is not None
    hidden = network.bridge(torch.cat([way for states in last for way in states], 1))
    ages = network.windows(ticks).ages(table, len(features))
    return ((Memory(frames, keys, None), age, 0) for age in ages), hidden[None]


def _rings(
    network: SpeechNetwork, run: Memory, ages: Ages, ticks: Sequence[int]
) -> Iterator[tuple[Memory, Ages, int]]:
    places, done, batch = network.places, 0, len(run.frames)
    frames = run.frames.new_zeros(batch, places, run.frames.shape[2])
    keys = run.keys.new_zeros(batch, places, run.keys.shape[2])
    valid = frames.new_zeros(batch, places)
    for tick in ticks:
        frames = torch.cat([frames, run.frames[:, done:tick]], 1)[:, -places:]
        keys = torch.cat([keys, run.keys[:, done:tick]], 1)[:, -places:]
        valid = F.pad(valid, (0, tick - done), value=1.0)[:, -places:]
        yield Memory(frames, keys, valid), ages, tick - done
        done = tick


def measure_training_speed(
    spec: NetworkSpec | None = None,
    batch: int = BATCH,
    rounds: int = 9,
    threads: int = 2,
    teacher_ratio: float = 1.0,
) -> dict[str, Any]:
    """Decoded frames per second of a training step, forward and backward: ours, and plainly looped.

    All take turns over the same batch of windows of `memory_ms`; figures are medians over rounds.

    Parameters
    ----------
    spec : the network's shapes; the published sizes, causal, if none.
    batch : windows per step.
    rounds : how often each takes its turn, after one that does not count.
    threads : of torch, restored afterwards.
    teacher_ratio : share of true frames fed back; 1 as in the published training.

    Returns
    -------
    `frames_per_s`, `plain_frames_per_s`, `ratio` (median of the rounds' own ratios); if causal,
    also `stepped_postnet_frames_per_s` and `stepped_postnet_ratio`; and settings.
    """
    with _threads(threads):
        actions, frames = _actions(spec or NetworkSpec(), batch, teacher_ratio)
        rows = [[_time(action) for action in actions.values()] for _ in range(rounds + 1)][1:]
    times = dict(zip(actions, zip(*rows, strict=True), strict=True))
    found: dict[str, Any] = {}
    for name, took in times.items():
        found[f"{name}frames_per_s"] = round(frames / statistics.median(took), 1)
    for name in list(times)[1:]:
        ratios = [b / a for a, b in zip(times[""], times[name], strict=True)]
        found[f"{name.removeprefix('plain_')}ratio"] = round(statistics.median(ratios), 2)
    settings = {"rounds": rounds, "threads": threads, "teacher_ratio": teacher_ratio}
    return {**found, "batch": batch, "frames_per_step": frames, **settings}


def _actions(
    spec: NetworkSpec, batch: int, teacher_ratio: float
) -> tuple[dict[str, Callable[[], None]], int]:
    clock = HopClock(Fraction(RATE_HZ))
    memory = clock.memory_frames(Fraction(str(spec.memory_ms)) / 1000)
    network = SpeechNetwork(spec, CONTACTS, clock.stride, memory).train()
    hops = network.window_hops
    ticks = [clock.ticks(k) for k in range(hops)]
    # Not causal: the whole window, whose last frames lie behind its last hop.
    samples = clock.end(hops - 1) if spec.causal else network.places * network.stride
    features = torch.randn(batch, samples, CONTACTS)
    truth = torch.randn(batch, hops, network.bands)
    forced = torch.rand(hops, batch) < teacher_ratio

    def ours() -> Pair:
        out = network(features, ticks, truth, forced)
        return out.before, out.after

    def plain() -> Pair:
        return plain_forward(network, features, ticks, truth, forced)

    def stepped() -> Pair:
        return plain_forward(network, features, ticks, truth, forced, stepped_postnet=True)

    ways = {"": ours, "plain_": plain, **({"stepped_postnet_": stepped} if spec.causal else {})}
    return {name: _training_step(network, way, truth) for name, way in ways.items()}, batch * hops


def _training_step(
    network: SpeechNetwork, forward: Callable[[], Pair], truth: Tensor
) -> Callable[[], None]:
    def step() -> None:
        network.zero_grad(set_to_none=True)
        loss = sum(F.mse_loss(frames, truth) for frames in forward())
        loss.backward()  # type: ignore[union-attr]

    return step


def measure_epoch(minutes: float = 10.0, threads: int = 2) -> dict[str, Any]:
    """Seconds in which the causal network is trained on as many hops as a recording has.

    The default settings' stretches, batch and augmentation; 112 contacts at 1024 Hz.
    """
    spec = _spec()
    clock, optimiser = spec.clock, ExperimentSettings().optimiser
    hops = int(Fraction(str(minutes)) * 60 / spec.hop_s)
    phase = optimiser.network
    steps = -(-hops // (phase.batch * phase.stretch_hops))
    mel = np.random.default_rng(1).standard_normal((hops, 80), dtype=np.float32)
    part = Part(_noise(clock.end(hops - 1)), mel, clock)
    run = phase.model_copy(update={"steps": steps, "check_every": steps})
    idle = optimiser.encoder.model_copy(update={"steps": 0})
    phases = optimiser.model_copy(update={"network": run, "encoder": idle, "max_minutes": 1e6})
    settings = ExperimentSettings().model_copy(update={"optimiser": phases})
    with _threads(threads):
        fitted = fit([part], spec, settings, progress=False)
    seconds = fitted.provenance["phases"]["network"]["used_s"]
    return {
        "minutes": minutes,
        "epoch_s": round(seconds, 1),
        "epoch_steps": steps,
        "epoch_threads": threads,
    }


def measure_features(minutes: float = 30.0) -> dict[str, Any]:
    """Seconds of the front end, one thread: statistics and features, computed and from the cache.

    The recording is in memory; from the cache its content is hashed and every feature read.
    """
    spec, seeg = _spec(), _noise(int(minutes * 60 * RATE_HZ))

    def run() -> None:
        store = FeatureStore(spec, Path(folder))
        features = store.features(seeg, store.statistics([seeg]))
        for first in range(0, len(features), 1 << 16):
            features[first : first + (1 << 16)].sum()

    with tempfile.TemporaryDirectory() as folder:
        computed, cached = _time(run), _time(run)
    return {
        "minutes": minutes,
        "contacts": CONTACTS,
        "features_s": round(computed, 1),
        "features_cached_s": round(cached, 1),
    }


def _spec() -> BundleSpec:
    return BundleSpec(
        name="noise",
        contacts=tuple(f"{'ABCDEFGH'[i // 14]}{i % 14 + 1}" for i in range(CONTACTS)),
        fs_hz=Fraction(RATE_HZ),
        stride=encoder_stride(Fraction(RATE_HZ)),
    )


def _noise(samples: int) -> Floats:
    return np.random.default_rng(0).standard_normal((samples, CONTACTS), dtype=np.float32)


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _time(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _steps(rounds: int, threads: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, causal in (("causal", True), ("published", False)):
        for feeding, ratio in (("teacher-forced", 1.0), ("free-running", 0.0)):
            spec = NetworkSpec(causal=causal)
            found = measure_training_speed(
                spec, rounds=rounds, threads=threads, teacher_ratio=ratio
            )
            yield f"{name}, {feeding}", found


def main(args: Sequence[str] | None = None) -> int:
    """Print what was asked for."""
    asked = argparse.ArgumentParser(description="What training costs.")
    asked.add_argument("what", nargs="*", help="step, epoch, features (default: all)")
    asked.add_argument("--rounds", type=int, default=9, help="of the step (default: 9)")
    asked.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    options = asked.parse_args(args)
    what = options.what or ["step", "epoch", "features"]
    tables = _steps(options.rounds, options.threads) if "step" in what else iter(())
    for title, found in tables:
        _print(title, found)
    if "epoch" in what:
        _print("epoch", measure_epoch(threads=options.threads))
    if "features" in what:
        _print("features", measure_features())
    return 0


def _print(title: str, found: dict[str, Any]) -> None:
    sys.stdout.write(f"{title}\n" + "".join(f"  {k}: {v}\n" for k, v in found.items()))
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
