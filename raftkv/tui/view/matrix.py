"""The link matrix: a row a sender, a column a receiver, both in the order of the node table so
that a row stands beside its node."""

from __future__ import annotations

from dataclasses import dataclass

from raftkv.observe import LinkSnapshot
from raftkv.tui.commands import digits
from raftkv.tui.model import NodeState, State
from raftkv.tui.view.health import Health, alive, health
from raftkv.tui.view.nodes import name_width
from raftkv.tui.view.spans import Line, Span, brief, left, right, shorten

OK, BLOCKED, DEGRADED, SELF, UNKNOWN = "●", "✕", "◐", "·", "?"
CORNER = "from\\to"


@dataclass(frozen=True, slots=True)
class MatrixShape:
    """Columns of text: ``label`` for the sender's name (0: none), ``cell`` for every receiver."""

    label: int
    cell: int
    width: int

    @property
    def corner(self) -> str:
        """What names the two directions, where the label is wide enough for it."""
        return CORNER if self.label > len(CORNER) else ""

    def receiver_at(self, x: int, count: int) -> int | None:
        """Which receiver's cell lies under column ``x``; None beside the cells."""
        column, _ = divmod(x - self.label, self.cell)
        return column if 0 <= column < count else None


def matrix_shape(state: State, available: int) -> MatrixShape:
    """The roomiest shape that fits ``available`` columns; the narrowest when none does."""
    count, name = len(state.nodes), name_width(state)
    roomy = max(3, name + 1)
    narrow = 2 if count > 5 else 3
    shapes = [
        (max(len(CORNER), name) + 1, max(5, roomy)),
        (max(len(CORNER), name) + 1, roomy),
        (name + 1, roomy),
    ]
    shapes += [(0, roomy), (0, narrow)]
    for label, cell in shapes:
        if label + cell * count <= available:
            break
    return MatrixShape(label, cell, label + cell * count)


def link(node: NodeState, to: str) -> LinkSnapshot | None:
    links = node.snapshot.links if node.snapshot else ()
    return next((link for link in links if link.to == to), None)


def end_mark(*ends: Health) -> str:
    """What is to be said of a link one end of which does not live; nothing where both do."""
    if Health.EXITED in ends:
        return "☠"
    if Health.PAUSED in ends:
        return "⏸"
    return "" if all(end is Health.ALIVE for end in ends) else UNKNOWN


def link_cell(state: State, sender: NodeState, to: str, now: float) -> Span:
    if sender.name == to:
        return Span(SELF, "dim")
    way, receiver = link(sender, to), state.node(to)
    mark = end_mark(health(sender, now), *((health(receiver, now),) if receiver else ()))
    if way is None or not alive(sender, now) or (mark and way.fault is None):
        return Span(mark or UNKNOWN, "dim")
    if way.fault is None:
        return Span(OK, "good")
    return Span(BLOCKED, "bad") if way.fault.block else Span(DEGRADED, "warn")


def link_matrix(state: State, now: float, shape: MatrixShape) -> tuple[Line, ...]:
    names = state.names
    fits = all(len(name) < shape.cell for name in names)
    # Names too long for a column give way to the digits that select the nodes.
    selects = digits(names)
    titles = names if fits else [selects.get(name, UNKNOWN) for name in names]
    heading = left(shape.corner, shape.label) + "".join(
        right(shorten(title, shape.cell), shape.cell) for title in titles
    )
    lines: list[Line] = [(Span(heading, "dim"),)]
    for sender in state.nodes:
        name = brief(sender.name, shape.label - 1, names).rjust(shape.label - 1) + " "
        label = (Span(name, "dim"),) if shape.label else ()
        cells = [link_cell(state, sender, to, now) for to in names]
        lines.append((*label, *(Span(right(cell.text, shape.cell), cell.style) for cell in cells)))
    return tuple(lines)
