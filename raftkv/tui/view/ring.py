"""The nodes in a ring, with a dot for frames on their way: who talks to whom, and who is cut off."""

from __future__ import annotations

import math

from raftkv.tui.model import NodeState, State
from raftkv.tui.view.health import Health, alive, health, leader
from raftkv.tui.view.matrix import link
from raftkv.tui.view.spans import Line, Span, joined, shorten, term_style

DOTS_A_SECOND = 0.9
"""Of a link's length that a dot travels: slow enough for the eye."""
HEIGHT_MIN = 9
NAME_MAX = 8

Canvas = list[list[Span]]
_EMPTY = Span(" ")


def ring(state: State, now: float, width: int, height: int) -> tuple[Line, ...]:
    """Empty when there is no room for it."""
    if height < HEIGHT_MIN or width < 24:
        return ()
    canvas: Canvas = [[_EMPTY] * width for _ in range(height)]
    places = _places(state, width, height)
    names = state.names
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            for x, y in _path(*sorted((places[name], places[other]))):
                _put(canvas, x, y, Span("·", "dim"))
    # What is cut comes last: ways cross, and it must not be hidden by frames that pass.
    for blocked in (False, True):
        for node in state.nodes:
            _ways(canvas, node, now, places, blocked)
    for node in state.nodes:
        _node(canvas, state, node, now, places[node.name])
    return tuple(joined(row) for row in canvas)


def _places(state: State, width: int, height: int) -> dict[str, tuple[int, int]]:
    """The first node at the top, the others clockwise."""
    centre_x, centre_y = width / 2, (height - 1) / 2
    radius_x, radius_y = width / 2 - NAME_MAX, (height - 1) / 2
    places = {}
    for number, name in enumerate(state.names):
        angle = 2 * math.pi * number / len(state.names) - math.pi / 2
        x, y = centre_x + radius_x * math.cos(angle), centre_y + radius_y * math.sin(angle)
        places[name] = (round(x), round(y))
    return places


def _ways(
    canvas: Canvas, node: NodeState, now: float, places: dict[str, tuple[int, int]], blocked: bool
) -> None:
    """What passes on the ways from ``node``, or, ``blocked``, what does not."""
    if node.snapshot is None or not alive(node, now):
        return
    for to, place in places.items():
        here, snapshot = places[node.name], link(node, to)
        way = _path(here, place) if here < place else _path(place, here)[::-1]
        if not way or snapshot is None or to == node.name:
            continue
        cut = snapshot.fault is not None and snapshot.fault.block
        if blocked and cut:
            x, y = way[len(way) // 4]
            _put(canvas, x, y, Span("✕", "bad"))
        elif not blocked and not cut and to in node.sending:
            share = (now * DOTS_A_SECOND + _offset(node.name, to)) % 1.0
            x, y = way[int(share * len(way))]
            style = "warn" if snapshot.fault else term_style(node.snapshot.term)
            _put(canvas, x, y, Span("◐" if snapshot.fault else "●", style))


def _path(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Cells between the two, without the ends' own labels."""
    (x0, y0), (x1, y1) = start, end
    steps = max(abs(x1 - x0) // 2, abs(y1 - y0), 1)
    cells = [(round(x0 + (x1 - x0) * k / steps), round(y0 + (y1 - y0) * k / steps)) for k in range(steps + 1)]
    return [cell for cell in cells if min(_distance(cell, start), _distance(cell, end)) >= 1]


def _distance(cell: tuple[int, int], place: tuple[int, int]) -> float:
    return max(abs(cell[0] - place[0]) / (NAME_MAX / 2 + 1), abs(cell[1] - place[1]))


def _offset(sender: str, to: str) -> float:
    """So that not all dots leave at once; of the names, as a hash would differ from run to run."""
    return (sum(map(ord, sender)) * 7 + sum(map(ord, to)) * 3) % 10 / 10


def _node(canvas: Canvas, state: State, node: NodeState, now: float, place: tuple[int, int]) -> None:
    head = leader(state, now)
    symbol, style = "", "bold"
    match health(node, now):
        case Health.EXITED:
            symbol, style = "☠", "dim"
        case Health.PAUSED:
            symbol, style = "⏸", "warn"
        case Health.SILENT | Health.WAITING:
            symbol, style = "?", "dim"
        case Health.ALIVE if node is head:
            symbol, style = "★", "leader"
        case Health.ALIVE if node.snapshot and node.snapshot.role in ("candidate", "pre_candidate"):
            symbol, style = "◆", "candidate"
    text = f" {shorten(node.name, NAME_MAX - 1)}{symbol} "
    x = max(0, min(len(canvas[0]) - len(text), place[0] - len(text) // 2))
    for offset, character in enumerate(text):
        _put(canvas, x + offset, place[1], Span(character, style))


def _put(canvas: Canvas, x: int, y: int, span: Span) -> None:
    if 0 <= y < len(canvas) and 0 <= x < len(canvas[0]):
        canvas[y][x] = span
