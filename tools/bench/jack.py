"""A JACK client that records one input, with the time of every period; libjack through ctypes.

Its callback does nothing but copy a period and note two numbers, in a process that has nothing
else to do. JACK's microseconds are not the monotonic clock's (a quarter of a second apart here,
after hours of a clock that is being steered): how far they are apart is asked again and again.
"""

from __future__ import annotations

import ctypes
import time
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_float, c_int, c_uint32, c_uint64, c_void_p
from ctypes.util import find_library
from typing import Any

import numpy as np

from models.errors import AudioError
from models.streaming import Floats
from tools.bench.rounds import Times

NAME = b"seegvox-capture"
AUDIO = b"32 bit float mono audio"
NO_START, USE_EXACT_NAME = 0x01, 0x02
INPUT = 0x1
PLAYER = b"PortAudio:out_0"

_Process = CFUNCTYPE(c_int, c_uint32, c_void_p)
_Xrun = CFUNCTYPE(c_int, c_void_p)


class JackRecorder:
    """Records what the player's first output sends.

    Parameters
    ----------
    seconds : room for so much.

    Raises
    ------
    AudioError
        If libjack or the server is not there.
    """

    def __init__(self, seconds: float) -> None:
        self._lib = _library()
        status = c_int()
        self._client = self._lib.jack_client_open(NAME, NO_START | USE_EXACT_NAME, byref(status))
        if not self._client:
            raise AudioError(f"no JACK server takes us (status {status.value})", "a running one")
        self.rate = int(self._lib.jack_get_sample_rate(self._client))
        self._audio: Floats = np.zeros(int(seconds * self.rate), np.float32)
        # A period has 16 frames at least.
        self._blocks = np.zeros((len(self._audio) // 16, 2))
        self._frames = self._count = 0
        self.xruns = 0
        self._port = self._lib.jack_port_register(self._client, b"in", AUDIO, INPUT, 0)
        # Kept: JACK calls them for as long as the client lives.
        self._callbacks = _Process(self._process), _Xrun(self._xrun)
        self._lib.jack_set_process_callback(self._client, self._callbacks[0], None)
        self._lib.jack_set_xrun_callback(self._client, self._callbacks[1], None)
        self._offsets: list[tuple[float, float]] = []
        self._times: Any = (c_uint32(), c_uint64(), c_uint64(), c_float())
        if self._lib.jack_activate(self._client) != 0:
            raise AudioError("the JACK client cannot be activated", "a server that takes clients")

    def compare_clocks(self) -> None:
        """Note how far JACK's clock is from the monotonic one; the tightest of a few looks."""
        looks = []
        for _ in range(5):
            before = time.monotonic()
            theirs = 1e-6 * int(self._lib.jack_get_time())
            after = time.monotonic()
            looks.append((after - before, theirs, (before + after) / 2 - theirs))
        self._offsets.append(min(looks)[1:])

    def connect(self) -> bool:
        """Listen to the player, if it is there; whether it is."""
        if self._lib.jack_port_connected(self._port):
            return True
        if not self._lib.jack_port_by_name(self._client, PLAYER):
            return False
        return bool(self._lib.jack_connect(self._client, PLAYER, NAME + b":in") == 0)

    def close(self) -> None:
        """Leave the server."""
        self._lib.jack_client_close(self._client)

    def recorded(self) -> tuple[Floats, Times]:
        """The sound, and rows (first sample, monotonic time when its period began); once."""
        blocks = self._blocks[: self._count]
        theirs, offset = np.array(self._offsets).T
        blocks[:, 1] += np.interp(blocks[:, 1], theirs, offset)
        return self._audio[: self._frames], blocks

    def _process(self, frames: int, _: Any) -> int:
        at, end = self._frames, self._frames + frames
        if end <= len(self._audio) and self._count < len(self._blocks):
            source = self._lib.jack_port_get_buffer(self._port, frames)
            ctypes.memmove(self._audio.ctypes.data + 4 * at, source, 4 * frames)
            self._blocks[self._count] = at, self._period_began()
            self._frames, self._count = end, self._count + 1
        return 0

    def _period_began(self) -> float:
        current, begun, following, period = self._times
        self._lib.jack_get_cycle_times(
            self._client, byref(current), byref(begun), byref(following), byref(period)
        )
        return float(begun.value) * 1e-6

    def _xrun(self, _: Any) -> int:
        self.xruns += 1
        return 0


def _library() -> Any:
    name = find_library("jack")
    if name is None:
        raise AudioError(
            "libjack is not installed", "it", "Debian: apt-get install libjack-jackd2-0"
        )
    lib = ctypes.CDLL(name)
    pointers = {
        "jack_client_open": [c_char_p, c_int, POINTER(c_int)],
        "jack_port_register": [c_void_p, c_char_p, c_char_p, ctypes.c_ulong, ctypes.c_ulong],
        "jack_port_get_buffer": [c_void_p, c_uint32],
        "jack_port_by_name": [c_void_p, c_char_p],
    }
    numbers = {
        "jack_get_sample_rate": [c_void_p],
        "jack_set_process_callback": [c_void_p, _Process, c_void_p],
        "jack_set_xrun_callback": [c_void_p, _Xrun, c_void_p],
        "jack_activate": [c_void_p],
        "jack_port_connected": [c_void_p],
        "jack_connect": [c_void_p, c_char_p, c_char_p],
        "jack_client_close": [c_void_p],
        "jack_get_cycle_times": [
            c_void_p,
            POINTER(c_uint32),
            POINTER(c_uint64),
            POINTER(c_uint64),
            POINTER(c_float),
        ],
    }
    for table, result in ((pointers, c_void_p), (numbers, c_int)):
        for function, arguments in table.items():
            known = getattr(lib, function)
            known.argtypes, known.restype = arguments, result
    lib.jack_get_time.argtypes, lib.jack_get_time.restype = [], c_uint64
    return lib
