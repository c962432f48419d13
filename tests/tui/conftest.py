"""Dashboards under test draw more often than real ones: what a test waits for comes sooner."""

from __future__ import annotations

import pytest

from raftkv.tui import app

FRAME_SECONDS = 0.03


@pytest.fixture(autouse=True)
def quick_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "FRAME_SECONDS", FRAME_SECONDS)
