"""espeak-ng in a process of its own: texts in, audio and speech sounds out.

`python -m training.espeak` reads one JSON request from its input and writes an NPZ to its output.
A process per request, because espeak-ng keeps state that neither its initialisation nor its seed
resets: the second call in one process gives other samples than the first. It also keeps the
GPL-3.0 library (the extra `speech`) out of the process of everything else. Called by
`training/speech.py` only.
"""

from __future__ import annotations

import ctypes
import io
import json
import sys
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import SeegvoxError, SettingsError, need

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the callback runs inside espeak_Synth
_PHONEME_EVENTS_IPA = 0x0003
_DONT_EXIT = 0x8000
_UTF8 = 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE_WPM, _PITCH, _PITCH_RANGE = 1, 3, 4


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass
class _Heard:
    """What the callback collected for one text."""

    blocks: list[NDArray[np.int16]] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)  # sample, IPA label


class _Espeak:
    """The one espeak-ng of this process."""

    def __init__(self, voice: str) -> None:
        loader = need("espeakng_loader", "speech")
        self._library = ctypes.CDLL(str(loader.get_library_path()))
        data = str(loader.get_data_path())
        flags = _PHONEME_EVENTS_IPA | _DONT_EXIT
        self.rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), flags))
        if self.rate <= 0:
            raise SettingsError(
                f"espeak-ng did not start (error {self.rate}, data in {data})",
                "a working espeakng-loader",
                "reinstall it: pip install --force-reinstall espeakng-loader",
            )
        self._heard = _Heard()
        self._callback = _Callback(self._collect)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SettingsError(
                f"espeak-ng has no voice '{voice}'", "a language code such as nl, en or de"
            )

    def _collect(self, wave, count, events) -> int:  # type: ignore[no-untyped-def]
        if wave and count > 0:
            self._heard.blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type != _EVENT_END:
            if events[i].type == _EVENT_PHONEME:
                label = events[i].id.string.decode("utf-8", "replace")
                self._heard.marks.append((events[i].sample, label))
            i += 1
        return 0

    def say(self, text: str, words_per_minute: int, pitch: int) -> _Heard:
        """Synthesise one text."""
        self._heard = _Heard()
        for parameter, value in (
            (_RATE_WPM, words_per_minute),
            (_PITCH, pitch),
            (_PITCH_RANGE, 50),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        raw = text.encode()
        status = self._library.espeak_Synth(raw, len(raw) + 1, 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        if status != 0 or not self._heard.blocks:
            raise SettingsError(f"espeak-ng could not say {text!r} (status {status})")
        return self._heard


def answer(request: str) -> bytes:
    """The NPZ for one request: `rate`, then per text `audio_i` int16, `starts_i`, `labels_i`.

    Parameters
    ----------
    request : JSON object with `voice` and `say`, a list of (text, words per minute, pitch 0-100).
    """
    wanted = json.loads(request)
    engine = _Espeak(wanted["voice"])
    arrays: dict[str, NDArray[np.generic]] = {"rate": np.array(engine.rate)}
    for i, (text, words_per_minute, pitch) in enumerate(wanted["say"]):
        heard = engine.say(text, words_per_minute, pitch)
        arrays[f"audio_{i}"] = np.concatenate(heard.blocks)
        arrays[f"starts_{i}"] = np.array([start for start, _ in heard.marks], np.int64)
        arrays[f"labels_{i}"] = np.array([label for _, label in heard.marks], "U8")
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(answer(sys.stdin.read()))
    except SeegvoxError as error:
        sys.exit(str(error))
