"""One row of the event log."""

from __future__ import annotations

from datetime import datetime, timedelta

from raftkv.tui.event_log import Row
from raftkv.tui.view.spans import Line, Span, brief


def event_line(row: Row, origin: datetime, name_width: int, names: tuple[str, ...] = ()) -> Line:
    """``origin`` is the wall clock at 0 of the monotonic clock."""
    line = row.line
    moment = origin + timedelta(seconds=line.time)
    clock = f" {moment:%H:%M:%S}.{moment.microsecond // 1000:03} "
    name = Span(brief(line.node, name_width, names).ljust(name_width) + " ", "bold")
    text = Span(clock, "dim"), name, Span(f"{line.mark} ", line.style), Span(line.text, line.style)
    if row.times == 1:
        return text
    return *text, Span(f"  ×{row.times:,} since {origin + timedelta(seconds=row.since):%H:%M:%S}", "dim")
