"""Throughput and latency against the number of clients, as an SVG of two panels with logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 860, 340
MARGIN_LEFT, MARGIN_TOP, MARGIN_BOTTOM, GAP = 70, 40, 50, 90
COLOURS = {"put": "#2a6fdb", "get": "#1a8f4a", "put floor": "#9db9e8", "get floor": "#9fd3b5"}
Point = tuple[float, float]


def plot(results: dict[str, Any]) -> str:
    """``results`` of ``throughput.rows``."""
    tables = [found for found in results.values() if isinstance(found, dict)]
    measured = [found for found in tables if "floor" in found and found["value_size"] == 128]
    rates: dict[str, list[Point]] = {}
    delays: dict[str, list[Point]] = {}
    for found in measured:
        name, clients = found["operation"], float(found["clients"])
        rates.setdefault(name, []).append((clients, found["ops_per_second"]))
        rates.setdefault(f"{name} floor", []).append((clients, found["floor"]))
        delays.setdefault(name, []).append((clients, found["latency_ms"]["p99"]))
    width = (WIDTH - MARGIN_LEFT - GAP - 30) / 2
    parts = [
        *_panel(MARGIN_LEFT, width, "requests a second", rates),
        *_panel(MARGIN_LEFT + width + GAP, width, "p99, milliseconds", delays),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _panel(left: float, width: float, title: str, series: dict[str, list[Point]]) -> list[str]:
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    height = HEIGHT - MARGIN_TOP - MARGIN_BOTTOM

    def across(x: float) -> float:
        return left + width * math.log(x / min(xs)) / math.log(max(xs) / min(xs))

    def up(y: float) -> float:
        return MARGIN_TOP + height * (1 - (math.log10(y) - low) / (high - low))

    parts = [_text(left + width / 2, MARGIN_TOP - 16, title, "middle", bold=True)]
    for power in range(low, high + 1):
        y = up(10.0**power)
        parts.append(f'<path d="M{left:.1f} {y:.1f}h{width:.1f}" stroke="#ddd"/>')
        parts.append(_text(left - 6, y + 4, f"{10**power:,}" if power >= 0 else f"{10.0**power:g}", "end"))
    parts += [_text(across(x), HEIGHT - MARGIN_BOTTOM + 18, f"{x:g}", "middle") for x in sorted(set(xs))]
    parts.append(_text(left + width / 2, HEIGHT - 12, "clients, each with one request outstanding", "middle"))
    for name, points in series.items():
        parts += _line([(across(x), up(y)) for x, y in sorted(points)], name)
    return parts


def _line(points: Sequence[Point], name: str) -> list[str]:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    x, y = points[-1]
    return [
        f'<path d="M{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in points),
        _text(x + 6, y + 4, name, "start"),
    ]


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight} fill="#333">{escape(text)}</text>'
