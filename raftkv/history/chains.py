"""Where an append must have landed, read off the strings that were observed.

Take an observed string that no put or cas writes. An append produced it, and if only one of the suffixes
ever appended ends it, that one did, on the string without it; and so on backwards. When only a single
operation appends this suffix, that operation is as good as a cas from the shorter string to the longer
one: it *must* have found the one and left the other, or the observed string could not have been there.
The search then places it in a single way where it would try every order of the appends around it.

When one operation would have to produce two different strings, there is no linearization at all: its
effect was seen twice. Nor is there one where a string is longer than the longest that was written and all
that was ever appended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

from raftkv.history.model import as_bytes, is_text
from raftkv.history.operations import Op, Operation, Result


class Link(NamedTuple):
    """Where one append must have landed. Both states begin an observed string; copies of all that it has ever
    been would take its length squared."""

    observed: bytes
    before_length: int
    after_length: int

    @property
    def before(self) -> bytes:
        """What it was appended to; empty for absent."""
        return self.observed[: self.before_length]

    @property
    def after(self) -> bytes:
        return self.observed[: self.after_length]


class Chains:
    def __init__(self, happened: Sequence[Operation], check: Callable[[], None]) -> None:
        """``check`` is called now and then, and may raise."""
        self._check = check
        self._written = {
            as_bytes(operation.value)
            for operation in happened
            if operation.op in (Op.PUT, Op.CAS) and is_text(operation.value)
        }
        self._written_lengths = {len(text) for text in self._written}
        self._appended = Counter(
            as_bytes(operation.value) for operation in happened if operation.op is Op.APPEND
        )
        self._lengths = sorted({len(suffix) for suffix in self._appended if suffix})
        self._empty_possible = b"" in self._written or b"" in self._appended
        self.links: dict[bytes, Link] = {}
        """By suffix."""
        self.impossible = False
        """One of the two was found."""
        if self._lengths:
            appended = sum(len(suffix) * count for suffix, count in self._appended.items())
            longest = max(map(len, self._written), default=0) + appended
            visited: dict[int, set[int]] = {}
            for operation in happened:
                value = operation.output if operation.op is Op.GET else operation.expected
                if is_text(value) and _was_there(operation):
                    text = as_bytes(value)
                    self.impossible = self.impossible or len(text) > longest
                    if not self.impossible:
                        self._walk(text, visited)

    def _walk(self, observed: bytes, visited: dict[int, set[int]]) -> None:
        """``visited`` tells texts by length and checksum: to take one for another costs a link, no more. Of a
        text that grew in many steps no copies are made: they would take its length squared."""
        view = memoryview(observed)
        end, ends = len(observed), list[int]()
        while end and not (end in self._written_lengths and observed[:end] in self._written):
            if end in visited and crc32(view[:end]) in visited[end]:
                break
            ends.append(end)
            self._check()
            suffixes = [
                suffix
                for length in self._lengths
                if length <= end and (suffix := observed[end - length : end]) in self._appended
            ]
            if len(suffixes) != 1:
                break
            suffix = suffixes[0]
            before = end - len(suffix)
            if not before and self._empty_possible:
                break  # the empty string or absent: both lead here
            if self._appended[suffix] == 1:
                link = self.links.setdefault(suffix, Link(observed, before, end))
                same = link.observed is observed or link.after == observed[:end]
                if link.after_length != end or not same:
                    self.impossible = True
                    break
            end = before
        checksum = start = 0
        for end in reversed(ends):
            checksum, start = crc32(view[start:end], checksum), end
            visited.setdefault(end, set()).add(checksum)


def _was_there(operation: Operation) -> bool:
    """Its result proves the string it returned or expected; a cas that found another value does not."""
    return operation.result is Result.OK and operation.output is not False
