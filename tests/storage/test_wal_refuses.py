"""What a crash cannot explain, or what belongs to somebody else, is refused and left as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import pytest

from raftkv.errors import CorruptLog, ForeignData
from raftkv.raft import SnapshotMark
from raftkv.storage import (
    Append,
    File,
    Identity,
    OsDirectory,
    ReadOnlyDirectory,
    StoreChunk,
    Volume,
    Wal,
    WalOptions,
    records,
)
from raftkv.storage.memory import MemoryDirectory
from raftkv.storage.records import RecordType
from raftkv.storage.recovery import BLOCK_BYTES, FORMAT_VERSION, FORMATS_READ, segment_name
from raftkv.types import LogIndex, NodeId, Term
from tests.storage.support import (
    IDENTITY,
    N1,
    SMALL,
    Write,
    entries,
    flip,
    hard_state,
    open_wal,
    reopen,
    written,
)

FIRST = segment_name(1, 1)
FIRST_RECORD = records.decode(1, bytes(written([]).files[FIRST].live), 0)
assert FIRST_RECORD is not None
HEADER: tuple[Any, ...] = msgpack.unpackb(FIRST_RECORD.payload, use_list=False)
VERSION, CLUSTER, NODE, INCARNATION, NUMBER, FIRST_INDEX, PREV_TERM, HARD_STATE = range(8)
"""Where the header has what."""
ROLLING: list[Write] = [(hard_state(1, None, last), entries(last, last, size=700)) for last in range(1, 8)]


def changed(field: int, value: Any) -> tuple[Any, ...]:
    return (*HEADER[:field], value, *HEADER[field + 1 :])


def handmade(*contents: Any, header: Any = HEADER) -> MemoryDirectory:
    """A first segment of these records, with checksums that hold."""
    data = b"".join(records.encode(1, 0, RecordType.SEGMENT, records.body_of(msgpack.packb(header))))
    for content in contents:
        payload = content if type(content) is bytes else msgpack.packb(content)
        data += b"".join(records.encode(1, len(data), RecordType.WRITE, records.body_of(payload)))
    directory = MemoryDirectory()
    file = directory.create(FIRST)
    file.allocate(SMALL.segment_bytes)
    file.write(0, [data])
    file.sync()
    directory.sync()
    return directory


def images(directory: MemoryDirectory) -> dict[str, bytes]:
    return {name: bytes(file.live) for name, file in directory.files.items()}


def refused(directory: MemoryDirectory) -> CorruptLog:
    """The refusal, which must have changed nothing, and name a file that is there."""
    before = images(directory)
    with pytest.raises(CorruptLog) as caught:
        open_wal(directory)
    assert images(directory) == before
    error = caught.value
    assert error.file in {f"memory/{name}" for name in directory.list()}
    assert f"{error.file} at byte {error.offset}: " in str(error)
    assert "\n" not in str(error)
    return error


# -- somebody else's


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        (Identity("other", N1, "x"), "cluster other"),
        (Identity("test", NodeId("n2"), "x"), "node n2"),
    ],
)
def test_the_folder_of_another_cluster_or_node_is_refused(identity: Identity, named: str) -> None:
    directory = written(ROLLING)
    before = images(directory)
    with pytest.raises(ForeignData, match="belongs to node n1 of cluster test") as caught:
        Wal.open(directory, identity, SMALL)
    assert named in str(caught.value)
    assert images(directory) == before


def test_a_newer_format_is_refused_with_the_way_out() -> None:
    directory = handmade(header=(FORMAT_VERSION + 1, *HEADER[1:]))
    with pytest.raises(ForeignData, match=rf"format version {FORMAT_VERSION + 1}.*upgrade raftkv"):
        open_wal(directory)


@pytest.mark.parametrize("rest", [(*HEADER[1:], "a field of the future"), HEADER[1:4], ()])
def test_a_newer_format_is_told_by_its_version_whatever_else_its_header_holds(rest: tuple[Any, ...]) -> None:
    """A format that changes the header's fields is the likeliest reason for a new version: it must
    not be taken for damage, for which the advice is to throw the log away."""
    with pytest.raises(ForeignData, match="upgrade raftkv"):
        open_wal(handmade(header=(FORMAT_VERSION + 1, *rest)))


def test_segments_of_two_lives_are_not_mixed() -> None:
    mine = written(ROLLING)
    theirs = MemoryDirectory()
    wal, _ = Wal.open(theirs, Identity("test", N1, "another-life"), SMALL)
    for write in ROLLING:
        wal.append(*write)
    second = mine.list()[1]
    mine.files[second] = theirs.files[second]
    with pytest.raises(ForeignData, match="mixes segments of two lives"):
        open_wal(mine)


# -- missing and misplaced segments


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_missing_segment_before_the_last_is_refused(position: int) -> None:
    directory = written(ROLLING)
    names = directory.list()
    assert len(names) == 4
    del directory.files[names[position]]
    error = refused(directory)
    assert error.file == f"memory/{names[position + 1]}"
    assert error.cause == f"the segment before it, number {position + 1}, is missing"


def test_a_segment_under_another_number_is_refused() -> None:
    directory = written(ROLLING)
    names = directory.list()
    directory.files[names[1]], directory.files[names[2]] = (
        directory.files[names[2]],
        directory.files[names[1]],
    )
    assert refused(directory).file == f"memory/{names[1]}"


def test_an_empty_segment_file_is_refused() -> None:
    directory = written(ROLLING)
    last = directory.list()[-1]
    directory.files[last].live.clear()
    assert refused(directory).cause == "no valid segment header"


def test_a_torn_record_in_a_segment_that_is_not_the_last_is_refused() -> None:
    directory = written(ROLLING)
    first = directory.files[FIRST]
    used = len(bytes(first.live).rstrip(b"\0"))
    first.live[used - 100 :] = bytes(len(first.live) - used + 100)
    error = refused(directory)
    assert error.file == f"memory/{FIRST}"


@pytest.mark.parametrize("position", [0, 1, 2])
def test_stray_bytes_behind_the_records_of_a_segment_that_is_not_the_last_are_refused(position: int) -> None:
    directory = written(ROLLING)
    name = directory.list()[position]
    flip(directory, name, SMALL.segment_bytes - 1, 1)
    assert refused(directory).file == f"memory/{name}"


@pytest.mark.parametrize("blocks", [1, 2, 2.5])
@pytest.mark.parametrize("before", [0, 1])
def test_a_stray_byte_is_found_wherever_a_large_segment_is_nothing_but_zeros(
    blocks: float, before: int
) -> None:
    """On either side of where one block that is looked at ends and the next begins."""
    options = WalOptions(segment_bytes=int(2.5 * BLOCK_BYTES) + 1)
    large: Write = (None, entries(2, 2, size=options.segment_bytes))  # takes a segment of its own
    directory = written([(hard_state(1), entries(1, 1)), large], options)
    assert len(reopen(directory, options)[1].entries) == 2
    name = directory.list()[0]
    flip(directory, name, int(blocks * BLOCK_BYTES) - before, 1)
    assert refused(directory).file == f"memory/{name}"


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_segment_that_is_not_the_last_and_lost_its_last_record_is_refused(position: int) -> None:
    """Cut at a record's border, so that the file itself looks right."""
    directory = written(ROLLING)
    name = directory.list()[position]
    image = directory.files[name].live
    number, offset, starts = position + 1, 0, [0]
    while record := records.decode(number, bytes(image), offset):
        offset = record.end
        starts.append(offset)
    image[starts[-3] :] = bytes(len(image) - starts[-3])  # before it the seal
    error = refused(directory)
    assert error.file == f"memory/{directory.list()[position + 1]}"
    assert "but the log before it ends at" in error.cause


