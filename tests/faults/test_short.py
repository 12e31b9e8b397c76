"""A quarter of a minute of the fault suite, for every `make test`: one fault of each sort."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.faults.bundle import CONTACTS, FS, contacts_uv
from tests.faults.policy import (
    check_clean_edges,
    check_delay,
    check_fault_free,
    check_resumed,
    check_sounding,
    silence_for,
)
from tests.faults.session import Outcome

pytestmark = [pytest.mark.lsl, pytest.mark.audio]

PLAN = [
    {"kind": "gap", "at_s": 4.0, "ms": 49.0},
    {"kind": "nan", "at_s": 5.5, "seconds": 0.3, "share": 0.05},
    {"kind": "gap", "at_s": 7.5, "ms": 500.0},
    {"kind": "loss", "at_s": 10.5, "seconds": 1.0, "source_id": "another"},
]
SECONDS = 14.5


def test_a_session_with_a_fault_of_each_sort(outcome: Outcome) -> None:
    check_fault_free(outcome)
    first, second, gone = outcome.at("gap", 0), outcome.at("gap", 1), outcome.at("loss")
    check_sounding(outcome, first - 0.2, second - 0.2)
    for at, returned in ((second, second + 0.5), (gone, gone + 1.0)):
        check_resumed(silence_for(outcome, at), returned)
        check_delay(outcome, returned + 1.0, returned + 1.9)
    check_clean_edges(outcome, first - 0.2, gone + 2.5)


def test_what_was_injected_is_in_the_record(outcome: Outcome) -> None:
    """The injector tells on a marker stream; the recorder takes every marker stream it finds."""
    kept = [m for m in outcome.run.markers if "fault" in str(m["values"])]
    told = [json.loads(m["values"][0])["fault"] for m in kept]
    assert told == [fault["kind"] for fault in outcome.injected] == ["gap", "nan", "gap", "loss"]
    # Clock correction of this machine's own clock: under 1 ms but for a busy core.
    np.testing.assert_allclose(
        [m["time"] for m in kept], [fault["time"] for fault in outcome.injected], atol=5e-3
    )


def test_nan_on_one_contact_changes_no_other_contacts_features() -> None:
    """Bit for bit; under a common average only by its leaving the average."""
    from models.frontend import FrontEnd
    from models.spec import FrontEndSpec

    clean = contacts_uv(6.0)
    bad = clean.copy()
    bad[3000:3300, 7] = np.nan
    others = np.arange(len(CONTACTS)) != 7

    def features(x: np.ndarray, reference: str) -> np.ndarray:
        return FrontEnd(FrontEndSpec(reference=reference), CONTACTS, FS).step(x)

    np.testing.assert_array_equal(
        features(bad, "none")[:, others], features(clean, "none")[:, others]
    )
    assert np.isfinite(features(bad, "none")).all()
    # Under the average: as if the contact had been given up from there on, until it is back.
    averaged = features(bad, "average")
    given_up = FrontEnd(
        FrontEndSpec(reference="average", bad_contacts=(CONTACTS[7],)), CONTACTS, FS
    ).step(clean)
    np.testing.assert_array_equal(averaged[:3000], features(clean, "average")[:3000])
    # A step in every channel as the member leaves; 100 ms later the filters have forgotten it.
    inside = slice(3000 + 300, 3300 + 1000)
    scale = given_up[inside][:, others].std()
    assert np.abs(averaged[inside][:, others] - given_up[inside][:, others]).max() < 0.02 * scale
