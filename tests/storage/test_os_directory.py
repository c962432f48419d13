"""The same on a real folder: files, locks between processes, and files that somebody cut short."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from raftkv.errors import CorruptLog, DataFolderLocked, DiskFull, ForeignData
from raftkv.storage import Append, OsDirectory, Recovered, Volume, WalOptions
from raftkv.storage.files import OsFile
from raftkv.storage.records import ALIGNMENT
from raftkv.storage.recovery import segment_name
from raftkv.storage.wal import Wal
from tests.storage.support import IDENTITY, Write, entries, hard_state, replay, state_of

SMALL = WalOptions(segment_bytes=16384)
FIRST = segment_name(1, 1)
WRITES: list[Write] = [
    (hard_state(1), []),
    (None, entries(1, 4, size=3000)),
    (hard_state(1, None, 4), entries(5, 8, size=3000)),
    (None, entries(7, 7, term=2, size=40_000)),
    (hard_state(2), entries(8, 9, term=2)),
]


def start(folder: Path) -> tuple[Volume, Recovered, OsDirectory]:
    directory = OsDirectory(folder)
    volume, recovered = Volume.open(directory, IDENTITY, SMALL)
    return volume, recovered, directory


def end(directory: OsDirectory) -> None:
    """Let go of the lock, as the kernel does when a process ends."""
    assert directory._lock_fd is not None
    os.close(directory._lock_fd)


def write_all(folder: Path, writes: list[Write]) -> None:
    volume, _, directory = start(folder)
    for write in writes:
        volume.do(Append(*write))
    volume.close()
    end(directory)


def read_all(folder: Path) -> Recovered:
    volume, recovered, directory = start(folder)
    volume.close()
    end(directory)
    return recovered


def test_zeros_ahead_are_written_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OsDirectory(tmp_path).create("some.log")
    file.allocate(100_000)
    file.write(0, [b"x" * 5000])
    written: list[tuple[int, bytes]] = []
    write = os.pwritev

    def spy(fd: int, buffers: list[bytes], offset: int) -> int:
        written.append((offset, b"".join(buffers)))
        return write(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", spy)
    file.zero_ahead(5000, 70_000)
    assert written == [(5000, bytes(65_000))]
    assert file.read(0, 200_000) == b"x" * 5000 + bytes(95_000)
    file.close()


def test_what_was_appended_is_there_at_the_next_start(tmp_path: Path) -> None:
    for count in range(len(WRITES) + 1):
        folder = tmp_path / str(count)
        write_all(folder, WRITES[:count])
        recovered = read_all(folder)
        assert state_of(recovered) == replay(WRITES[:count])
        assert recovered.cut is None


def test_every_append_in_a_life_of_its_own(tmp_path: Path) -> None:
    for count, write in enumerate(WRITES):
        write_all(tmp_path, [write])
        assert state_of(read_all(tmp_path)) == replay(WRITES[: count + 1])


def test_the_folder_and_its_parents_are_made(tmp_path: Path) -> None:
    write_all(tmp_path / "a" / "b" / "c", WRITES)
    assert (tmp_path / "a" / "b" / "c" / FIRST).is_file()


def test_segments_are_preallocated_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    write_all(tmp_path, WRITES[:1])
    status = (tmp_path / FIRST).stat()
    assert status.st_size == SMALL.segment_bytes
    assert status.st_blocks * 512 >= SMALL.segment_bytes
    assert stat.S_IMODE(status.st_mode) == 0o600


def test_a_folder_in_use_is_refused_by_name_of_its_holder(tmp_path: Path) -> None:
    volume, _, directory = start(tmp_path)
    with pytest.raises(DataFolderLocked, match=rf"in use by process {os.getpid()}\b"):
        start(tmp_path)
    volume.close()
    end(directory)
    assert read_all(tmp_path).entries == []


def test_a_lock_is_held_against_another_process_and_ends_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from raftkv.storage import OsDirectory\n"
        "directory = OsDirectory(pathlib.Path(sys.argv[1]))\n"
        "directory.lock()\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(DataFolderLocked, match=f"process {holder.pid}") as caught:
            start(tmp_path)
        assert "\n" not in str(caught.value)
        holder.kill()
        holder.wait(10)
    assert read_all(tmp_path).entries == []


def test_a_lock_is_held_whatever_becomes_of_the_file_that_names_its_holder(tmp_path: Path) -> None:
    volume, _, directory = start(tmp_path)
    (tmp_path / "LOCK").unlink()
    with pytest.raises(DataFolderLocked, match="in use by another process"):
        start(tmp_path)
    volume.close()
    end(directory)


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "n1").write_text("")
    for path in (tmp_path / "n1", tmp_path / "n1" / "wal"):
        with pytest.raises(ForeignData, match=f"{path} cannot be made: {tmp_path / 'n1'} is a file"):
            OsDirectory(path)


def test_a_refused_start_leaves_the_lock_of_the_holder_alone(tmp_path: Path) -> None:
    volume, _, directory = start(tmp_path)
    for _ in range(3):
        with pytest.raises(DataFolderLocked, match=str(os.getpid())):
            start(tmp_path)
    volume.do(Append(*WRITES[1]))
    volume.close()
    end(directory)


def test_a_leftover_of_an_unfinished_segment_is_removed(tmp_path: Path) -> None:
    write_all(tmp_path, WRITES)
    (tmp_path / "next.tmp").write_bytes(b"half")
    assert state_of(read_all(tmp_path)) == replay(WRITES)
    assert not (tmp_path / "next.tmp").exists()


def test_a_torn_tail_in_a_real_file_is_cut_and_written_over(tmp_path: Path) -> None:
    """A size-preserving tear: the last record lost its second half to zeros."""
    volume, _, directory = start(tmp_path)
    volume.do(Append(*WRITES[0]))
    begin = volume.log_bytes
    volume.do(Append(*WRITES[1]))
    until = volume.log_bytes
    volume.close()
    end(directory)
    path = tmp_path / FIRST
    data = bytearray(path.read_bytes())
    data[(begin + until) // 2 :] = bytes(len(data) - (begin + until) // 2)
    path.write_bytes(data)
    recovered = read_all(tmp_path)
    assert state_of(recovered) == replay(WRITES[:1])
    assert recovered.cut is not None
    assert f"{path} at byte {begin}" in recovered.cut
    write_all(tmp_path, [(None, entries(1, 1, size=5))])
    assert read_all(tmp_path).cut is None
    assert read_all(tmp_path).entries == entries(1, 1, size=5)


@pytest.mark.parametrize("left", [0, 10, 100, 5000])
def test_a_file_cut_short_before_the_last_is_refused(tmp_path: Path, left: int) -> None:
    write_all(tmp_path, WRITES[:3])
    write_all(tmp_path, [(None, entries(9, 12, size=3000))])
    assert len(list(tmp_path.glob("*.log"))) == 3
    os.truncate(tmp_path / FIRST, left)
    with pytest.raises(CorruptLog) as caught:
        read_all(tmp_path)
    assert caught.value.file.startswith(str(tmp_path))


@pytest.mark.parametrize("left", [0, 10, 100, 1000, 5000, 9000])
def test_a_last_file_cut_short_is_refused(tmp_path: Path, left: int) -> None:
    """No crash does that: a segment has its full size before it has its name. What was cut off may have been
    acknowledged, wherever the cut is."""
    write_all(tmp_path, WRITES[:2])
    os.truncate(tmp_path / FIRST, left)
    with pytest.raises(CorruptLog) as caught:
        read_all(tmp_path)
    assert caught.value.file == str(tmp_path / FIRST)
    assert (tmp_path / FIRST).stat().st_size == left


def test_a_last_file_that_lacks_nothing_but_zeros_is_whole(tmp_path: Path) -> None:
    """The next record would begin right after the last: where zeros are, none was ever written."""
    write_all(tmp_path, WRITES[:1])
    used = len((tmp_path / FIRST).read_bytes().rstrip(b"\0"))
    os.truncate(tmp_path / FIRST, used + 2 * ALIGNMENT)
    write_all(tmp_path, WRITES[1:2])
    assert state_of(read_all(tmp_path)) == replay(WRITES[:2])
    assert (tmp_path / FIRST).stat().st_size == SMALL.segment_bytes


def test_a_last_file_that_is_too_long_or_torn_and_too_short_is_refused(tmp_path: Path) -> None:
    """A torn write changes no file's size: what is missing from it may be anything."""
    write_all(tmp_path, WRITES[:2])
    data = (tmp_path / FIRST).read_bytes()
    used = len(data.rstrip(b"\0"))
    torn = data[: used - 1] + bytes(len(data) - used)
    for changed in (data + b"\0", torn):
        (tmp_path / FIRST).write_bytes(changed)
        with pytest.raises(CorruptLog, match="somebody has changed it"):
            Wal.read(OsDirectory(tmp_path))
    (tmp_path / FIRST).write_bytes(torn + b"\0")
    assert Wal.read(OsDirectory(tmp_path)).recovered.cut


