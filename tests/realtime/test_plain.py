"""Every line is JSON that a strict reader takes."""

import json
from pathlib import Path

import numpy as np

from realtime.plain import json_line


def test_what_json_has_not_becomes_what_it_has() -> None:
    line = json_line(
        {
            "nan": float("nan"),
            "inf": np.float32("inf"),
            "n": np.int64(3),
            "rows": np.array([1.5, np.nan]),
            "inner": {"a": (1.0, float("-inf"))},
            "path": Path("x"),
            "text": "é\n",
        }
    )
    assert "\n" not in line

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(line, parse_constant=refuse) == {
        "nan": None,
        "inf": None,
        "n": 3,
        "rows": [1.5, None],
        "inner": {"a": [1.0, None]},
        "path": "x",
        "text": "é\n",
    }
