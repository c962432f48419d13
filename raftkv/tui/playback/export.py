"""Writes what was seen, to be shown to somebody else: a page, a summary, and the recording itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from raftkv import __version__
from raftkv.errors import RecordingError
from raftkv.tui.playback.chronicle import chronicle
from raftkv.tui.playback.files import FORMAT_VERSION, About, write_recording
from raftkv.tui.playback.report import html, markdown

SUFFIX = ".rec"


def export(folder: Path, names: Sequence[str], blocks: Sequence[bytes], source: str, origin: datetime) -> str:
    """Into ``folder``, under a name of the moment and several endings; which name."""
    told = chronicle(names, blocks)
    stem = f"raftkv-{datetime.now():%Y%m%d-%H%M%S}"
    write_text(folder / f"{stem}.html", html(told, source, origin))
    write_text(folder / f"{stem}.md", markdown(told, source, origin))
    moment = origin.timestamp()
    about = About(FORMAT_VERSION, __version__, tuple(names), moment + told.start, moment, source)
    write_recording(folder / f"{stem}{SUFFIX}", about, blocks)
    return stem


def write_text(path: Path, text: str) -> None:
    """Never over a file that is there."""
    try:
        with path.open("x", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except FileExistsError:
        raise RecordingError(f"{path} exists already; nothing was written") from None
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror}") from None
