"""`bench scale`: what is varied, what its work is, and the line through cost and work."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.bundles import tiny_spec
from tools.bench.scale import CORNERS, fits, line
from tools.bench.sizes import AXES, Size, axis_of, sizes
from training.yardsticks import random_network
from training.yardsticks_scale import step_macs


def test_each_size_once_one_axis_at_a_time() -> None:
    found = sizes(AXES, CORNERS, "float32")
    # The base is in every axis but counted once.
    assert len(found) == 1 + sum(len(values) - 1 for values in AXES.values()) + len(CORNERS)
    assert len({size.name for size in found}) == len(found)
    assert axis_of(Size()) == list(AXES)
    assert axis_of(Size(contacts=1024)) == ["contacts"]
    assert axis_of(Size(contacts=1024, rate_hz=2048)) == []
    assert {"contacts", "rate_hz"} == set(AXES) - {"hidden", "hop_ms"}


def test_a_size_is_a_spec_and_a_clock_of_its_hop() -> None:
    size = Size(contacts=40, rate_hz=2048, hidden=512, hop_ms=5)
    spec = size.spec()
    assert len(spec.contacts) == len(set(spec.contacts)) == 40
    assert spec.network.encoder_size == spec.network.decoder_size == 512
    assert size.clock.hop == Fraction(1, 200)
    assert size.samples_a_hop == pytest.approx(10.24)
    assert size.ticks_a_hop == pytest.approx(10.24 / 20)


def test_the_work_of_a_step_counts_every_weight() -> None:
    """A frame takes each weight of GRU and layers once: a larger decoder shows as just those."""
    spec = tiny_spec()
    network = spec.network.model_copy(update={"decoder_size": 32})
    both = spec, spec.model_copy(update={"network": network})
    ticks, frames = zip(*(step_macs(s, len(spec.contacts)) for s in both), strict=True)
    small, large = (
        sum(p.numel() for p in random_network(s, len(spec.contacts)).parameters() if p.dim() > 1)
        for s in both
    )
    assert frames[1] - frames[0] == large - small > 0
    assert ticks[0] == ticks[1] > 0


def test_the_line_is_found() -> None:
    found = line([1, 2, 4, 8], [0.3, 0.5, 0.9, 1.7])
    assert found["slope_ms"] == pytest.approx(0.2)
    assert found["rest_ms"] == pytest.approx(0.1)
    assert found["r2"] == pytest.approx(1.0)
    assert line([1], [2]) == {}


def test_exponents_are_along_their_axis() -> None:
    rows = []
    for hidden in (128, 256, 512):
        ms = 1e-5 * hidden**2
        size = Size(hidden=hidden)
        rows.append(
            {
                **{axis: getattr(size, axis) for axis in AXES},
                "axes": axis_of(size),
                "network_mmacs": 1e-3 * hidden**2,
                "filtered_values": 1720.0,
                "front_end_p50_ms": 0.2,
                "encoder_p50_ms": ms / 2,
                "decoder_p50_ms": ms / 2,
                "p50_ms": ms,
            }
        )
    found = fits(rows)
    assert found["exponents"] == {"hidden": pytest.approx(2.0)}
    assert found["network"]["slope_ms"] == pytest.approx(0.01)
    assert found["front_end"] == {}
    assert np.isfinite(found["network"]["r2"])
