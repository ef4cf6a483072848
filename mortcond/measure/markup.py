"""Small pieces of HTML. Comes in: plain text and numbers. Goes out: escaped markup."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mortcond.measure.drawing import inline

NONE = "–"


def text(value: Any) -> str:
    """Return a value as escaped text; a dash for None; a true minus sign before numbers."""
    return NONE if value is None else re.sub(r"(?<= )-(?=\d)", "−", escape(str(value))).replace("95 %", "95\u00a0%")


def number(value: float | None, form: str = ",.0f") -> str:
    """Return a number in the given form with a true minus sign, a dash for None."""
    if value is None:
        return NONE
    written = format(value, form)
    return written.lstrip("+-") if not float(written.replace(",", "")) else written.replace("-", "−")


def paragraph(value: str, kind: str = "") -> str:
    return f'<p class="{kind}">{text(value)}</p>' if kind else f"<p>{text(value)}</p>"


def estimate(value: float | None, ci95: Sequence[float] | None, form: str = ".3f") -> str:
    """Return a number with its interval, the latter set back."""
    if value is None:
        return NONE
    interval = f' <span class="ci">[{number(ci95[0], form)}, {number(ci95[1], form)}]</span>' if ci95 else ""
    return number(value, form) + interval


def verdict(compared: dict[str, Any] | None) -> str:
    """Return a verdict in words, coloured."""
    if compared is None:
        return NONE
    kind = {True: "good", False: "bad", None: "open"}[compared["noninferior"]]
    return f'<span class="verdict {kind}">{text(compared["verdict"])}</span>'


def table(headings: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], textual: Sequence[int] = ()) -> str:
    """Return a table that scrolls sideways where it is too wide.

    Parameters
    ----------
    headings
        Plain text.
    rows
        For each row its CSS class ("" for none) and its cells as markup; the first is the row's heading. A row of one
        cell is a heading over the rows below it.
    textual
        Columns of words, which are set to the left.
    """
    head = "".join(f'<th scope="col"{_kind(i, textual)}>{text(heading)}</th>' for i, heading in enumerate(headings))
    body = "".join(_row(kind, cells, len(headings), textual) for kind, cells in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(kind: str, cells: Sequence[str], width: int, textual: Sequence[int]) -> str:
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    if len(cells) == 1:
        return f'{opening}<th colspan="{width}" scope="colgroup">{cells[0]}</th></tr>'
    rest = "".join(f"<td{_kind(i, textual)}>{cell}</td>" for i, cell in enumerate(cells) if i)
    return f'{opening}<th scope="row">{cells[0]}</th>{rest}</tr>'


def _kind(column: int, textual: Sequence[int]) -> str:
    return ' class="text"' if column in textual else ""


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return a list of names and values; values are escaped."""
    return '<dl class="facts">' + "".join(f"<dt>{text(n)}</dt><dd>{text(v)}</dd>" for n, v in pairs) + "</dl>"


def figure(plots: Path, name: str, title: str, caption: str) -> str:
    """Return a plot with its caption; nothing where it was not drawn."""
    path = plots / f"{name}.svg"
    if not path.is_file():
        return ""
    drawing = inline(path.read_text(encoding="utf-8"), name, title)
    words = f"<b>{text(title)}</b> <span>{text(caption)} Data: plots/{name}.csv.</span>"
    return f"<figure><figcaption>{words}</figcaption>{drawing}</figure>"


def plot_grid(plots: Path, shown: Iterable[tuple[str, str, str]], kind: str = "") -> str:
    """Return several plots side by side where there is room; nothing where none was drawn."""
    drawn = "".join(figure(plots, *one) for one in shown)
    return f'<div class="plots {kind}">{drawn}</div>' if drawn else ""
