"""What the keys do to the data: put, change, delete, and the built-in load."""

from __future__ import annotations

from functools import partial

from raftkv.tui.dialogs.put import PutDialog
from raftkv.tui.network_operations import NetworkOperations
from raftkv.tui.pages.data import DataPage
from raftkv.tui.view.data import editable, edited, text_of


class DataOperations(NetworkOperations):
    def action_load(self) -> None:
        actions, wanted = self.breakable(), not self.load_on
        if actions is None:
            return

        def switched() -> None:
            self.load_on = wanted

        self.act(f"load {'on' if wanted else 'off'}", lambda: actions.load(wanted), switched)

    def action_put(self) -> None:
        actions = self.breakable()
        if actions is None:
            return

        def put(pair: tuple[str, str] | None) -> None:
            if pair:
                key, value = pair
                self.act(f"put {key}", lambda: actions.put(key.encode(), value.encode()))

        self.push_screen(PutDialog(), put)

    def chosen_pair(self) -> tuple[bytes, bytes] | None:
        """The key that is chosen on the screen, and the value it was seen with."""
        return None

    def on_data_page_changing(self, message: DataPage.Changing) -> None:
        actions = self.breakable()
        if actions is None:
            return
        key, seen = message.key, message.value

        def change(pair: tuple[str, str] | None) -> None:
            if pair is None:
                return
            try:
                written = edited(pair[1], seen)
            except ValueError as error:
                self.notify(f"nothing was changed: the new value is no base64 ({error})", severity="error")
                return
            self.act(f"change {pair[0]}", lambda: actions.compare_and_set(key, seen, written))

        self.push_screen(PutDialog(text_of(key), editable(seen)), change)

    def action_delete(self) -> None:
        chosen = self.chosen_pair()
        actions = self.breakable() if chosen else None
        if chosen and actions:
            key, value = chosen
            back = partial(actions.compare_and_set, key, None, value)
            self.act(f"delete {text_of(key)}", lambda: actions.delete(key), self._tell_undo, lambda: back)

    def _tell_undo(self) -> None:
        self.notify("deleted: ⌫ brings it back")
