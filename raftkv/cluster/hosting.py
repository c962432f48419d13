"""A launcher in a thread of its own, for whoever does something else meanwhile."""

from __future__ import annotations

import threading
import time

from raftkv.cluster.launcher import Launcher
from raftkv.errors import LaunchError

_LOOK_SECONDS = 0.05


class Hosted:
    """Lives until the last node has ended, which ``end`` sees to."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="launcher")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.launcher.run()
        except BaseException as error:  # whatever it is, whoever waits must hear of it
            self._failure = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def await_ready(self, seconds: float) -> None:
        """Until a leader serves. Raises what has ended the launcher, or ``LaunchError`` after so long."""
        deadline = time.monotonic() + seconds
        while not self.launcher.ready.wait(_LOOK_SECONDS):
            self.check()
            if not self.running or time.monotonic() > deadline:
                raise LaunchError(f"no leader after {seconds:g} s")

    def check(self) -> None:
        """Raises what has ended the launcher, if it was not told to end."""
        if self._failure:
            raise self._failure

    def end(self) -> None:
        self.launcher.stop()
        self._thread.join()
