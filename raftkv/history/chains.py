"""Where an append must have landed, read off the strings that were observed.

Take an observed string that no put or cas writes. An append produced it, and if only one of the suffixes
ever appended ends it, that one did, on the string without it; and so on backwards. When only a single
operation appends this suffix, that operation is as good as a cas from the shorter string to the longer
one: it *must* have found the one and left the other, or the observed string could not have been there.
The search then places it in a single way where it would try every order of the appends around it.

When one operation would have to produce two different strings, there is no linearization at all: its
effect was seen twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from raftkv.history.model import as_bytes, is_text
from raftkv.history.operations import Op, Operation, Result, Value


class Chains:
    def __init__(self, happened: Sequence[Operation]) -> None:
        self._written = {
            as_bytes(operation.value)
            for operation in happened
            if operation.op in (Op.PUT, Op.CAS) and is_text(operation.value)
        }
        self._appended = Counter(
            as_bytes(operation.value) for operation in happened if operation.op is Op.APPEND
        )
        self._lengths = sorted({len(suffix) for suffix in self._appended if suffix})
        self._empty_possible = b"" in self._written or b"" in self._appended
        self.links: dict[bytes, tuple[Value, bytes]] = {}
        """suffix -> (state it was appended to, state it left)"""
        self.seen_twice = False
        if self._lengths:
            visited: set[bytes] = set()
            for operation in happened:
                value = operation.output if operation.op is Op.GET else operation.expected
                if is_text(value) and _was_there(operation):
                    self._walk(as_bytes(value), visited)

    def _walk(self, text: bytes, visited: set[bytes]) -> None:
        while text and text not in visited and text not in self._written:
            visited.add(text)
            suffixes = [text[-length:] for length in self._lengths if text[-length:] in self._appended]
            if len(suffixes) != 1:
                return
            suffix = suffixes[0]
            shorter = text[: -len(suffix)]
            if not shorter and self._empty_possible:
                return  # the empty string or absent: both lead here
            if self._appended[suffix] == 1:
                link = (shorter or None, text)
                if self.links.setdefault(suffix, link) != link:
                    self.seen_twice = True
                    return
            text = shorter


def _was_there(operation: Operation) -> bool:
    """Its result proves the string it returned or expected; a cas that found another value does not."""
    return operation.result is Result.OK and operation.output is not False
