"""A bundle that sounds: random weights, 60 contacts, frames as loud as speech at all times."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from models.hops import encoder_stride
from models.spec import BundleSpec
from tests.bundles import TINY_NETWORK

CONTACTS = tuple(
    f"{shaft}{n}" for shaft in ("LA", "LB", "LC", "RA", "RB", "RC") for n in range(1, 11)
)
FS = Fraction(1024)
# Log amplitude of the mel bands: a rumble under 1 kHz, so that a click, which is in all bands,
# stands out; loud enough to tell a fade from silence.
MEL_MEAN = np.interp(np.arange(80), [0, 2, 3, 20, 35, 79], [-8.0, -8.0, -2.5, -2.5, -9.0, -11.0])
MEL_STD = 0.4


def contacts_uv(seconds: float, seed: int = 5) -> np.ndarray:
    """White noise of 30 uV, `(samples, 60)`, float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 30, (int(seconds * FS), len(CONTACTS))).astype(np.float32)


def write_bundle(path: Path) -> None:
    """Export it; takes a few seconds, and torch."""
    import torch

    from models.frontend import FrontEnd, fit_statistics
    from training.fit import build_network
    from training.package import Trained, package

    spec = BundleSpec(
        name="sounding",
        contacts=CONTACTS,
        fs_hz=FS,
        stride=encoder_stride(FS),
        network=TINY_NETWORK,
        provenance={"seed": 0, "weights": "random, never trained"},
    )
    front_end = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz)
    statistics = fit_statistics(front_end, [contacts_uv(4)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(spec, len(statistics.mean))
    network.mel_mean.copy_(torch.from_numpy(MEL_MEAN))
    network.mel_std.fill_(MEL_STD)
    package(Trained(spec, network.eval(), statistics), path, contacts_uv(3, seed=1))


if __name__ == "__main__":
    write_bundle(Path(sys.argv[1]))
