"""`seegvox inspect`: what a bundle is, after verifying it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.bundle import SUMS, Bundle, load_bundle
from models.montage import Contact
from tools.onnx_weights import count_weights

if TYPE_CHECKING:
    from realtime.pipeline import Pipeline


def add_parser(subparsers: Any) -> None:
    """Add the verb `inspect`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "inspect",
        help="verify a bundle and say what it is",
        description="Verifies a bundle (hashes, schema, golden vectors) and prints what it is. "
        "Exit 2 if it does not prove itself.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument(
        "--json", action="store_true", help="print JSON (default: text for reading)"
    )
    parser.add_argument(
        "--no-golden",
        action="store_true",
        help="do not replay the golden vectors (default: replay them)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the bundle; 0 if it is what it says.

    Raises
    ------
    BundleError
        If it is damaged, of another schema, or departs from its golden vectors.
    """
    facts = inspect_bundle(args.bundle, golden=not args.no_golden)
    print(json.dumps(facts, indent=2) if args.json else as_text(facts))
    return 0


def inspect_bundle(path: Path, golden: bool = True) -> dict[str, Any]:
    """Everything a bundle says of itself, as plain values.

    Raises
    ------
    BundleError
        If it does not verify; with `golden`, also if it departs from its golden vectors.
    """
    # Here: where ONNX Runtime is missing the other verbs still start.
    from realtime.pipeline import Pipeline

    bundle = load_bundle(path)
    pipeline = Pipeline.from_bundle(bundle)
    spec, front_end = bundle.spec, bundle.front_end()
    return {
        "name": spec.name,
        "path": str(path.resolve()),
        "sha256": bundle.hash,
        "schema_version": spec.schema_version,
        "contacts": list(spec.contacts),
        "shafts": shafts(spec.contacts),
        "rate_hz": str(spec.fs_hz),
        "hop_ms": float(spec.hop_s * 1000),
        "samples_per_hop": str(spec.hop_s * spec.fs_hz),
        "samples_per_encoder_tick": spec.stride,
        "memory_frames": spec.memory_frames,
        "front_end": {**spec.front_end.model_dump(mode="json"), "channels": front_end.channels},
        "network": spec.network.model_dump(mode="json"),
        "mel": spec.mel.model_dump(mode="json"),
        "graphs": {path.name: _graph(path) for path in bundle.graph_files()},
        "weights": spec.weights,
        "lookahead_ms": lookahead_ms(pipeline),
        "provenance": spec.provenance,
        "proof": spec.proof,
        "golden": _golden(pipeline, bundle) if golden else None,
        "scores": spec.scores,
        "files_bytes": {
            name: (bundle.path / name).stat().st_size for name in (*bundle.files, SUMS)
        },
    }


def shafts(contacts: Sequence[str]) -> list[str]:
    """Contacts by shaft in montage order, numbers that follow each other joined: `LA1-14`."""
    parsed = [Contact.parse(name) for name in contacts]
    return [
        _shaft(shaft, [contact.number for contact in group])
        for shaft, group in groupby(parsed, key=lambda contact: contact.shaft)
    ]


def _shaft(shaft: str, numbers: list[int]) -> str:
    if numbers == [0]:
        return shaft  # a bare word is its own shaft
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return shaft + ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)


def lookahead_ms(pipeline: Pipeline) -> dict[str, float]:
    """Look-ahead of each stage and of the whole path with the default vocoder, ms."""
    stages = ("front_end", "encoder", "decoder", "vocoder", "limiter")
    each = {name: 1e3 * float(getattr(pipeline, name).latency) for name in stages}
    return {**each, "total": 1e3 * float(pipeline.latency)}


def _graph(path: Path) -> dict[str, int]:
    weights = asdict(count_weights(path))
    return {
        "parameters": weights["parameters"],
        "weight_bytes": weights["bytes"],
        "file_bytes": path.stat().st_size,
    }


def _golden(pipeline: Pipeline, bundle: Bundle) -> dict[str, Any]:
    from realtime.golden import STAGES, TOLERANCE, check_golden, golden_seconds, key_of

    return {
        "seconds": float(golden_seconds(bundle)),
        "departures": check_golden(pipeline, bundle),
        "tolerances": {name: TOLERANCE[key_of(name, bundle.spec.weights)] for name in STAGES},
    }


# --- text ---------------------------------------------------------------------------------------


def as_text(facts: Mapping[str, Any]) -> str:
    """What `inspect_bundle` found, as aligned lines."""
    rows = [*_identity(facts), *_signal(facts), *_model(facts), *_evidence(facts)]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {text}".rstrip() for name, text in rows]
    return "\n".join([*lines, *_score_lines(facts["scores"])])


Row = tuple[str, str]


def _identity(facts: Mapping[str, Any]) -> Iterator[Row]:
    yield "bundle", f"{facts['name']} (schema {facts['schema_version']})"
    yield "path", facts["path"]
    yield "SHA-256", facts["sha256"]
    for name, size in facts["files_bytes"].items():
        yield "", f"{name:<24}{_size(size):>10}"


def _signal(facts: Mapping[str, Any]) -> Iterator[Row]:
    front_end = facts["front_end"]
    yield "contacts", f"{len(facts['contacts'])} on {len(facts['shafts'])} shafts"
    yield "", "  ".join(facts["shafts"])
    yield "rate", f"{facts['rate_hz']} Hz"
    exact = Fraction(facts["samples_per_hop"])
    yield "hop", f"{facts['hop_ms']:g} ms = {exact} samples ({float(exact):g})"
    yield "reference", front_end["reference"]
    line = f"{front_end['line_hz']} Hz and harmonics" if front_end["line_hz"] else "none"
    yield "line notches", line
    kind = "rectified" if front_end["rectify"] else "raw"
    bands = ", ".join(
        f"{b['low_hz']:g}-{b['high_hz']:g} Hz (order {b['order']})" for b in front_end["bands"]
    )
    yield "bands", f"{bands}, {kind}"
    rolling = f", rolling over {front_end['rolling_s']:g} s"
    by = rolling if front_end["normalise"] == "rolling" else ", by the training statistics"
    scores = f"z-scores within {front_end['clip']:g}{by}"
    yield "features", f"{front_end['channels']} channels, {scores}"
    yield "bad contacts", ", ".join(front_end["bad_contacts"]) or "none"


def _model(facts: Mapping[str, Any]) -> Iterator[Row]:
    network = facts["network"]
    postnet = f"{network['postnet_layers']}-layer post-net" if network["postnet"] else "no post-net"
    chosen = network["output"]
    codes = f"{chosen['codes']} codes per band, {chosen['codebook'].replace('_', ' ')} codebook"
    output = codes if chosen["kind"] == "discrete" else "continuous output"
    yield (
        "network",
        f"{network['conv']} convolutions to {network['conv_features']} channels, "
        f"{network['encoder_layers']}-layer encoder of {network['encoder_size']}, "
        f"{network['attention']} attention, decoder of {network['decoder_size']}, "
        f"{postnet}, {output}",
    )
    yield "weights", facts["weights"]
    yield (
        "memory",
        f"{facts['memory_frames']} encoder frames of {facts['samples_per_encoder_tick']} samples",
    )
    for name, graph in facts["graphs"].items():
        weights = f"{graph['parameters']:,} parameters, {_size(graph['weight_bytes'])}"
        yield "graph", f"{name:<24}{weights}"
    for name, ms in facts["lookahead_ms"].items():
        yield "look-ahead", f"{name.replace('_', ' '):<18}{ms:7.2f} ms"


def _evidence(facts: Mapping[str, Any]) -> Iterator[Row]:
    proof, golden = facts["proof"], facts["golden"]
    for name, value in facts["provenance"].items():
        yield "trained", f"{name}: {_plain(value)}"
    if proof:
        yield "proof", _listed({k: v for k, v in proof.items() if not isinstance(v, dict)})
        for name, trial in proof.items():
            if isinstance(trial, dict):
                yield f"{name} trial", _listed(trial)
    else:
        yield "proof", "none recorded"
    if golden is None:
        yield "golden", "not replayed (--no-golden)"
        return
    departures = ", ".join(
        f"{k.replace('_', ' ')} {v:.2g}" for k, v in golden["departures"].items()
    )
    yield "golden", f"{golden['seconds']:g} s replayed; departures: {departures}"


def _listed(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in figures.items())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


_COLUMNS = {
    "mel_r": "mel r",
    "chance_95": "95 % ch.",
    "p": "p",
    "mel_r_speech": "speech r",
    "chance_95_speech": "95 % ch.",
    "p_speech": "p",
    "components_r": "PC r",
}


def _score_lines(scores: Mapping[str, Any]) -> list[str]:
    lines = scores.get("lines")
    if not lines:
        return ["", "held-out scores: none recorded"]
    width = max(len(str(line["name"])) for line in lines)
    head = f"{'held-out scores':<{width}}" + "".join(f"{c:>10}" for c in _COLUMNS.values())
    rows = [
        f"{line['name']:<{width}}"
        + "".join(f"{line[key]:10.3f}" for key in _COLUMNS)
        + (f"  {line['note']}" if line.get("note") else "")
        for line in lines
    ]
    size = f"{scores['frames']} frames held out, {scores['speech_frames']} of them speech"
    return ["", head, *rows, size, *([scores["note"]] if scores.get("note") else [])]
