"""What can be wrong with a file of weights that somebody else wrote."""

from __future__ import annotations

from models.errors import SeegvoxError


class CheckpointError(SeegvoxError):
    """A checkpoint is damaged, holds code, or is another network's."""
