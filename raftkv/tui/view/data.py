"""The keys and values that are there, as a table."""

from __future__ import annotations

import base64
import binascii
from codecs import getincrementaldecoder

from raftkv.tui.ports import Row
from raftkv.tui.view.spans import Line, Span, left, right, shorten

_NUMBERS = 20
_CHARACTER_BYTES = 4
"""At most, in UTF-8."""
BASE64 = "base64:"


def heading_line(width: int) -> Line:
    key = _key_width(width)
    value = left("value", max(0, width - key - _NUMBERS - 3))
    text = f" {left('key', key)} {value} {'version':>8} {'revision':>10}"
    return (Span(shorten(text, width), "dim"),)


def row_line(row: Row, width: int) -> Line:
    key, value, version, revision = row
    key_width = _key_width(width)
    value_width = max(0, width - key_width - _NUMBERS - 3)
    return (
        Span(f" {left(_beginning(key, key_width), key_width)} ", "bold"),
        Span(left(_beginning(value, value_width), value_width)),
        Span(f" {right(str(version), 8)} {right(str(revision), 10)}", "dim"),
    )


def text_of(data: bytes) -> str:
    """As the command line shows it."""
    return data.decode() if _is_text(data) else BASE64 + base64.b64encode(data).decode("ascii")


def editable(data: bytes) -> str:
    """What fits into a line to be typed in and says all that is in ``data``."""
    return text_of(data) if is_plain(data) else BASE64 + base64.b64encode(data).decode("ascii")


def edited(text: str, before: bytes) -> bytes:
    """What was made of ``editable(before)``. Raises ValueError where it was base64 and is not any more."""
    if is_plain(before) or not text.startswith(BASE64):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(BASE64), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def is_plain(data: bytes) -> bool:
    """Text in one line."""
    return _is_text(data) and data.decode().isprintable()


def _is_text(data: bytes, whole: bool = True) -> bool:
    try:
        getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def _beginning(data: bytes, width: int) -> str:
    """No more of it than has room, and one character more; what cannot be printed is escaped, so that texts
    which differ look different."""
    part = data[: _CHARACTER_BYTES * (width + 1)]
    if not _is_text(part, whole=len(part) == len(data)):
        return BASE64 + base64.b64encode(part).decode("ascii")
    text = part.decode(errors="ignore")  # the last character may be cut
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(each) for each in text)


def _escaped(letter: str) -> str:
    if letter == "\\" or not letter.isprintable():
        return letter.encode("unicode_escape").decode()
    return letter


def _key_width(width: int) -> int:
    return max(8, min(40, width // 3))
