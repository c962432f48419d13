"""The feed of a recording, which is all there already."""

from __future__ import annotations

from collections.abc import Sequence

from raftkv.tui.ports import FeedItem


class NoFeed:
    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def names(self) -> Sequence[str]:
        return self._names

    def poll(self) -> Sequence[FeedItem]:
        return ()

    def close(self) -> None:
        """There is nothing to be closed."""
