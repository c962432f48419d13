"""Recordings as files: what was written is read again, and whatever became of the bytes since, nobody is
shown a state that never was."""

from __future__ import annotations

import errno
import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from raftkv import __version__
from raftkv.errors import RecordingError
from raftkv.tui.model import CommandDone, Item, State, initial, reduce_all
from raftkv.tui.playback import files
from raftkv.tui.playback.codec import encode_block
from raftkv.tui.playback.files import About, Recording, RecordingFile, read_recording, write_recording
from raftkv.tui.playback.recorder import record
from raftkv.tui.playback.tape import Playhead
from raftkv.tui.ports import FeedItem
from raftkv.wire.packing import pack
from tests.tui.fakes import ScriptedFeed, event, process, snapshot
from tests.tui.scenes import NAMES, election, state_of

ABOUT = About(files.FORMAT_VERSION, __version__, NAMES, 1_700_000_000.5, 1_699_999_000.0, "cluster.toml")
POLLS: list[list[Item]] = [
    [process("n1"), snapshot("n1", time=10.0), event(1, "n1", "LeaderChanged", 10.0, term=7, leader_id=None)],
    [CommandDone(11.5, "raftkv chaos kill n1"), process("n1", "exited", since=11.5, exit_code=-9)],
    [process("n1", since=13.0, pid=9), snapshot("n2", time=13.0, term=8)],
]
BLOCKS = [encode_block([(10.0 + 1.5 * number, items)]) for number, items in enumerate(POLLS)]
STATES = [initial(NAMES)]
for _items in POLLS:
    STATES.append(reduce_all(STATES[-1], _items))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.rec"


@pytest.fixture
def written(path: Path) -> bytes:
    write_recording(path, ABOUT, BLOCKS)
    return path.read_bytes()


