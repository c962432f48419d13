"""What there is one of."""

from __future__ import annotations

from typing import NoReturn


class Unique:
    """Neither copied nor pickled: it is, or belongs to, a thread and descriptors of this process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} belongs to a thread and sockets, which cannot be copied or sent "
            "elsewhere: make another one there"
        )
