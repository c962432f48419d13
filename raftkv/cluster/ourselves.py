"""This very raftkv, in another process."""

from __future__ import annotations

import sys
from pathlib import Path

import raftkv


def own_command(*arguments: str, module: str = "raftkv") -> list[str]:
    """``python -m`` puts the current folder first on the path: where another raftkv lies in it, such as a
    checkout around an installed one, that one would run. So it is left out, unless we come from there."""
    ours = Path(raftkv.__file__).parent.parent == Path.cwd()
    return [sys.executable, *([] if ours else ["-P"]), "-m", module, *arguments]
