"""What training is measured against: a plain loop of the same network.

The loop does what the published code does (Kohler et al. 2022): torch's own GRU encodes, and then
for every frame Python steps attention, decoder and post-net. Weights, inputs and results are the
same; a test holds them together.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.hops import HopClock
from models.networks.attention import Memory
from models.networks.decoder import DecoderState
from models.networks.network import SpeechNetwork
from models.networks.unrolled import shift
from models.spec import NetworkSpec

BATCH = 32
CONTACTS = 112


def plain_encode(network: SpeechNetwork, features: Tensor) -> Tensor:
    """Encoder frames `(batch, ticks, size)` of a whole run, by torch's own GRU."""
    encoder = network.encoder
    whole = features.shape[1] // network.stride * network.stride
    state = encoder.initial_state(len(features))
    frames: Tensor = encoder.conv(features[:, :whole], state.tails)[0]
    for gru, hidden in zip(encoder.grus, state.hidden, strict=True):
        frames, _ = gru(frames, hidden)
    return frames


def plain_forward(
    network: SpeechNetwork, features: Tensor, ticks: Sequence[int], teacher: Tensor, forced: Tensor
) -> tuple[Tensor, Tensor]:
    """`SpeechNetwork.forward` of a causal network, frame by frame: before and after the post-net.

    Parameters
    ----------
    network : a causal one.
    features, ticks, teacher, forced : as in `SpeechNetwork.forward`.
    """
    encoded = plain_encode(network, features)
    batch, decoder, done = len(features), network.decoder, 0
    # As published, keys are computed once, before the loop.
    encoded_keys = decoder.attention.keys(encoded)
    frames = encoded.new_zeros(batch, network.places, encoded.shape[2])
    keys = encoded_keys.new_zeros(batch, network.places, encoded_keys.shape[2])
    valid = encoded.new_zeros(batch, network.places)
    state, tails = decoder.initial_state(batch), network.postnet.initial_tails(batch)
    steps = []
    for hop, tick in enumerate(ticks):
        new = tick - done
        frames = torch.cat([frames, encoded[:, done:tick]], 1)[:, -network.places :]
        valid = F.pad(valid, (0, new), value=1.0)[:, -network.places :]
        keys = torch.cat([keys, encoded_keys[:, done:tick]], 1)[:, -network.places :]
        memory = Memory(frames, keys, valid)
        moved = DecoderState(shift(state.alignment, new), state.last, state.hidden)
        output, state = decoder(memory, moved)
        corrected, tails = network.postnet(output[:, None], tails)
        fed = torch.where(forced[hop][:, None], teacher[:, hop], state.last)
        state, done = state._replace(last=fed), tick
        steps.append((decoder.frames(output), decoder.frames(corrected[:, 0])))
    before, after = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
    return before, after


def measure_training_speed(
    spec: NetworkSpec | None = None,
    batch: int = BATCH,
    hops: int = 0,
    rounds: int = 9,
    threads: int = 2,
    teacher_ratio: float = 1.0,
) -> dict[str, Any]:
    """Decoded frames per second of a training step, forward and backward: ours, and plainly looped.

    Both take turns over the same batch; figures are medians over the rounds.

    Parameters
    ----------
    spec : a causal network's shapes; the published sizes if none.
    batch : windows per step.
    hops : frames per window; those of the attention's memory if 0 (13 in 200 ms).
    rounds : how often each takes its turn, after one that does not count.
    threads : of torch, restored afterwards.
    teacher_ratio : share of true frames fed back; 1 as in the published training.

    Returns
    -------
    `frames_per_s`, `plain_frames_per_s`, `ratio` (median of the rounds' own ratios), and settings.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours, plain, frames = _actions(spec or NetworkSpec(), batch, hops, teacher_ratio)
        times = [(_time(ours), _time(plain)) for _ in range(rounds + 1)][1:]
    finally:
        torch.set_num_threads(before)
    return {
        "frames_per_s": round(frames / statistics.median(a for a, _ in times), 1),
        "plain_frames_per_s": round(frames / statistics.median(b for _, b in times), 1),
        "ratio": round(statistics.median(b / a for a, b in times), 2),
        "batch": batch,
        "frames_per_step": frames,
        "rounds": rounds,
        "threads": threads,
        "teacher_ratio": teacher_ratio,
    }


def _actions(
    spec: NetworkSpec, batch: int, hops: int, teacher_ratio: float
) -> tuple[Callable[[], None], Callable[[], None], int]:
    clock = HopClock(Fraction(1024))
    memory = clock.memory_frames(Fraction(str(spec.memory_ms)) / 1000)
    network = SpeechNetwork(spec, CONTACTS, clock.stride, memory).train()
    hops = hops or network.window_hops
    ticks = [clock.ticks(k) for k in range(hops)]
    features = torch.randn(batch, clock.end(hops - 1), CONTACTS)
    truth = torch.randn(batch, hops, network.bands)
    forced = torch.rand(hops, batch) < teacher_ratio

    def ours() -> None:
        out = network(features, ticks, truth, forced)
        _descend(network, out.before, out.after, truth)

    def plain() -> None:
        _descend(network, *plain_forward(network, features, ticks, truth, forced), truth)

    return ours, plain, batch * hops


def _descend(network: SpeechNetwork, before: Tensor, after: Tensor, truth: Tensor) -> None:
    network.zero_grad(set_to_none=True)
    loss = F.mse_loss(before, truth) + F.mse_loss(after, truth)
    loss.backward()  # type: ignore[no-untyped-call]


def _time(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> int:
    """Print the comparison."""
    import sys

    found = measure_training_speed()
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
