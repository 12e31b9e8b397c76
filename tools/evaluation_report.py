"""The report of an evaluation: one HTML file that needs nothing else and works offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from models.hops import HOP
from models.mel import VOCODER_HOP, VOCODER_RATE
from models.streaming import Floats
from tools import evaluation_plots as plots
from tools import report_page as html
from tools.report import RESEARCH_USE, SIMULATED, busiest
from tools.report_plots import mel_figure
from tools.report_svg import inline_svg
from training.baselines import SUB_01, PublicBaseline
from training.contamination import Contamination
from training.cross_validation import MEASURES, SOUND_MEASURES, CrossValidation
from training.evaluate import VOCODER, Evaluation, vocoded
from training.scores import UNITS, Mels, ScoreLine, SoundScores, bins_r

EXCERPT_S, LISTEN_S, ATTENTION_S = 12.0, 20.0, 6.0
_CONTACTS_LISTED = 20
_READING = (
    "r is Pearson's over time, averaged over 80 mel bands; on speech frames only, knowing speech "
    "from silence no longer helps; of 50 whitened components each counts equally. Beside each r "
    "what 95 % of chance stays under, and p = (1 + number as good) / (1 + n). The lines without "
    "neural data are the ones to beat. Nothing was fitted on what is scored here."
)


def write_evaluation_report(
    path: Path,
    title: str,
    found: Sequence[Evaluation],
    overwrite: bool = False,
    public: PublicBaseline | None = None,
) -> None:
    """Write the report of one held-out part, or of folds in order of time.

    Parameters
    ----------
    public : the public baseline of the same recording, if it was run.

    Raises
    ------
    BusyOutputError
        Before any work, if `path` exists and `overwrite` is not set.
    MissingExtraError
        If matplotlib (the extra `report`) is not installed.
    """
    html.write(path, lambda: render(title, found, public), overwrite)


def render(title: str, found: Sequence[Evaluation], public: PublicBaseline | None = None) -> str:
    """The page as text; pictures, sound and contacts are of the last fold."""
    last = found[-1]
    return html.page(
        title,
        html.Markup(f"<header><h1>{html.markup(title)}</h1>"),
        html.paragraph(RESEARCH_USE, "research"),
        html.Markup("</header>"),
        html.facts(_key_figures(found)),
        _scores(found),
        *_folds(found),
        *([] if public is None else [_public(public)]),
        _heard(last),
        _pictured(last),
        _bands(last),
        _attention(last),
        _contacts(last),
        _contamination(last),
    )


# --- figures in words ---------------------------------------------------------------------------


def _key_figures(found: Sequence[Evaluation]) -> list[tuple[str, str, bool]]:
    lines = [evaluation.table.lines[0] for evaluation in found]
    checks = [e.contamination for e in found if e.contamination is not None]
    name = "folds" if len(found) > 1 else "held out"
    part = f"{len(found)}" if len(found) > 1 else f"{found[0].table.frames * float(HOP):.0f} s"
    figures = [
        (name, part, False),
        ("r, all frames", _mean(lines, "mel_r"), False),
        ("95 % of chance", _mean(lines, "chance_95"), False),
        ("r, speech frames", _mean(lines, "mel_r_speech"), False),
        ("95 % of chance ", _mean(lines, "chance_95_speech"), False),
        ("r, 50 components", _mean(lines, "components_r"), False),
    ]
    if checks:
        heard = any(check.contaminated or check.exclude for check in checks)
        figures.append(("sound in the sEEG", "found" if heard else "not found", heard))
    return figures


def _mean(lines: Sequence[ScoreLine], measure: str) -> str:
    return f"{np.mean([getattr(line, measure) for line in lines]):.3f}"


def _scores(found: Sequence[Evaluation]) -> html.Markup:
    tables = []
    for i, evaluation in enumerate(found):
        before = f"Fold {i + 1}: " if len(found) > 1 else ""
        tables += [_score_table(evaluation, before), _chance_table(evaluation, before)]
        tables.append(_sound_table(evaluation, before))
    return html.section(
        "Scores", html.paragraph(SIMULATED, "research"), html.paragraph(_READING), *tables
    )


def _score_table(found: Evaluation, before: str) -> html.Markup:
    table = found.table
    head = ["prediction", "r, all frames", "95 % chance", "p", "r, speech", "95 % chance", "p"]
    keys = ("mel_r", "chance_95", "p", "mel_r_speech", "chance_95_speech", "p_speech")
    rows = [
        [x.name, *(_cell(x, key) for key in (*keys, "components_r")), x.note] for x in table.lines
    ]
    size = (
        f"{before}{table.frames} frames held out from {found.held.start_s:.1f} s on, "
        f"{table.speech_frames} of them speech; {table.training_frames} for training. "
        "Chance: circular shifts of the prediction."
    )
    return html.table(size, [*head, "r, 50 components", "note"], rows, text=[8])


def _chance_table(found: Evaluation, before: str) -> html.Markup:
    kinds = ("trials", "retrained")
    keys = [f"{k}_{kind}" for kind in kinds for k in _CHANCE]
    rows = [
        [x.name, *(_cell(x, key) for key in keys), x.retrainings or "–"] for x in found.table.lines
    ]
    pair = ["95 % chance", "p", "95 %, speech", "p, speech"]
    return html.table(
        f"{before}Chance by exchanging trials (first four columns: what timing in the trial "
        "explains stays in it), and by retraining on shifted neural data (the next four).",
        ["prediction", *pair, *pair, "retrainings"],
        rows,
    )


_CHANCE = ("chance_95", "p", "chance_95_speech", "p_speech")


def _sound_table(found: Evaluation, before: str) -> html.Markup:
    rows = [[x.name, *_sound_row(x.sound)] for x in found.table.lines if x.sound is not None]
    if found.ceiling is not None:
        rows.append(["(true mels, vocoded)", *_sound_row(found.ceiling)])
    if not rows:
        return html.Markup("")
    head = ["STOI", "ESTOI", "MCD (dB)", "MCD warped (dB)", "V/UV error", "on speech", "log F0 r"]
    return html.table(
        f"{before}What the vocoder ‘{VOCODER}’ makes of each; the last line is the best it can. "
        "Mel-cepstral distortion over speech frames.",
        ["prediction", *head],
        rows,
    )


def _sound_row(sound: SoundScores) -> list[str]:
    return [_figure(value) for value in asdict(sound).values()]


def _cell(line: ScoreLine, key: str) -> str:
    value: float | None = getattr(line, key)
    # The least p of 2 500 shifts is .0004: three decimals would make it zero.
    return f"{value:.4f}" if value is not None and key.startswith("p") else _figure(value)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _folds(found: Sequence[Evaluation]) -> list[html.Markup]:
    if len(found) < 2:
        return []
    result = CrossValidation(tuple(found), 0.0, ())
    r = {
        name: ([x.mel_r for x in result.lines(name)], [x.mel_r_speech for x in result.lines(name)])
        for name in result.names
    }
    drawn = plots.folds_figure(r)
    sound = found[0].table.lines[0].sound is not None
    kinds = (*MEASURES, *(SOUND_MEASURES[:4] if sound else ()))
    rows = []
    for name in result.names:
        intervals = result.intervals(name)
        cells = (
            "–" if x is None else f"{x.mean:.3f} [{x.low:.3f}, {x.high:.3f}]"
            for x in (intervals[kind] for kind in kinds)
        )
        rows.append([name, *cells])
    return [
        html.section(
            "Over folds",
            html.paragraph(UNITS),
            html.figure(
                inline_svg(drawn, "folds", "r of every fold; the figures are in the table")
            ),
            html.table("Mean and 95 % confidence interval over folds", ["", *kinds], rows),
        )
    ]


def _public(found: PublicBaseline) -> html.Markup:
    rows = [[f"{i + 1}", f"{r:.4f}"] for i, r in enumerate(found.folds.mean(axis=1))]
    return html.section(
        "Public baseline",
        html.paragraph(
            f"r {found.r:.4f}; 95 % of its own chance {found.chance_95:.4f}. By the protocol of "
            "Verwoert et al. 2022: 23 mel bins every 10 ms, ten folds that touch, all frames, "
            "audio normalised over the session. An independent run of the authors' scripts on "
            f"the public sub-01 gave {SUB_01:.4f}. Not comparable with the figures above, whose "
            "folds stand apart."
        ),
        html.table("Mean of 23 bins, per fold", ["fold", "r"], rows),
    )


# --- pictures and sound -------------------------------------------------------------------------


def _shown(found: Evaluation) -> dict[str, Mels]:
    """True, network or best baseline, and the first baseline."""
    first = [line.name for line in found.table.lines[:2]]
    return {"true": found.reference.truth, **{name: found.mels[name] for name in first}}


def _window(found: Evaluation, seconds: float) -> slice:
    hops = round(seconds / float(HOP))
    start = busiest(np.asarray(found.reference.truth, np.float32), hops)
    return slice(start, min(start + hops, len(found.reference.truth)))


def _pictured(found: Evaluation) -> html.Markup:
    window = _window(found, EXCERPT_S)
    panels = {name: _floats(mel[window]) for name, mel in _shown(found).items()}
    start_s = found.held.start_s + window.start * float(HOP)
    drawn = mel_figure(panels, start_s)
    return html.section(
        "Spectrograms",
        html.paragraph(f"The {EXCERPT_S:g} s whose level varies most; time is the recording's."),
        html.figure(inline_svg(drawn, "mels", f"Mel spectrograms: {', '.join(panels)}")),
    )


def _heard(found: Evaluation) -> html.Markup:
    window = _window(found, LISTEN_S)
    samples = slice(window.start * VOCODER_HOP, window.stop * VOCODER_HOP)
    players = [html.audio("true, as recorded", found.held.audio[samples], VOCODER_RATE)]
    for name, mel in _shown(found).items():
        label = "true mels, vocoded" if name == "true" else name
        players.append(html.audio(label, vocoded(mel)[samples], VOCODER_RATE))
    return html.section(
        "Listen",
        html.Markup(f'<div class="pair">{html.joined(players)}</div>'),
        html.paragraph(f"{LISTEN_S:g} s at most, 16 kHz, vocoder ‘{VOCODER}’.", "quiet"),
    )


def _bands(found: Evaluation) -> html.Markup:
    truth, spoken = found.reference.truth, found.reference.spoken
    kept = {name: mel for name, mel in found.mels.items() if name != "mean spectrum"}
    everywhere = {name: bins_r(truth, mel) for name, mel in kept.items()}
    speech = {name: bins_r(truth, mel, spoken) for name, mel in kept.items()}
    drawn = plots.bins_figure(everywhere, speech)
    alt = "Correlation per mel band for every prediction; the means are in the table of scores"
    return html.section("r per band", html.figure(inline_svg(drawn, "bins", alt)))


def _attention(found: Evaluation) -> html.Markup:
    if found.attention is None or not len(found.attention):
        return html.section("Attention", html.paragraph("No network was scored."))
    window = _window(found, ATTENTION_S)
    start_s = found.held.start_s + window.start * float(HOP)
    drawn = plots.attention_figure(found.attention[window], start_s, found.held.spec.network.causal)
    frame_ms = 1e3 * found.held.spec.stride / float(found.held.spec.fs_hz)
    return html.section(
        "Attention",
        html.paragraph(
            f"Weights of the {ATTENTION_S:g} s whose level varies most, one column per hop of 15 "
            f"ms; an encoder frame lasts {frame_ms:.2f} ms."
        ),
        html.figure(inline_svg(drawn, "attention", "Attention weights by time and by age")),
    )


def _floats(mel: Mels) -> Floats:
    return np.asarray(mel, np.float32)


# --- contacts -----------------------------------------------------------------------------------


def _contacts(found: Evaluation) -> html.Markup:
    title, parts = "Contribution of contacts", found.contributions
    if parts is None:
        return html.section(title, html.paragraph("Not measured (--contribution-s)."))
    drawn = plots.contribution_figure(parts)
    ranked = sorted(parts.contacts, key=lambda c: -c.drop_speech)[:_CONTACTS_LISTED]
    rows = [[c.contact, f"{c.drop_speech:+.4f}", f"{c.drop:+.4f}"] for c in ranked]
    return html.section(
        title,
        html.paragraph(
            "r lost when a contact is masked, as if it had failed live, over the "
            f"{parts.seconds:.1f} s with most speech. Contacts that others can stand in for show "
            "little; a drop below zero means that the excerpt is decoded better without the "
            "contact. Up to 40 shown."
        ),
        html.figure(inline_svg(drawn, "contacts", "Drop of r per contact, largest first")),
        html.table("The contacts that matter most", ["contact", "speech", "all frames"], rows),
    )


def _contamination(found: Evaluation) -> html.Markup:
    title, check = "Acoustic contamination", found.contamination
    if check is None:
        return html.section(title, html.paragraph("Not checked."))
    return html.section(
        title,
        html.paragraph(_verdict(check), "research" if check.warning() else ""),
        html.paragraph(
            "Roussel et al. 2020, on the training parts: sound that leaked into the sEEG "
            "correlates with itself at the same frequency, neural activity does not."
        ),
        html.figure(inline_svg(plots.contamination_figure(check), "leak", "Contamination matrix")),
        _contaminated_contacts(check),
    )


def _verdict(check: Contamination) -> str:
    limits = f"{check.settings.low_hz:g}-{check.settings.high_hz:g} Hz"
    figures = (
        f"Mean of the diagonal {check.measure:.3f} ({limits}; 95 % of surrogates stay under "
        f"{check.surrogate_95:.3f}), P = {check.p:.4f}."
    )
    warning = check.warning()
    return figures if warning is None else f"{figures} Warning: {warning}."


def _contaminated_contacts(check: Contamination) -> html.Markup:
    each = zip(check.labels, check.contact_measure, check.contact_p, check.peak_lag_s, strict=True)
    ranked = sorted(each, key=lambda row: (row[2], -row[1]))[:_CONTACTS_LISTED]
    rows = [
        [
            name,
            f"{measure:.3f}",
            f"{p:.4f}",
            f"{1e3 * lag:+.0f}",
            "yes" if name in check.exclude else "no",
        ]
        for name, measure, p, lag in ranked
    ]
    head = ["contact", "mean diagonal r", "p", "lag of the peak (ms)", "recommended to exclude"]
    return html.table(
        f"The {len(rows)} contacts nearest to contamination, of {len(check.labels)}", head, rows
    )
