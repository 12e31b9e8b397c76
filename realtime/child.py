"""Processes beside the decoder's: the memory shared with them, and their end."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from typing import BinaryIO

KILL_LIMIT_S = 2.0


def shared_memory(name: str, size: int) -> BinaryIO:
    """Anonymous zeros, `size` bytes, that a child inherits and that vanish with the last process.

    `name` is what the system calls them, for those who look.
    """
    if hasattr(os, "memfd_create"):
        file: BinaryIO = os.fdopen(os.memfd_create(name), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    # Written, not only sized: the hop path must not be the first to touch a page.
    file.write(bytes(size))
    file.flush()
    return file


def end(child: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a child to end by itself; after so long it is killed.

    One that cannot even die, stuck in a driver, is left behind after `KILL_LIMIT_S`.
    """
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.wait(KILL_LIMIT_S)
