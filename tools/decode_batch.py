"""Files decoded, one here or several in processes of their own; one display for all of them.

A process per file: whatever happens to one, a crash or too little memory, ends that one alone.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import SeegvoxError
from tools.decode_progress import Display

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from realtime.redecode.plan import Request

_END_S = 10.0

Row = dict[str, Any]
"""A summary, or `file` and `error`."""


@dataclass(frozen=True)
class Job:
    """One file: what is asked for, and whether a report is, with which microphone."""

    request: Request
    report: bool = False
    audio: Path | None = None
    audio_offset_s: float = 0.0


def run_one(job: Job) -> Row:
    """Decode one file in this process.

    Raises
    ------
    SeegvoxError
        Whatever is wrong with it.
    """
    with Display(1) as display:
        name = job.request.file.name
        return _carried_out(job, lambda done, total: display.at(name, done, total))


def run_batch(jobs: Sequence[Job], at_once: int) -> list[Row]:
    """Decode files in so many processes at a time; rows in the order of the jobs."""
    rows: dict[int, Row] = {}
    waiting = list(range(len(jobs)))[::-1]
    running: dict[Connection, _Child] = {}
    with Display(len(jobs)) as display:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    child = _Child(jobs[waiting[-1]], waiting.pop())
                    running[child.receiver] = child
                for ready in wait(list(running)):
                    child = running[ready]  # type: ignore[index]
                    row = child.heard(display)
                    if row is not None:
                        rows[child.number] = row
                        del running[child.receiver]
                        display.over(child.name, "error" in row)
        finally:
            for child in running.values():
                child.end()
    return [rows[number] for number in range(len(jobs))]


class _Child:
    """A process that decodes one file; only its own is ever signalled."""

    def __init__(self, job: Job, number: int) -> None:
        # Forked, ONNX Runtime's and BLAS's threads would be missing in the child.
        context = multiprocessing.get_context("spawn")
        self.number, self._job = number, job
        self.name = job.request.out.name
        self.receiver, sender = context.Pipe(duplex=False)
        self._process: SpawnProcess = context.Process(target=_work, args=(job, sender))
        # Ctrl-C is for this process, which ends the others when it has heard it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # Of the two ends of this side; without it the end of the child would not be noticed.
        sender.close()

    def heard(self, display: Display) -> Row | None:
        """Take what the child said; its row once it is over."""
        try:
            kind, content = self.receiver.recv()
        except EOFError:
            self._process.join()
            return self._failed(f"its process ended with status {self._process.exitcode}")
        if kind == "progress":
            display.at(self.name, *content)
            return None
        self._process.join()
        self.receiver.close()
        row: Row = content if kind == "done" else self._failed(content)
        return row

    def _failed(self, why: str) -> Row:
        return {"file": str(self._job.request.file), "error": why}

    def end(self) -> None:
        """End it early; it leaves nothing half-written."""
        self._process.terminate()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(job: Job, sender: Connection) -> None:
    """In the child: decode, and say so."""
    signal.signal(signal.SIGTERM, _give_up)
    try:
        row = _carried_out(job, lambda done, total: sender.send(("progress", (done, total))))
        sender.send(("done", row))
    except (SeegvoxError, OSError) as err:
        sender.send(("failed", " ".join(str(err).split())))
    except KeyboardInterrupt:
        pass
    except Exception as err:
        # One bad file must not stop the others, whatever is wrong with it.
        sender.send(("failed", f"{type(err).__name__}: {' '.join(str(err).split())}"))
    finally:
        sender.close()


def _give_up(*_: object) -> None:
    raise KeyboardInterrupt


def _carried_out(job: Job, progress: Any) -> Row:
    from realtime.redecode import decode

    summary = decode(job.request, progress)
    if job.report:
        from tools.decode_report import write_decode_report

        report = write_decode_report(job.request.out, summary, job.audio, job.audio_offset_s)
        summary = {**summary, "report": str(report)}
    return summary
