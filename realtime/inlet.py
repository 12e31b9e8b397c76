"""The LSL inlet: blunt on purpose.

Raw timestamps (de-jittering hides a lost second for minutes), no recovery (it resumes in
silence on a stream of another rate), a blocking pull with `min_samples=1` into preallocated
memory (otherwise liblsl waits for a full buffer). What to do about stalls and gaps is decided
elsewhere, from `idle_s` and `realtime.gaps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pylsl
from numpy.typing import NDArray
from pylsl.util import InternalError, LostError
from pylsl.util import TimeoutError as LslTimeoutError

from models.errors import MontageError, StreamError
from models.montage import Match, match_labels
from models.streaming import Floats
from realtime.streams import StreamDescription, StreamQuery, describe, rate_of, resolve_one
from realtime.units import microvolts_per_unit

MAX_PULL = 256
# A decoder that was held up for seconds steps through them all; what is too old tells by its age.
_BUFFER_S = 8


@dataclass(frozen=True)
class Block:
    """Samples as they came in one pull; a pull is not a packet.

    `samples`: `(n, contacts)` float32, microvolts, in montage order, NaN for contacts given up;
    memory of the inlet, valid until its next pull. `timestamps`: `(n,)` float64, seconds on the
    sender's LSL clock. `available`: this process's LSL clock when the pull returned, seconds.
    """

    samples: Floats
    timestamps: NDArray[np.float64]
    available: float


class Inlet:
    """An open connection to the amplifier's stream, in the bundle's montage.

    Parameters
    ----------
    query : which stream to take.
    contacts : the bundle's montage, labels in order.
    rate : the bundle's sampling rate, Hz.
    unit : unit of all channels; None reads it from the stream.
    allow_missing : contacts given up by name; their columns are NaN.
    start : let samples flow at once; otherwise from `open` on, so that none pile up meanwhile.
    found : the stream, if it is found already; none looks for it.

    Raises
    ------
    StreamError
        If no stream matches, several do, or it does not answer.
    MontageError
        If rate, sample format, contacts or units do not fit.
    """

    def __init__(
        self,
        query: StreamQuery,
        contacts: Sequence[str],
        rate: Fraction,
        unit: str | None = None,
        allow_missing: Sequence[str] = (),
        start: bool = True,
        found: pylsl.StreamInfo | None = None,
    ) -> None:
        found = resolve_one(query) if found is None else found
        # `close_stream` is never called: with it liblsl can abort on destruction (issue 220).
        self._lsl: pylsl.StreamInlet | None = pylsl.StreamInlet(
            found, _BUFFER_S, 0, recover=False, processing_flags=pylsl.proc_none
        )
        self.description: StreamDescription = _ask(self._lsl, query.timeout_s)
        _check_rate(self.description, rate)
        self.match: Match = _match(self.description, contacts, allow_missing)
        scale = _scale(self.description, self.match, unit)
        self._montage = _Montage(self.match, scale, self.description)
        self._last_available = float(pylsl.local_clock())
        if start:
            self.open(query.timeout_s)

    def open(self, timeout_s: float) -> None:
        """Let samples flow.

        Raises
        ------
        StreamError
            If the stream cannot be opened.
        """
        _open(self._live(), self.description.name, timeout_s)
        self._last_available = float(pylsl.local_clock())

    def __enter__(self) -> Inlet:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect. A closed inlet stays closed: build a new one."""
        self._lsl = None

    def pull(self, timeout_s: float = 0.1) -> Block | None:
        """Wait for at least one sample; return all there are (at most 256), None if none came.

        Raises
        ------
        StreamError
            If the stream went away.
        """
        try:
            raw, stamps = self._live().pull_chunk(
                timeout_s, MAX_PULL, self._montage.raw, min_samples=1, as_numpy=True
            )
        except (LostError, InternalError, RuntimeError) as err:
            raise self._gone() from err
        if len(stamps) == 0:
            return None
        self._last_available = float(pylsl.local_clock())
        return Block(self._montage.arrange(raw), stamps, self._last_available)

    def wait_first(self, timeout_s: float) -> Block:
        """Wait for the first real sample: an open stream may still send nothing.

        Raises
        ------
        StreamError
            If nothing came within `timeout_s`, or the stream went away.
        """
        deadline = pylsl.local_clock() + timeout_s
        # In short pulls: no signal is served inside one.
        while (left_s := deadline - pylsl.local_clock()) > 0:
            if (block := self.pull(min(left_s, 0.1))) is not None:
                return block
        raise StreamError(
            f"the stream '{self.description.name}' is open and sent nothing for {timeout_s:g} s",
            "samples",
            "start the acquisition at the amplifier",
        )

    def idle_s(self, now: float) -> float:
        """Seconds from the last samples, or from opening, to `now` on the LSL clock."""
        return now - self._last_available

    def time_correction(self, timeout_s: float) -> float:
        """Seconds to add to the sender's timestamps; blocks, so never in the data path.

        Raises
        ------
        StreamError
            If the stream went away, or the sender's clock cannot be asked (UDP blocked).
        """
        try:
            return float(self._live().time_correction(timeout_s))
        except LostError as err:
            raise self._gone() from err
        except LslTimeoutError as err:
            raise StreamError(
                f"the clock of '{self.description.name}' did not answer within {timeout_s:g} s",
                "",
                "let UDP through to the amplifier's machine",
            ) from err

    def _live(self) -> pylsl.StreamInlet:
        if self._lsl is None:
            raise StreamError("the inlet is closed", "", "open a new one")
        return self._lsl

    def _gone(self) -> StreamError:
        return StreamError(
            f"the stream '{self.description.name}' (source_id "
            f"{self.description.source_id or 'none'}) went away",
            "",
            "check the amplifier; a stream that returns needs a new inlet",
        )


