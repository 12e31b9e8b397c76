"""The table `[joint]`: training over several patients, and starting from such a training."""

from __future__ import annotations

from pydantic import Field, model_validator

from models.spec import Model


class JointSettings(Model):
    """What several patients' training adds, and where a new patient's training starts from."""

    contrastive: float = Field(
        0.1,
        ge=0,
        description="weight of the contrastive loss over patients; 0 leaves it out",
    )
    margin: float = Field(
        1.0,
        gt=0,
        le=2,
        description="distance between directions from which patients are far enough apart: "
        "1 is 60 degrees, 2 opposite",
    )
    start_from: str | None = Field(
        None, description="experiment whose network, but for its input convolution, is started from"
    )
    freeze_shared: bool = Field(
        False, description="train the input convolution alone; needs `start_from`"
    )

    @model_validator(mode="after")
    def _something_to_freeze(self) -> JointSettings:
        if self.freeze_shared and self.start_from is None:
            raise ValueError("freeze_shared needs start_from: untrained weights would be frozen")
        return self
