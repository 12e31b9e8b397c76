from __future__ import annotations

import pytest

from models.errors import MontageError
from models.montage import Contact, match_labels

WANTED = ["LA1", "LA2", "B'1", "B'2"]


def test_shaft_and_number_come_from_the_label() -> None:
    assert Contact.parse("LA12") == Contact("LA12", "LA", 12)
    assert Contact.parse("B'3") == Contact("B'3", "B'", 3)
    assert Contact.parse("EKG") == Contact("EKG", "EKG", 0)


def test_contacts_are_found_by_name_in_any_order() -> None:
    match = match_labels(WANTED, ["X", "B'2", "LA2", "LA1", "B'1"])
    assert match.columns == (3, 2, 4, 1)
    assert match.extra == ("X",)
    assert match.reordered


def test_missing_extra_and_order_are_all_named() -> None:
    with pytest.raises(MontageError, match=r"2 of 4 .* LA2, B'2; extra in the stream: Z9; order"):
        match_labels(WANTED, ["B'1", "LA1", "Z9"])


def test_contacts_are_given_up_only_by_name() -> None:
    match = match_labels(WANTED, ["LA1", "LA2", "B'1"], allow_missing=["B'2"])
    assert match.columns == (0, 1, 2, -1)
    assert not match.reordered
    with pytest.raises(MontageError, match="missing: LA2"):
        match_labels(WANTED, ["LA1", "B'1", "B'2"], allow_missing=["B'2"])


def test_a_label_twice_is_refused() -> None:
    with pytest.raises(MontageError, match=r"more than once.*LA1"):
        match_labels(WANTED, [*WANTED, "LA1"])
