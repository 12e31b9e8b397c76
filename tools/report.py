"""The report of a live run: one HTML file that needs nothing else and works offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.hops import HOP
from models.mel import VOCODER_HOP, VOCODER_RATE
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.environment import environment
from realtime.latency import PERCENTILES, stages_ms, summary_ms
from realtime.record.reading import Run
from tools import report_page as html
from tools.report_plots import LIMIT_MS, Times, latency_figure, mel_figure, path_figure, words
from tools.report_svg import inline_svg

RESEARCH_USE = (
    "For research use only. Not a medical device: not for diagnosis, treatment or any clinical "
    "decision."
)
SIMULATED = (
    "Scores on a simulated patient are regression figures for software, never evidence about "
    "patients."
)
# Two players of 16-bit audio at 16 kHz take 3.8 MB as text; the page stays under 8 MB.
EXCERPT_S, CLOSE_UP_S = 45.0, 8.0
_EVENTS_SHOWN = 200


@dataclass(frozen=True)
class ReportContent:
    """What a report shows.

    `true_mel` `(hops, 80)` and `true_audio` `(n,)`, 16 kHz, start with the run's first hop, as
    does `decoded_audio`. `scores` (the bundle's, held out) and `live_scores` (of this run) are
    `training.scores.ScoreTable.as_json()`.
    """

    title: str
    run: Run
    true_mel: Floats | None
    true_audio: Floats | None
    decoded_audio: Floats
    scores: dict[str, Any] | None
    live_scores: dict[str, Any] | None
    spec: BundleSpec
    notes: list[str] = field(default_factory=list)


def write_report(path: Path, content: ReportContent, overwrite: bool = False) -> None:
    """Write `path`, whole or not at all.

    Raises
    ------
    BusyOutputError
        Before any work, if `path` exists and `overwrite` is not set.
    MissingExtraError
        If matplotlib (the extra `report`) is not installed.
    """
    html.write(path, lambda: render(content), overwrite)


def render(content: ReportContent) -> str:
    """The page as text."""
    run = content.run
    stages = stages_ms(run.hops, run.dac)
    return html.page(
        content.title,
        html.Markup(f"<header><h1>{html.markup(content.title)}</h1>"),
        html.paragraph(f"Bundle {content.spec.name}, {_hash(run)}.", "quiet"),
        html.paragraph(RESEARCH_USE, "research"),
        html.Markup("</header>"),
        html.facts(_key_figures(content, stages)),
        *_decoded(content),
        _latency(run, stages),
        _lookahead(content),
        _scores(content),
        _events(run),
        _environment(run),
        _notes(content.notes),
    )


# --- head ---------------------------------------------------------------------------------------


def _hash(run: Run) -> str:
    known = run.about.get("bundle_sha256")
    return f"SHA-256 {str(known)[:16]}" if known else "of unknown hash"


def _key_figures(content: ReportContent, stages: dict[str, Times]) -> list[tuple[str, str, bool]]:
    hops = content.run.hops
    late = int(hops["late"].sum())
    compute, whole = summary_ms(stages["hop_compute"]), summary_ms(stages["end_to_end"])
    broken = int((~hops["finite"]).sum())
    return [
        ("duration", _duration(len(hops) * float(HOP)), False),
        ("hops of 15 ms", f"{len(hops)}", False),
        ("late hops", f"{late}", late > 0),
        ("hop compute, p50", _ms(compute.get("p50_ms")), False),
        ("hop compute, p99", _ms(compute.get("p99_ms")), compute.get("p99_ms", 0.0) > LIMIT_MS),
        ("end to end, p50", _ms(whole.get("p50_ms")), False),
        ("silenced (not finite)", f"{broken}", broken > 0),
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"


# --- what was decoded ---------------------------------------------------------------------------


def _decoded(content: ReportContent) -> list[html.Markup]:
    mel = content.run.mel
    if not len(mel):
        return [html.section("Decoded speech", html.paragraph("No hop was decoded."))]
    start = excerpt_start(content, EXCERPT_S)
    stop = min(start + _hops(EXCERPT_S), len(mel))
    close = min(start + busiest(_guide(content)[start:stop], _hops(CLOSE_UP_S)), stop)
    body: list[html.Markup] = [html.paragraph(_what_is_shown(content, start, stop))]
    body.append(_spectrogram(content, start, stop, "excerpt"))
    if stop - start > _hops(CLOSE_UP_S):
        body.append(html.paragraph(f"Close-up: the {CLOSE_UP_S:g} s whose level varies most."))
        body.append(_spectrogram(content, close, close + _hops(CLOSE_UP_S), "close-up"))
    return [
        html.section("True and decoded speech", *body),
        html.section("Listen", *_players(content, start, stop)),
    ]


def excerpt_start(content: ReportContent, seconds: float) -> int:
    """First hop of the part to show: the liveliest, or 0 if the run is no longer than it."""
    return busiest(_guide(content), _hops(seconds))


def busiest(mel: Floats, hops: int) -> int:
    """Start of the window of so many hops whose level varies most; the first among equals."""
    if len(mel) <= hops:
        return 0
    level = np.nan_to_num(mel.astype(np.float64).mean(axis=1))
    sums = np.cumsum(np.stack([level, level**2], axis=1), axis=0)
    padded = np.concatenate([np.zeros((1, 2)), sums])
    mean, square = ((padded[hops:] - padded[:-hops]) / hops).T
    # Rounded: the same window must win on every machine.
    return int(np.argmax(np.round(square - mean**2, 6)))


def _guide(content: ReportContent) -> Floats:
    """The spectrogram by which an excerpt is chosen: the true one where there is one."""
    known = content.true_mel
    return content.run.mel if known is None else known[: len(content.run.mel)]


def _hops(seconds: float) -> int:
    return round(seconds / float(HOP))


def _what_is_shown(content: ReportContent, start: int, stop: int) -> str:
    hop_s, total = float(HOP), len(content.run.mel)
    part = (
        "The whole run."
        if stop - start == total
        else f"The {EXCERPT_S:g} s whose level varies most"
    )
    if stop - start != total:
        part += f" ({start * hop_s:.1f} to {stop * hop_s:.1f} s of {total * hop_s:.1f} s)."
    ahead = content.spec.target_lookahead
    if ahead:
        part += (
            f" The decoder describes sound {ahead} hops back: its spectrogram is drawn "
            f"{ahead * hop_s * 1e3:.0f} ms earlier than it was made."
        )
    if content.true_mel is None:
        part += " What was really said is not known for this run."
    return part


def _spectrogram(content: ReportContent, start: int, stop: int, name: str) -> html.Markup:
    ahead, mel = content.spec.target_lookahead, content.run.mel
    panels: dict[str, Floats] = {}
    if content.true_mel is not None:
        panels["true"] = _cut(content.true_mel, start, stop)
    panels["decoded"] = _cut(mel, start + ahead, stop + ahead)
    of = " and ".join(panels)
    seconds = f"{start * float(HOP):.1f} to {stop * float(HOP):.1f} s"
    drawn = mel_figure(panels, start * float(HOP))
    return html.figure(
        inline_svg(drawn, f"mel-{name}", f"Mel spectrograms, {of}, one above the other, {seconds}")
    )


def _cut(mel: Floats, start: int, stop: int) -> Floats:
    """Frames of a window, NaN where there are none."""
    out = np.full((stop - start, mel.shape[1]), np.nan, np.float32)
    part = mel[start:stop]
    out[: len(part)] = part
    return out


def _players(content: ReportContent, start: int, stop: int) -> list[html.Markup]:
    window = slice(start * VOCODER_HOP, stop * VOCODER_HOP)
    players = []
    if content.true_audio is not None:
        players.append(html.audio("true", content.true_audio[window], VOCODER_RATE))
    players.append(html.audio("decoded", content.decoded_audio[window], VOCODER_RATE))
    span = f"{start * float(HOP):.1f} to {stop * float(HOP):.1f} s of the run, 16 kHz, 16 bit."
    return [
        html.Markup(f'<div class="pair">{html.joined(players)}</div>'),
        html.paragraph(span, "quiet"),
    ]


# --- latency ------------------------------------------------------------------------------------


def _latency(run: Run, stages: dict[str, Times]) -> html.Markup:
    if not np.isfinite(stages["hop_compute"]).any():
        return html.section("Latency", html.paragraph("No hop was timed."))
    drawn = latency_figure(stages)
    path = path_figure(stages)
    alt = (
        "Latency of every stage over time on a logarithmic axis, and below it the share of hops "
        "slower than each latency; the figures are in the table"
    )
    return html.section(
        "Latency",
        html.paragraph(
            f"Every one of {len(run.hops)} hops, the warm-up included. A hop is late if its "
            f"compute, from its last sample's being available to its audio's being handed over, "
            f"takes more than {LIMIT_MS:g} ms."
        ),
        html.figure(inline_svg(drawn, "latency", alt)),
        html.figure(inline_svg(path, "path", "The median of each piece of a hop's time, in order")),
        html.paragraph(
            "Medians of the pieces; they need not add up to the median of the whole. Waiting is "
            "standing behind other hops of the same packet, and the handing over.",
            "quiet",
        ),
        latency_table(stages, int(run.hops["late"].sum())),
    )


def latency_table(stages: Mapping[str, Times], late_hops: int) -> html.Markup:
    """Percentiles per stage in ms, and the late hops."""
    names = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9"}
    columns = [*PERCENTILES, "max"]
    rows = []
    for stage, values in stages.items():
        found = summary_ms(values)
        if found:
            late = late_hops if stage == "hop_compute" else ""
            rows.append([words(stage), *(f"{found[f'{c}_ms']:.3f}" for c in columns), late])
    head = ["stage", *(names.get(c, c) for c in columns), "late hops"]
    return html.table("Latency per stage, ms", head, rows)


def _lookahead(content: ReportContent) -> html.Markup:
    total = content.run.about.get("lookahead_ms")
    decoder = 1e3 * float(content.spec.lookahead_s)
    rows: list[tuple[str, str, str]] = [
        ("decoder", f"{decoder:.1f}", f"{content.spec.target_lookahead} hops of 15 ms"),
    ]
    if isinstance(total, int | float):
        rows.append(("all other stages", f"{total - decoder:.1f}", "vocoder and limiter"))
        rows.append(("whole path", f"{total:.1f}", "as recorded by the run"))
    else:
        rows.append(("whole path", "unknown", "the run did not record it"))
    caption = (
        "How far the algorithm must see past the sound it makes, ms: no machine is fast enough to "
        "avoid it. It comes on top of the measured latencies above."
    )
    return html.section(
        "Algorithmic look-ahead", html.table(caption, ["stage", "ms", "from"], rows, text=[2])
    )


# --- scores -------------------------------------------------------------------------------------


def _scores(content: ReportContent) -> html.Markup:
    tables = [
        _score_table("Held out from training, streamed at export", content.scores),
        _score_table("This run", content.live_scores),
    ]
    found = [t for t in tables if t] or [html.paragraph("No scores were given.")]
    reading = (
        "r is Pearson's over time, averaged over 80 mel bins; on speech frames only, knowing "
        "speech from silence no longer helps. Beside each r: what 95 % of circular shifts of the "
        "prediction stay under, and p. The lines without neural data are the ones to beat."
    )
    return html.section(
        "Scores", html.paragraph(SIMULATED, "research"), html.paragraph(reading), *found
    )


def _score_table(caption: str, scores: dict[str, Any] | None) -> html.Markup | None:
    if not scores or not scores.get("lines"):
        return None
    head = [
        "prediction",
        *("r, all frames", "95 % chance", "p"),
        *("r, speech", "95 % chance", "p"),
        "r, 50 components",
        "note",
    ]
    size = (
        f"{caption}: {scores.get('frames', '?')} frames, {scores.get('speech_frames', '?')} of "
        f"them speech; {scores.get('training_frames', '?')} for training. {scores.get('note', '')}"
    )
    return html.table(size, head, [_score_row(line) for line in scores["lines"]], text=[8])


def _score_row(line: Mapping[str, Any]) -> list[str]:
    keys = ("mel_r", "chance_95", "p", "mel_r_speech", "chance_95_speech", "p_speech")
    figures = [_figure(line.get(key)) for key in (*keys, "components_r")]
    return [str(line.get("name", "")), *figures, str(line.get("note", ""))]


def _figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


# --- the run and its machine --------------------------------------------------------------------


def _events(run: Run) -> html.Markup:
    if not run.events:
        return html.section("Events", html.paragraph("The run recorded none."))
    first = float(run.hops["available"][0]) if len(run.hops) else float(run.events[0]["time"])
    rows = [
        (f"{float(event['time']) - first:.3f}", event["event"], _details(event))
        for event in run.events[:_EVENTS_SHOWN]
    ]
    more = len(run.events) - len(rows)
    caption = "Seconds from the first hop" + (f"; {more} later ones are not shown" if more else "")
    return html.section(
        "Events", html.table(caption, ["time (s)", "event", "details"], rows, text=[1, 2])
    )


def _details(event: Mapping[str, Any]) -> str:
    others = {k: v for k, v in event.items() if k not in ("time", "event")}
    return "; ".join(str(v) if k == "why" else f"{k} {v}" for k, v in others.items())


def _environment(run: Run) -> html.Markup:
    recorded = run.about.get("environment")
    where = "while it ran" if recorded else "when this page was written"
    found: dict[str, Any] = dict(recorded or environment())
    versions: dict[str, Any] = run.about.get("versions") or found.get("versions") or {}
    found.pop("versions", None)
    machine = [(words(key), _plain(value)) for key, value in found.items()]
    return html.section(
        "Machine and versions",
        html.table(f"The machine, {where}", ["what", "found"], machine, text=[1]),
        html.table("Versions of the run", ["package", "version"], versions.items(), text=[1]),
        _played(run),
    )


def _plain(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list | tuple):
        return ", ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in value)
    return str(value)


def _played(run: Run) -> html.Markup:
    playout = run.about.get("playout")
    if not isinstance(playout, dict):
        return html.Markup("")
    rows = [(words(key), _plain(value)) for key, value in playout.items()]
    return html.table("Playout at the end of the run", ["what", "value"], rows, text=[1])


def _notes(notes: list[str]) -> html.Markup:
    if not notes:
        return html.Markup("")
    items = html.joined(html.Markup(f"<li>{html.markup(note)}</li>") for note in notes)
    return html.section("Notes", html.Markup(f"<ul>{items}</ul>"))
