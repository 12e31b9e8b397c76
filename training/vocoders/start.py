"""Going on from a vocoder that was trained before: a general one, to one patient's voice."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from models.errors import SettingsError
from models.networks.waveglow import WaveGlow
from training.checkpoints import read_tensors
from training.vocoders.waveglow_file import load_waveglow


def start_from(network: nn.Module, start: Path) -> None:
    """Give a fresh network the weights of another of the same shapes.

    Parameters
    ----------
    start : folder that `seegvox train-vocoder` wrote; for a WaveGlow also a converted checkpoint.

    Raises
    ------
    SettingsError
        If it is neither, or of other shapes.
    """
    try:
        if isinstance(network, WaveGlow):
            file = start / "waveglow.pt" if start.is_dir() else start
            network.load_state_dict(load_waveglow(file).state_dict())
            return
        json.loads((start / "training.json").read_text())
        network.load_state_dict(read_tensors(start / "weights.pt"))
    except (OSError, ValueError) as err:
        raise SettingsError(
            f"{start} is no trained vocoder", "a folder that `seegvox train-vocoder` wrote"
        ) from err
    except RuntimeError as err:
        raise SettingsError(
            f"{start}: {str(err).splitlines()[-1].strip()}",
            "a vocoder of the same shapes",
            "set the table [network] as it was there",
        ) from err
