"""The only ways in which a decoder may say no."""

from __future__ import annotations

from types import TracebackType

from raftkv.errors import RaftkvError


class refused_with:  # noqa: N801  # reads as a statement: with refused_with(WireError): …
    """Lets these errors pass, and no others. ``error`` is the one that came, if one did.

    What a ``RaftkvError`` says is shown to users, so it must be one line that can be printed.
    """

    def __init__(self, *allowed: type[Exception]) -> None:
        self._allowed = allowed
        self.error: Exception | None = None

    def __enter__(self) -> refused_with:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, self._allowed):
            return False
        self.error = error
        if isinstance(error, RaftkvError):
            line = str(error)
            assert line, "an error without a word"
            assert "\n" not in line, f"not one line: {line!r}"
            line.encode("utf-8")
        return True
