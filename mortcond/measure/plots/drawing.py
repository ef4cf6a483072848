"""Drawings for the report: matplotlib's SVG made fit to stand in a page.

Comes in: SVG text. Goes out: an <svg> element that scales with the page, takes its colours from the page's variables
(so that it suits light, dark and print), and whose ids do not clash with those of another drawing.
"""

import re
from html import escape

from mortcond.measure.plots.style import VARIABLES

FONT = "var(--sans)"
PIXELS_A_POINT = 1.6  # at most: letters of 9 points come out at 14 pixels


def _rounded(tag: re.Match[str]) -> str:
    """Return a tag with its coordinates to hundredths of a point: enough for the eye, and half the bytes."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0])


def inline(svg: str, name: str, alternative: str) -> str:
    """Return an SVG file's text as an element of a page.

    Parameters
    ----------
    svg
        What matplotlib wrote.
    name
        The plot's name, put before each id.
    alternative
        What the drawing shows, for those who cannot see it.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*|<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", _rounded, body)
    body = re.sub(r"\s*\n\s*", " ", body)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = body.replace("'DejaVu Sans'", FONT).replace("font-family: DejaVu Sans", f"font-family: {FONT}")
    body = re.sub(r'\b(fill|stroke)="(var\([^)]*\))"', r'style="\1: \2"', body)  # variables work in styles only
    opening, rest = body.split(">", 1)
    width = PIXELS_A_POINT * float(re.search(r'\swidth="([\d.]+)pt"', opening)[1])
    opening = re.sub(r'\s(width|height|version)="[^"]*"', "", opening)
    told = f'role="img" aria-label="{escape(alternative, quote=True)}" style="max-width: {width:.0f}px"'
    return f"{opening} {told}>{rest}".strip()
