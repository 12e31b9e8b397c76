"""What a bundle says of itself: pydantic models, versioned, nothing unknown allowed.

These are also the settings of an experiment: `training/settings.py` builds on them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from models.hops import HOP, HopClock, encoder_stride

SCHEMA_VERSION = 1


def _to_fraction(value: Any) -> Any:
    if isinstance(value, Fraction):
        return value
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as err:
        raise ValueError(f"{value!r} is not a number or a ratio such as '3/200'") from err


Rational = Annotated[Fraction, BeforeValidator(_to_fraction), PlainSerializer(str)]
"""An exact number, written `"1024"` or `"3/200"`."""


Weights = Literal["float32", "int8"]
"""Precision of the weights in the step graphs; states and activations leave a step as float32."""


class Model(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class GuardSpec(Model):
    """When a contact is masked: NaN or infinity, a flat line, saturation."""

    flat_ms: float = Field(
        100.0, gt=0, description="identical values for this long are a flat line"
    )
    saturation_uv: float = Field(
        8000.0, gt=0, description="at and beyond this a contact is saturated"
    )
    clean_ms: float = Field(
        1000.0, ge=0, description="a masked contact returns after this long clean"
    )


class Band(Model):
    """One frequency band; each adds one feature channel per (re-referenced) contact."""

    low_hz: float = Field(gt=0)
    high_hz: float = Field(gt=0)
    order: int = Field(4, ge=1, le=8)

    @model_validator(mode="after")
    def _ordered(self) -> Band:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"band {self.low_hz}-{self.high_hz} Hz is empty")
        return self


HIGH_GAMMA = Band(low_hz=70.0, high_hz=170.0)


class FrontEndSpec(Model):
    """The signal front end, in the order it is applied."""

    bad_contacts: tuple[str, ...] = ()
    guard: GuardSpec = GuardSpec()
    reference: Literal["none", "average", "bipolar", "laplacian"] = "none"
    line_hz: Literal[0, 50, 60] = 50
    notch_q: float = Field(30.0, gt=0)
    bands: tuple[Band, ...] = (HIGH_GAMMA,)
    rectify: bool = True
    clip: float = Field(6.0, gt=0, description="z-scores are clipped to plus or minus this")
    normalise: Literal["training", "rolling"] = Field(
        "training", description="z-scores by the training statistics, or by rolling ones from there"
    )
    rolling_s: float = Field(60.0, ge=1, description="time constant of rolling statistics")


class OutputSpec(Model):
    """What the decoder gives: mel values, or for each band a choice among k-means codes."""

    kind: Literal["continuous", "discrete"] = "continuous"
    codes: int = Field(16, ge=2, description="codes per band, if discrete")
    codebook: Literal["global", "per_bin"] = Field(
        "global", description="one codebook for all bands, or one for each"
    )


WIDTHS: dict[str, tuple[int, int, int]] = {
    "1d": (128, 128, 75),
    "2d": (25, 50, 75),
    "3d": (15, 30, 45),
}
"""Default `conv_channels`: those of the published code but for the third layer of 3-D, ours."""


class NetworkSpec(Model):
    """Shapes of the network (Kohler et al. 2022); `causal` takes every look into the future away.

    Without it: centred convolutions, a bidirectional encoder, and decoding in windows of
    `memory_ms`, each by itself. Such a network cannot be stepped, so no bundle is made of it.
    """

    causal: bool = True
    conv: Literal["1d", "2d", "3d"] = Field(
        "1d", description="over time; contacts and time; shaft, contact and time"
    )
    conv_channels: tuple[int, int, int] = WIDTHS["1d"]
    conv_kernels: tuple[int, int, int] = (9, 5, 5)
    conv_features: int = Field(75, ge=1, description="channels after the convolutions")
    encoder_layers: int = Field(3, ge=1)
    encoder_size: int = Field(256, ge=1, description="per direction")
    position_channels: int = Field(32, ge=2, multiple_of=2)
    attention: Literal["location", "content", "none"] = Field(
        "location", description="additive and location-sensitive; dot product; fixed weights by age"
    )
    attention_size: int = Field(128, ge=1)
    location_filters: int = Field(8, ge=1)
    location_kernel: int = Field(5, ge=1)
    memory_ms: float = Field(200.0, gt=0, description="attention memory; the window if not causal")
    reverse_time: bool = Field(False, description="windows are encoded backwards; not causal")
    context: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        (0, 0), description="windows seen before and after the decoded one; not causal"
    )
    prenet: bool = Field(True, description="false feeds the last frame back as it is")
    prenet_size: int = Field(256, ge=1)
    decoder_size: int = Field(256, ge=1)
    postnet: bool = Field(True, description="false leaves the decoder's frames as they are")
    postnet_channels: int = Field(256, ge=1)
    postnet_kernel: int = Field(5, ge=2)
    postnet_layers: int = Field(5, ge=2)
    output: OutputSpec = OutputSpec()

    @model_validator(mode="before")
    @classmethod
    def _widths(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("conv") in WIDTHS and "conv_channels" not in raw:
            return {**raw, "conv_channels": WIDTHS[raw["conv"]]}
        return raw

    @model_validator(mode="after")
    def _steppable(self) -> NetworkSpec:
        if self.causal and (self.reverse_time or self.context != (0, 0)):
            raise ValueError("reverse_time and context see the future: they need causal = false")
        return self


class MelSpec(Model):
    """The mel definition; recorded so that a reader need not trust our code."""

    rate_hz: Literal[22050] = 22050
    fft: Literal[1024] = 1024
    bands: Literal[80] = 80
    fmax_hz: Literal[8000] = 8000
    floor: Literal["1e-5"] = "1e-5"


class BundleSpec(Model):
    """`spec.json`: everything the runtime must know that is not an array."""

    schema_version: Literal[1] = 1
    name: str
    contacts: tuple[str, ...]
    fs_hz: Rational
    hop_s: Rational = HOP
    stride: int = Field(ge=1)
    front_end: FrontEndSpec = FrontEndSpec()
    network: NetworkSpec = NetworkSpec()
    mel: MelSpec = MelSpec()
    target_lookahead: int = Field(0, ge=0, description="hops the decoder looks back for its target")
    weights: Weights = Field("float32", description="of the graphs that run unless told otherwise")
    provenance: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    proof: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> BundleSpec:
        if len(set(self.contacts)) != len(self.contacts) or not self.contacts:
            raise ValueError("contacts must be named, each once")
        if self.hop_s != HOP:
            # Mel and vocoders stand on it.
            raise ValueError(f"hop_s {self.hop_s} is not {HOP} s")
        if self.stride != encoder_stride(self.fs_hz):
            raise ValueError(f"stride {self.stride} does not belong to {self.fs_hz} Hz")
        return self

    @property
    def clock(self) -> HopClock:
        """The hop clock of a run with this bundle."""
        return HopClock(self.fs_hz, self.hop_s, self.stride)

    @property
    def memory_frames(self) -> int:
        """Encoder frames in the attention window."""
        return self.clock.memory_frames(Fraction(str(self.network.memory_ms)) / 1000)

    @property
    def lookahead_s(self) -> Fraction:
        """Look-ahead of the decoder, seconds; the vocoder adds its own."""
        return self.target_lookahead * self.hop_s
