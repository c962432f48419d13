"""What there is one of."""

from __future__ import annotations

from typing import NoReturn


class Unique:
    """Neither copied nor pickled: it has a thread, and sockets, of this process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} has a thread and sockets, which cannot be copied or sent elsewhere: "
            "make another one there"
        )
