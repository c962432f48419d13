"""The link matrix; a click on a cell asks for a block on just that directed link, or its end."""

from __future__ import annotations

from textual import events
from textual.message import Message

from raftkv.tui.view.matrix import MatrixShape
from raftkv.tui.widgets.lines import Lines


class LinkMatrix(Lines):
    class Toggled(Message):
        def __init__(self, sender: str, to: str) -> None:
            super().__init__()
            self.link = (sender, to)

    def __init__(self, nodes: int) -> None:
        super().__init__(id="matrix", rows=nodes + 1)
        self._names: tuple[str, ...] = ()
        """Those on the screen."""
        self._shape: MatrixShape | None = None

    def shape_as(self, shape: MatrixShape, names: tuple[str, ...]) -> None:
        self._names = names
        self.resize(len(names) + 1)
        if shape != self._shape:
            self._shape = shape
            self.styles.width = shape.width + self.gutter.width

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None or self._shape is None:
            return
        sender, to = place.y - 1, self._shape.receiver_at(place.x, len(self._names))
        if 0 <= sender < len(self._names) and to is not None and to != sender:
            self.post_message(self.Toggled(self._names[sender], self._names[to]))
