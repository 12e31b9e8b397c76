from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from models.errors import MontageError
from models.hops import encoder_stride
from models.networks.grid import ShaftGrid, feature_layout, shaft_layout
from models.spec import Band, BundleSpec, FrontEndSpec

CONTACTS = ("LA1", "LA2", "LA4", "RB'7", "RB'8", "MARK")


def test_contacts_stand_along_their_shafts() -> None:
    wanted = ((0, 0, 0), (0, 0, 1), (0, 0, 3), (0, 1, 0), (0, 1, 1), (0, 2, 0))
    assert shaft_layout(CONTACTS) == wanted


def test_grid_is_padded_with_zeros() -> None:
    grid = ShaftGrid(shaft_layout(CONTACTS, bands=2), 12)
    assert (grid.bands, grid.shape) == (2, (3, 4))
    placed = grid(torch.arange(1.0, 13.0).expand(1, 5, -1))
    assert placed.shape == (1, 5, 2, 3, 4)
    first = [[1.0, 2.0, 0.0, 3.0], [4.0, 5.0, 0.0, 0.0], [6.0, 0.0, 0.0, 0.0]]
    assert placed[0, 0, 0].tolist() == first
    assert placed[0, 0, 1, 1].tolist() == [10.0, 11.0, 0.0, 0.0]


@pytest.mark.parametrize("reference", ["none", "bipolar"])
def test_layout_of_a_front_end(reference: str) -> None:
    bands = (Band(low_hz=70, high_hz=170), Band(low_hz=13, high_hz=30))
    spec = BundleSpec(
        name="x",
        contacts=CONTACTS,
        fs_hz=Fraction(1024),
        stride=encoder_stride(Fraction(1024)),
        front_end=FrontEndSpec(reference=reference, bands=bands),
    )
    one = shaft_layout(CONTACTS if reference == "none" else ("LA1", "RB'7"))
    assert feature_layout(spec) == (*one, *((1, *place[1:]) for place in one))


def test_numbers_that_count_no_contacts_are_refused() -> None:
    with pytest.raises(MontageError, match="span 900"):
        shaft_layout(("E1", "E900"))


def test_a_layout_of_other_channels_is_refused() -> None:
    with pytest.raises(MontageError, match="a layout of 6 channels"):
        ShaftGrid(shaft_layout(CONTACTS), 7)
    with pytest.raises(MontageError, match="a layout of 0 channels"):
        ShaftGrid(None, 7)
