"""From the ring to the device's next block: prefill, fades, trims, resampling. No I/O, no clock.

States: filling (silence until enough waits) and playing. Running dry fades the last samples out,
fills again and fades in; nothing is ever repeated. A delay that has become too long is shortened in
the next pause of the speech, where nothing is heard of it; much too long, it is cut at once by a
cross-fade to newer audio.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import samplerate

from models.streaming import Floats
from realtime.fades import rise
from realtime.playout.control import DelayControl, DeviceClock
from realtime.playout.exchange import AUDIO, MARKS, Count, Exchange, Value
from realtime.playout.settings import RATE_HZ, PlayoutSettings

# A prime, so that blocks do not beat with the periods of devices or with hops.
BLOCK = 67
# Kept back so that there is something to fade when the producer falls silent.
RESERVE = 48
HOP = 240
FADE_IN = rise(BLOCK)
# A trough must last this long before audio is cut, or every burst would be.
TROUGH_BLOCKS = 15
# Half of what the delay may be off; resampling keeps it nearer than that unless a device stalls.
SLACK = int(0.0025 * RATE_HZ)
RECENT_HOPS = 4
RECENT_S = 0.1


class Fader:
    """The mute: a gain that moves between 0 and 1 within one hop, along a raised cosine."""

    def __init__(self) -> None:
        self._at = 1.0
        self._steps = np.arange(1, 4 * BLOCK + 1) / HOP

    def step(self, audio: Floats, mute: bool) -> Floats:
        """Fade `(n,)`, n up to 4 blocks, towards or away from silence."""
        goal = 0.0 if mute else 1.0
        if self._at == goal:
            return audio if goal else np.zeros_like(audio)
        moved = self._steps[: len(audio)] if goal else -self._steps[: len(audio)]
        path = np.clip(self._at + moved, 0.0, 1.0)
        self._at = float(path[-1])
        return (audio * (0.5 - 0.5 * np.cos(np.pi * path))).astype(np.float32)


class Engine:
    """Renders device blocks from an `Exchange`; the caller writes them and says so.

    Parameters
    ----------
    exchange : the ring and its counters.
    settings : target, headroom and ceiling are used here.
    rate : of the device, Hz.
    device_delay_s : from entering a full device to the DAC, s.
    """

    def __init__(
        self, exchange: Exchange, settings: PlayoutSettings, rate: int, device_delay_s: float
    ) -> None:
        self._x, self._rate, self._device_delay = exchange, rate, device_delay_s
        self._ceiling = np.float32(settings.ceiling)
        target = int(settings.target_ms * RATE_HZ / 1000)
        self._least = max(target - HOP, BLOCK + RESERVE)
        # At a mean delay of `target`, the ring's troughs lie below it.
        self._cap = target + int(settings.headroom_ms * RATE_HZ / 1000)
        self._control = DelayControl(settings.target_ms / 1000)
        self._clock = DeviceClock(rate)
        self._resampler = samplerate.Resampler("sinc_fastest", channels=1)
        self._fader = Fader()
        self._read = exchange[Count.WRITTEN]
        self._mark = exchange[Count.MARKS_WRITTEN]
        self._frames, self._inside, self._taken = 0, 0.0, 0
        self._playing = self._fresh = False
        self._last = np.float32(0.0)
        self._troughs: deque[int] = deque(maxlen=TROUGH_BLOCKS)

    @property
    def ratio_ppm(self) -> float:
        """How far the resampling ratio is from nominal, parts per million."""
        return self._control.ratio_ppm

    def render(self) -> Floats:
        """Next block for the device, mono, `(n,)` at its rate; n varies by a frame or so."""
        self._taken = 0
        audio = self._play() if self._playing else self._fill()
        mute = bool(self._x[Count.MUTE]) or bool(self._x[Count.STOP])
        if not np.isfinite(audio).all():
            # The limiter should have caught it; a NaN would stay in the resampler's history.
            audio = np.zeros_like(audio)
        audio = self._fader.step(audio, mute)
        self._tell_times(self._read - self._taken)
        ratio = self._rate / RATE_HZ * self._control.stretch
        out: Floats = self._resampler.process(audio, ratio)
        self._inside += len(audio) - len(out) / ratio
        self._x.counts[Count.READ] = self._read
        # Band-limited audio between limited samples can rise above them.
        return np.minimum(np.maximum(out, -self._ceiling), self._ceiling)

    def written(self, frames: int, now: float, free: int | None) -> None:
        """`frames` were taken by the device at `now`.

        `free` frames of its buffer are empty after that; None if it did not have to be waited for,
        which tells nothing about its time.
        """
        self._frames += frames
        if free is not None:
            self._clock.update(self._frames + free, now)
        self._x.add(Count.PLAYED, frames)
        self._x.values[Value.RATIO_PPM] = self._control.ratio_ppm
        self._x.values[Value.DELAY_S] = self._control.delay_s + self._device_delay

    # --- filling ------------------------------------------------------------------------------

    def _fill(self) -> Floats:
        """One block of silence; switches to playing when the delay will be right."""
        excess, spare = self._excess(BLOCK), self._x[Count.WRITTEN] - self._read - self._least
        if excess >= 0 and spare >= 0:
            self._skip(min(excess, spare))
            self._playing = self._fresh = True
        return np.zeros(BLOCK, dtype=np.float32)

    def _excess(self, silence: int) -> int:
        """Samples by which the newest hops would be late if played on after `silence` samples.

        The mean over `RECENT_HOPS`: hops that come in one burst differ by their place in it. What
        was pushed before a pause says nothing. Far below 0 while nothing waits or the device's
        clock is unknown.
        """
        newest = self._x[Count.MARKS_WRITTEN]
        marks = [self._x.mark(i) for i in range(max(self._mark, newest - RECENT_HOPS), newest)]
        late = [
            self._enters(begins - self._read + silence) - pushed
            for _, begins, pushed in marks
            if pushed > marks[-1][2] - RECENT_S
        ]
        mean = sum(late) / len(late) if late else float("nan")
        return int((mean - self._control.target_s) * RATE_HZ) if mean == mean else -RATE_HZ

    # --- playing ------------------------------------------------------------------------------

    def _play(self) -> Floats:
        fill = self._x[Count.WRITTEN] - self._read
        if fill > AUDIO - RATE_HZ:
            return self._overrun(fill)
        if fill < BLOCK + RESERVE:
            return self._run_dry(fill)
        self._troughs.append(fill)
        if len(self._troughs) == TROUGH_BLOCKS and min(self._troughs) > self._cap:
            return self._trim()
        if self._last == 0.0 and self._late() > SLACK:
            self._leave_silence_out(fill)
        audio = self._take(BLOCK)
        if self._fresh:
            audio, self._fresh = audio * FADE_IN, False
        return audio

    def _take(self, n: int) -> Floats:
        audio = self._x.read(self._read, n)
        self._read += n
        self._taken = n
        self._last = audio[-1]
        return audio

    def _run_dry(self, fill: int) -> Floats:
        """Fade out what is left and fill again."""
        self._playing = False
        self._x.add(Count.UNDERRUNS, 1)
        if not fill:
            return np.zeros(BLOCK, np.float32)
        audio = self._take(fill)
        gain = 0.5 + 0.5 * np.cos(np.pi * (np.arange(fill) + 0.5) / fill)
        return (audio * gain).astype(np.float32)

    def _trim(self) -> Floats:
        """Cross-fade to newer audio, with which the delay is on target."""
        spare = self._troughs[-1] - BLOCK - RESERVE
        old = self._x.read(self._read, BLOCK)
        self._x.add(Count.TRIMS, 1)
        self._skip(max(0, min(self._excess(0), spare)))
        return old * FADE_IN[::-1] + self._take(BLOCK) * FADE_IN

    def _late(self) -> int:
        """Samples by which the smoothed delay is above its target."""
        late_s = self._control.delay_s - self._control.target_s
        return int(late_s * RATE_HZ) if late_s == late_s else 0

    def _leave_silence_out(self, fill: int) -> None:
        """Skip exact silence that waits, as far as the delay is too long."""
        most = min(self._late(), self._excess(0), fill - BLOCK - RESERVE)
        if most <= SLACK:
            return
        sounding = np.flatnonzero(self._x.read(self._read, most))
        if silent := int(sounding[0]) if len(sounding) else most:
            self._skip(silent)

    def _overrun(self, fill: int) -> Floats:
        """The device stood still until the ring came round: what followed is gone."""
        self._playing = False
        self._x.add(Count.TRIMS, 1)
        self._skip(fill - self._least)
        return self._last * FADE_IN[::-1]

    def _skip(self, n: int) -> None:
        """Go on `n` samples later; what the delay was no longer holds."""
        self._read += n
        self._x.add(Count.TRIMMED, n)
        self._troughs.clear()
        self._control.restart()

    # --- times --------------------------------------------------------------------------------

    def _tell_times(self, start: int) -> None:
        """Report every hop begun by now; those that ended before `start` were cut away."""
        newest = self._x[Count.MARKS_WRITTEN]
        self._mark = max(self._mark, newest - MARKS // 2)
        while self._mark < newest:
            hop, begins, pushed = self._x.mark(self._mark)
            if begins >= self._read:
                return
            self._mark += 1
            lost = begins + HOP <= start
            self._x.report_dac(hop, self._dac_time(max(begins, start) - start, lost))
            entered = self._enters(begins - start)
            if not lost and entered == entered:
                self._control.update(entered - pushed, HOP / RATE_HZ)

    def _dac_time(self, samples: int, lost: bool) -> float:
        return float("nan") if lost else self._enters(samples) + self._device_delay

    def _enters(self, samples: int) -> float:
        """When the device takes what lies `samples` into this block; NaN in its first moments."""
        ahead = (samples + self._inside) * self._rate / RATE_HZ
        return self._clock.time_of(self._frames + ahead)
