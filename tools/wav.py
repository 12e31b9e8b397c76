"""Audio as a WAV file."""

from __future__ import annotations

import io
import wave

import numpy as np

from models.streaming import Floats


def wav_bytes(samples: Floats, rate_hz: int) -> bytes:
    """A mono WAV of 16 bit; beyond full scale it clips, and what is not finite is silent."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    whole = np.clip(np.rint(finite * 32767.0), -32768, 32767).astype("<i2")
    raw = io.BytesIO()
    with wave.open(raw, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(whole.tobytes())
    return raw.getvalue()
