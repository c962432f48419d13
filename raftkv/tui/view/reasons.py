"""The why panel: the newest event that can be explained, and its reason, wrapped."""

from __future__ import annotations

import textwrap

from raftkv.tui.event_log import LogLine
from raftkv.tui.model import State
from raftkv.tui.view.spans import Line, Span, shorten
from raftkv.tui.why import Reason, why

SEARCHED_MAX = 20
"""Lines looked back over for one with a reason."""


def explained(state: State) -> tuple[LogLine, Reason] | None:
    for line in reversed(state.lines[-SEARCHED_MAX:]):
        reason = why(line)
        if reason:
            return line, reason
    return None


def reason_lines(state: State, width: int, height: int) -> tuple[Line, ...]:
    """The event in bold, then the sentence; the section stands at its end."""
    found = explained(state)
    if found is None:
        return ((Span(" nothing has happened yet that needs a reason", "dim"),),)
    line, reason = found
    whose = f"{line.node} " if line.node else ""
    text = shorten(f"{line.mark} {line.text}", width - 1 - len(whose))
    lines: list[Line] = [(Span(f" {whose}", "bold"), Span(text, line.style))]
    wrapped = textwrap.wrap(reason.text, max(20, width - 2))
    room = max(1, height - 1)
    if len(wrapped) > room:
        wrapped = [*wrapped[: room - 1], wrapped[room - 1][: width - 3] + "…"]
    lines += [(Span(f" {text}"),) for text in wrapped]
    section = f"[{reason.section}]" if reason.section else ""
    last = " " + wrapped[-1]
    if section and len(last) + len(section) + 1 <= width:
        lines[-1] = (Span(last), Span(f" {section}", "accent"))
    elif section and len(lines) < height:
        lines.append((Span(f" {section}", "accent"),))
    return tuple(lines)
