"""Bugs in what stands for a log that was cut short: taking, sending, installing, recovering it."""

from __future__ import annotations

from raftkv.actors.raft import RaftActor
from raftkv.actors.store import StoreActor
from raftkv.kv.machine import StateMachine
from raftkv.kv.sessions import Sessions
from raftkv.kv.snapshot import Capture, Restoration
from raftkv.raft.log import RaftLog
from raftkv.raft.progress import Progress, Stream
from raftkv.raft.snapshot import Snapshots as RaftSnapshots
from raftkv.storage import Wal
from raftkv.storage.recovery import Reader
from raftkv.storage.snapshots import SnapshotFile, Snapshots
from tests.mutants.planting import Edit, Mutant, Part


def _mutant(part: Part, name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, part, edits)


MUTANTS = (
    _mutant(
        Part.RAFT,
        "slow-chunks-sent-again",
        "a chunk that was not acknowledged within a heartbeat counts as lost, over however long a way",
        "",
        Edit(Stream.check, "max(1.0, 2 * self._slowest) * 2**self._tries", "1"),
    ),
    _mutant(
        Part.KV,
        "sessions-missing-from-snapshot",
        "a snapshot holds the keys, but not what clients were answered",
        "35",
        Edit(Sessions.begin_capture, "dict(self._table)", "{}"),
    ),
    _mutant(
        Part.KV,
        "snapshot-of-a-moving-state",
        "what is overwritten while a snapshot is taken is missing from it",
        "10",
        Edit(StateMachine.apply, "if self.capture is not None:", "if False:"),
        Edit(StateMachine._store, "if self.capture is not None:", "if False:"),
    ),
    _mutant(
        Part.KV,
        "snapshot-without-what-was-deleted-since",
        "what is deleted while a snapshot is taken is missing from it",
        "10",
        Edit(StateMachine._drop, "if self.capture is not None:", "if False:"),
    ),
    _mutant(
        Part.KV,
        "snapshot-of-later-writes",
        "what is written while a snapshot is taken is in it, under an index that does not cover it",
        "10",
        Edit(Capture._take_items, "if item.mod_revision <= revision:", "if True:"),
    ),
    _mutant(
        Part.KV,
        "session-captured-too-late",
        "a session that is used while a snapshot is taken is stored as it is afterwards",
        "35",
        Edit(Sessions.enter, "if self._to_capture:", "if False:"),
    ),
    _mutant(
        Part.KV,
        "restored-sessions-out-of-order",
        "a restored node forgets other clients than the rest of the cluster",
        "35",
        Edit(Restoration._on_end, "pair[1].last_index", "-pair[1].last_index"),
    ),
    _mutant(
        Part.RAFT,
        "conflicting-tail-kept",
        "a snapshot is installed beneath a log that does not follow it",
        "28",
        Edit(RaftLog.restore, "kept = self.matches(index, term)", "kept = self.last_index >= index"),
    ),
    _mutant(
        Part.RAFT,
        "following-tail-dropped",
        "entries that follow the snapshot, and were acknowledged, are dropped with the rest",
        "28",
        Edit(RaftLog.restore, "kept = self.matches(index, term)", "kept = False"),
        Edit(
            RaftSnapshots.on_install_snapshot,
            "if log.matches(mark.index, mark.term) and mark.index > log.commit_index:",
            "if False:",
        ),
    ),
    _mutant(
        Part.RAFT,
        "snapshot-moves-commit-back",
        "a snapshot older than what is committed is installed",
        "28",
        Edit(RaftSnapshots.on_install_snapshot, "if mark.index <= log.commit_index:", "if False:"),
        Edit(RaftSnapshots._install, "if mark.index > log.last_applied:", "if True:"),
    ),
    _mutant(
        Part.RAFT,
        "committed-taken-for-applied",
        "a snapshot is not installed once its entry is committed, though it is not applied",
        "29",
        Edit(
            RaftSnapshots._install, "if mark.index > log.last_applied:", "if mark.index > log.commit_index:"
        ),
    ),
    _mutant(
        Part.RAFT,
        "snapshot-forgotten-on-its-way-to-the-disk",
        "a new leader never learns of the snapshot that takes its own one's place",
        "29",
        Edit(
            RaftSnapshots.abandon,
            "if self.incoming and self.incoming.handed < self.incoming.mark.chunks:",
            "if self.incoming:",
        ),
    ),
    _mutant(
        Part.RAFT,
        "covered-by-a-snapshot-and-still-uncommitted",
        "a leader that installs a snapshot takes fewer writes ever after",
        "29",
        Edit(RaftSnapshots._install, "if raft.leadership and mark.index > log.commit_index:", "if False:"),
    ),
    _mutant(
        Part.RAFT,
        "chunks-of-two-snapshots",
        "chunks of another snapshot of the same index are taken for the rest of this one",
        "29",
        Edit(
            RaftSnapshots.on_install_snapshot,
            "if incoming is None or incoming.mark.id != mark.id:",
            "if incoming is None or incoming.mark.index != mark.index:",
        ),
    ),
    _mutant(
        Part.RAFT,
        "snapshot-acknowledged-with-its-first-chunk",
        "a follower counts as having what is still on its way",
        "29",
        Edit(
            RaftSnapshots.chunk_stored,
            "if incoming.stored < incoming.mark.chunks:",
            "if incoming.stored == 0:",
        ),
    ),
    _mutant(
        Part.RAFT,
        "lost-chunk-never-sent-again",
        "a leader waits for ever for the answer to a chunk that was lost",
        "29",
        Edit(Progress.judge_silence, "self.stream.check()", "pass"),
    ),
    _mutant(
        Part.RAFT,
        "round-of-reads-passes-for-a-heartbeat",
        "what was sent a moment ago is taken for lost, and sent again, with each round of reads",
        "29",
        Edit(Progress.judge_silence, "if not self.check_due:", "if False:"),
    ),
    _mutant(
        Part.STORAGE,
        "snapshot-not-synced",
        "a snapshot has its name before its bytes are durable",
        "29",
        Edit(SnapshotFile.finish, "sync(self.file)", "pass"),
    ),
    _mutant(
        Part.STORAGE,
        "snapshot-name-not-synced",
        "segments go before the name of the snapshot that stands for them is durable",
        "8",
        Edit(Snapshots._finish, "sync(self._directory)", "pass"),
    ),
    _mutant(
        Part.STORAGE,
        "segment-with-needed-entries-dropped",
        "a segment goes although it holds entries after the snapshot's",
        "29",
        Edit(Wal.drop_covered, "following - 1 > mark.index", "self._earlier[0].first_index - 1 > mark.index"),
    ),
    _mutant(
        Part.STORAGE,
        "overtaken-log-kept",
        "a start goes on with a log that ends before its snapshot, or conflicts with it",
        "29",
        Edit(Reader._hold_against_snapshot, "self.void = term != mark.term", "self.void = False"),
    ),
    _mutant(
        Part.STORAGE,
        "chunk-checksum-not-summed",
        "the checksum over the whole snapshot is not looked at",
        "10",
        Edit(SnapshotFile.add, "self._crc = zlib.crc32(data, self._crc)", "pass"),
    ),
    _mutant(
        Part.ACTORS,
        "stored-before-understood",
        "a chunk that cannot be used is stored all the same",
        "29",
        Edit(
            StoreActor._restore,
            "incoming.feed(chunk)",
            "incoming.whole = chunk.number + 1 == chunk.mark.chunks",
        ),
    ),
    _mutant(
        Part.RAFT,
        "refused-and-begun-anew",
        "a snapshot for which there was no room is asked for again at once",
        "39",
        Edit(RaftSnapshots.chunk_refused, "self._refusing_ticks = REFUSING_TICKS", "pass"),
    ),
    _mutant(
        Part.ACTORS,
        "half-a-state-kept",
        "what was restored of a snapshot that the core has given up stays in memory",
        "",
        Edit(RaftActor._stop_restoring, 'send("store", StopRestoring(self._restoring))', "now()"),
    ),
    _mutant(
        Part.ACTORS,
        "snapshot-of-later-members",
        "a snapshot has the members of the latest configuration, committed or not",
        "25",
        Edit(
            RaftActor._take_snapshot,
            "_, configuration = self.raft.log.configurations.at(index)",
            "configuration = self.raft.log.configurations.latest",
        ),
    ),
    _mutant(
        Part.ACTORS,
        "leases-uncounted-after-a-snapshot",
        "a node that got the leader's snapshot has no leases end",
        "34",
        Edit(StoreActor._swap, '("gateway", "watches", "leases")', '("gateway", "watches")'),
    ),
    _mutant(
        Part.KV,
        "snapshot-without-the-last-mark",
        "a snapshot forgets when its last revisions were made, and others compact earlier",
        "38",
        Edit(Capture.__init__, "list(machine.history.marks)", "list(machine.history.marks)[:-1]"),
    ),
)
