"""Decode one file offline: the live path, a virtual clock, one folder at the end."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from models.errors import RecordingError
from models.files import new_folder, refuse_busy
from models.hops import HOP
from realtime.environment import environment
from realtime.events import Event
from realtime.parts import new_core, ready_pipeline
from realtime.pipeline import Hop, Pipeline
from realtime.redecode.batches import Batch
from realtime.redecode.compare import Comparison, Recorded, versions_that_differ
from realtime.redecode.folder import ResultFolder
from realtime.redecode.offline import Bulk, NotFiniteError, Offline, Stepwise
from realtime.redecode.plan import Plan, Request, plan
from realtime.redecode.pulls import play
from realtime.session_core import SessionCore

Progress = Callable[[float, float], None]
"""Is given seconds of signal decoded, and seconds in all."""

_TOLD_S = 0.2


def decode(request: Request, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Decode a session or a recording; returns what `summary.json` says.

    The folder is there whole or not at all. Memory does not grow with the length of the file.

    Raises
    ------
    SeegvoxError
        Whatever is wrong with bundle, recording, options or output; nothing is written then.
    """
    refuse_busy(request.out, request.overwrite)
    wanted = plan(request)
    try:
        try:
            return _Decoding(wanted, progress).run(Bulk)
        except NotFiniteError:
            return _Decoding(wanted, progress).run(Stepwise)
    finally:
        wanted.close()


class _Decoding:
    """One file under way."""

    def __init__(self, wanted: Plan, progress: Progress) -> None:
        self._plan, self._progress = wanted, progress
        self._environment = environment()
        self._spec = wanted.bundle.spec
        given_up = {*wanted.given_up, *self._spec.front_end.bad_contacts}
        self._used = np.array([contact not in given_up for contact in self._spec.contacts])
        self._batch = Batch(len(self._spec.contacts))
        self._kinds: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._first_s = float("nan")
        self._told = 0.0

    def run(self, how: type[Bulk | Stepwise]) -> dict[str, Any]:
        wanted, request = self._plan, self._plan.request
        # As live: BLAS in one thread, and in the thread that makes the graphs.
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
            ready = ready_pipeline(wanted.settings, wanted.bundle, wanted.calibration)
            pipeline = how(ready, self._spec.contacts)
            folder = stack.enter_context(new_folder(request.out, request.overwrite))
            self._result = ResultFolder(folder, self._spec.contacts, float(self._spec.fs_hz))
            stack.callback(self._result.close)
            self._recorded = self._open_recorded(stack)
            core = new_core(self._spec, wanted.settings, pipeline, wanted.given_up, self._emit)
            began = time.perf_counter()
            self._play(core, pipeline)
            self._refuse_nothing()
            took_s = time.perf_counter() - began
            found = self._recorded.conclude() if self._recorded else None
            summary = self._summary(core, took_s, found)
            self._result.conclude(self._about(pipeline, summary), self._first_s, summary)
        return summary

    def _open_recorded(self, stack: ExitStack) -> Recorded | None:
        session = self._plan.session
        if session is None or not session.hops:
            return None
        same = session.contacts == self._spec.contacts
        return stack.enter_context(Recorded(session.folder, same))

    # --- hops ---------------------------------------------------------------------------------

    def _play(self, core: SessionCore, pipeline: Offline) -> None:
        for hop in play(self._plan.pulls(), core, pipeline, self._plan.settings.seconds):
            if not self._counts["hops"]:
                self._first_s = hop.available
            self._count(hop)
            self._batch.add(hop)
            if self._batch.full:
                self._flush(pipeline)
                self._tell(hop)
        self._flush(pipeline)

    def _refuse_nothing(self) -> None:
        if not self._counts["hops"]:
            raise RecordingError(
                f"not a hop came out of {self._plan.request.file}",
                "sEEG without breaks for at least 15 ms",
                "look at its events: seegvox session show, or another recording",
            )

    def _count(self, hop: Hop) -> None:
        unexpected = int(np.count_nonzero(hop.mask & self._used)) if hop.masked else 0
        counts = self._counts
        counts["hops"] += 1
        counts["masked_hops"] += unexpected > 0
        counts["bridged_hops"] += hop.bridged > 0
        counts["muted_hops"] += hop.muted
        counts["not_finite_hops"] += not hop.finite
        counts["most_masked"] = max(counts["most_masked"], unexpected)

    def _flush(self, pipeline: Offline) -> None:
        if len(self._batch):
            self._batch.complete(*pipeline.settle())
            self._result.hops(self._batch)
            if self._recorded is not None:
                self._recorded.add(self._batch)
            self._batch.clear()

    def _tell(self, hop: Hop) -> None:
        now = time.monotonic()
        if now - self._told > _TOLD_S:
            self._told = now
            self._progress(float((hop.last_sample + 1) / self._spec.fs_hz), self._plan.seconds)

    def _emit(self, event: Event) -> None:
        self._kinds[event.kind] += 1
        self._result.event(event)

    # --- what is said of it -------------------------------------------------------------------

    def _summary(
        self, core: SessionCore, took_s: float, found: Comparison | None
    ) -> dict[str, Any]:
        wanted, request = self._plan, self._plan.request
        seconds = self._counts["hops"] * float(HOP)
        calibration = wanted.calibration
        return {
            "file": str(request.file),
            "kind": "session" if wanted.session else "recording",
            "out": str(request.out),
            "bundle": str(wanted.bundle.path),
            "bundle_sha256": wanted.bundle.hash,
            "vocoder": wanted.settings.vocoder,
            "calibration": calibration.facts() if calibration else None,
            "mask": list(request.mask),
            "given_up_contacts": list(wanted.given_up),
            **wanted.facts,
            "signal_s": wanted.seconds,
            "decoded_s": seconds,
            "took_s": took_s,
            "times_real_time": seconds / took_s if took_s else None,
            **{key: self._counts[key] for key in _COUNTED},
            **vars(core.counts),
            "odd_stamps": core.odd_stamps,
            "burst_ms": round(1e3 * core.burst_s, 2),
            "events": dict(self._kinds),
            "notes": list(wanted.notes),
            **self._against_session(found),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "environment": self._environment,
        }

    def _against_session(self, found: Comparison | None) -> dict[str, Any]:
        """The comparison; `identical` is None where there is nothing to be identical with."""
        session = self._plan.session
        if session is None or found is None:
            return {"identical": None, "changed": list(self._plan.changed), "comparison": None}
        then = session.about.get("environment") or {}
        return {
            # What was changed on purpose is a difference, not a failure to repeat.
            "identical": None if self._plan.changed else found.identical,
            "changed": list(self._plan.changed),
            "comparison": found.as_json(),
            "versions_differ": versions_that_differ(then, self._environment),
        }

    def _about(self, pipeline: Pipeline, summary: dict[str, Any]) -> dict[str, Any]:
        wanted = self._plan
        return {
            "settings": wanted.settings.model_dump(mode="json"),
            "bundle_sha256": wanted.bundle.hash,
            "calibration": summary["calibration"],
            "stream": wanted.facts.get("stream") or {"name": wanted.request.file.name},
            "given_up_contacts": list(wanted.given_up),
            "lookahead_ms": 1e3 * float(pipeline.latency),
            "environment": self._environment,
            "hops": self._counts["hops"],
            "decoded": {key: summary[key] for key in ("file", "kind", "changed", "identical")},
        }


_COUNTED = (
    "hops",
    "masked_hops",
    "most_masked",
    "bridged_hops",
    "muted_hops",
    "not_finite_hops",
)
