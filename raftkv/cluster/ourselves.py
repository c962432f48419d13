"""This very raftkv, in another process, and no longer than in this one."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path

import raftkv

_PR_SET_PDEATHSIG = 1


def own_command(*arguments: str, module: str = "raftkv") -> list[str]:
    """``python -m`` puts the current folder first on the path: where another raftkv lies in it, such as a
    checkout around an installed one, that one would run. So it is left out, unless we come from there."""
    ours = Path(raftkv.__file__).parent.parent == Path.cwd()
    return [sys.executable, *([] if ours else ["-P"]), "-m", module, *arguments]


def die_with_parent() -> None:
    """However it ends, and whatever this process is doing then."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
