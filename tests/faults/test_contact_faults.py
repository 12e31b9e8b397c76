"""NaN, infinity, flat lines and saturation on 1, 5 and 30 % of the contacts of a real outlet."""

from __future__ import annotations

import pytest

from tests.faults.bundle import CONTACTS
from tests.faults.policy import (
    CAPTURE_S,
    PACKET_S,
    check_clean_edges,
    check_delay,
    check_fault_free,
    check_sounding,
    silence_for,
)
from tests.faults.session import FIRST_FAULT_S, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

KINDS = ("nan", "infinity", "flat", "saturation")
SHARES = {0.01: 1, 0.05: 3, 0.3: 18}
LASTS_S = 0.6
# "Back after 1 s clean", and a stretch of sound before the next.
CLEAN_S, APART_S = 1.0, 2.6
# A flat line is one after 100 ms of the same value.
NOTICED_S = {"flat": 0.1}
CASES = [(kind, share) for share in SHARES for kind in KINDS]
PLAN = [
    {"kind": kind, "at_s": FIRST_FAULT_S + APART_S * i, "seconds": LASTS_S, "share": share}
    for i, (kind, share) in enumerate(CASES)
]
SECONDS = FIRST_FAULT_S + APART_S * len(CASES) + 0.5


def names(case: tuple[str, float]) -> str:
    return f"{case[0]} on {case[1]:.0%}"


def when(outcome: Outcome, case: tuple[str, float]) -> float:
    return float(outcome.injected[CASES.index(case)]["time"])


def test_a_fault_free_stretch_sounds(outcome: Outcome) -> None:
    check_fault_free(outcome)


@pytest.mark.parametrize("case", [c for c in CASES if c[1] < 0.2], ids=names)
def test_few_bad_contacts_are_masked_and_it_sounds_on(
    outcome: Outcome, case: tuple[str, float]
) -> None:
    at = when(outcome, case)
    check_sounding(outcome, at - 0.2, at + APART_S - 0.1)
    check_clean_edges(outcome, at - 0.2, at + APART_S - 0.1)
    check_delay(outcome, at + 0.1, at + APART_S - 0.1)


@pytest.mark.parametrize("case", [c for c in CASES if c[1] > 0.2], ids=names)
def test_many_bad_contacts_mute_until_they_are_clean(
    outcome: Outcome, case: tuple[str, float]
) -> None:
    at = when(outcome, case)
    span = silence_for(outcome, at + NOTICED_S.get(case[0], 0.0))
    clean_again = at + LASTS_S + CLEAN_S
    assert clean_again - PACKET_S < span.end < clean_again + 0.3 + CAPTURE_S
    check_clean_edges(outcome, at - 0.2, at + APART_S - 0.1)
    told = outcome.told("muted", at, at + LASTS_S)
    assert told
    assert "mask" in told[0]["why"]


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_mask_is_recorded_for_as_long_as_it_holds(
    outcome: Outcome, case: tuple[str, float]
) -> None:
    """Exactly the contacts that were drawn, from the first bad sample to 1 s after the last."""
    at, noticed_s = when(outcome, case), NOTICED_S.get(case[0], 0.0)
    came, masked = outcome.hops["available"], outcome.hops["masked"]
    held = (came > at + noticed_s + 0.06) & (came < at + LASTS_S + CLEAN_S - 0.06)
    assert held.sum() > 80
    assert set(masked[held]) == {SHARES[case[1]]}
    clear = (came > at + LASTS_S + CLEAN_S + 0.06) & (came < at + APART_S - 0.06)
    assert set(masked[clear]) == {0}
    drawn = set(outcome.injected[CASES.index(case)]["detail"]["contacts"])
    assert len(drawn) == SHARES[case[1]]
    assert masked_contacts(outcome, at + noticed_s + 0.2) == drawn


def masked_contacts(outcome: Outcome, time: float) -> set[str]:
    """Names of the contacts that the record says were masked in the hop at an LSL time."""
    hop = int(outcome.hops["available"].searchsorted(time))
    return {CONTACTS[i] for i in outcome.run.mask[hop].nonzero()[0]}