def refusal(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read_recording(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def outcome(path: Path, content: bytes) -> Recording | str:
    """As ``read_recording`` of a file with this content: two thousand files would take their time."""
    try:
        return files._read(io.BytesIO(content), path, len(content), lambda _: None)
    except RecordingError as error:
        return str(error)


def framed(block: bytes) -> bytes:
    head = struct.pack("<II", len(block), zlib.crc32(block))
    return head + struct.pack("<I", zlib.crc32(head)) + block


# -- reading what was written


def test_written_and_read_again(path: Path, written: bytes) -> None:
    progress: list[float] = []
    found = read_recording(path, progress.append)
    assert (found.about, found.cut, found.state) == (ABOUT, False, STATES[-1])
    assert found.tape.blocks() == BLOCKS
    assert (found.tape.start, found.tape.end) == (10.0, 13.0)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    head = Playhead(found.tape)
    for number, state in enumerate(STATES[1:]):
        head.seek(10.0 + 1.5 * number)
        assert head.state == state


def test_cut_short_at_every_byte_it_ends_earlier_and_says_so(path: Path, written: bytes) -> None:
    seen: set[int] = set()
    for length in range(len(written)):
        found = outcome(path, written[:length])
        if isinstance(found, str):
            assert re.search("no recording|before it says|is empty", found), found
            continue
        blocks = len(found.tape.blocks())
        seen.add(blocks)
        assert found.state == STATES[blocks]
        whole = (
            len(files.MAGIC)
            + len(framed(pack(asdict(ABOUT))))
            + sum(len(framed(block)) for block in BLOCKS[:blocks])
        )
        assert found.cut == (length > whole)
    assert seen == {1, 2}


def test_one_flipped_byte_anywhere_is_refused_with_its_place(path: Path, written: bytes) -> None:
    for place in range(len(written)):
        damaged = bytearray(written)
        damaged[place] ^= 1 << place % 8
        text = outcome(path, bytes(damaged))
        assert isinstance(text, str)
        if place < len(files.MAGIC):
            assert "is no recording" in text
        else:
            found = re.search(r"damaged at byte ([\d,]+)", text)
            assert found, text
            assert 0 <= place - int(found[1].replace(",", "")) <= max(map(len, BLOCKS)) + 500


def test_a_flipped_byte_in_a_block_that_was_cut_short_is_not_read(path: Path, written: bytes) -> None:
    short = bytearray(written[:-1])
    short[-1] ^= 0xFF
    path.write_bytes(short)
    found = read_recording(path)
    assert (found.cut, found.state) == (True, STATES[2])


def test_a_sound_checksum_over_nonsense_is_refused_with_its_place(path: Path, written: bytes) -> None:
    path.write_bytes(written + framed(b"nonsense"))
    assert f"damaged before byte {len(written) + 20:,}: no block" in refusal(path)
    path.write_bytes(written + framed(b"")[:4] + struct.pack("<II", 5, 6))
    assert f"damaged at byte {len(written):,}: no block begins there" in refusal(path)
    head = struct.pack("<II", files.BLOCK_BYTES_MAX + 1, 0)
    path.write_bytes(written + head + struct.pack("<I", zlib.crc32(head)))
    assert f"damaged at byte {len(written):,}: a block of 16,777,217 bytes" in refusal(path)


# -- what it is of


def of(path: Path, content: Any) -> None:
    path.write_bytes(files.MAGIC + framed(pack(content)) + framed(BLOCKS[0]))


def test_a_newer_format_is_refused_with_its_version(path: Path) -> None:
    of(path, {"format": files.FORMAT_VERSION + 1, "version": "9.9\n", "more": 1})
    assert refusal(path) == (
        f"{path} was made by raftkv '9.9\\n' in format 2; this raftkv reads formats up to 1"
    )


@pytest.mark.parametrize(
    "change",
    [
        *({"format": "1"}, {"format": True}, {"version": 5}, {"source": b"x"}, {"more\n": 1}),
        *({"names": ()}, {"names": "n1"}, {"names": (5,)}, {"names": None}),
        *({"origin": "noon"}, {"origin": float("nan")}, {"started": 1e300}, {"started": None}),
    ],
)
def test_a_document_of_another_shape_is_refused(path: Path, change: dict[str, Any]) -> None:
    of(path, {**asdict(ABOUT), **change})
    assert "is damaged" in refusal(path)


def test_documents_that_are_none(path: Path) -> None:
    contents: list[Any] = [None, 5, [], "text", {}, {1: 2}, {"format": 1}]
    for content in contents:
        of(path, content)
        assert "it does not say what it is of" in refusal(path)


# -- files that are none


def test_foreign_files(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"\x7fELF" + bytes(100))
    assert refusal(path) == f"{path} is no recording; 'raftkv up --record FILE' makes one"
    path.write_bytes(b"")
    assert "is no recording" in refusal(path)
    path.write_bytes(files.MAGIC)
    assert "ends before it says what it is of" in refusal(path)
    write_recording(tmp_path / "empty.rec", ABOUT, [])
    assert "is empty: it ended before anything was heard" in refusal(tmp_path / "empty.rec")
    assert refusal(tmp_path / "none.rec") == f"there is no file {tmp_path / 'none.rec'}"
    assert refusal(tmp_path) == f"cannot read {tmp_path}: Is a directory"


def refuse_with(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "whatever the system says")

    monkeypatch.setattr(Path, "open", refuse)


def test_no_permission(path: Path, written: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_with(monkeypatch, errno.EACCES)
    assert refusal(path) == f"cannot read {path}: whatever the system says"
    with pytest.raises(RecordingError, match=f"cannot record into {path}: whatever the system says"):
        RecordingFile(path, NAMES, "", 0.0, 0.0)


# -- writing


def test_an_existing_file_is_not_written_over(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(RecordingError, match="exists already; remove it, or record into another file"):
        RecordingFile(path, NAMES, "", 0.0, 0.0)
    assert path.read_bytes() == b"precious"


class FullDisk(io.BytesIO):
    """Takes so many bytes; what a flush or an end leaves is lost."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.content = b""

    def write(self, data: Any) -> int:
        if len(self.content) + len(data) > self.room:
            self.content += data[: self.room - len(self.content)]
            raise OSError(errno.ENOSPC, "No space left on device")
        self.content += data
        return len(data)


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_full_disk_is_told_once_and_what_it_took_can_be_read(
    path: Path, written: bytes, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    room = len(written) - sum(len(framed(block)) for block in BLOCKS[taken:]) + 30
    disk = FullDisk(room)
    monkeypatch.setattr(Path, "open", lambda *_: disk)
    file = RecordingFile(path, NAMES, ABOUT.source, ABOUT.started, ABOUT.origin)
    problems = []
    for block in [*BLOCKS, *BLOCKS]:
        try:
            file.write(block)
        except RecordingError as error:
            problems.append(str(error))
    file.close()
    assert problems == [f"cannot record into {path} any more: No space left on device"]
    assert file.ended == problems[0], "whoever opened it says so in the end"
    assert disk.closed
    monkeypatch.undo()
    (path.parent / "kept.rec").write_bytes(disk.content)
    if taken:
        found = read_recording(path.parent / "kept.rec")
        assert (found.cut, found.state) == (True, STATES[taken])
    else:
        assert "is empty" in refusal(path.parent / "kept.rec")


def test_a_disk_that_is_full_from_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(3)
    monkeypatch.setattr(Path, "open", lambda *_: disk)
    with pytest.raises(RecordingError, match="any more: No space left"):
        RecordingFile(path, NAMES, "", 0.0, 0.0)
    assert disk.closed


def test_a_file_has_a_bound_and_ends_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_BYTES_MAX", 3 << 20)
    file = RecordingFile(path, NAMES, "", 0.0, 0.0)
    large = encode_block([(1.0, [CommandDone(1.0, "x")])]).ljust(1 << 20, b"\0")
    for _ in range(2):
        file.write(large)
    with pytest.raises(RecordingError, match="has reached 3 MiB and ends here"):
        file.write(large)
    file.write(large)
    file.close()
    assert path.stat().st_size <= 3 << 20


# -- the recorder


class Stops:
    """Over after so many polls."""

    def __init__(self, polls: int) -> None:
        self._left = polls

    def __call__(self, seconds: float) -> bool:
        assert 0 < seconds < 1
        self._left -= 1
        return self._left <= 0


class FeedOfPolls(ScriptedFeed):
    """Each poll brings the next; ``names`` are those of that moment."""

    def __init__(self, polls: Sequence[tuple[tuple[str, ...], Sequence[FeedItem]]]) -> None:
        super().__init__(polls[0][0])
        self._polls: Iterator[tuple[tuple[str, ...], Sequence[FeedItem]]] = iter(polls)
        self._then: Sequence[FeedItem] = ()
        self._turn()

    def _turn(self) -> None:
        self._names, self._then = next(self._polls, (self._names, ()))

    def poll(self) -> Sequence[FeedItem]:
        found = self._then
        self._turn()
        return found


def recorded(path: Path, feed: ScriptedFeed, polls: int) -> State:
    record(feed, RecordingFile(path, feed.names(), "here", 5.0, 6.0), Stops(polls))
    assert feed.closed
    return read_recording(path).state


def test_what_a_feed_brings_is_recorded(path: Path) -> None:
    polls = [(NAMES, [item]) for item in election()]
    assert recorded(path, FeedOfPolls(polls), len(polls)).lines == state_of(*election()).lines
    found = read_recording(path)
    assert (found.about.source, found.about.started, found.about.origin) == ("here", 5.0, 6.0)
    assert not found.cut


def test_what_comes_with_the_end_is_still_taken(path: Path) -> None:
    assert recorded(path, ScriptedFeed(NAMES, election()), 1).lines == state_of(*election()).lines


def test_nodes_that_join_and_leave_are_recorded(path: Path) -> None:
    four = (*NAMES, "n4")
    feed = FeedOfPolls(
        [
            (NAMES, [snapshot("n1", time=1.0)]),
            (four, [snapshot("n4", time=2.0)]),
            (four, []),
            (four[1:], [event(1, "n4", "LeaderChanged", 3.0, term=7, leader_id="n4")]),
        ]
    )
    state = recorded(path, feed, 4)
    assert state.names == four[1:]
    assert [line.node for line in state.lines] == ["n4"]
    assert read_recording(path).about.names == NAMES


def test_a_recorder_that_cannot_write_ends_and_closes_both(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FILE_BYTES_MAX", 400)
    feed = ScriptedFeed(NAMES, election())
    with pytest.raises(RecordingError, match="has reached"):
        record(feed, RecordingFile(path, NAMES, "", 0.0, 0.0), Stops(3))
    assert feed.closed
    assert "is empty" in refusal(path)
