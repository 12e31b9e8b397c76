"""The rooms: what the live path may load."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = ("torch", "lightning", "librosa", "matplotlib", "onnx", "onnxscript", "pynwb")

PROGRAM = f"""
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Refuse())
import models, realtime
for room in (realtime, models):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        if not module.name.startswith("models.networks"):
            importlib.import_module(module.name)
import tools.live, tools.cli
tools.cli.parser()
found = sorted(m for m in sys.modules if m.partition(".")[0] in {BLOCKED!r})
assert not found, found
print("imported without", "{BLOCKED[0]}")
"""


def test_the_live_path_loads_without_torch_and_every_training_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "imported without torch"
