"""What it costs to read every sample of a large XDF file in pieces: seconds and memory.

    python -m tests.realtime.reading_cost [--minutes 20] [--pyxdf] [--keep FILE]

Writes a file as LabRecorder does (112 contacts at 1024 Hz, audio at 48 kHz, packets of half a
second, clock offsets), then reads it in a process of its own, whose peak memory beyond what it had
after its imports is told. `--pyxdf` reads it with pyxdf as well, whole, as that library does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.xdf_files import Stream, XdfWriter

READ = """
import json, sys, time
{imports}
def peak():
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = open("/proc/self/status").read().split()
    return int(status[status.index("VmHWM:") + 1]) / 1024
before, start = peak(), time.perf_counter()
samples = 0
{read}
took = time.perf_counter() - start
print(json.dumps(dict(seconds=round(took, 1), memory_mb=round(peak() - before), samples=samples)))
"""
OURS = (
    "from realtime.recordings.xdf_file import XdfFile",
    """
with XdfFile(sys.argv[1]) as file:
    for stream in file.streams:
        for piece in file.pieces(stream.id):
            piece.numbers.sum()
            samples += len(piece.stamps)
""",
)
PYXDF = (
    "import pyxdf",
    """
for stream in pyxdf.load_xdf(sys.argv[1])[0]:
    samples += len(stream["time_stamps"])
""",
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=20.0, help="of recording (default: 20)")
    options.add_argument("--pyxdf", action="store_true", help="read with pyxdf too")
    options.add_argument("--keep", type=Path, help="keep the file here")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.keep or Path(folder) / "large.xdf"
        write(path, asked.minutes)
        print(f"{path.stat().st_size / 1e6:.0f} MB")
        for name, code in (("seegvox", OURS), *([("pyxdf", PYXDF)] if asked.pyxdf else [])):
            print(name, measured(path, *code))


def write(path: Path, minutes: float) -> None:
    seeg = Stream(1, "Micromed", "EEG", 112, 1024, "float32", tuple(f"A{i}" for i in range(112)))
    audio = Stream(2, "AudioCaptureWin", "Audio", 1, 48000, "int16")
    rng = np.random.default_rng(0)
    with XdfWriter(path) as out:
        for stream in (seeg, audio):
            out.header(stream)
        for k in range(int(minutes * 120)):
            for stream in (seeg, audio):
                if k % 10 == 0:
                    out.offset(stream.id, k / 2, 0.0)
                count = int(stream.rate / 2)
                values = 50 * rng.standard_normal((count, stream.channels))
                out.samples(stream.id, values, k / 2 + np.arange(count) / stream.rate)
        for stream in (seeg, audio):
            out.footer(stream.id)


def measured(path: Path, imports: str, read: str) -> dict[str, float]:
    code = READ.format(imports=imports, read=read)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
