"""What `bench scale` varies: one size at a time, about the default decoder's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from models.hops import HopClock, encoder_stride
from models.spec import BundleSpec, NetworkSpec, Weights

AXES: dict[str, tuple[int, ...]] = {
    "contacts": (16, 64, 112, 256, 512, 1024),
    "rate_hz": (512, 1024, 2048, 4096),
    "hidden": (128, 256, 512, 1024),
    "hop_ms": (5, 10, 15, 20, 40),
}
_SHAFT = 16


@dataclass(frozen=True)
class Size:
    """One decoder: contacts, sampling rate, hidden size, hop."""

    contacts: int = 112
    rate_hz: int = 1024
    hidden: int = 256
    hop_ms: int = 15
    weights: Weights = "float32"

    @property
    def name(self) -> str:
        """As in the figures."""
        return f"{self.contacts}c_{self.rate_hz}hz_{self.hidden}h_{self.hop_ms}ms_{self.weights}"

    @property
    def clock(self) -> HopClock:
        """The hop clock, of any hop."""
        return HopClock(Fraction(self.rate_hz), Fraction(self.hop_ms, 1000))

    @property
    def samples_a_hop(self) -> float:
        """Mean number of samples that a hop brings."""
        return self.rate_hz * self.hop_ms / 1000

    @property
    def ticks_a_hop(self) -> float:
        """Mean number of encoder ticks that a hop brings."""
        return self.samples_a_hop / self.clock.stride

    def spec(self) -> BundleSpec:
        """A bundle's spec of these shapes; its own hop stays 15 ms, which mel and vocoder need."""
        fs = Fraction(self.rate_hz)
        h = self.hidden
        network = NetworkSpec(
            encoder_size=h,
            decoder_size=h,
            prenet_size=h,
            postnet_channels=h,
            attention_size=max(8, h // 2),
        )
        return BundleSpec(
            name=self.name,
            contacts=_montage(self.contacts),
            fs_hz=fs,
            stride=encoder_stride(fs),
            network=network,
        )


def sizes(
    axes: Mapping[str, Sequence[int]], corners: Sequence[tuple[int, int]], weights: Weights
) -> list[Size]:
    """Every size, each once: one axis at a time, and corners of contacts and rate."""
    base = Size(weights=weights)
    found = [base]
    for name, values in axes.items():
        found += [replace(base, **{name: value}) for value in values]  # type: ignore[arg-type]
    found += [replace(base, contacts=contacts, rate_hz=rate) for contacts, rate in corners]
    return list(dict.fromkeys(found))


def axis_of(size: Size) -> list[str]:
    """The axes that a size belongs to: those along which alone it departs from the base."""
    base = Size(weights=size.weights)
    apart = [name for name in AXES if getattr(size, name) != getattr(base, name)]
    return list(AXES) if not apart else apart if len(apart) == 1 else []


def _montage(contacts: int) -> tuple[str, ...]:
    shafts = ceil(contacts / _SHAFT)
    names = [f"{_letters(s)}{n + 1}" for s in range(shafts) for n in range(_SHAFT)]
    return tuple(names[:contacts])


def _letters(number: int) -> str:
    return "L" + chr(65 + number // 26) + chr(65 + number % 26)
