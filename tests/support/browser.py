"""A headless Chromium, driven over its own debugging protocol; loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
WAIT_SECONDS = 90.0


class Page:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            answer: dict[str, Any] = json.loads((await self._socket.receive(WAIT_SECONDS)).data)
            if answer.get("id") == self._calls:
                return answer["result"]  # type: ignore[no-any-return]

    async def evaluate(self, expression: str) -> Any:
        return (await self.call("Runtime.evaluate", expression=expression))["result"].get("value")

    async def until(self, expression: str) -> None:
        """Until the JavaScript expression is true."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not await self.evaluate(expression):
                await asyncio.sleep(0.1)

    async def press(self, key: str) -> None:
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)


@contextlib.asynccontextmanager
async def page(url: str, profile: Path) -> AsyncIterator[Page]:
    assert CHROMIUM
    arguments = (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
        *(f"--user-data-dir={profile}", "--window-size=1300,900"),
        # The page asks for a font that lies elsewhere: no name leads off this machine.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "about:blank",
    )
    running = subprocess.Popen([CHROMIUM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "DevToolsActivePort"
        async with asyncio.timeout(WAIT_SECONDS):
            while not port.exists() or not port.read_text():
                await asyncio.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text().split()[0]}/json"
        async with aiohttp.ClientSession() as session:
            async with session.get(address) as answer:
                found = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                opened = Page(socket)
                await opened.call("Page.navigate", url=url)
                yield opened
    finally:
        running.terminate()
        running.wait(WAIT_SECONDS)