@pytest.mark.parametrize("grown", [-4096, -512, -16, -1, 1, 16, 512, 4096])
def test_bytes_that_were_taken_out_or_put_in_are_no_torn_write(tmp_path: Path, grown: int) -> None:
    """The records behind them are whole, but not in their places, and none of them may be dropped for what a
    crash has left. Also where the file has its size again."""
    write_all(tmp_path, [(None, entries(number, number, size=700)) for number in range(1, 10)])
    data = (tmp_path / FIRST).read_bytes()
    used = len(data.rstrip(b"\0"))
    for position in range(300, used - 4800, 97):
        changed = data[:position] + bytes(max(0, grown)) + data[position + max(0, -grown) :]
        (tmp_path / FIRST).write_bytes((changed + bytes(len(data)))[: len(data)])
        with pytest.raises(CorruptLog):
            Wal.read(OsDirectory(tmp_path))


def test_a_last_file_cut_at_the_end_of_a_record_is_refused(tmp_path: Path) -> None:
    write_all(tmp_path, WRITES[:1])
    end = len((tmp_path / FIRST).read_bytes().rstrip(b"\0"))
    whole = end + -end % ALIGNMENT
    os.truncate(tmp_path / FIRST, whole)
    with pytest.raises(CorruptLog, match="somebody has changed it") as caught:
        read_all(tmp_path)
    assert caught.value.offset == whole


