"""A chronicle as a page that needs nothing else, and as a summary in Markdown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import escape
from typing import Any

from raftkv import __version__
from raftkv.errors import counted
from raftkv.tui.checks import INVARIANTS
from raftkv.tui.event_log import LogLine, is_election
from raftkv.tui.model import Stretch
from raftkv.tui.playback.chronicle import Chronicle, ends
from raftkv.tui.why import why

WIDTH, LABEL, LANE, GRAPH = 1100, 70, 26, 70
"""Pixels of the drawing."""
TERM_COLOURS = ("#5fb3d9", "#86b85a", "#d19a4b", "#a587e0", "#4fb3a3", "#dd6f86")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#222634;background:#fbfbfd}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-size:13px}
td{padding:.2rem .6rem .2rem 0;vertical-align:top;border-top:1px solid #e3e5ec}
td:first-child,td:nth-child(2){white-space:nowrap;font-variant-numeric:tabular-nums}
.why{color:#5a6072}.elected{font-weight:600}.command{font-family:ui-monospace,monospace;color:#2f5fb3}
.bad{color:#b3354c}svg{width:100%;height:auto}
@media(prefers-color-scheme:dark){body{color:#c9d1e3;background:#11131a}td{border-color:#2a2f3f}
.why{color:#8b93a8}.command{color:#7aa2f7}.bad{color:#f7768e}svg text{fill:#c9d1e3}}
"""


def html(told: Chronicle, source: str, origin: datetime) -> str:
    """``origin``: the wall clock at 0 of the recording's clock."""
    begun = origin + timedelta(seconds=told.start)
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in _facts(told))
    rows = "".join(_row(line, origin) for line in told.lines)
    more = f"<p>{told.left_out:,} further events are left out.</p>" if told.left_out else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>raftkv {escape(source)}</title>'
        f"<style>{_STYLE}</style><h1>raftkv: {escape(source)}, {begun:%Y-%m-%d %H:%M:%S}</h1>"
        f"<ul>{facts}</ul><h2>Who was what</h2>{drawing(told)}"
        f"<p class=why>Full height: leads; thin: follows; half: campaigns; hatched: paused; gap: dead. "
        f"Colours are terms, a line is an election, the graph is operations a second.</p>"
        f"<h2>What happened, and why</h2><table>{rows}</table>{more}"
        f"<p class=why>raftkv {__version__}</p></html>"
    )


def markdown(told: Chronicle, source: str, origin: datetime) -> str:
    begun = origin + timedelta(seconds=told.start)
    lines = [f"# raftkv: {_marked(source)}, {begun:%Y-%m-%d %H:%M:%S}", ""]
    lines += [f"- {_marked(fact)}" for fact in _facts(told)]
    for title, chosen in (("Elections", told.elections), ("What was done to it", told.commands)):
        lines += ["", f"## {title}", ""]
        lines += [f"- `{_clock(line, origin)}` {_told(line)}" for line in chosen] or ["None."]
    return "\n".join(lines) + "\n"


def _told(line: LogLine) -> str:
    return f"`{line.text.replace('`', '')}`" if line.mark == "$" else _marked(_plain(line))


