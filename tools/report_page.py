"""A self-contained HTML page: no scripts, no addresses, everything escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from models.files import new_file, refuse_busy
from models.streaming import Floats
from tools.report_svg import DARK, LIGHT, variables
from tools.wav import wav_bytes

_CSS = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--accent:#2f6eb5;%(light)s}
@media(prefers-color-scheme:dark){:root{--page:#14181d;--card:#1c2229;--accent:#6fadf2;%(dark)s}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:0 0 10px}
p{margin:0 0 10px;max-width:78ch;overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--grid);border-radius:10px;
padding:18px 20px;margin:18px 0}
.research{border-left:4px solid var(--alarm);padding:2px 0 2px 12px;margin:12px 0 14px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(138px,1fr));gap:12px;margin:18px 0}
.facts div{background:var(--card);border:1px solid var(--grid);border-radius:10px;
padding:10px 14px}
.facts dt{color:var(--muted);font-size:.85rem}
.facts dd{margin:0;font-size:1.2rem;white-space:nowrap;font-weight:600;
font-variant-numeric:tabular-nums}
.facts dd.bad{color:var(--alarm)}
.wide{overflow-x:auto}
.wide svg{display:block;width:100%%;min-width:660px;height:auto;margin:0 0 14px}
svg text{font-family:system-ui,sans-serif!important}
table{border-collapse:collapse;width:100%%;font-variant-numeric:tabular-nums;margin:4px 0 12px}
caption{text-align:left;color:var(--muted);padding:0 0 6px;font-size:.9rem}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--grid);vertical-align:top}
th[scope=row],th:first-child,td.text{text-align:left}
th[scope=row]{font-weight:600;white-space:nowrap}
thead th{color:var(--muted);font-weight:600;font-size:.88rem}
td.text{overflow-wrap:anywhere;min-width:14ch}
th.text{text-align:left}
.quiet{color:var(--muted);font-size:.92rem}
figure{margin:0 0 12px}
figcaption{margin:0 0 4px;font-weight:600}
audio{width:100%%;display:block}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:18px}
a{color:var(--accent)}
"""


class Markup(str):
    """HTML that is safe as it stands; any other text is escaped on its way into the page."""

    __slots__ = ()


def markup(text: object) -> Markup:
    """Escape, unless it is markup already."""
    return text if isinstance(text, Markup) else Markup(escape(str(text)))


def joined(parts: Iterable[object]) -> Markup:
    """Parts one after another."""
    return Markup("".join(markup(part) for part in parts))


def page(title: str, *body: object) -> str:
    """A whole document."""
    css = _CSS % {"light": variables(LIGHT), "dark": variables(DARK)}
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{markup(title)}</title><style>{css}</style></head>"
        f"<body><main>{joined(body)}</main></body></html>\n"
    )


def section(title: str, *body: object) -> Markup:
    """A section with a heading."""
    return Markup(f"<section><h2>{markup(title)}</h2>{joined(body)}</section>")


def paragraph(text: object, kind: str = "") -> Markup:
    """A paragraph, of a CSS class if given."""
    attribute = f' class="{escape(kind)}"' if kind else ""
    return Markup(f"<p{attribute}>{markup(text)}</p>")


def facts(rows: Sequence[tuple[str, str, bool]]) -> Markup:
    """Key figures: what, value, whether it is bad."""
    cells = (
        f"<div><dt>{markup(what)}</dt><dd{' class=bad' if bad else ''}>{markup(value)}</dd></div>"
        for what, value, bad in rows
    )
    return Markup(f'<dl class="facts">{"".join(cells)}</dl>')


def table(
    caption: object, head: Sequence[str], rows: Iterable[Sequence[object]], text: Sequence[int] = ()
) -> Markup:
    """A table whose first column heads its rows; columns in `text` are words, not figures."""
    kinds = [' class="text"' if i in text else "" for i in range(len(head))]
    heads = joined(
        Markup(f'<th scope="col"{kind}>{markup(name)}</th>')
        for name, kind in zip(head, kinds, strict=True)
    )
    body = joined(_row(row, kinds) for row in rows)
    return Markup(
        f'<div class="wide" tabindex="0"><table><caption>{markup(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[object], kinds: Sequence[str]) -> Markup:
    first, *others = row
    cells = joined(
        Markup(f"<td{kind}>{markup(cell)}</td>")
        for cell, kind in zip(others, kinds[1:], strict=True)
    )
    return Markup(f'<tr><th scope="row">{markup(first)}</th>{cells}</tr>')


def figure(svg: str) -> Markup:
    """An inline SVG, which scrolls by itself where the window is narrow."""
    return Markup(f'<div class="wide" tabindex="0">{svg}</div>')


def audio(title: str, samples: Floats, rate_hz: int) -> Markup:
    """A player of float32 audio `(n,)`, as 16-bit WAV inside the page."""
    data = base64.b64encode(wav_bytes(samples, rate_hz)).decode("ascii")
    return Markup(
        f"<figure><figcaption>{markup(title)}</figcaption>"
        f'<audio controls preload="metadata" aria-label="{markup(title)}" '
        f'src="data:audio/wav;base64,{data}"></audio></figure>'
    )


def write(path: Path, render: Callable[[], str], overwrite: bool = False) -> None:
    """Write a page, whole or not at all; it is not even rendered if the path is taken.

    Raises
    ------
    BusyOutputError
        If `path` exists and `overwrite` is not set.
    """
    refuse_busy(path, overwrite)
    text = render()
    with new_file(path, overwrite) as partial:
        partial.write_text(text, encoding="utf-8")