def test_a_flipped_byte_in_a_real_file_is_refused(tmp_path: Path) -> None:
    write_all(tmp_path, WRITES)
    path = tmp_path / FIRST
    data = bytearray(path.read_bytes())
    data[5000] ^= 0x20
    path.write_bytes(data)
    with pytest.raises(CorruptLog) as caught:
        read_all(tmp_path)
    assert caught.value.file == str(path)
    assert path.read_bytes() == data


def test_reads_stop_at_the_end_of_the_file_and_writes_join_their_buffers(tmp_path: Path) -> None:
    directory = OsDirectory(tmp_path)
    file = directory.create("file")
    file.allocate(100)
    file.write(10, [b"one", b"", b"two"])
    file.sync()
    directory.sync()
    assert file.size() == 100
    assert file.read(8, 10) == b"\0\0onetwo\0\0"
    assert file.read(95, 10) == bytes(5)
    assert file.read(200, 10) == b""
    file.close()


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OsDirectory(tmp_path).create("file")
    assert isinstance(file, OsFile)
    real = os.pwrite

    def first_part(fd: int, buffers: list[bytes], offset: int) -> int:
        return real(fd, b"".join(buffers)[:7], offset)

    def one_byte(fd: int, data: bytes, offset: int) -> int:
        return real(fd, bytes(data[:1]), offset)

    monkeypatch.setattr(os, "pwritev", first_part)
    monkeypatch.setattr(os, "pwrite", one_byte)
    file.write(3, [b"abcdef", b"ghijkl"])
    assert file.read(3, 100) == b"abcdefghijkl"
    file.close()


def test_a_name_is_created_once(tmp_path: Path) -> None:
    directory = OsDirectory(tmp_path)
    directory.create("file").close()
    with pytest.raises(FileExistsError):
        directory.create("file")
    directory.rename("file", "other")
    assert directory.list() == ["other"]
    directory.remove("other")
    assert directory.list() == []
    with pytest.raises(FileNotFoundError):
        directory.open("other")


def test_without_descriptors_nothing_is_lost_and_the_log_goes_on_once_there_are_some(tmp_path: Path) -> None:
    """Connections take them: a limit on those is no disk failure, even where a segment has to be begun."""
    volume, _, directory = start(tmp_path)
    volume.do(Append(*WRITES[0]))
    taken = []
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        rolling = Append(None, entries(1, 30, size=3000))
        with pytest.raises(DiskFull, match="no more files can be opened"):
            volume.do(rolling)
        os.close(taken.pop())
        volume.do(rolling)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in taken:
            os.close(fd)
    volume.close()
    end(directory)
    assert len(read_all(tmp_path).entries) == 30


def test_a_log_that_is_read_while_its_node_goes_on_is_not_taken_for_damaged(tmp_path: Path) -> None:
    """The folder is listed, the node begins a segment and seals the one before, then that one is read."""
    write_all(tmp_path, WRITES[:2])

    class Slow(OsDirectory):
        def list(self) -> list[str]:
            names = super().list()
            if len(listed) == 2:  # by whoever then reads them
                write_all(tmp_path, [(None, entries(5, 9, size=3000))])
            listed.append(names)
            return names

    listed: list[list[str]] = []
    found = Wal.read(Slow(tmp_path))
    assert len(found.segments) == 2
    assert found.recovered.last_index == 9
