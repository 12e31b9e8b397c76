"""The report of a decode, beside the session as recorded: one HTML file that works offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.hops import HOP
from models.mel import VOCODER_HOP, VOCODER_RATE
from models.streaming import Floats
from realtime.record.reading import Run, read_run
from tools import report_page as html
from tools.decode_scores import Microphone, between, microphone, on_grid, scores, sound_on_grid
from tools.report import RESEARCH_USE, SIMULATED, busiest
from tools.report_plots import mel_figure
from tools.report_svg import inline_svg

REPORT = "report.html"
EXCERPT_S, CLOSE_UP_S = 30.0, 6.0
_HEARD, _RECORDED, _DECODED = "microphone", "as recorded", "decoded now"
_EVENTS_SHOWN = 100


@dataclass(frozen=True)
class _Sides:
    """What stands side by side, on the hop grid: `mel` `(hops, 80)` and `audio` by title."""

    mel: dict[str, Floats]
    audio: dict[str, Floats]
    truth: Microphone | None
    hops: int


def write_decode_report(
    folder: Path, summary: Mapping[str, Any], audio: Path | None = None, offset_s: float = 0.0
) -> Path:
    """Write `report.html` into the folder that `decode` wrote; returns its path.

    Parameters
    ----------
    summary : of that decode.
    audio, offset_s : the microphone, and when its first sample was, s from the first of sEEG;
        without it the recording's own, if it holds one.

    Raises
    ------
    RecordingError
        If the microphone's file cannot be read.
    MissingExtraError
        If matplotlib (the extra `report`) is not installed.
    """
    path = folder / REPORT
    html.write(path, lambda: _render(folder, summary, audio, offset_s), overwrite=True)
    return path


def _render(folder: Path, summary: Mapping[str, Any], audio: Path | None, offset_s: float) -> str:
    decoded = read_run(folder)
    recorded = read_run(Path(summary["file"])) if summary["kind"] == "session" else None
    sides = _sides(decoded, recorded, summary, audio, offset_s)
    title = f"Decoded again: {Path(summary['file']).name}"
    return html.page(
        title,
        html.Markup(f"<header><h1>{html.markup(title)}</h1>"),
        html.paragraph(_what(summary), "quiet"),
        html.paragraph(RESEARCH_USE, "research"),
        html.Markup("</header>"),
        html.facts(_key_figures(summary)),
        _against(summary, sides),
        *_shown(sides),
        _scores(sides),
        _settings(summary, recorded),
        _events(decoded),
        _notes(summary),
    )


def _sides(
    decoded: Run,
    recorded: Run | None,
    summary: Mapping[str, Any],
    audio: Path | None,
    offset_s: float,
) -> _Sides:
    runs = {_RECORDED: recorded, _DECODED: decoded}
    known = {title: run for title, run in runs.items() if run is not None and len(run.hops)}
    hops = int(max(run.hops["index"][-1] for run in known.values())) + 1
    truth = microphone(summary, hops, audio, offset_s)
    mel, sound = {}, {}
    if truth is not None:
        mel[_HEARD], sound[_HEARD] = truth.mel, truth.audio
    for title, run in known.items():
        index = run.hops["index"]
        mel[title] = on_grid(run.mel, index, hops, _ahead(run))
        sound[title] = sound_on_grid(run.audio, index, hops)
    return _Sides(mel, sound, truth, hops)


def _ahead(run: Run) -> int:
    """Hops by which a run's decoder looks back, by the bundle it names; 0 if that is gone."""
    from models.bundle import load_bundle
    from models.errors import BundleError

    try:
        return load_bundle(Path(run.about["settings"]["bundle"])).spec.target_lookahead
    except (BundleError, OSError, KeyError):
        return 0


# --- head ---------------------------------------------------------------------------------------


