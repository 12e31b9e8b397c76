"""`bench vocoder`: what a mel frame costs each vocoder, beside a Griffin-Lim block as published.

Frames are the bundle's golden mel, repeated; all vocoders take turns in the same rounds. Look-ahead
is what a vocoder must see past the sound it makes: no machine is fast enough to avoid it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.bundle import Bundle, load_bundle
from models.mel import VOCODER_FFT, VOCODER_HOP
from models.streaming import Floats
from tools.bench.document import Document, Figure, document
from tools.bench.griffin_lim import BlockGriffinLim
from tools.bench.output import add_output, asked, deliver, refuse_taken
from tools.bench.pace import Turns, add_pace, check_hops, controls, run_paces, spent
from tools.bench.rounds import Contestant

BLOCK_GL = "griffin_lim_block"


def add_parser(subparsers: Any) -> None:
    """Add `bench vocoder`."""
    parser = subparsers.add_parser(
        "vocoder", help="what a frame costs each vocoder", description=__doc__
    )
    parser.add_argument("bundle", type=Path, help="bundle folder: its golden mel")
    parser.add_argument(
        "--vocoders",
        nargs="+",
        default=None,
        help="also neural, or a folder; none: all without weights",
    )
    add_pace(parser, 2000)
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints a table."""
    check_hops(args.hops)
    refuse_taken(args)
    deliver(measure(load_bundle(args.bundle), args), args)
    return 0


def measure(bundle: Bundle, args: argparse.Namespace) -> Document:
    """The document of one run."""
    from realtime.vocoders import VOCODERS, vocoder_for

    mel: Floats = bundle.golden()["decoder"]
    names = args.vocoders or list(VOCODERS)
    made = {name: vocoder_for(name, bundle.path) for name in names}
    block = BlockGriffinLim(VOCODER_HOP, VOCODER_FFT, mel.shape[1], seed=args.seed)

    def rivals() -> Mapping[str, Contestant]:
        frames = {name: _frames(vocoder.step, mel) for name, vocoder in made.items()}
        return {**frames, BLOCK_GL: _frames(lambda frame: block.step(frame[0]), mel, 0.5)}

    found, machine = run_paces(rivals, args, float(bundle.spec.hop_s))
    figures: dict[str, Figure] = {}
    for pace, turns in found.items():
        figures |= _figures(pace, turns)
    told = document("vocoder", asked(args), figures, machine, bundle)
    ahead = {name: 1e3 * float(vocoder.latency) for name, vocoder in made.items()}
    ahead[BLOCK_GL] = 1e3 * block.delay_s
    told["lookahead_ms"] = ahead
    told["notes"] = [f"look-ahead of {name}: {ms:g} ms" for name, ms in ahead.items()]
    return told


def _frames(step: Any, mel: Floats, share: float = 1.0) -> Contestant:
    turn = iter(range(1 << 62))

    def one() -> None:
        k = next(turn) % len(mel)
        step(mel[k : k + 1])

    return Contestant(one, share)


def _figures(pace: str, turns: Turns) -> dict[str, Figure]:
    own = controls(pace, turns)
    figures = {}
    for name, rounds in turns.items():
        if f"{pace}.{name}" in own:
            continue
        if name == BLOCK_GL:
            what, part = "eight iterations of Griffin-Lim on a block of eight frames", "yardstick"
        else:
            what, part = f"a frame of the vocoder {name}", "compute"
        figures[f"{pace}.{name}"] = Figure(spent(rounds), what, part)
    return figures | own
