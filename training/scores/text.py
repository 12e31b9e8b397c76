"""Tables as text for a terminal."""

from __future__ import annotations

from training.scores.table import ScoreLine, ScoreTable


def format_table(table: ScoreTable) -> str:
    """The table as text, columns aligned; further kinds of chance and sound below, if scored."""
    width = max(len(line.name) for line in table.lines)
    head = f"{'':{width}}  mel r  95 % ch.       p | speech r  95 % ch.       p | PC50 r"
    rows = [
        f"{x.name:{width}}  {x.mel_r:5.3f}  {x.chance_95:8.3f}  {x.p:6.4f} | "
        f"{x.mel_r_speech:8.3f}  {x.chance_95_speech:8.3f}  {x.p_speech:6.4f} | "
        f"{x.components_r:6.4f}" + (f"  {x.note}" if x.note else "")
        for x in table.lines
    ]
    size = (
        f"{table.frames} frames held out, {table.speech_frames} of them speech; "
        f"{table.training_frames} for training"
    )
    more = [*_chance(table, width), *_sound(table, width)]
    return "\n".join([head, *rows, *more, size, *([table.note] if table.note else [])])


def _chance(table: ScoreTable, width: int) -> list[str]:
    found = [line for line in table.lines if line.p_trials is not None or line.retrainings]
    if not found:
        return []
    pair = "95 % ch.       p  speech 95 %       p"
    head = f"{'':{width}}  trials exchanged: {pair} | retrained: {pair}"
    return ["", head, *(f"{x.name:{width}}  {_exchanged(x)} | {_retrained(x)}" for x in found)]


def _exchanged(x: ScoreLine) -> str:
    figures = (x.chance_95_trials, x.p_trials, x.chance_95_speech_trials, x.p_speech_trials)
    return " " * 18 + _figures(figures)


def _retrained(x: ScoreLine) -> str:
    figures = (
        x.chance_95_retrained,
        x.p_retrained,
        x.chance_95_speech_retrained,
        x.p_speech_retrained,
    )
    return f"{f'{x.retrainings} x' if x.retrainings else '':>10} " + _figures(figures)


def _figures(figures: tuple[float | None, ...]) -> str:
    texts = zip(figures, ("8.3f", "6.4f", "11.3f", "6.4f"), strict=True)
    return "  ".join(
        f"{'-':>{form.split('.')[0]}}" if value is None else f"{value:{form}}"
        for value, form in texts
    )


def _sound(table: ScoreTable, width: int) -> list[str]:
    rows = []
    for line in table.lines:
        if x := line.sound:
            pitch = "     -" if x.log_f0_r is None else f"{x.log_f0_r:6.3f}"
            rows.append(
                f"{line.name:{width}}  {x.stoi:5.3f}  {x.estoi:5.3f} | {x.mcd_db:6.2f}  "
                f"{x.mcd_dtw_db:6.2f} | {x.voicing_error:6.3f}  {x.voicing_error_speech:6.3f}  "
                f"{pitch}"
            )
    head = f"{'':{width}}   STOI  ESTOI | MCD dB  warped | V/UV error  speech  log F0 r"
    return ["", head, *rows] if rows else []
