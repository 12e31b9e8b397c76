"""What watches a training: time, validation, checkpoints, averages, pictures and a bar."""

from training.callbacks.averaging import Averaging
from training.callbacks.bar import Bar
from training.callbacks.best import Best
from training.callbacks.checkpoints import Checkpoints
from training.callbacks.examples import Examples
from training.callbacks.limits import StopAfter

__all__ = ["Averaging", "Bar", "Best", "Checkpoints", "Examples", "StopAfter"]
