"""The line of screens; where it is narrow, only the one that is shown has its whole name."""

from __future__ import annotations

from dataclasses import dataclass

from raftkv.tui.view.spans import Line, Span, length


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    """Of the page."""
    title: str
    short: str


TABS = (
    Tab("overview", "Overview", "Overview"),
    Tab("node", "Node", "Node"),
    Tab("network", "Network", "Network"),
    Tab("logs", "Logs", "Logs"),
    Tab("data", "Data", "Data"),
    Tab("timeline", "Timeline", "Time"),
    Tab("scenarios", "Scenarios", "Learn"),
    Tab("verdict", "Verdict", "Verdict"),
)


def tab_line(current: str, width: int) -> tuple[Line, tuple[tuple[range, str], ...]]:
    """The line, and which columns of it belong to which page."""
    for titles in ([tab.title for tab in TABS], [tab.short for tab in TABS]):
        spans: list[Span] = []
        places: list[tuple[range, str]] = []
        x = 0
        for number, (tab, title) in enumerate(zip(TABS, titles, strict=True), start=1):
            shown = tab.name == current
            key, text = f"{'▸' if shown else ' '}F{number}", f" {title}"
            spans += [Span(key, "tab" if shown else "accent"), Span(text, "tab" if shown else "dim")]
            places.append((range(x, x + len(key) + len(text)), tab.name))
            x += len(key) + len(text)
        if length(tuple(spans)) <= width:
            break
    return tuple(spans), tuple(places)
