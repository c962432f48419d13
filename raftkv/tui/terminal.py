"""The terminal's keys, some of which are no text."""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver


class Terminal(LinuxDriver):
    def run_input_thread(self) -> None:
        """A terminal that is not set to UTF-8, or one key held with Meta, sends bytes that cannot be decoded.
        What came with them is lost, which may be the next key, and whatever comes then is read."""
        while not self.exit_event.is_set():
            try:
                super().run_input_thread()
            except UnicodeDecodeError:
                continue
