"""The policy table on a virtual clock: what is decoded, what may be heard, what is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.realtime.virtual_stream import FS, PULL, Amplifier, Block, Session

S = int(FS)


def audible(session: Session, since: float = 0.0) -> list[float]:
    return [hop.available for hop in session.hops if not hop.muted and hop.available > since]


@pytest.mark.parametrize("burst", [1, 15, 16, 32, 128, 512])
def test_a_good_stream_is_warmed_and_decoded(burst: int) -> None:
    session = Session(playout_s=0.6)
    session.play(Amplifier(burst).packets(0, 4 * S))
    assert [k for k in session.kinds() if k != "burst"] == ["warming", "decoding"]
    # Muted for the warm-up and until what was decoded in it has been played.
    first = next(hop for hop in session.hops if not hop.muted)
    assert first.index == int(np.ceil(1.6 / 0.015)) - 1
    session.check_grid()
    assert len(session.hops) == int(4 / 0.015)
    # Within one sample and the rounding of what a pull brings at a time.
    assert session.core.burst_s == pytest.approx((burst - 1) / S, abs=2e-3)


@pytest.mark.parametrize("burst", [4, 32])
@pytest.mark.parametrize("lost", [17, 49, 51])
@pytest.mark.parametrize("jitter_s", [0.0, 0.0002])
def test_a_small_loss_is_bridged_at_once_if_stamps_are_quiet(
    burst: int, lost: int, jitter_s: float
) -> None:
    session, start = Session(), 5 * S + 7
    amplifier = Amplifier(burst, ppm=200, jitter_s=jitter_s)
    session.play(amplifier.packets(0, 8 * S, [range(start, start + lost)]))
    counts = session.core.counts
    # A jitter of 0.2 ms a packet, each way, and one of rounding.
    assert abs(counts.lost_samples - lost) <= (0 if jitter_s == 0 else 2)
    assert counts.bridged_samples == counts.lost_samples == sum(h.bridged for h in session.hops)
    assert set(session.kinds()) <= {"warming", "decoding", "burst", "bridged"}
    (told,) = session.all("bridged")
    assert told.time < 1000 + (start + lost + burst) / S + 0.05
    if jitter_s == 0:
        session.check_grid()


@pytest.mark.parametrize("burst", [4, 16, 32])
@pytest.mark.parametrize("lost", [20, 49])
def test_a_small_loss_is_bridged_within_a_quarter_second_of_jitter(burst: int, lost: int) -> None:
    session, start = Session(), 6 * S
    amplifier = Amplifier(burst, ppm=-200, jitter_s=0.004, seed=burst)
    session.play(amplifier.packets(0, 10 * S, [range(start, start + lost)]))
    # The minimum of ten packets or more, each late by 4 ms |N(0, 1)|: 0.5 ms on average.
    assert abs(session.core.counts.bridged_samples - lost) <= 3
    (told,) = session.all("bridged")
    # 10 buckets of 25 ms, each rounded up to whole bursts.
    assert told.time - 1000 - (start + lost) / S < 0.36 + burst / S
    assert session.core.counts.cold_starts == 0


@pytest.mark.parametrize("burst", [4, 32, 128])
@pytest.mark.parametrize("lost", [53, 120, 5000])
def test_a_longer_loss_is_a_cold_start(burst: int, lost: int) -> None:
    session, start = Session(playout_s=0.15), 5 * S
    session.play(Amplifier(burst).packets(0, 11 * S, [range(start, start + lost)]))
    session.check_grid()
    assert session.core.counts.lost_samples == lost
    assert session.core.counts.bridged_samples == 0
    assert session.core.counts.cold_starts == 1
    back = 1000 + (start + lost + burst) / S
    (gap,) = session.all("gap")
    assert gap.time <= back + 0.01
    heard = audible(session, since=gap.time - 0.001)
    # Re-warming takes 0.4 s, and the playout delay until that has been played.
    assert heard[0] - back == pytest.approx(0.4 + 0.15, abs=0.03 + burst / S)
    assert session.state == "decoding"


@pytest.mark.parametrize("seconds", [10.0, -10.0, 0.7, -0.7])
def test_a_clock_jump_is_a_cold_start_that_loses_nothing(seconds: float) -> None:
    session, amplifier = Session(), Amplifier(16)
    session.play(amplifier.packets(0, 5 * S))
    amplifier.ahead_s = seconds
    session.play(amplifier.packets(5 * S, 12 * S))
    session.check_grid()
    (jump,) = session.all("clock jump")
    assert jump.details["seconds"] == pytest.approx(seconds, abs=0.002)
    assert jump.time - 1005 < 0.3
    assert session.core.counts.cold_starts == 1
    assert session.core.counts.lost_samples == 0
    assert session.state == "decoding"
    assert min(audible(session, since=jump.time)) - jump.time < 0.6


@pytest.mark.parametrize("early_s", [0.03, 0.1, 0.4, 5.0])
def test_single_packets_stamped_too_early_are_borne(early_s: float) -> None:
    session = Session()
    blocks = list(Amplifier(16).packets(0, 10 * S))
    for k in range(200, len(blocks), 97):
        blocks[k] = replace(blocks[k], timestamps=blocks[k].timestamps - early_s)
    session.play(blocks)
    session.check_grid()
    assert [k for k in session.kinds() if k != "burst"] == ["warming", "decoding"]
    assert session.core.counts.lost_samples == session.core.counts.bridged_samples == 0


@pytest.mark.parametrize("burst", [1, 16, 32, 100])
def test_stamps_given_at_push_one_by_one_are_borne(burst: int) -> None:
    """Drivers that stamp every sample when they push it: bursts of nearly the same stamp."""
    session = Session(playout_s=0.2)
    blocks = [
        replace(b, timestamps=b.timestamps[-1] + 1e-5 * np.arange(len(b.timestamps)))
        for b in Amplifier(burst, jitter_s=0.001).packets(0, 8 * S)
    ]
    session.play(blocks)
    session.check_grid()
    assert [k for k in session.kinds() if k != "burst"] == ["warming", "decoding"]
    assert session.core.counts.lost_samples == session.core.counts.duplicate_samples == 0


@pytest.mark.parametrize("overlap_s", [0.005, 0.03])
def test_stamps_that_overlap_from_packet_to_packet_are_borne(overlap_s: float) -> None:
    session, rng = Session(), np.random.default_rng(1)
    blocks = [
        replace(b, timestamps=b.timestamps - float(rng.uniform(0, overlap_s)))
        for b in Amplifier(16).packets(0, 8 * S)
    ]
    session.play(blocks)
    session.check_grid()
    assert session.core.counts.cold_starts == session.core.counts.duplicate_samples == 0
    assert session.core.counts.lost_samples == 0


@pytest.mark.parametrize("count", [1, 16, 100])
def test_what_is_sent_twice_is_dropped(count: int) -> None:
    session = Session()
    blocks = list(Amplifier(32).packets(0, 6 * S))
    at = 150
    tail = [blocks[at - k] for k in range(4, -1, -1)]
    samples = np.concatenate([b.samples for b in tail])[-count:]
    stamps = np.concatenate([b.timestamps for b in tail])[-count:]
    again = Block(samples, stamps, blocks[at].available)
    session.play([*blocks[: at + 1], again, *blocks[at + 1 :]])
    session.check_grid()
    assert session.core.counts.duplicate_samples == count
    assert session.core.counts.lost_samples == 0
    (told,) = session.all("duplicates dropped")
    assert told.details["samples"] == count
    assert [k for k in session.kinds() if k in ("warming", "decoding", "cold start")] == [
        "warming",
        "decoding",
    ]


def late(blocks: list[Block], by_s: float, start_s: float) -> list[Block]:
    """What was sent in a span reaches us at its end, in one burst."""
    end = 1000 + start_s + by_s
    return [
        replace(b, available=max(b.available, end)) if b.available > 1000 + start_s else b
        for b in blocks
    ]


def test_data_of_a_short_hold_up_are_caught_up_with() -> None:
    """A process that was stopped for 2 s steps through everything."""
    session = Session()
    session.play(late(list(Amplifier(16).packets(0, 12 * S)), 2.0, 5.0))
    session.check_grid()
    assert [hop.index for hop in session.hops] == list(range(800))
    assert session.core.counts.cold_starts == session.core.counts.skipped_samples == 0
    # Hops of the burst are overdue by what they are late.
    overdue = [hop.available - hop.due for hop in session.hops]
    assert max(overdue) == pytest.approx(2.0, abs=0.05)
    assert overdue[-1] < 0.05
    assert [e.kind for e in session.events if e.kind != "burst"] == [
        *("warming", "decoding", "degraded", "muted", "decoding")
    ]


def test_data_older_than_the_limit_are_skipped() -> None:
    session = Session()
    session.play(late(list(Amplifier(16).packets(0, 60 * S)), 40.0, 5.0))
    session.check_grid()
    (skipped,) = session.all("skipped")
    counts = session.core.counts
    assert skipped.details["samples"] == counts.skipped_samples
    assert 39 * S < counts.skipped_samples <= 40 * S
    assert counts.cold_starts == 1
    heard = audible(session, since=1006)
    assert 1045 < heard[0] < 1045.7
    assert not [hop for hop in session.hops if hop.available - hop.due > 0.3]


@pytest.mark.parametrize("burst", [1, 32, 512])
def test_a_stalled_stream_is_muted_in_time(burst: int) -> None:
    session = Session(playout_s=0.7)
    stop = 6 * S
    session.play(Amplifier(burst).packets(0, stop))
    session.wait(1010.0)
    (muted,) = session.all("muted")
    # 150 ms after a burst after the last sample, the fade and the device's buffer included.
    assert muted.time - (1000 + stop / S) < 0.12 + 0.01 + burst / S + 0.02
    assert muted.details["why"] == "no samples come"
    assert session.state == "muted"


def test_loss_return_and_refusal() -> None:
    session = Session()
    session.play(Amplifier(16).packets(0, 5 * S))
    session.core.lost("the stream went away", 1005.02)
    assert session.state == "waiting"
    session.wait(1006)
    session.core.refused("2 of 10 contacts are missing", 1006.0)
    session.core.refused("2 of 10 contacts are missing", 1006.3)
    assert (session.state, session.core.states.why) == ("muted", "2 of 10 contacts are missing")
    assert len(session.all("refused")) == 1
    # Another reason is another event.
    session.core.refused("it runs at 2048 Hz", 1006.6)
    session.core.refused("it runs at 2048 Hz", 1006.9)
    assert [event.details["why"] for event in session.all("refused")] == [
        "2 of 10 contacts are missing",
        "it runs at 2048 Hz",
    ]
    assert session.core.states.why == "it runs at 2048 Hz"
    session.core.connected(1009.9)
    # Another process, whose clock has nothing to do with the old one's.
    session.play(Amplifier(16, origin=1009.9, ahead_s=5e5).packets(0, 4 * S))
    assert session.state == "decoding"
    assert audible(session, since=1006)[0] - 1009.9 < 0.55
    # The index tells the time: 15 ms a hop over the hole too.
    hops = session.hops
    before = next(hop for hop in reversed(hops) if hop.available < 1006)
    after = next(hop for hop in hops if hop.available > 1006)
    elapsed = after.available - before.available
    assert (after.index - before.index) * 0.015 == pytest.approx(elapsed, abs=0.035)
    hole = [hop.mel[0] for hop in hops if hop.available > 1006]
    assert hole[0] < 32


def test_masks_degrade_then_mute_then_clear() -> None:
    session = Session()
    blocks = list(Amplifier(16).packets(0, 9 * S))
    for block in blocks:
        second = block.available - 1000
        if 4 <= second < 8:
            block.samples[:, 1] = np.nan
        if 5 <= second < 7:
            block.samples[:, 2:4] = np.nan
    session.play(blocks)
    told = [(e.kind, e.details.get("reasons")) for e in session.events if e.kind != "burst"]
    assert [kind for kind, _ in told if kind != "masks"] == [
        *("warming", "decoding", "degraded", "muted", "degraded", "decoding")
    ]
    masks = [e.details["contacts"] for e in session.all("masks")]
    assert masks == [["A2"], ["A2", "A3", "A4"], ["A2"], []]
    muted = [hop.available for hop in session.hops if hop.muted and hop.available > 1003]
    assert min(muted) == pytest.approx(1005, abs=0.03)
    assert max(muted) == pytest.approx(1007, abs=0.03)


def test_a_network_that_gives_no_numbers_is_named_for_a_second() -> None:
    """Its hop is silent and its states reset (`test_pipeline`); here: told, and over by itself."""
    session = Session()
    blocks = list(Amplifier(16).packets(0, 8 * S))
    decode = session.pipeline.decoder.step
    bad = range(300, 303)

    def sometimes(rows: np.ndarray) -> np.ndarray:
        mel = decode(rows)
        return mel * np.float32(np.nan) if session.pipeline.next_hop in bad else mel

    session.pipeline.decoder.step = sometimes  # type: ignore[method-assign]
    session.play(blocks)
    session.core.stop("told to", 1008.0)
    told = session.all("not finite")
    assert sum(event.details["hops"] for event in told) == len(bad)
    (degraded,) = session.all("degraded")
    assert degraded.details["why"] == "the network gave no numbers"
    over = next(e for e in session.all("decoding") if e.time > degraded.time)
    assert over.time - degraded.time == pytest.approx(1.0 + 0.03, abs=0.05)
    # Not one hop is left out for it.
    assert [hop.index for hop in session.hops] == list(range(len(session.hops)))


def test_contacts_that_are_given_up_do_not_count_as_masked() -> None:
    """Three of ten were given up, by name; one of the seven others may be masked, two not."""
    session = Session(given_up=("A2", "A3", "A4"))
    blocks = list(Amplifier(16).packets(0, 8 * S))
    for block in blocks:
        block.samples[:, 1:4] = np.nan
        second = block.available - 1000
        if 4 <= second < 6:
            block.samples[:, 5] = np.nan
        if 5 <= second < 6:
            block.samples[:, 6] = np.nan
    session.play(blocks)
    told = [event.kind for event in session.events if event.kind not in ("burst", "masks")]
    assert told == ["warming", "decoding", "degraded", "muted", "decoding"]
    assert [e.details["contacts"] for e in session.all("masks")] == [["A6"], ["A6", "A7"], []]


def test_operator_and_other_faults() -> None:
    session = Session()
    session.play(Amplifier(16).packets(0, 3 * S))
    for reason, state in (("operator", "muted"), ("late", "degraded"), ("sound", "degraded")):
        session.core.fault(reason, "because", 1003.0)
        assert session.state == state
        session.core.fault(reason, None, 1003.0)
        assert session.state == "decoding"
    session.core.stop("told to", 1003.1)
    assert session.state == "stopped"


def scrambled(session: Session, seed: int) -> list[Block]:
    """Everything at once: losses, repeats, hold-ups, bursts of any size."""
    rng = np.random.default_rng(seed)
    blocks: list[Block] = []
    number = 0
    while number < 10 * S:
        burst = int(rng.integers(1, 200))
        blocks += Amplifier(burst, delay_s=0.002).packets(number, number + burst)
        number += burst
        fate = rng.random()
        if number > 2 * S and fate < 0.02:
            number += int(rng.choice([20, 45, 60, 400, 3000]))
        elif fate < 0.05:
            blocks.append(blocks[-1])
    if rng.random() < 0.5:
        blocks = late(blocks, float(rng.choice([0.2, 2.0, 4.0])), float(rng.uniform(2, 6)))
    return blocks


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_whatever_comes_the_grid_is_true(seed: int) -> None:
    session = Session()
    blocks = scrambled(session, seed)
    session.play(blocks)
    session.check_grid()
    counts = session.core.counts
    received = sum(len(b.timestamps) for b in blocks)
    last = int(max(b.samples[:, 0].max() for b in blocks)) + 1
    assert received - counts.duplicate_samples + counts.lost_samples == last
    assert counts.bridged_samples >= sum(hop.bridged for hop in session.hops)


@given(st.integers(0, 10_000))
@settings(max_examples=4, deadline=None)
def test_the_same_calls_give_the_same_bits(seed: int) -> None:
    told, mels = [], []
    for _ in range(2):
        session = Session()
        session.play(scrambled(session, seed))
        told.append(session.events)
        mels.append(np.array([hop.mel for hop in session.hops]))
    assert told[0] == told[1]
    np.testing.assert_array_equal(mels[0], mels[1])


@given(st.integers(0, 10_000), st.floats(-200, 200, allow_subnormal=False))
@settings(max_examples=6, deadline=None)
def test_chunking_and_drift_never_look_like_a_loss(seed: int, ppm: float) -> None:
    rng = np.random.default_rng(seed)
    session, number = Session(), 0
    parts = []
    while number < 12 * S:
        burst = int(rng.integers(1, PULL))
        jitter_s = float(rng.choice([0.0, 0.0005, 0.003]))
        parts.append(Amplifier(burst, ppm, jitter_s, seed=seed).packets(number, number + burst))
        number += burst
    session.play(chain.from_iterable(parts))
    session.check_grid()
    assert session.core.counts.lost_samples == session.core.counts.cold_starts == 0
