"""``run.json`` in a cluster's folder: how every other command there finds what runs."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raftkv.cluster.local import RUN_STATE, is_locked
from raftkv.errors import LaunchError


@dataclass(frozen=True, slots=True)
class RunNode:
    name: str
    client: str
    control: str
    status: str


@dataclass(frozen=True, slots=True)
class RunState:
    cluster: str
    launcher_pid: int
    launcher: str
    """The launcher's control endpoint."""
    nodes: tuple[RunNode, ...]

    def save(self, data: Path) -> None:
        temporary = data / f"{RUN_STATE}.tmp"
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        temporary.replace(data / RUN_STATE)


def load(data: Path) -> RunState | None:
    """The cluster that runs in ``data`` now; None when none does."""
    if not is_locked(data):
        return None
    path = data / RUN_STATE
    try:
        return _read(path)
    except FileNotFoundError:
        return None  # its launcher is only starting
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        # What JSON holds may be no text, or several lines of it: a lone surrogate cannot even be printed.
        cause = str(error).encode("unicode_escape").decode()
        raise LaunchError(f"{path} cannot be read: {cause}") from None


def _read(path: Path) -> RunState:
    return _from_document(json.loads(path.read_text(encoding="utf-8")))


def _from_document(content: dict[str, Any]) -> RunState:
    """Raises TypeError, KeyError or ValueError for anything that ``save`` does not write."""
    nodes = tuple(RunNode(**node) for node in content["nodes"])
    state = RunState(content["cluster"], content["launcher_pid"], content["launcher"], nodes)
    texts = [state.cluster, state.launcher, *(text for node in nodes for text in asdict(node).values())]
    if not all(type(text) is str for text in texts) or type(state.launcher_pid) is not int:
        raise TypeError("a field of the wrong type")
    return state


def forget(data: Path) -> None:
    """First thing of whoever has taken the folder's lock, who is believed to be what the file describes: that
    of an earlier launcher, which was killed, names ports that may be another cluster's by now."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):  # no file of ours
        _read(data / RUN_STATE)
        remove(data)


def remove(data: Path) -> None:
    """As far as that can be: whoever runs next removes what is left of it."""
    with suppress(OSError):
        (data / RUN_STATE).unlink()