def _what(summary: Mapping[str, Any]) -> str:
    mask = f"; masked: {', '.join(summary['mask'])}" if summary["mask"] else ""
    changed = summary["changed"]
    than = f" Not as recorded: {', '.join(changed)}." if changed else ""
    return (
        f"Bundle {Path(summary['bundle']).name}, SHA-256 {summary['bundle_sha256'][:16]}; vocoder "
        f"{summary['vocoder']}{mask}.{than}"
    )


def _key_figures(summary: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    speed, same = summary["times_real_time"], summary["identical"]
    figures = [
        ("decoded", f"{summary['decoded_s']:.1f} s", False),
        ("hops of 15 ms", str(summary["hops"]), False),
        ("times real time", f"{speed:.1f}" if speed else "–", False),
        ("hops with masks", str(summary["masked_hops"]), False),
        ("samples bridged", str(summary["bridged_samples"]), False),
        ("cold starts", str(summary["cold_starts"]), False),
    ]
    if same is not None:
        figures.append(("bits as recorded", "all" if same else "not all", not same))
    return figures


def _against(summary: Mapping[str, Any], sides: _Sides) -> html.Markup:
    """The session as recorded against what was decoded now."""
    found = summary["comparison"]
    if not found:
        return html.Markup("")
    rows: list[tuple[str, str]] = [
        ("hops recorded", str(found["recorded_hops"])),
        ("hops compared", str(found["compared_hops"])),
        ("hops that differ in any bit", str(found["differing_hops"])),
        ("recorded, not decoded now", str(found["missing_hops"])),
        ("decoded now, not recorded", str(found["extra_hops"])),
        ("largest departure of mel (nepers)", f"{found['max_abs_mel']:.3g}"),
        ("largest departure of audio (full scale)", f"{found['max_abs_audio']:.3g}"),
    ]
    alike = between(sides.mel[_RECORDED], sides.mel[_DECODED]) if _RECORDED in sides.mel else None
    if alike is not None:
        rows.append(("r of the two mels over time", f"{alike['mel_r']:.4f}"))
        rows.append(("mean difference of mel (nepers)", f"{alike['mean_abs_mel']:.3g}"))
    said = "The very same bits." if found["identical"] else _why(summary)
    return html.section(
        "Against the session as recorded",
        html.paragraph(said),
        html.table("Hop by hop", ["what", "found"], rows, text=[1]),
    )


def _why(summary: Mapping[str, Any]) -> str:
    if summary["changed"]:
        return f"Changed on purpose: {', '.join(summary['changed'])}."
    other = summary["versions_differ"]
    if other:
        named = (f"{name} {then} then, {now} now" for name, (then, now) in other.items())
        return f"Other versions or another machine: {'; '.join(named)}."
    return "Nothing was changed, and yet it is not the same."


# --- side by side -------------------------------------------------------------------------------


def _shown(sides: _Sides) -> list[html.Markup]:
    guide = np.nan_to_num(next(iter(sides.mel.values())), nan=-11.5)
    start = busiest(guide, _hops(EXCERPT_S))
    stop = min(start + _hops(EXCERPT_S), sides.hops)
    close = start + busiest(guide[start:stop], _hops(CLOSE_UP_S))
    span = f"{start * float(HOP):.1f} to {stop * float(HOP):.1f} s of {sides.hops * float(HOP):.1f}"
    body = [html.paragraph(f"{span} s, where the level varies most; blank: no hop was decoded.")]
    body.append(_picture(sides, start, stop, "excerpt"))
    if stop - start > _hops(CLOSE_UP_S):
        body.append(_picture(sides, close, close + _hops(CLOSE_UP_S), "close-up"))
    window = slice(start * VOCODER_HOP, stop * VOCODER_HOP)
    players = [
        html.audio(title, sound[window], VOCODER_RATE) for title, sound in sides.audio.items()
    ]
    return [
        html.section("Side by side", *body),
        html.section("Listen", html.Markup(f'<div class="pair">{html.joined(players)}</div>')),
    ]


def _picture(sides: _Sides, start: int, stop: int, name: str) -> html.Markup:
    panels = {title: mel[start:stop] for title, mel in sides.mel.items()}
    drawn = mel_figure(panels, start * float(HOP))
    of = ", ".join(panels)
    return html.figure(inline_svg(drawn, name, f"Mel spectrograms, one above the other: {of}"))


def _hops(seconds: float) -> int:
    return round(seconds / float(HOP))


# --- scores -------------------------------------------------------------------------------------

_SCORES = {
    "mel_r": "r, all frames",
    "chance_95": "95 % chance",
    "p": "p",
    "mel_r_speech": "r, speech",
    "chance_95_speech": "95 % chance",
    "p_speech": "p",
    "mcd_db_speech": "MCD, speech (dB)",
}


def _scores(sides: _Sides) -> html.Markup:
    if sides.truth is None:
        return html.section(
            "Scores", html.paragraph("There is no microphone to score against (--audio FILE).")
        )
    lines = {title: mel for title, mel in sides.mel.items() if title != _HEARD}
    rows = scores(sides.truth, lines)
    if not rows:
        return html.section("Scores", html.paragraph("There is too little speech to score."))
    cells = [[row["name"], *(_figure(row[key]) for key in _SCORES)] for row in rows]
    caption = (
        f"{rows[0]['frames']} frames that both have, {rows[0]['speech_frames']} of them speech "
        "(within 20 dB of the loud ones). Chance: circular shifts by 5 s and more."
    )
    return html.section(
        "Scores against the microphone",
        html.paragraph(SIMULATED, "research"),
        html.paragraph(
            "r is Pearson's over time, averaged over 80 mel bands. If the bundle was trained on "
            "this very recording, these are no scores of anything."
        ),
        html.table(caption, ["prediction", *_SCORES.values()], cells),
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


# --- the rest -----------------------------------------------------------------------------------


def _settings(summary: Mapping[str, Any], recorded: Run | None) -> html.Markup:
    """With what it was decoded, then and now."""
    calibration = summary["calibration"] or {}
    now = {
        "bundle": summary["bundle_sha256"][:16],
        "vocoder": summary["vocoder"],
        "calibration": str(calibration.get("calibration_sha256", "none"))[:16],
        "contacts given up or masked": ", ".join(summary["given_up_contacts"]) or "none",
    }
    if recorded is None:
        rows: list[tuple[str, ...]] = list(now.items())
        return html.section("Decoded with", html.table("", ["what", "now"], rows, text=[1]))
    about = recorded.about
    settings, then_calibration = about.get("settings") or {}, about.get("calibration") or {}
    then = (
        str(about.get("bundle_sha256"))[:16],
        str(settings.get("vocoder")),
        str(then_calibration.get("calibration_sha256", "none"))[:16],
        ", ".join(about.get("given_up_contacts") or ()) or "none",
    )
    rows = [(name, was, is_now) for (name, is_now), was in zip(now.items(), then, strict=True)]
    table = html.table("", ["what", "as recorded", "now"], rows, text=[1, 2])
    return html.section("Decoded with", table)


def _events(run: Run) -> html.Markup:
    if not run.events:
        return html.Markup("")
    first = float(run.facts["started_lsl_s"])
    rows = [
        (
            f"{float(event['time']) - first:.3f}",
            event["event"],
            "; ".join(f"{k} {v}" for k, v in event.items() if k not in ("time", "event")),
        )
        for event in run.events[:_EVENTS_SHOWN]
    ]
    more = len(run.events) - len(rows)
    caption = "On the virtual clock, seconds from the first hop" + (
        f"; {more} later ones are not shown" if more else ""
    )
    return html.section(
        "Events", html.table(caption, ["time (s)", "event", "details"], rows, text=[1, 2])
    )


def _notes(summary: Mapping[str, Any]) -> html.Markup:
    if not summary["notes"]:
        return html.Markup("")
    items = html.joined(html.Markup(f"<li>{html.markup(note)}</li>") for note in summary["notes"])
    return html.section("Notes", html.Markup(f"<ul>{items}</ul>"))