def _marked(text: str) -> str:
    """As it is, also where a node's words look like Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>#|&~])", r"\\\1", " ".join(text.split()))


def document(told: Chronicle, source: str, origin: datetime) -> dict[str, Any]:
    """The same for programs; times are seconds since the recording began."""
    return {
        "source": source,
        "started": (origin + timedelta(seconds=told.start)).isoformat(timespec="milliseconds"),
        "seconds": round(told.end - told.start, 3),
        "nodes": list(told.names),
        "elections": [
            {
                "time": round(line.time - told.start, 3),
                "leader": line.node,
                "term": line.event.fields.get("term") if line.event else None,
            }
            for line in told.elections
        ],
        "leaderless_seconds": round(told.leaderless_seconds, 3),
        "commands": [line.text for line in told.commands],
        "events": told.events,
        "checks": sum(told.checks.counts),
        "violations": [finding.text for finding in told.checks.findings],
        "load": told.load or None,
    }


def drawing(told: Chronicle) -> str:
    """An SVG: a lane a node, elections as lines across, the throughput below."""
    height = LANE * len(told.names) + GRAPH + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">']
    parts.append(
        '<defs><pattern id="paused" width="6" height="6" patternUnits="userSpaceOnUse">'
        '<path d="M0 6L6 0" stroke="#8b93a8"/></pattern></defs>'
    )
    for number, (name, life) in enumerate(told.lives):
        top = number * LANE
        parts.append(f'<text x="4" y="{top + 17}" font-size="13">{escape(name[:8])}</text>')
        parts += [_stretch(told, stretch, end, top) for stretch, end in ends(life, told.end)]
    bottom = LANE * len(told.names)
    for line in told.elections:
        x = _x(told, line.time)
        parts.append(
            f'<path d="M{x} 0V{bottom}" stroke="#c0392b" stroke-dasharray="3 3" fill="none">'
            f"<title>{escape(_plain(line))}</title></path>"
        )
    parts += _graph(told, bottom + 10)
    length = told.end - told.start
    parts.append(f'<text x="{LABEL}" y="{height - 4}" font-size="12">0 s</text>')
    parts.append(
        f'<text x="{WIDTH - 4}" y="{height - 4}" font-size="12" text-anchor="end">{length:.0f} s</text>'
    )
    parts.append("</svg>")
    return "".join(parts)


def _graph(told: Chronicle, top: int) -> list[str]:
    peak = max((reading.operations for reading in told.readings), default=0.0)
    if peak <= 0:
        return []
    points = " ".join(
        f"{_x(told, reading.time)},{top + GRAPH - 20 - reading.operations / peak * (GRAPH - 20):.1f}"
        for reading in told.readings
    )
    return [
        f'<polyline points="{points}" fill="none" stroke="#4fb3a3" stroke-width="1.5"/>',
        f'<text x="4" y="{top + 12}" font-size="11">{peak:,.0f}/s</text>',
    ]


def _stretch(told: Chronicle, stretch: Stretch, end: float, top: int) -> str:
    if stretch.what == "exited":
        return ""
    x, right = _x(told, stretch.time), _x(told, end)
    colour = TERM_COLOURS[stretch.term % len(TERM_COLOURS)]
    height = {"leader": 20, "candidate": 12, "pre_candidate": 8, "paused": 14}.get(stretch.what, 3)
    fill = "url(#paused)" if stretch.what == "paused" else colour
    text = escape(f"{stretch.what.replace('_', '-')}, term {stretch.term}")
    width = max(0.5, round(right - x, 1))
    return (
        f'<rect x="{x}" y="{top + 22 - height}" width="{width}" height="{height}" fill="{fill}">'
        f"<title>{text}</title></rect>"
    )


def _x(told: Chronicle, time: float) -> float:
    length = max(told.end - told.start, 0.001)
    share = min(1.0, max(0.0, (time - told.start) / length))
    return round(LABEL + share * (WIDTH - LABEL - 4), 1)


def _facts(told: Chronicle) -> list[str]:
    broken = [f"VIOLATED: {finding.text}" for finding in told.checks.findings]
    checked = sum(told.checks.counts)
    nodes = counted(len(told.names) - told.left, "node") + (f" ({told.left} had left)" if told.left else "")
    facts = [
        f"{nodes}, {told.end - told.start:.1f} seconds, {counted(told.events, 'event')}",
        f"{counted(len(told.elections), 'election')}, {told.leaderless_seconds:.1f} s without a leader",
        f"{counted(len(told.commands), 'command')} by the one who watched",
        *(broken or [f"{len(INVARIANTS)} invariants held, checked {checked:,} times"]),
    ]
    return [*facts, f"history of the load: {told.load}"] if told.load else facts


def _row(line: LogLine, origin: datetime) -> str:
    reason = why(line)
    section = f" [{reason.section}]" if reason and reason.section else ""
    because = f"<div class=why>{escape(reason.text + section)}</div>" if reason and line.event else ""
    style = "elected" if is_election(line) else "command" if line.mark == "$" else line.style
    kept = style if style in ("elected", "command", "bad") else ""
    return (
        f"<tr><td>{_clock(line, origin)}<td>{escape(line.node)}"
        f'<td class="{kept}">{escape(line.mark)} {escape(line.text)}{because}'
    )


def _plain(line: LogLine) -> str:
    return f"{line.node} {line.text}".strip()


def _clock(line: LogLine, origin: datetime) -> str:
    moment = origin + timedelta(seconds=line.time)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
