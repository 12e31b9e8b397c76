"""The sound that the policy table of the design asks for, as checks on an `Outcome`."""

from __future__ import annotations

import numpy as np

from tests.faults.session import Outcome
from tests.faults.sound import Span, greatest_likeness, largest_step, repeats, step_bound

# The captured audio is up to this much late: the sound server's own buffer, the recorder's
# fragments of 10 ms, and silence told to 5 ms.
CAPTURE_S = 0.045
# "Faded out within 150 ms plus one burst of the last sample."
SILENT_S = 0.150
# "Resumes within 1 s of the stream's return."
RESUME_S = 1.0
PACKET_S = 16 / 1024
# Playout's delay after a fault beside that before: one packet more or less, and what its control,
# which works over a minute, has not yet taken out.
DELAY_S = 0.020


def clean(outcome: Outcome) -> np.ndarray:
    """Two seconds before the first fault: audio as it should be."""
    first = (
        outcome.injected[0]["time"] if outcome.injected else outcome.heard.times(np.array([1e9]))[0]
    )
    return outcome.heard.between(first - 2.2, first - 0.2)


def check_sounding(outcome: Outcome, start: float, end: float) -> None:
    """No silence of 20 ms or more between two LSL times."""
    holes = [(s.start - start, s.seconds) for s in _silences(outcome, start, end)]
    assert not holes, f"silent (seconds after {start:.3f}, seconds): {holes}"


def silence_for(outcome: Outcome, last_sample: float, least_s: float = 0.1) -> Span:
    """The silence due after the last good sample; must begin in time, and last."""
    spans = [s for s in outcome.heard.silences(least_s) if s.end > last_sample]
    assert spans, f"never silent after {last_sample:.3f}: {outcome.live.lines}"
    late_s = spans[0].start - last_sample
    print(f"silent {1e3 * late_s:.0f} ms after the last sample")
    assert late_s < SILENT_S + PACKET_S + CAPTURE_S, f"silent {late_s:.3f} s after the last sample"
    return spans[0]


def check_resumed(span: Span, returned: float, within_s: float = RESUME_S) -> float:
    """Sound again in time after the stream's return; seconds."""
    after_s = span.end - returned
    print(f"sound {after_s:.2f} s after the return")
    assert after_s < within_s + CAPTURE_S, f"sound {after_s:.3f} s after the return"
    return after_s


def check_clean_edges(outcome: Outcome, start: float, end: float) -> None:
    """No click and no repeated audio between two LSL times: as captured, and as the device took it.

    The second is strict; the first may fail on a machine whose sound server is starved.
    """
    given, rate = outcome.taken(start, end)
    _check_steps(given, step_bound(_taken_clean(outcome), rate), rate, "given to the device")
    audio = outcome.heard.between(start, end)
    _check_steps(audio, step_bound(clean(outcome)), 48_000.0, "captured")
    again = repeats(audio)
    assert not again, f"heard before (seconds after {start:.3f}, lag): {again}"


def _taken_clean(outcome: Outcome) -> np.ndarray:
    first = outcome.injected[0]["time"]
    return outcome.taken(first - 2.2, first - 0.2)[0]


def _check_steps(audio: np.ndarray, bound: float, rate: float, what: str) -> None:
    assert len(audio), f"nothing was {what}"
    step, at = largest_step(audio), int(np.abs(np.diff(audio)).argmax())
    assert step < bound, f"{what}: a step of {step:.4f}, bound {bound:.4f}, at {at / rate:.4f} s"


def check_delay(outcome: Outcome, start: float, end: float) -> float:
    """Playout's delay between two LSL times is as before the first fault; the difference, s."""
    usual = delay(outcome, outcome.injected[0]["time"] - 1.5, outcome.injected[0]["time"] - 0.1)
    found = delay(outcome, start, end) - usual
    print(f"delay {1e3 * found:+.1f} ms beside that before the first fault")
    assert abs(found) < DELAY_S, f"the delay is {1e3 * found:+.1f} ms off"
    return found


def delay(outcome: Outcome, start: float, end: float) -> float:
    """Median time from availability to the DAC of hops available between two LSL times, s."""
    came = outcome.hops["available"]
    chosen = (came >= start) & (came < end) & np.isfinite(outcome.dac)
    assert chosen.sum() > 10, "no audible hops"
    return float(np.median((outcome.dac - came)[chosen]))


def check_fault_free(outcome: Outcome) -> None:
    """The premise of all else: what is clean sounds without a pause, step or repeat."""
    audio = clean(outcome)
    assert len(audio) > 1.9 * 48_000
    check_sounding(outcome, outcome.injected[0]["time"] - 2.2, outcome.injected[0]["time"] - 0.1)
    assert greatest_likeness(audio) < 0.95
    assert np.abs(audio).max() > 0.03


def _silences(outcome: Outcome, start: float, end: float) -> list[Span]:
    return [s for s in outcome.heard.silences() if s.end > start and s.start < end]
