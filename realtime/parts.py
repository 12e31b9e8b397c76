"""The parts of a session, each made from its settings; `service.py` opens and closes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pylsl

from models.bundle import Bundle
from models.spec import BundleSpec
from realtime.calibration.folder import Calibration
from realtime.clock_correction import SenderClock
from realtime.environment import environment
from realtime.events import Emit
from realtime.golden import check_golden
from realtime.inlet import Inlet
from realtime.outlets.describe import Source as OutletSource
from realtime.outlets.outlets import Outlets
from realtime.pipeline import Pipeline
from realtime.playout.playout import Playout, open_playout
from realtime.record.record import Record
from realtime.scheduling import Granted
from realtime.session_core import SessionCore
from realtime.settings import LiveSettings
from realtime.source import Source
from realtime.teller import Tell


def ready_pipeline(
    settings: LiveSettings, bundle: Bundle, calibration: Calibration | None
) -> Pipeline:
    """The pipeline, proved against the bundle's golden vectors, and warm.

    Raises
    ------
    BundleError
        If it computes something else than the bundle says.
    """
    pipeline = Pipeline.from_bundle(
        bundle,
        settings.vocoder,
        settings.limiter,
        now=pylsl.local_clock,
        statistics=calibration.statistics if calibration else None,
        weights=settings.weights,
    )
    as_proved = settings.vocoder == "phase" and calibration is None
    proved = pipeline if as_proved else Pipeline.from_bundle(bundle, weights=settings.weights)
    check_golden(proved, bundle, settings.weights)
    pipeline.warm_up(len(bundle.spec.contacts))
    return pipeline


def inlet_opener(settings: LiveSettings, spec: BundleSpec) -> Callable[..., Inlet]:
    """Opens `Inlet`s of the bundle's montage; takes `start` and `found`."""
    return partial(
        Inlet, settings.stream, spec.contacts, spec.fs_hz, settings.unit, settings.allow_missing
    )


@contextmanager
def playing(settings: LiveSettings) -> Iterator[Playout]:
    """A started playout, muted: filters and memory are to be filled first."""
    playout = open_playout(settings.playout, pylsl.local_clock)
    playout.mute(True)
    try:
        yield playout
    finally:
        playout.stop()


def new_record(
    settings: LiveSettings, spec: BundleSpec, about: dict[str, Any], playout: Playout, tell: Tell
) -> Record:
    """The session's record, which also takes what `playout` plays."""
    return Record(
        settings.out,
        about,
        spec.contacts,
        float(spec.fs_hz),
        playout.descriptor,
        settings.outlets.source_ids,
        tell=tell,
    )


def new_outlets(
    settings: LiveSettings,
    bundle: Bundle,
    pipeline: Pipeline,
    inlet: Inlet,
    playout: Playout,
    failed: Callable[[str], None],
) -> Outlets:
    """The session's LSL outlets, which say whose data they were made from."""
    stream = inlet.description
    source = OutletSource(
        bundle.spec.name,
        bundle.hash,
        stream.name,
        stream.source_id,
        stream.uid,
        float(pipeline.latency),
    )
    return Outlets(settings.outlets, source, playout.stats, failed)


def new_core(
    spec: BundleSpec,
    settings: LiveSettings,
    pipeline: Pipeline,
    given_up: Collection[str],
    emit: Emit,
) -> SessionCore:
    """The session's core; a session is decoded again with the very same one.

    `given_up` are contacts that the stream lacks, by permission.
    """
    unused = {*spec.front_end.bad_contacts, *given_up}
    return SessionCore(
        pipeline,
        spec.contacts,
        settings.warm_s,
        settings.policy,
        emit,
        settings.playout.target_ms / 1e3,
        np.array([contact in unused for contact in spec.contacts]),
        spec.front_end.line_hz or 50.0,
    )


def new_source(
    settings: LiveSettings,
    inlet: Inlet,
    open_inlet: Callable[..., Inlet],
    core: SessionCore,
    clock: SenderClock,
) -> Source:
    """The stream, and whatever takes its place."""

    def reopen(found: pylsl.StreamInfo) -> Inlet:
        return open_inlet(found=found)

    lost_s = settings.policy.lost_s
    return Source(inlet, settings.stream, reopen, core, clock, lost_s)


def about(
    settings: LiveSettings,
    bundle: Bundle,
    calibration: Calibration | None,
    pipeline: Pipeline,
    inlet: Inlet,
    granted: Granted,
) -> dict[str, Any]:
    """What the record says of a session from its start."""
    return {
        "settings": settings.model_dump(mode="json"),
        "bundle_sha256": bundle.hash,
        "weights": settings.weights or bundle.spec.weights,
        "calibration": calibration.facts() if calibration else None,
        "stream": vars(inlet.description),
        "extra_contacts": inlet.match.extra,
        "given_up_contacts": inlet.match.missing,
        "vocoder": pipeline.vocoder.facts,
        "lookahead_ms": 1e3 * float(pipeline.latency),
        **vars(granted),
        "environment": environment(),
    }
