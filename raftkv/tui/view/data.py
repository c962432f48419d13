"""The keys and values that are there, as a table."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from raftkv.tui.event_log import clean
from raftkv.tui.ports import Row
from raftkv.tui.view.spans import Line, Span, left, right, shorten

_NUMBERS = 20


def heading_line(width: int) -> Line:
    key = _key_width(width)
    value = left("value", max(0, width - key - _NUMBERS - 3))
    text = f" {left('key', key)} {value} {'version':>8} {'revision':>10}"
    return (Span(shorten(text, width), "dim"),)


def rows(found: Sequence[Row], width: int) -> tuple[Line, ...]:
    key_width = _key_width(width)
    value_width = max(0, width - key_width - _NUMBERS - 3)
    return tuple(
        (
            Span(f" {left(clean(text_of(key)), key_width)} ", "bold"),
            Span(left(clean(text_of(value)), value_width)),
            Span(f" {right(str(version), 8)} {right(str(revision), 10)}", "dim"),
        )
        for key, value, version, revision in found
    )


def text_of(data: bytes) -> str:
    """As the command line shows it."""
    return data.decode() if is_text(data) else "base64:" + base64.b64encode(data).decode("ascii")


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _key_width(width: int) -> int:
    return max(8, min(40, width // 3))
