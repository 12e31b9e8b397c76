"""Where feature channels sit among the shafts, for the 3-D convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import MontageError
from models.montage import Contact
from models.reference import Reference
from models.spec import BundleSpec

Layout = tuple[tuple[int, int, int], ...]
"""For each feature channel its frequency band, its shaft, and its place along that shaft."""

LONGEST = 128
"""Places along a shaft; more are a numbering that does not count contacts (shafts have 8-18)."""


def shaft_layout(contacts: Sequence[str], bands: int = 1) -> Layout:
    """Layout of channels named by contact, one set per band.

    Shafts stand in the order of their first contact. Along a shaft contacts keep their distance:
    a missing number leaves its place empty.

    Raises
    ------
    MontageError
        If the numbers on a shaft are further apart than `LONGEST`.
    """
    parsed = [Contact.parse(name) for name in contacts]
    shafts = list(dict.fromkeys(contact.shaft for contact in parsed))
    first = {s: min(c.number for c in parsed if c.shaft == s) for s in shafts}
    places = [(shafts.index(c.shaft), c.number - first[c.shaft]) for c in parsed]
    longest = max((place for _, place in places), default=0) + 1
    if longest > LONGEST:
        raise MontageError(
            f"contact numbers on one shaft span {longest}",
            f"at most {LONGEST}, shafts with contacts counted along them",
            "name contacts by shaft and number, or set network.conv to '1d' or '2d'",
        )
    return tuple((band, *place) for band in range(bands) for place in places)


def feature_layout(spec: BundleSpec) -> Layout:
    """Layout of a front end's feature channels; a bipolar channel sits at its first contact."""
    names = Reference(spec.front_end.reference, spec.contacts).names
    if spec.front_end.reference == "bipolar":
        ends = {f"{a}-{b}": a for a in spec.contacts for b in spec.contacts}
        names = tuple(ends[name] for name in names)
    return shaft_layout(names, len(spec.front_end.bands))


class ShaftGrid(nn.Module):
    """`(batch, time, channels)` to `(batch, time, bands, shafts, longest shaft)`.

    Shafts are padded to the longest; empty places are 0, the training mean.

    Raises
    ------
    MontageError
        If the layout is missing, or not one of so many channels.
    """

    def __init__(self, layout: Layout | None, channels: int) -> None:
        super().__init__()
        if layout is None or len(layout) != channels:
            raise MontageError(
                f"a layout of {0 if layout is None else len(layout)} channels",
                f"band, shaft and place of each of {channels}",
                "a 3-D convolution needs the montage: build the network from a bundle's spec",
            )
        self.bands, shafts, longest = (1 + max(axis) for axis in zip(*layout, strict=True))
        self.shape = (shafts, longest)
        # An empty place takes the channel after the last, which is zero.
        source = torch.full((self.bands, shafts, longest), channels)
        for channel, place in enumerate(layout):
            source[place] = channel
        self.register_buffer("source", source.flatten(), persistent=False)
        self.source: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Channels at their places."""
        placed = F.pad(x, (0, 1)).index_select(2, self.source)
        return torch.unflatten(placed, 2, (self.bands, *self.shape))