class _Montage:
    """Columns of the stream to contacts in microvolts, in memory kept from pull to pull."""

    def __init__(self, match: Match, scale: NDArray[np.float64], stream: StreamDescription) -> None:
        # A contact given up reads column 0; its scale is NaN.
        self._columns = np.maximum(np.array(match.columns, dtype=np.intp), 0)
        self._scale = scale
        self.raw = np.empty((MAX_PULL, stream.channels), stream.dtype)
        self._picked = np.empty((MAX_PULL, len(scale)), stream.dtype)
        self._out: Floats = np.empty((MAX_PULL, len(scale)), np.float32)
        self._as_is = stream.dtype == "float32" and bool(np.all(scale == 1.0))

    def arrange(self, raw: NDArray[np.generic]) -> Floats:
        n = len(raw)
        out = self._out[:n]
        picked = out if self._as_is else self._picked[:n]
        # mode="clip": the default mode makes a copy of `out`.
        np.take(raw, self._columns, axis=1, out=picked, mode="clip")
        if not self._as_is:
            np.multiply(picked, self._scale, out=out, casting="same_kind")
        return out


def _ask(inlet: pylsl.StreamInlet, timeout_s: float) -> StreamDescription:
    try:
        return describe(inlet.info(timeout_s))
    except (LslTimeoutError, LostError) as err:
        raise StreamError(
            f"a stream was found but does not say what it is ({err})",
            "its description",
            "check that TCP ports 16572-16604 are open between the two machines",
        ) from err


def _open(inlet: pylsl.StreamInlet, name: str, timeout_s: float) -> None:
    try:
        inlet.open_stream(timeout_s)
    except (LslTimeoutError, LostError) as err:
        raise StreamError(
            f"the stream '{name}' cannot be opened ({err})", "", "check the amplifier's program"
        ) from err


def _check_rate(stream: StreamDescription, rate: Fraction) -> None:
    if stream.rate != rate_of(float(rate)):
        said = f"runs at {float(stream.rate):.10g} Hz" if stream.rate else "has no regular rate"
        raise MontageError(
            f"the stream '{stream.name}' {said}",
            f"{float(rate):.10g} Hz, the rate the bundle was trained on",
            "set the amplifier to that rate, or train a bundle for this one",
        )


def _match(
    stream: StreamDescription, contacts: Sequence[str], allow_missing: Sequence[str]
) -> Match:
    if stream.dtype in ("string", "undefined"):
        raise MontageError(
            f"the stream '{stream.name}' carries {stream.dtype} samples",
            "numbers",
            "choose another",
        )
    if not any(stream.labels):
        raise MontageError(
            f"the stream '{stream.name}' names none of its {stream.channels} channels",
            "desc/channels/channel/label for each, matched by name",
            "name the channels at the amplifier",
        )
    return match_labels(contacts, stream.labels, allow_missing)


def _scale(stream: StreamDescription, match: Match, unit: str | None) -> NDArray[np.float64]:
    units = [unit if unit is not None else stream.units[c] for c in match.columns]
    factors = [
        np.nan if column < 0 else microvolts_per_unit(text)
        for column, text in zip(match.columns, units, strict=True)
    ]
    return np.array(factors, dtype=np.float64)
