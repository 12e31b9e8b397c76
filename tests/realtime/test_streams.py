from fractions import Fraction
from uuid import uuid4

import pylsl
import pytest
from pydantic import ValidationError

from models.errors import StreamError
from realtime.streams import StreamQuery, describe, rate_of, read_info, resolve_one
from tests.lsl_outlets import LABELS, Outlet


def test_query_is_strict() -> None:
    with pytest.raises(ValidationError):
        StreamQuery(sourceid="x")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        StreamQuery(source_id="")
    with pytest.raises(ValidationError):
        StreamQuery(timeout_s=0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (StreamQuery(), True),
        (StreamQuery(type="EEG"), True),
        (StreamQuery(type="Audio"), False),
        (StreamQuery(name="amp"), True),
        (StreamQuery(name="other"), False),
        (StreamQuery(source_id="s"), True),
        (StreamQuery(source_id="s", name="other"), False),
        (StreamQuery(source_id="s", type="Markers"), False),
    ],
)
def test_every_field_given_must_agree(query: StreamQuery, expected: bool) -> None:
    assert query.matches(pylsl.StreamInfo("amp", "eeg", 1, 100, "float32", "s")) is expected


@pytest.mark.parametrize("kind", ["EEG", "eeg", "sEEG", "SEEG", "iEEG", "ecog"])
def test_neural_types_in_any_case(kind: str) -> None:
    assert StreamQuery().matches(pylsl.StreamInfo("amp", kind, 1, 100, "float32", "s"))


def test_markers_are_not_neural() -> None:
    assert not StreamQuery().matches(pylsl.StreamInfo("m", "Markers", 1, 0, "string", "s"))


def test_rate_survives_lsl_text() -> None:
    # What liblsl 1.18 gave back for 390625/384 Hz, measured: one bit off.
    assert rate_of(1017.252604166667) == Fraction(390625, 384)
    assert rate_of(1024.0) == 1024
    assert rate_of(499.83) == Fraction(49983, 100)


@pytest.mark.lsl
def test_description_goes_there_and_back() -> None:
    outlet = Outlet(rate=390625 / 384, unit="millivolts", dtype="int16", name="Ämp")
    found = resolve_one(outlet.query)
    full = read_info(found, 5)
    assert full is not None
    said = describe(full)
    assert said.labels == LABELS
    assert said.units == ("millivolts",) * 4
    assert said.types == ("SEEG",) * 4
    assert (said.name, said.type, said.source_id) == ("Ämp", "EEG", outlet.source_id)
    assert (said.rate, said.dtype, said.channels) == (Fraction(390625, 384), "int16", 4)
    assert said.manufacturer == "tests"
    assert said.uid and said.hostname


def test_silent_stream_gives_empty_fields() -> None:
    said = describe(pylsl.StreamInfo("bare", "EEG", 3, 512, "float32", "s"))
    assert said.labels == said.units == said.types == ("", "", "")
    assert said.manufacturer == ""


@pytest.mark.lsl
def test_none_lists_what_there_is() -> None:
    outlet = Outlet(name="bystander", rate=512.0)
    with pytest.raises(StreamError) as err:
        resolve_one(StreamQuery(source_id=uuid4().hex, timeout_s=1.5))
    message = str(err.value)
    for part in ("within 1.5 s", "bystander", "EEG", "4 channels", "512 Hz", outlet.source_id):
        assert part in message
    assert "\n" not in message


@pytest.mark.lsl
def test_several_lists_them() -> None:
    name = uuid4().hex
    outlets = [Outlet(name=name), Outlet(name=name)]
    with pytest.raises(StreamError, match="2 LSL streams match") as err:
        resolve_one(StreamQuery(name=name, timeout_s=10, settle_s=10))
    assert all(outlet.source_id in str(err.value) for outlet in outlets)


@pytest.mark.lsl
def test_name_with_quotes_is_found() -> None:
    name = f"a'b\"c {uuid4().hex}"
    outlet = Outlet(name=name)
    assert resolve_one(StreamQuery(name=name)).source_id() == outlet.source_id
