"""``run.json`` in a cluster's folder: how every other command there finds what runs."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raftkv.cluster.local import is_locked
from raftkv.errors import LaunchError

_NAME = "run.json"


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
        temporary = data / f"{_NAME}.tmp"
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        temporary.replace(data / _NAME)


def load(data: Path) -> RunState | None:
    """The cluster that runs in ``data`` now; None when none does."""
    if not is_locked(data):
        return None
    path = data / _NAME
    try:
        return _from_document(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None  # its launcher is only starting
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        # What JSON holds may be no text, or several lines of it: a lone surrogate cannot even be printed.
        cause = str(error).encode("unicode_escape").decode()
        raise LaunchError(f"{path} cannot be read: {cause}") from None


def _from_document(content: dict[str, Any]) -> RunState:
    """Raises TypeError, KeyError or ValueError for anything that ``save`` does not write."""
    nodes = tuple(RunNode(**node) for node in content["nodes"])
    state = RunState(content["cluster"], content["launcher_pid"], content["launcher"], nodes)
    texts = [state.cluster, state.launcher, *(text for node in nodes for text in asdict(node).values())]
    if not all(type(text) is str for text in texts) or type(state.launcher_pid) is not int:
        raise TypeError("a field of the wrong type")
    return state


def remove(data: Path) -> None:
    with suppress(FileNotFoundError):
        (data / _NAME).unlink()
