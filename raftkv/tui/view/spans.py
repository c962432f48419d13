"""The currency between view and widgets: a line is a tuple of spans, a span is text and the name
of a style. Which colour a name has is the style sheet's business (``widgets.lines``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

STYLES = (
    "dim",
    "bold",
    "good",
    "warn",
    "bad",
    "accent",
    "leader",
    "candidate",
    "command",
    "frozen",
    "tab",
    "term0",
    "term1",
    "term2",
    "term3",
    "term4",
    "term5",
)
TERM_COLOURS = 6
SECONDS_MAX = 99 * 86_400
"""A longer time is shown as this one."""
_BARS = "▁▂▃▄▅▆▇█"


class Span(NamedTuple):
    text: str
    style: str = ""
    """One of ``STYLES``; empty for plain text."""


Line = tuple[Span, ...]


def plain(line: Line) -> str:
    return "".join(span.text for span in line)


def length(line: Line) -> int:
    """In cells of the screen."""
    return sum(_cells(span.text) for span in line)


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def joined(spans: Sequence[Span]) -> Line:
    """Neighbours of one style as one span: fewer segments to draw."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1].style == span.style:
            found[-1] = Span(found[-1].text + span.text, span.style)
        else:
            found.append(span)
    return tuple(found)


def term_style(term: int) -> str:
    return f"term{term % TERM_COLOURS}"


def shorten(text: str, width: int) -> str:
    if _cells(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def brief(name: str, width: int, among: tuple[str, ...] = ()) -> str:
    """A node's name in so many characters. Long ones often differ at the end, so it is cut in the middle; but
    ``among`` others where they differ, if that can be."""
    if len(name) <= width:
        return name
    return _distinct(among, width).get(name) or _cut(name, width // 2, width)


def _cut(name: str, head: int, width: int) -> str:
    if len(name) <= width:
        return name
    tail = width - head - 1
    return f"{name[:head]}…{name[-tail:] if tail > 0 else ''}"[: max(0, width)]


@lru_cache(maxsize=64)
def _distinct(names: tuple[str, ...], width: int) -> dict[str, str]:
    """Empty where no way to cut them leaves all of them different."""
    for head in sorted(range(width), key=lambda head: abs(head - width // 2)):
        cut = {name: _cut(name, head, width) for name in names}
        if len(set(cut.values())) == len(names):
            return cut
    # What all begin with tells none of them, but for its last letter.
    same = next((at for at, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), 0)
    start = max(0, same - 1)
    cut = {name: f"…{name[start : start + width - 2]}…"[: max(0, width)] for name in names}
    return cut if len(set(cut.values())) == len(names) else {}


def left(text: str, width: int) -> str:
    text = shorten(text, width)
    return text + " " * (width - _cells(text))


def right(text: str, width: int) -> str:
    text = shorten(text, width)
    return " " * (width - _cells(text)) + text


def duration(seconds: float) -> str:
    """``0:12``, ``12:03``, ``1h02``, ``3d04h``: never more than six characters for a month."""
    whole = int(seconds) if 0 <= seconds < SECONDS_MAX else 0 if not seconds > 0 else SECONDS_MAX
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def milliseconds(value: float) -> str:
    """A dash for none at all: nothing was measured."""
    if not value:
        return "–"
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"


def size(count: int) -> str:
    """``812 B``, ``48.2 MiB``"""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def bar(fraction: float, width: int) -> str:
    """``▓▓▓░░░``; anything above nothing shows at least one full cell."""
    clamped = min(1.0, fraction) if fraction > 0 else 0.0
    full = min(width, max(1, round(clamped * width))) if clamped > 0 else 0
    return "▓" * full + "░" * (width - full)


def spark(values: Sequence[float], width: int) -> str:
    """The last ``width`` values as bars; the scale runs from 0 to the highest."""
    shown = [value if 0 < value < inf else 0.0 for value in values[-width:]]
    top = max(shown, default=0.0)
    if top <= 0:
        return "▁" * len(shown)
    return "".join(_BARS[int(value / top * 7.999)] for value in shown)
