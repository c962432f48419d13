"""The link matrix; a click on a cell asks for a block on just that directed link, or its end."""

from __future__ import annotations

from textual import events
from textual.message import Message

from raftkv.tui.view.matrix import MatrixShape
from raftkv.tui.widgets.lines import Lines


class LinkMatrix(Lines):
    class Toggled(Message):
        """Positions among the nodes, from 0."""

        def __init__(self, sender: int, to: int) -> None:
            super().__init__()
            self.from_number = sender
            self.to_number = to

    def __init__(self, nodes: int) -> None:
        super().__init__(id="matrix", rows=nodes + 1)
        self._count = nodes
        self._shape: MatrixShape | None = None

    def shape_as(self, shape: MatrixShape, count: int) -> None:
        """``count`` nodes."""
        self._count = count
        self.resize(count + 1)
        if shape != self._shape:
            self._shape = shape
            self.styles.width = shape.width + self.gutter.width

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None or self._shape is None:
            return
        sender, to = place.y - 1, self._shape.receiver_at(place.x, self._count)
        if 0 <= sender < self._count and to is not None and to != sender:
            self.post_message(self.Toggled(sender, to))
