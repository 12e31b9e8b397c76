"""Small outlets for tests: in this process, with any description."""

from collections.abc import Sequence
from uuid import uuid4

import numpy as np
import pylsl

from realtime.streams import StreamQuery, write_description

LABELS = ("LA1", "LA2", "LA3", "LB1")
FORMATS = {"float32": "float32", "float64": "double64", "int16": "int16", "int32": "int32"}


class Outlet:
    """An outlet that pushes what it is given, with a source id of its own."""

    def __init__(
        self,
        labels: Sequence[str] = LABELS,
        rate: float = 1024.0,
        unit: str = "microvolts",
        dtype: str = "float32",
        stream_type: str = "EEG",
        name: str = "test",
        describe: bool = True,
    ) -> None:
        self.source_id = uuid4().hex
        info = pylsl.StreamInfo(
            name, stream_type, len(labels), rate, FORMATS.get(dtype, dtype), self.source_id
        )
        if describe:
            write_description(info, labels, unit, "SEEG", "tests")
        self.lsl = pylsl.StreamOutlet(info)
        self.dtype = dtype

    @property
    def query(self) -> StreamQuery:
        return StreamQuery(source_id=self.source_id, timeout_s=10)

    def push(self, rows: object) -> float:
        """Push rows stamped now; return the stamp of the last."""
        now = pylsl.local_clock()
        self.lsl.push_chunk(np.asarray(rows, self.dtype), now)
        return now
