"""What can go wrong while a training runs."""

from __future__ import annotations

from models.errors import SeegvoxError


class TrainingError(SeegvoxError):
    """A training cannot go on: its loss is not finite, or its state cannot be kept or read."""
