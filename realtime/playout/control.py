"""Clocks of playout: where the device is in time, and how fast to resample so that delay stays."""

from __future__ import annotations

from math import exp, pi, sqrt

# Slow against device bursts of 10 to 30 ms, quick against clocks that differ by 1e-4.
BANDWIDTH_HZ = 0.2
# A device that stood still for longer is not tracked but found anew.
JUMP_S = 0.03
WORST_PPM = 1000.0


class DeviceClock:
    """Time of every frame, from the moments at which a device made room.

    A second-order delay-locked loop (Adriaensen, "Using a DLL to filter time", LAC 2005), for
    blocks of any length. `time_of(f)` is when frame `f` enters a device that is kept full.
    """

    def __init__(self, rate: int) -> None:
        self._nominal = self._period = 1.0 / rate
        self._frame, self._time = 0.0, float("nan")

    def update(self, frames: int, now: float) -> None:
        """At `now` the device made room for all of the first `frames`."""
        error = now - self.time_of(frames)
        if not abs(error) < JUMP_S:  # NaN before the first update
            self._frame, self._time, self._period = frames, now, self._nominal
            return
        step = frames - self._frame
        omega = 2 * pi * BANDWIDTH_HZ * step * self._nominal
        self._time = now - error * max(0.0, 1.0 - sqrt(2) * omega)
        self._frame = frames
        if step > 0:
            period = self._period + omega * omega * error / step
            slack = 2 * WORST_PPM * 1e-6 * self._nominal
            self._period = min(max(period, self._nominal - slack), self._nominal + slack)

    def time_of(self, frame: float) -> float:
        """Time at which frame `frame` enters the device, s; NaN before the first update."""
        return self._time + (frame - self._frame) * self._period


class DelayControl:
    """PI controller from a hop's delay to the resampling ratio.

    The plant is an integrator (delay grows by the difference of two clocks), so with gains
    `KP = 2 w` and `KI = w^2` the loop is critically damped; `w` = 0.07 rad/s lets a step of
    400 ppm (both clocks at 200, in opposite directions) move the delay by 400e-6 / (e w) = 2.1 ms,
    and follows within a minute.
    """

    KP = 0.14
    KI = 0.0049
    SMOOTHING_S = 2.0

    def __init__(self, target_s: float) -> None:
        self.target_s = target_s
        self.delay_s = float("nan")
        self._hops = 0
        self._integral = 0.0
        self.slowdown = 0.0

    def restart(self) -> None:
        """Forget the delay (audio was skipped or ran dry), keep what is known of the clocks."""
        self._hops = 0

    def update(self, delay_s: float, elapsed_s: float) -> None:
        """Learn one hop's delay, `elapsed_s` after the one before."""
        self._hops += 1
        # A plain mean first, so that the first hop after a restart does not weigh for seconds.
        weight = max(1.0 / self._hops, 1.0 - exp(-elapsed_s / self.SMOOTHING_S))
        if self._hops == 1:
            self.delay_s = delay_s
        self.delay_s += weight * (delay_s - self.delay_s)
        error = self.delay_s - self.target_s
        worst = WORST_PPM * 1e-6
        raw = self.KP * error + self._integral
        self.slowdown = min(max(raw, -worst), worst)
        # While the output stands at its limit the integral would only run away.
        if raw == self.slowdown or raw * error < 0:
            integral = self._integral + self.KI * error * elapsed_s
            self._integral = min(max(integral, -worst), worst)

    @property
    def stretch(self) -> float:
        """Factor on the output-to-input ratio: below 1 plays faster and shortens the delay."""
        return 1.0 - self.slowdown

    @property
    def ratio_ppm(self) -> float:
        """`stretch`, in parts per million from 1."""
        return -self.slowdown * 1e6
