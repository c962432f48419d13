"""What all screens have in common."""

from __future__ import annotations

from textual.containers import Vertical
from textual.content import Content

from raftkv.tui.frame import Frame
from raftkv.tui.widgets.lines import Lines


class Page(Vertical):
    """``fill`` draws the frame; the rest are keys, which a page may use for itself."""

    def __init__(self, name: str) -> None:
        super().__init__(id=f"page-{name}")
        self._titles: dict[Lines, str] = {}

    def show(self, frame: Frame) -> None:
        if self.is_mounted and self.size.width:
            self.fill(frame)

    def fill(self, frame: Frame) -> None:
        raise NotImplementedError

    def move(self, columns: int, rows: int) -> bool:  # noqa: ARG002
        """An arrow key; whether the page has used it."""
        return False

    def turn(self, way: str) -> None:
        """page_up, page_down, home or end."""

    def choose(self) -> None:
        """Enter."""

    def retitle(self, panel: Lines, title: str) -> None:
        """Setting a title draws the whole panel anew, even if it is the same."""
        if self._titles.get(panel) != title:
            self._titles[panel] = title
            panel.border_title = heading(title)


def heading(text: str) -> Content:
    return Content.styled(f" {text} ", "bold")