def test_a_log_that_lacks_its_newest_segments_is_refused() -> None:
    """The one before it says that it was there; so with any number of them."""
    names = written(ROLLING).list()
    for left in range(1, len(names)):
        directory = written(ROLLING)
        for name in names[left:]:
            directory.remove(name)
        directory.sync()
        error = refused(directory)
        assert error.file == f"memory/{names[left - 1]}"
        assert f"number {left + 1}, is missing" in error.cause


def test_nothing_stands_behind_a_seal() -> None:
    directory = written(ROLLING)
    name = directory.list()[0]
    image, offset = directory.files[name].live, 0
    while record := records.decode(1, bytes(image), offset):
        offset = record.end
    more = b"".join(records.encode(1, offset, RecordType.SEAL, records.body_of(b"\x02")))
    image[offset : offset + len(more)] = more
    assert "behind the seal" in refused(directory).cause


def test_a_segment_of_the_format_without_seals_is_read_and_gone_on_with() -> None:
    """Also one that has no room for a seal."""
    header = (3, *HEADER[1:])
    directory = handmade((hard_state(1), entries(1, 3)), header=header)
    wal, recovered = open_wal(directory)
    assert len(recovered.entries) == 3
    for index in range(4, 12):
        wal.append(None, entries(index, index, size=900))
    assert len(reopen(directory)[1].entries) == 11


# -- records that hold but make no sense


