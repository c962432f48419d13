"""Everything one node has on disk: its log and its snapshot, in one locked folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raftkv.errors import DiskFull, StorageFailed
from raftkv.raft import Entry, HardState, SnapshotMark
from raftkv.storage.files import Directory, conclude
from raftkv.storage.recovery import Identity, Recovered
from raftkv.storage.snapshots import Snapshots
from raftkv.storage.wal import Wal, WalOptions

STALLED_REFUSALS = 5
"""A full disk is tried so many times before a snapshot of which nothing has come meanwhile makes way. One
that gets on is let be: when it is whole the log lets go of far more."""


@dataclass(frozen=True, slots=True)
class Append:
    """Make these durable together. ``anew``: the log before them is void, they follow this snapshot."""

    hard_state: HardState | None
    entries: Sequence[Entry]
    anew: SnapshotMark | None = None


@dataclass(frozen=True, slots=True)
class StoreChunk:
    """Write one chunk of a snapshot; see ``Snapshots.add``."""

    mark: SnapshotMark
    number: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """Read one chunk of the latest snapshot."""

    mark: SnapshotMark
    number: int


DiskJob = Append | StoreChunk | ReadChunk


class Volume:
    """Not thread-safe: one thread at a time. After ``StorageFailed`` it does nothing any more."""

    def __init__(self, directory: Directory, wal: Wal, snapshots: Snapshots) -> None:
        self._directory = directory
        self._wal = wal
        self._snapshots = snapshots
        self._failure: StorageFailed | None = None
        self._refusals = 0
        """Of the log, since the last chunk of a snapshot was written."""

    @staticmethod
    def open(directory: Directory, identity: Identity, options: WalOptions) -> tuple[Volume, Recovered]:
        """Lock the folder and recover what is in it.

        Raises ``DataFolderLocked``, ``ForeignData``, ``CorruptLog``, ``DiskFull``, ``StorageFailed``."""
        try:
            directory.lock()
            snapshots = Snapshots.open(directory, identity.cluster)
        except OSError as error:
            raise conclude(directory, error) from error
        latest = snapshots.latest
        wal, recovered = Wal.open(directory, identity, options, latest.mark if latest else None)
        try:
            snapshots.clear_away()  # only now: a refusal changes nothing
        except OSError as error:
            raise conclude(directory, error) from error
        if latest:
            recovered.state = latest.chunks(directory.path)
            wal.drop_covered(latest.mark)  # what a crash kept the last life from removing
        return Volume(directory, wal, snapshots), recovered

    @staticmethod
    def seed(
        directory: Directory,
        identity: Identity,
        options: WalOptions,
        mark: SnapshotMark,
        chunks: Iterable[bytes],
    ) -> None:
        """Make an empty folder that of a node whose log begins after this snapshot.

        Raises ``DataFolderLocked``, ``DiskFull``, ``StorageFailed``, and whatever ``chunks`` does."""
        try:
            directory.lock()
            snapshots = Snapshots(directory, identity.cluster, None)
            for number, chunk in enumerate(chunks):
                snapshots.add(mark, number, chunk, number == mark.chunks - 1)
        except OSError as error:
            raise conclude(directory, error) from error
        state = HardState(mark.term, None, mark.index)
        wal = Wal(directory, options, Recovered(identity, state, snapshot=mark))
        wal.append(state, (), mark)
        wal.close()
        snapshots.close()

    @property
    def log_bytes(self) -> int:
        return self._wal.bytes_used

    @property
    def snapshot_bytes(self) -> int:
        return self._snapshots.latest.size if self._snapshots.latest else 0

    def do(self, job: DiskJob) -> bytes | bool | None:
        """An ``Append`` returns True; a ``StoreChunk`` whether it was of use; a ``ReadChunk`` the chunk, or
        None. Raises ``DiskFull`` (nothing happened), ``CorruptLog`` or ``StorageFailed`` (stop)."""
        if self._failure:
            raise self._failure
        try:
            return self._do(job)
        except OSError as error:
            raise self._latched(error) from error
        except DiskFull:
            self._refusals += 1
            if self._refusals >= STALLED_REFUSALS:
                self._snapshots.give_up()  # what it takes may be all that the log needs
            raise
        except StorageFailed as failure:
            self._failure = failure
            raise

    def _do(self, job: DiskJob) -> bytes | bool | None:
        if isinstance(job, Append):
            self._wal.append(job.hard_state, job.entries, job.anew)
            if job.anew:
                self._wal.drop_covered(job.anew)
            return True
        if isinstance(job, StoreChunk):
            return self._store(job)
        return self._snapshots.read(job.mark, job.number)

    def _latched(self, error: OSError) -> DiskFull | StorageFailed:
        conclusion = conclude(self._directory, error)
        if isinstance(conclusion, StorageFailed):
            self._failure = conclusion
        return conclusion

    def _store(self, job: StoreChunk) -> bool:
        done = self._snapshots.add(job.mark, job.number, job.data, job.last)
        latest = self._snapshots.latest
        if done:
            self._refusals = 0
        if done and job.last and latest:
            self._wal.drop_covered(latest.mark)
        return done

    def close(self) -> None:
        self._wal.close()
        self._snapshots.close()
