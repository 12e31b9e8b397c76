"""Where audio goes: the sound card, a WAV file, nowhere. Each takes a block and makes one wait."""

from __future__ import annotations

import os
import time
import wave
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from models.errors import AudioError, BusyOutputError
from models.streaming import Floats
from realtime.devices import find_output, portaudio
from realtime.playout.settings import RATE_HZ, PlayoutSettings
from realtime.playout.wav_parts import keep_part

PACED_QUEUE_S = 0.01
# The longest a device may take to begin; its buffer counts as full of silence until then.
FIRST_PERIOD_S = 0.2


class Sink(Protocol):
    """A device that is kept full: `write` returns when the block has been taken."""

    rate: int
    delay_s: float
    description: str

    def write(self, audio: Floats) -> bool:
        """Hand over mono `(n,)`; True if the device had run empty before."""
        ...

    def free(self) -> int:
        """Frames that would be taken now without waiting."""
        ...

    def close(self) -> None:
        """Play what was taken, then let go."""
        ...


class SoundDeviceSink:
    """PortAudio's blocking write; mono goes to the first two channels where there are two.

    `delay_s` is the buffer found free right after the start, plus what PortAudio says the host
    adds. It leaves out what lies behind PortAudio (sound server, USB, converters).
    """

    def __init__(self, settings: PlayoutSettings) -> None:
        sd = portaudio()
        index, info = find_output(settings.device)
        host = str(sd.query_hostapis(info["hostapi"])["name"])
        self.rate = settings.rate or int(info["default_samplerate"])
        self._lost: type[Exception] = sd.PortAudioError
        try:
            self._stream = sd.OutputStream(
                samplerate=self.rate,
                device=index,
                channels=min(2, int(info["max_output_channels"])),
                dtype="float32",
                latency=settings.device_latency_ms / 1000,
                # JACK with blocking write and any other block size aborts inside PortAudio 19.6.
                blocksize=0,
            )
            self._stream.start()
        except (sd.PortAudioError, ValueError) as err:
            raise AudioError(
                f"the sound device '{info['name']}' does not open at {self.rate} Hz ({err})",
                todo="choose another with `seegvox devices`, or write to a file",
            ) from err
        queue = self._buffer_frames() / self.rate
        # JACK's own period lies between PortAudio's buffer and the port.
        self.delay_s = queue + (float(self._stream.latency) if "JACK" in host else 0.0)
        self.description = f"{info['name']} ({host}), {self.rate} Hz, {1000 * queue:.1f} ms buffer"

    def _buffer_frames(self) -> int:
        """Frames of the device's buffer: what is free once its first period has been taken."""
        end = time.monotonic() + FIRST_PERIOD_S
        while (frames := int(self._stream.write_available)) == 0 and time.monotonic() < end:
            time.sleep(0.001)
        return frames

    def write(self, audio: Floats) -> bool:
        """Hand over `(n,)`; True if the device had run empty.

        Raises
        ------
        AudioError
            If the device is gone.
        """
        try:
            block = np.repeat(audio[:, None], self._stream.channels, axis=1)
            return bool(self._stream.write(block))
        except self._lost as err:
            raise AudioError(f"the sound device went away ({err})", todo="open it again") from err

    def free(self) -> int:
        """Frames that PortAudio would take now without waiting."""
        return int(self._stream.write_available)

    def close(self) -> None:
        """Stop after what was taken has been played."""
        self._stream.stop()
        self._stream.close()


class NullSink:
    """Takes audio at the pace of a device and forgets it."""

    def __init__(self, rate: int, description: str = "no device") -> None:
        self.rate, self.delay_s = rate, PACED_QUEUE_S
        self.description = f"{description}, {rate} Hz"
        self._begin = time.monotonic()
        self._frames = 0

    def write(self, audio: Floats) -> bool:
        """Wait until a device would have room for `(n,)`."""
        self._frames += len(audio)
        ahead = self._ahead_s()
        # After a suspended laptop there is no use in catching up minute by minute.
        if ahead < -1.0:
            self._begin -= ahead
        time.sleep(max(0.0, ahead))
        return False

    def free(self) -> int:
        """Frames due by now, if this was woken late: a device would not have waited."""
        return max(0, int(-self._ahead_s() * self.rate))

    def _ahead_s(self) -> float:
        """Until a device would have room for all that was written, s; below 0 if overdue."""
        return self._begin + self._frames / self.rate - PACED_QUEUE_S - time.monotonic()

    def close(self) -> None:
        """Nothing to let go."""


class WavSink(NullSink):
    """A 16-bit mono WAV file, written at the pace of a device; in place when closed.

    What a player that died had written stays, as `NAME-1.wav`.
    """

    def __init__(self, path: Path, rate: int, overwrite: bool) -> None:
        check_free(path, overwrite)
        super().__init__(rate, f"file {path}")
        self._path, self._part = path, path.with_name(path.name + ".part")
        keep_part(self._part, path)
        self._file: Any = wave.open(str(self._part), "wb")  # noqa: SIM115
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(rate)

    def write(self, audio: Floats) -> bool:
        """Append `(n,)` and wait."""
        self._file.writeframesraw((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())
        return super().write(audio)

    def close(self) -> None:
        """Complete the header and give the file its name."""
        self._file.close()
        os.replace(self._part, self._path)


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse an existing file.

    Raises
    ------
    BusyOutputError
        If `path` exists and `overwrite` is false.
    AudioError
        If its folder does not exist.
    """
    if path.exists() and not overwrite:
        raise BusyOutputError(f"{path} exists", todo="choose another file or allow overwriting")
    if not path.parent.is_dir():
        raise AudioError(f"the folder {path.parent} does not exist", todo="create it")


def open_sink(settings: PlayoutSettings) -> Sink:
    """Open what the settings ask for.

    Raises
    ------
    AudioError
        If PortAudio, the device or the folder is missing, or the device refuses.
    BusyOutputError
        If the WAV file exists.
    """
    if settings.sink == "device":
        return SoundDeviceSink(settings)
    rate = settings.rate or RATE_HZ
    if settings.sink == "null":
        return NullSink(rate)
    assert settings.wav is not None
    return WavSink(settings.wav, rate, settings.overwrite)
