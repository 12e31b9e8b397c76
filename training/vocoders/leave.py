"""What a finished training leaves: weights, and the vocoder ready to be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from models.files import sha256
from models.networks.vocoder import VocoderNetwork
from models.networks.waveglow import WaveGlow, remove_weight_norm
from models.streaming import Floats
from models.vocoder import INSIDE, VocoderSpec
from training.checkpoints import write_tensors
from training.vocoders.export import export_vocoder
from training.vocoders.settings import VocoderTraining
from training.vocoders.waveglow_file import WaveGlowFile, write_waveglow

GOLDEN_HOPS = 200


def leave(
    network: nn.Module, settings: VocoderTraining, about: dict[str, Any], mel: Floats, folder: Path
) -> str:
    """Write everything into a folder; the name of what is to be used.

    Parameters
    ----------
    network : trained, on the CPU.
    about : what the training says of itself.
    mel : held-out frames `(hops, 80)`, for proof and golden sound.
    folder : to be written into.

    Raises
    ------
    BundleError
        If the exported graph is not the network.
    """
    (folder / "training.json").write_text(json.dumps(about, indent=1))
    if isinstance(network, WaveGlow):
        remove_weight_norm(network)
        weights = {name: t.detach().numpy() for name, t in network.state_dict().items()}
        where = {"corpora": about["corpora"], "stages": about["stages"]}
        write_waveglow(WaveGlowFile(network.spec, weights, where), folder / "waveglow.pt")
        return "waveglow.pt"
    assert isinstance(network, VocoderNetwork)
    write_tensors(network.state_dict(), folder / "weights.pt")
    provenance = {**about, "weights_sha256": sha256(folder / "weights.pt")}
    spec = VocoderSpec(name=settings.name, network=settings.network, provenance=provenance)
    export_vocoder(network, spec, folder / INSIDE, mel[:GOLDEN_HOPS], settings.int8)
    return INSIDE
