"""Today's statistics of the front end's features, kept beside a bundle and never in it."""

from realtime.calibration.compare import Comparison, compare
from realtime.calibration.folder import (
    NEWEST,
    About,
    Calibration,
    chosen,
    folder_of,
    load_calibration,
    newest,
    write_calibration,
)
from realtime.calibration.measure import Estimator, Measured, Tally
from realtime.calibration.sources import measure_recording, measure_stream

__all__ = [
    "NEWEST",
    "About",
    "Calibration",
    "Comparison",
    "Estimator",
    "Measured",
    "Tally",
    "chosen",
    "compare",
    "folder_of",
    "load_calibration",
    "measure_recording",
    "measure_stream",
    "newest",
    "write_calibration",
]