@pytest.mark.parametrize(
    ("contents", "cause"),
    [
        ([(None, [(2, 1, 1, b"")])], "entry 2 after entry 0"),
        ([(None, [(1, 1, 1, b""), (3, 1, 1, b"")])], "entry 3 after entry 1"),
        ([(None, [(0, 1, 1, b"")])], "entry 0 after entry 0"),
        ([(None, [(1, 2, 1, b""), (2, 1, 1, b"")])], "a lower term"),
        ([((1, None, 1), [])], "commit index 1 lies beyond the last entry 0"),
        ([((1, None), [])], "cannot be read"),
        ([(None, [(1, 1)])], "cannot be read"),
        ([(None, 7)], "cannot be read"),
        ([7], "cannot be read"),
        ([(None, [], "more")], "cannot be read"),
        ([b"\xc1"], "cannot be read"),
        ([b""], "cannot be read"),
        ([(None, [("1", 1, 1, b"")])], "cannot be read"),
    ],
)
def test_a_record_without_sense_is_refused(contents: list[Any], cause: str) -> None:
    assert cause in refused(handmade(*contents)).cause


@pytest.mark.parametrize(
    "header", [7, [], HEADER[:HARD_STATE], changed(VERSION, "1"), changed(HARD_STATE, 5)]
)
def test_a_segment_header_without_sense_is_refused(header: Any) -> None:
    error = refused(handmade(header=header))
    assert error.offset == 0
    assert "cannot be read" in error.cause


@pytest.mark.parametrize(("field", "value"), [(NUMBER, 2), (FIRST_INDEX, 2), (PREV_TERM, 1)])
def test_a_segment_header_that_does_not_follow_what_came_before_is_refused(field: int, value: int) -> None:
    assert refused(handmade(header=changed(field, value))).offset == 0


def test_a_segment_header_in_the_middle_of_a_segment_is_refused() -> None:
    directory = handmade()
    file = directory.files[FIRST]
    end = records.size_of(records.body_of(msgpack.packb(HEADER)))
    file.write(end, records.encode(1, end, RecordType.SEGMENT, records.body_of(msgpack.packb(HEADER))))
    assert refused(directory).cause == "a segment header out of place"


def test_a_segment_without_header_is_refused() -> None:
    directory = MemoryDirectory()
    directory.create(FIRST).write(
        0, records.encode(1, 0, RecordType.WRITE, records.body_of(msgpack.packb((None, []))))
    )
    assert refused(directory).cause == "a segment header out of place"


def test_a_refusal_leaves_even_a_segment_that_was_never_finished() -> None:
    directory = written(ROLLING)
    directory.create("next.tmp").write(0, [b"half a segment"])
    flip(directory, FIRST, 200, 4)
    refused(directory)
    assert "next.tmp" in directory.list()


def test_a_later_start_reads_what_a_refusal_left() -> None:
    directory = written(ROLLING)
    image = directory.files[FIRST].live
    image[200] ^= 4
    refused(directory)
    image[200] ^= 4
    after = directory.power_loss()
    assert len(open_wal(after)[1].entries) == 7
    assert open_wal(after.power_loss())[1].identity == IDENTITY


# -- what earlier versions wrote


def test_a_log_of_an_earlier_format_is_refused_with_what_to_do() -> None:
    directory = handmade((hard_state(1), entries(1, 3)), header=(min(FORMATS_READ) - 1, *HEADER[1:-1]))
    with pytest.raises(ForeignData, match=r"has format version 2, .* an earlier raftkv wrote it"):
        open_wal(directory)


class _Counting(ReadOnlyDirectory):
    """A folder that knows how many of its files are open."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.opened: list[_Closable] = []

    def open(self, name: str) -> File:
        file = _Closable(super().open(name))
        self.opened.append(file)
        return file


class _Closable:
    def __init__(self, file: File) -> None:
        self._file = file
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        self.closed = True
        self._file.close()


@pytest.mark.parametrize("damaged", ["*.log", "*.snap", None])
def test_whoever_reads_a_folder_leaves_no_file_of_it_open(tmp_path: Path, damaged: str | None) -> None:
    """Who goes through many, one of them damaged, would run out of descriptors."""
    volume, _ = Volume.open(OsDirectory(tmp_path), IDENTITY, SMALL)
    mark = SnapshotMark(LogIndex(3), Term(1), 7, 0)
    for first in (1, 5):
        volume.do(Append(hard_state(1), entries(first, first + 4)))
    volume.do(StoreChunk(mark, 0, b"x" * 100, True))
    volume.close()
    if damaged:
        (path,) = tmp_path.glob(damaged)
        path.write_bytes(flip_a_byte(path.read_bytes()))
    folder = _Counting(tmp_path)
    if damaged:
        with pytest.raises(CorruptLog):
            Wal.read(folder)
    else:
        assert Wal.read(folder).recovered.last_index == 9
    assert len(folder.opened) >= (1 if damaged == "*.snap" else 2)
    assert all(file.closed for file in folder.opened)


def flip_a_byte(data: bytes) -> bytes:
    return data[:30] + bytes([data[30] ^ 0xFF]) + data[31:]
