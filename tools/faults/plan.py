"""What goes wrong, and when: the fault plan, one TOML.

seed = 7
packet = 16                 # samples per packet; without it, the packets of the source

[[faults]]
kind = "gap"
at_s = [5.0, 12.5]          # seconds of the source's own time, or: per_minute = 2.0
ms = 49.0
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from models.errors import SettingsError
from models.spec import Model
from models.toml import read_toml, validated


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Fault(Model):
    """A fault that happens at stated times, or at random ones of a stated rate."""

    kind: str
    at_s: Annotated[tuple[Seconds, ...], BeforeValidator(_several)] = Field(
        (), description="when it begins, seconds from the first sample; a number or a list"
    )
    per_minute: float = Field(0.0, ge=0, le=6000, description="rate of a Poisson process instead")
    from_s: float = Field(0.0, ge=0, description="no random one begins before")

    @model_validator(mode="after")
    def _timed(self) -> Fault:
        if bool(self.at_s) == bool(self.per_minute):
            raise ValueError("give either at_s or per_minute")
        return self

    @property
    def length_s(self) -> float:
        """How long one of them lasts, seconds; 0 for something that happens at one packet."""
        return 0.0

    def detail(self) -> dict[str, Any]:
        """Its parameters, without kind and times."""
        return self.model_dump(exclude={"kind", "at_s", "per_minute", "from_s"}, mode="json")


class Lasting(Fault):
    """A fault that lasts."""

    seconds: float | None = Field(None, gt=0, description="how long; none to the end")

    @property
    def length_s(self) -> float:
        """How long one of them lasts, seconds."""
        return float("inf") if self.seconds is None else self.seconds


class OnContacts(Lasting):
    """A fault of some contacts: those named, or a share of all, drawn anew each time."""

    contacts: tuple[str, ...] = ()
    share: float = Field(0.0, ge=0, le=1, description="of all contacts, at least one if above 0")

    @model_validator(mode="after")
    def _chosen(self) -> OnContacts:
        if bool(self.contacts) == (self.share > 0):
            raise ValueError("give either contacts or a share above 0")
        return self


class Gap(Fault):
    """Samples are lost: they never come, the timestamps go on in truth."""

    kind: Literal["gap"] = "gap"
    ms: float = Field(gt=0, description="length, rounded to whole samples, at least one")

    @property
    def length_s(self) -> float:
        """How long it lasts, seconds."""
        return self.ms / 1e3


class Stall(Fault):
    """Nothing comes for a while, then all of it at once, with its true timestamps."""

    kind: Literal["stall"] = "stall"
    seconds: float = Field(gt=0)

    @property
    def length_s(self) -> float:
        """How long it lasts, seconds."""
        return self.seconds


class Burst(Lasting):
    """Packets of another size."""

    kind: Literal["burst"] = "burst"
    samples: int = Field(ge=1, le=100_000)


class Jitter(Lasting):
    """Packets come late by the absolute value of a Gaussian, in order; or are stamped so."""

    kind: Literal["jitter"] = "jitter"
    sd_ms: float = Field(gt=0)
    of: Literal["arrival", "stamps"] = "arrival"


class Duplicate(Fault):
    """The last samples are sent a second time, with the timestamps they had."""

    kind: Literal["duplicate"] = "duplicate"
    samples: int = Field(16, ge=1, le=100_000)


class Backward(Fault):
    """One packet of new samples is stamped too early, so that its stamps run back."""

    kind: Literal["backward"] = "backward"
    ms: float = Field(gt=0)


class ClockJump(Fault):
    """All timestamps from here on are shifted; the samples go on without a gap."""

    kind: Literal["clock_jump"] = "clock_jump"
    seconds: float = Field(description="positive is into the future")


class NotANumber(OnContacts):
    """NaN."""

    kind: Literal["nan"] = "nan"


class Infinity(OnContacts):
    """Infinity, of either sign in turn."""

    kind: Literal["infinity"] = "infinity"


class Flat(OnContacts):
    """The value at the beginning, for as long as it lasts."""

    kind: Literal["flat"] = "flat"


class Saturation(OnContacts):
    """The rail of the amplifier, where the signal's sign is."""

    kind: Literal["saturation"] = "saturation"
    uv: float = Field(10_000.0, gt=0, description="the rail, microvolts")


class LineNoise(OnContacts):
    """A sine on top of the signal."""

    kind: Literal["line_noise"] = "line_noise"
    hz: float = Field(50.0, gt=0)
    uv: float = Field(100.0, gt=0, description="amplitude, microvolts")


class Drift(Lasting):
    """The amplifier's sample clock is fast (positive) or slow; timestamps stay true."""

    kind: Literal["drift"] = "drift"
    ppm: float = Field(ge=-100_000, le=100_000)


class Loss(Fault):
    """The outlet goes away and comes back, perhaps as another; samples meanwhile are lost."""

    kind: Literal["loss"] = "loss"
    seconds: float = Field(gt=0)
    source_id: str | None = Field(None, description="of the one that returns; none keeps it")
    drop: tuple[str, ...] = Field((), description="contacts it no longer has")
    rename: dict[str, str] = Field({}, description="contacts it calls otherwise")
    reverse: bool = Field(False, description="channels in the opposite order")
    fs_hz: float | None = Field(None, gt=0, description="rate it claims; none keeps it")

    @property
    def length_s(self) -> float:
        """How long it lasts, seconds."""
        return self.seconds


AnyFault = Annotated[
    Gap
    | Stall
    | Burst
    | Jitter
    | Duplicate
    | Backward
    | ClockJump
    | NotANumber
    | Infinity
    | Flat
    | Saturation
    | LineNoise
    | Drift
    | Loss,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[Fault]] = {
    kind.model_fields["kind"].default: kind
    for kind in (
        *(Gap, Stall, Burst, Jitter, Duplicate, Backward, ClockJump),
        *(NotANumber, Infinity, Flat, Saturation, LineNoise, Drift, Loss),
    )
}


class FaultPlan(Model):
    """Everything that goes wrong with one stream."""

    seed: int = Field(0, ge=0, description="of every random choice")
    packet: int | None = Field(
        None, ge=1, le=100_000, description="samples per packet; none keeps the source's packets"
    )
    faults: tuple[AnyFault, ...] = ()


def read_plan(path: Path) -> FaultPlan:
    """Read a plan from TOML.

    Raises
    ------
    SettingsError
        Naming the fault and the key that is wrong.
    """
    raw = read_toml(path)
    listed = raw.get("faults", [])
    if not isinstance(listed, list):
        raise SettingsError(f"{path}: 'faults' is one table", "[[faults]]", "double the brackets")
    for number, entry in enumerate(listed, 1):
        _check(entry, f"{path}: fault {number}")
    return validated(FaultPlan, raw, str(path))


def _check(entry: Any, where: str) -> None:
    """One fault by itself: the union's own errors do not say which keys it has."""
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind not in KINDS:
        raise SettingsError(
            f"{where}: kind is {kind!r}", f"one of {', '.join(KINDS)}", "choose one"
        )
    validated(KINDS[kind], entry, f"{where} ({kind})")
