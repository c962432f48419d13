"""The pictures of the README, taken of a real cluster that is really broken.

python -m benchmarks.screenshots [FOLDER]
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from benchmarks.cluster import Cluster
from raftkv.cluster.chaos import Chaos
from raftkv.cluster.discovery import find
from raftkv.cluster.live import LiveFeed
from raftkv.cluster.scenarios import Repertoire
from raftkv.tui.app import Dashboard
from raftkv.tui.view.health import leader

FOLDER = Path("docs/pictures")
SIZE = (108, 34)
SECONDS = 30.0
"""For each thing that has to happen."""
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""They would be fetched from elsewhere; the reader's own monospaced font does."""


class Photographer:
    def __init__(self, app: Dashboard, pilot: Pilot[None], folder: Path) -> None:
        self._app, self._pilot, self._folder = app, pilot, folder

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)
        await self._pilot.pause(0.5)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise SystemExit(f"{what} did not happen within {SECONDS:g} s")
            await self._pilot.pause(0.05)

    async def led(self) -> str:
        """Until somebody leads."""
        await self.until(lambda: leader(self._app.state, self._app.clock()) is not None, "an election")
        head = leader(self._app.state, self._app.clock())
        assert head
        return head.name

    async def take(self, name: str) -> None:
        self._app.clear_notifications()
        await self._pilot.pause(0.5)
        picture = FONTS.sub("", self._app.export_screenshot(title="raftkv"))
        (self._folder / f"{name}.svg").write_text(picture, encoding="utf-8")
        print(f"{self._folder / name}.svg")


async def session(cluster: Cluster, folder: Path) -> None:
    target = find(None, None, cluster.folder / ".raftkv")
    chaos = Chaos(target)
    app = Dashboard(
        LiveFeed(target, chaos.load_report, chaos.meet),
        chaos,
        chaos,
        Repertoire(target),
        owns_cluster=True,
        source="up --nodes 3",
    )
    try:
        async with app.run_test(size=SIZE) as pilot:
            camera = Photographer(app, pilot, folder)
            first = await camera.led()
            await camera.press("L")
            await pilot.pause(4)
            await camera.press("K")
            await camera.until(lambda: not_leading(app, first), "the death of the leader")
            second = await camera.led()
            await camera.press(str(app.state.names.index(second) + 1))
            await camera.take("overview")
            names = [name for name in app.state.names if name not in (first, second)]
            await camera.press("d", str(app.state.names.index(names[0]) + 1))
            await pilot.pause(1)
            await camera.press("f3")
            await camera.take("network")
            await camera.press("f6", "{", "[", "[", "[")
            await camera.take("timeline")
            await camera.press("escape", "H")
            await pilot.pause(6)
            await camera.press("f8")
            await camera.take("verdict")
            await camera.press("L", "f7", "down", "down", "enter")
            await camera.until(lambda: len(app.screen_stack) > 1, "a question")
            await camera.take("scenario")
            await camera.press("escape", "escape")
            await pilot.pause(5)
    finally:
        chaos.close()


def not_leading(app: Dashboard, name: str) -> bool:
    head = leader(app.state, app.clock())
    return head is None or head.name != name


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, Cluster(Path(data)) as cluster:
        asyncio.run(session(cluster, folder))


if __name__ == "__main__":
    main()
