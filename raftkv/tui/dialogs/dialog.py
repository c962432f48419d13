"""What all of them have in common: they end once."""

from __future__ import annotations

from typing import Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Result = TypeVar("Result")


class Dialog(ModalScreen[Result], Generic[Result]):
    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Two keys may have come in one read, so that the second one is for a dialog which has ended by
        then: to end it again would take another screen from under it."""
        if self.app.screen is not self:
            return AwaitComplete()
        return super().dismiss(result)
