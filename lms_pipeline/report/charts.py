"""Bars of rates as one SVG picture, which stands on any page, white or dark.

What belongs here: drawing. Which rates they are is `courses.py`. Written by hand, since a picture is a page of text and
each of many short runs loads what draws it: pygal takes 60 ms and 100 modules, leather writes no figures beside a bar.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

_UNFIT = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""What XML can't hold, controls, and what turns the direction of all text around it."""
_MARKS = re.compile(f"([{re.escape(string.punctuation)}])")


def one_line(text: str, longest: int) -> str:
    """The text without line breaks and controls, cut where it is longer."""
    plain = " ".join(_UNFIT.sub(" ", text).split())
    return plain if len(plain) <= longest else f"{plain[: longest - 1].rstrip()}…"


def in_markdown(text: str) -> str:
    """The text as Markdown that means nothing but it: no link, no picture, no cell of a table."""
    return _MARKS.sub(r"\\\1", text)


def text_bar(share: float | None, width: int = 10) -> str:
    """A bar of blocks; None is an empty one."""
    full = round((share or 0) * width)
    return "█" * full + "░" * (width - full)


WIDTH = 480
"""Pixels."""
MARGIN, HEAD, STEP, LINE = 12, 46, 32, 18
LETTER, DIGIT = 6, 8
"""Pixels, about: text is cut where more won't fit, and clipped where its letters are wider."""

INK, FAINT, TRACK, FILL = "#1f2430", "#5d6675", "#e8ebf0", "#4f43dd"


class Bar(NamedTuple):
    """A rate, with what people call it and what it is made of."""

    label: str
    rate: float | None
    """0 to 1; None where there was nothing to divide."""
    figures: str
    """In our own words, and short."""


def bars_svg(title: str, subtitle: str, bars: Sequence[Bar], footnote: str = "") -> str:
    """The picture, on a ground of its own."""
    end = HEAD + STEP * len(bars)
    height = end + (LINE if footnote else 0) + MARGIN // 2
    parts = [
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" fill="#fff" stroke="#d5d9e0"/>',
        _line(6, WIDTH - 2 * MARGIN, title, 'font-weight="600"'),
        _line(22, WIDTH - 2 * MARGIN, subtitle, f'fill="{FAINT}"'),
        *(part for place, bar in enumerate(bars) for part in _bar(bar, HEAD + STEP * place)),
    ]
    if footnote:
        parts.append(_line(end, WIDTH - 2 * MARGIN, footnote, f'fill="{FAINT}"'))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">{"".join(parts)}</svg>'
    )


def as_markdown(svg: str, instead: str) -> str:
    """The picture as a line of Markdown; `instead`, in our own words, is read where it can't be seen."""
    return f"![{instead}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _bar(bar: Bar, top: int) -> Iterator[str]:
    """Label and figures on one line, the bar below."""
    full = WIDTH - 2 * MARGIN
    percent = "-" if bar.rate is None else f"{bar.rate:.0%}"
    yield _line(top, full - DIGIT * len(f"{percent} {bar.figures}"), bar.label)
    yield (
        f'<text x="{WIDTH - MARGIN}" y="{top + 13}" text-anchor="end"><tspan font-weight="600">{percent}</tspan> '
        f'<tspan fill="{FAINT}">{escape(bar.figures)}</tspan></text>'
    )
    for length, color in ((full, TRACK), (full * (bar.rate or 0), FILL)):
        yield f'<rect x="{MARGIN}" y="{top + 19}" width="{length:.1f}" height="6" rx="3" fill="{color}"/>'


def _line(top: int, width: int, text: str, style: str = "") -> str:
    """Text that ends where its width does: a picture inside the picture clips it."""
    return (
        f'<svg x="{MARGIN}" y="{top}" width="{width}" height="{LINE}">'
        f'<text y="13" {style}>{escape(one_line(text, width // LETTER))}</text></svg>'
    )
