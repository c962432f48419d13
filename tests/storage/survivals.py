"""All that a disk in memory may look like at the next start."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from raftkv.storage.memory import MemoryDirectory, MemoryFile, Tear, keep, keep_prefix, lose
from raftkv.storage.records import SECTOR_BYTES

Image = tuple[tuple[str, bytes], ...]
"""Names and bytes, in the order of names: a whole disk, to be compared and kept in sets."""


def image_of(directory: MemoryDirectory) -> Image:
    return tuple((name, bytes(directory.files[name].live)) for name in directory.list())


def disk_of(image: Image) -> MemoryDirectory:
    directory = MemoryDirectory()
    directory.files = {name: MemoryFile(directory, data) for name, data in image}
    directory.sync()
    return directory


def unsynced(directory: MemoryDirectory) -> list[tuple[MemoryFile, int, bytes]]:
    """Every write that no sync has followed, file by file, in order."""
    return [(file, offset, data) for file in directory.files.values() for offset, data in file.unsynced]


def surviving(directory: MemoryDirectory, fine: bool = True) -> Iterator[tuple[Image, bool]]:
    """Everything that a loss of power may leave, and whether it is one of the few that stand for the
    rest. The last write is cut at every byte (``fine``) or at those few, or any of its sectors are
    missing; writes before it are all there or all lost; so are names."""
    for keep_names in (False, True):
        for tear, coarse in _tears(directory, fine):
            yield image_of(directory.power_loss(tear, keep_names)), coarse


def _tears(directory: MemoryDirectory, fine: bool) -> Iterator[tuple[Tear, bool]]:
    writes = unsynced(directory)
    if not writes:
        yield lose, True
        return
    _, offset, data = writes[-1]
    for earlier in (lose, keep) if len(writes) > 1 else (lose,):
        few = few_prefixes(len(data))
        for length in few:
            yield _last(writes, earlier, keep_prefix(length)), True
        for kept in _sector_subsets(offset, len(data)):
            yield _last(writes, earlier, _keep_pieces(kept)), True
        if fine and (earlier is keep or len(writes) == 1):
            for length in set(range(len(data) + 1)) - set(few):
                yield _last(writes, earlier, keep_prefix(length)), False


def few_prefixes(length: int) -> list[int]:
    """Nothing, within the header, the header, a bit of the body, half, all but one byte, all."""
    wanted = (0, 1, 7, 16, 17, length // 2, length - 1, length)
    return sorted({cut for cut in wanted if 0 <= cut <= length})


def _last(writes: list[tuple[MemoryFile, int, bytes]], earlier: Tear, last: Tear) -> Tear:
    """``last`` for the last of ``writes``, ``earlier`` for those before. A write is known by its own
    bytes object: the same file may be asked about under two names."""
    final = writes[-1][2]
    return lambda offset, data: last(offset, data) if data is final else earlier(offset, data)


def _sector_subsets(offset: int, length: int) -> Iterator[list[tuple[int, int]]]:
    """Every proper, not empty choice of the write's sectors, as ranges within the write."""
    starts = [0, *range(SECTOR_BYTES - offset % SECTOR_BYTES, length, SECTOR_BYTES)]
    ranges = list(zip(starts, [*starts[1:], length], strict=True))
    for chosen in range(1, (1 << len(ranges)) - 1):
        yield [one for number, one in enumerate(ranges) if chosen >> number & 1]


def _keep_pieces(kept: list[tuple[int, int]]) -> Tear:
    return lambda _, data: [(start, data[start:end]) for start, end in kept]


def killed_in(directory: MemoryDirectory) -> Iterator[MemoryDirectory]:
    """The same disk with the process gone: after the last write, or with a part of it done."""
    writes = unsynced(directory)
    lengths = few_prefixes(len(writes[-1][2])) if writes else [0]
    for length in lengths:
        after = copy.deepcopy(directory)
        after._locked = False
        if writes:
            file, offset, data = unsynced(after)[-1]
            file.unsynced[-1] = offset, data[:length]
            file.live = file.after_power_loss(after, keep).live
        yield after
