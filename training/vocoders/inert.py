"""Pickles read as data: an unpickler that imports nothing from a file and runs nothing in it.

A pickle names what it is built from, and Python's own unpickler imports and calls it. Here a name
is looked up in a short list and nowhere else: what rebuilds tensors is this module's own and gives
places in the file; modules of the network become empty shells that hold their attributes; every
other name ends the reading. There is no way from a file to code that is not in this module.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from training.vocoders.errors import CheckpointError

# Storage types of torch and how their bytes are read; bfloat16 is the upper half of a float32.
_BFLOAT16 = "BFloat16Storage"
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    _BFLOAT16: "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
}
_SHELLS = ("torch.nn", "torch.optim", "glow", "glow_old", "waveglow")
"""Packages whose classes a pickled WaveGlow consists of."""


class Shell:
    """Stands for an object of a class that is not imported; `state` is what was to be its own."""

    state: dict[str, Any]

    def __new__(cls, *_: Any, **__: Any) -> Shell:
        """Without `__init__`, as pickles make objects."""
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


@dataclass(frozen=True, slots=True)
class StorageKind:
    """A type of storage, by torch's name for it."""

    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """How its bytes are read."""
        return np.dtype(_DTYPES[self.name])


@dataclass(frozen=True, slots=True)
class Storage:
    """A stretch of values somewhere in the file; `read` gives their bytes."""

    kind: StorageKind
    count: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in the file, not read yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> NDArray[Any]:
        """Its values; bfloat16 as float32.

        Raises
        ------
        CheckpointError
            If it reaches beyond its storage.
        """
        kind = self.storage.kind
        values = np.frombuffer(self.storage.read(), kind.dtype)
        if not self._fits(len(values)):
            raise CheckpointError(
                f"a tensor of {self.size} reaches beyond its {len(values)} values",
                "tensors within their storages",
                "the checkpoint is damaged: copy it again",
            )
        if kind.name == _BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        steps = [n * values.itemsize for n in self.stride]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.size, steps)
        return np.array(view)

    def _fits(self, count: int) -> bool:
        numbers = (self.offset, *self.size, *self.stride)
        whole = all(isinstance(n, int) and n >= 0 for n in numbers)
        if not whole or len(self.size) != len(self.stride):
            return False
        if 0 in self.size:
            return self.offset <= count
        last = sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        return self.offset + last < count


def _tensor(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Stored:
    return Stored(storage, offset, tuple(size), tuple(stride))


def _parameter(data: Any, *_: Any) -> Any:
    return data


Place = Callable[[tuple[Any, ...]], Any]


class InertUnpickler(pickle.Unpickler):
    """Rebuilds containers, numbers, places of tensors and shells; nothing else.

    Parameters
    ----------
    file : open for reading, at the start of a pickle.
    name : of the checkpoint, for errors.
    place : from torch's persistent id to a `Storage`.
    """

    def __init__(self, file: IO[bytes], name: str, place: Place | None = None) -> None:
        super().__init__(file, encoding="utf-8")
        self._name, self._place = name, place
        self._shells: dict[str, type[Shell]] = {}
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor"): _tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
        }

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for.

        Raises
        ------
        CheckpointError
            If it is neither a tensor's nor a network's.
        """
        if (module, name) in self._known:
            return self._known[module, name]
        if module in ("torch", "torch.cuda") and name in _DTYPES:
            return StorageKind(name)
        if any(module == known or module.startswith(known + ".") for known in _SHELLS):
            kinds = self._shells
            return kinds.setdefault(f"{module}.{name}", type("Shell", (Shell,), {}))
        raise CheckpointError(
            f"{self._name} asks for {module}.{name}, which is code and not weights",
            "tensors, and the modules of a WaveGlow",
            "nothing of it was run; do not open this file with other programs either",
        )

    def persistent_load(self, pid: Any) -> Any:
        """A storage by torch's persistent id, or the class of a module whose source is beside it.

        Raises
        ------
        CheckpointError
            If it is neither.
        """
        if isinstance(pid, tuple) and pid and pid[0] == "module" and len(pid) > 1:
            return pid[1]
        known = isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"
        if not known or self._place is None or not isinstance(pid[1], StorageKind):
            raise CheckpointError(f"{self._name} refers to {str(pid)[:80]}", "a torch storage")
        return self._place(pid)
