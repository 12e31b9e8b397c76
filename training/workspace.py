"""Where a training keeps its state while it runs: `FOLDER.training`, beside the folder to be."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only

from models.errors import BusyOutputError, SettingsError
from models.files import new_file, refuse_busy
from models.toml import validated
from training.settings import ExperimentSettings


def first_process() -> bool:
    """Whether this process may write: the only one, or the first of several."""
    return not getattr(rank_zero_only, "rank", 0)


@dataclass(frozen=True)
class Begun:
    """What a training began with."""

    recording: Path
    sha256: str
    settings: ExperimentSettings
    overwrite: bool = False


class Workspace:
    """The state of a training; other processes than the first only look at it.

    Parameters
    ----------
    folder : the experiment's folder to be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder.with_name(f"{folder.name}.training")
        self._about = self.state / "begun.json"

    def refuse_busy(self, overwrite: bool) -> None:
        """Refuse a folder that exists, and one that is being trained.

        Raises
        ------
        BusyOutputError
            Unless overwriting was asked for.
        """
        if not first_process():
            return
        refuse_busy(self.folder, overwrite)
        if self.state.exists() and not overwrite:
            raise BusyOutputError(
                f"{self.state} holds an interrupted training",
                "a new folder",
                f"go on with `seegvox train --resume {self.folder}`, or give --overwrite",
            )

    def begin(self, begun: Begun) -> None:
        """Start afresh."""
        if not first_process():
            return
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)
        about = {
            "recording": str(begun.recording),
            "recording_sha256": begun.sha256,
            "settings": begun.settings.model_dump(mode="json"),
            "overwrite": begun.overwrite,
        }
        with new_file(self._about) as partial:
            partial.write_text(json.dumps(about, indent=2))

    def begun(self) -> Begun:
        """What an interrupted training began with.

        Raises
        ------
        SettingsError
            If there is none.
        """
        try:
            about = json.loads(self._about.read_text())
        except (OSError, ValueError) as err:
            done = " (it is finished)" if (self.folder / "experiment.json").exists() else ""
            raise SettingsError(
                f"there is no interrupted training of {self.folder}{done}",
                f"the folder {self.state} that a training leaves when it is interrupted",
                "train with a recording and --out",
            ) from err
        settings = validated(ExperimentSettings, about["settings"], str(self._about))
        return Begun(
            Path(about["recording"]), about["recording_sha256"], settings, about["overwrite"]
        )

    def close(self) -> None:
        """Put state and logs into the finished experiment's folder."""
        self.state.rename(self.folder / "training")
