"""What a node does while it leads. The object lives exactly as long as the leadership does, so
nothing of an old term can leak into a later one (PITFALLS 22)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftkv.raft import snapshot, trace
from raftkv.raft.configuration import Configuration
from raftkv.raft.election import is_behind
from raftkv.raft.log import ENTRY_OVERHEAD_BYTES, size_of
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Entry,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshotResponse,
    ReadIndex,
    ReadIndexResponse,
    ReadState,
)
from raftkv.raft.progress import Progress, ProgressState
from raftkv.raft.quorum import is_quorum, reached_by_quorum
from raftkv.raft.read_index import ReadIndexQueue
from raftkv.raft.state import Proposal
from raftkv.raft.succession import Succession
from raftkv.raft.thrift import Thrift
from raftkv.types import LogIndex, NodeId

if TYPE_CHECKING:
    from raftkv.raft.core import Raft


class Leadership:
    """Owns the progress of every peer and the reads that wait for a quorum."""

    __slots__ = (
        "_held_before",
        "_held_then",
        "_raft",
        "_thrift",
        "heartbeat_elapsed",
        "progress",
        "quorum_elapsed",
        "reads",
        "succession",
        "uncommitted_bytes",
    )

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        self.progress = {peer: Progress(LogIndex(raft.log.last_index + 1)) for peer in raft.peers}
        self.reads = ReadIndexQueue(raft.node_id)
        self._held_then = self._held_before = raft.log.last_index
        """What was committed when the quorum was last checked, and the time before: a learner that lacks
        no more than what came since has caught up."""
        self.heartbeat_elapsed = 0
        self.quorum_elapsed = 0
        self.succession = Succession(raft)
        self._thrift = Thrift()
        tail = raft.log.slice(LogIndex(raft.log.commit_index + 1), raft.log.last_index)
        # The no-op is appended right after this, and subtracted like any other when it commits.
        self.uncommitted_bytes = size_of(tail) + ENTRY_OVERHEAD_BYTES

    # -- time

    def tick(self) -> None:
        raft = self._raft
        if raft.disk_stalled and not self._nobody_has_room:
            # Its peers hear heartbeats and wait, its clients get nothing: without this a hung
            # disk would never fail over (PITFALLS 15).
            raft.step_down(trace.REASON_DISK_STALLED)
            return
        self._thrift.tick()
        self.quorum_elapsed += 1
        if self.quorum_elapsed >= raft.options.election_ticks_min:
            self.quorum_elapsed = 0
            self._held_before, self._held_then = self._held_then, raft.log.commit_index
            if not self._quorum_active():
                raft.step_down(trace.REASON_CHECK_QUORUM)
                return
            self.succession.give_way()
        self.succession.tick()
        self.heartbeat_elapsed += 1
        if self.heartbeat_elapsed >= raft.options.heartbeat_ticks:
            self.heartbeat_elapsed = 0
            for peer, progress in self.progress.items():
                progress.check_due = True
                self._send_heartbeat(peer, progress)
        else:
            self._spread_news()

    @property
    def _nobody_has_room(self) -> bool:
        """Our disk is full, and so many others say the same of theirs that nobody could be elected, as a vote
        takes room too; whereas this leader still serves reads. Whoever is not heard may have room, and be one
        of a majority that waits for us to give way."""
        if not self._raft.disk_full:
            return False
        room = {peer for peer, progress in self.progress.items() if not (progress.full and progress.alive)}
        return not is_quorum(room, self._raft.configuration)

    def ticks_until_due(self) -> int:
        """See ``Raft.ticks_until_due``."""
        if self._thrift.holds_back or self._without_news():
            return 1
        return self._raft.options.heartbeat_ticks - self.heartbeat_elapsed

    def _quorum_active(self) -> bool:
        active = {self._raft.node_id}
        for peer, progress in self.progress.items():
            if progress.recent_active:
                active.add(peer)
            progress.was_active, progress.recent_active = progress.recent_active, False
        return is_quorum(active, self._raft.configuration)

    def _spread_news(self) -> None:
        """At most once a tick: of a commit that no append has carried yet, and of a round of reads that was
        asked of others, one of which may have fallen silent."""
        for peer in self._without_news():
            self._send_heartbeat(peer, self.progress[peer])

    def _without_news(self) -> list[NodeId]:
        commit_index, open_round = self._raft.log.commit_index, self.reads.open_round
        return [
            peer
            for peer, progress in self.progress.items()
            if progress.commit_sent < min(progress.match_index, commit_index)
            or progress.round_sent < open_round
        ]

    def _send_heartbeat(self, peer: NodeId, progress: Progress) -> None:
        raft = self._raft
        commit = min(progress.match_index, raft.log.commit_index)
        progress.commit_sent = max(progress.commit_sent, commit)
        term, read_round = raft.current_term, self.reads.open_round
        progress.round_sent = read_round
        sent_us = raft.now_us if raft.options.lease_us else 0
        raft.send(Heartbeat(raft.node_id, peer, term, commit, read_round, progress.book, sent_us))

    # -- proposals

    def propose(self, commands: Sequence[bytes], forwarded_by: Sequence[NodeId] = ()) -> Proposal:
        raft = self._raft
        for peer in forwarded_by:
            self._hear_clients_of(peer)
        if self.succession.transferee is not None:
            return Proposal.BUSY  # or the log would move on under whoever is to take over
        if is_behind(raft):
            return Proposal.BUSY  # or it would be committed, and given up before it is answered
        if not self._make_room(sum(map(len, commands)) + ENTRY_OVERHEAD_BYTES * len(commands)):
            return Proposal.BUSY
        raft.log.append_commands(raft.current_term, commands)
        return Proposal.ACCEPTED

    def propose_clock(self, data: bytes) -> Proposal:
        if self.succession.transferee is not None or not self._make_room(len(data) + ENTRY_OVERHEAD_BYTES):
            return Proposal.BUSY
        self._raft.log.append_clock(self._raft.current_term, data)
        return Proposal.ACCEPTED

    def _make_room(self, size: int) -> bool:
        """Count so many bytes as uncommitted, unless they are too many (PITFALLS 39)."""
        if self.uncommitted_bytes + size > self._raft.options.uncommitted_bytes_max:
            return False
        self.uncommitted_bytes += size
        return True

    def count_committed(self, index: LogIndex) -> None:
        """Ahead of the log's own knowledge that entries up to there are."""
        log = self._raft.log
        self.uncommitted_bytes -= size_of(log.slice(LogIndex(log.commit_index + 1), index))

    # -- members

    def adopt(self, configuration: Configuration) -> None:
        """In effect from here on, whenever it is committed."""
        self.uncommitted_bytes += len(configuration.encode()) + ENTRY_OVERHEAD_BYTES
        self._raft.log.append_configuration(self._raft.current_term, configuration)
        self.follow_configuration()

    def follow_configuration(self) -> None:
        """A book for everybody who has come, none for those who have gone."""
        raft, log = self._raft, self._raft.log
        gone = self.progress.keys() - set(raft.peers)
        for peer in gone:
            del self.progress[peer]
        for peer in raft.peers:
            if peer not in self.progress:
                book = log.configurations.latest_index
                self.progress[peer] = Progress(LogIndex(log.last_index + 1), book)

    def reopen(self, peer: NodeId) -> None:
        """From now on one folder counts under this name. What was acknowledged so far may have been
        another's, though most likely it was not: so the new book begins where the old one had come to."""
        if peer in self.progress:
            begin = LogIndex(self.progress[peer].match_index + 1)
            self.progress[peer] = Progress(begin, self._raft.log.configurations.latest_index)

    def caught_up(self, peer: NodeId) -> bool:
        """Whether its vote would not hold anything up: it is alive, and lacks at most what came lately."""
        progress = self.progress[peer]
        replicates = progress.alive and progress.state is ProgressState.REPLICATE
        return replicates and progress.match_index >= self._held_before

    def _heard(
        self, message: AppendEntriesResponse | HeartbeatResponse | InstallSnapshotResponse
    ) -> Progress | None:
        """The book that this answer is for; None when it was closed meanwhile (PITFALLS 26)."""
        progress = self.progress.get(message.sender)
        if progress is None or progress.book != message.book:
            return None
        progress.recent_active = True
        return progress

    # -- replication

    def replicate(self) -> None:
        """Send every peer what its window has room for. Once a turn, not once a proposal."""
        passed_by = self._thrift.next_turn(self._raft, self)
        for peer, progress in self.progress.items():
            if peer not in passed_by:
                self._fill_window(peer, progress)

    def _fill_window(self, peer: NodeId, progress: Progress) -> None:
        """With entries, or chunks of the snapshot that stands for them, or one append that probes."""
        options, log = self._raft.options, self._raft.log
        if progress.next_index <= log.offset_index or progress.stream:
            snapshot.send_chunks(self._raft, peer, progress)
            return
        while progress.can_send(options.inflight_messages_max, options.inflight_bytes_max):
            entries: list[Entry] = []
            if progress.next_index <= log.last_index:
                entries = log.slice_bytes(progress.next_index, log.last_index, options.append_bytes_max)
            elif progress.state is not ProgressState.PROBE:
                return
            self._send_append(peer, progress, entries)
            progress.sent(LogIndex(progress.next_index - 1 + len(entries)), size_of(entries))

    def _send_append(self, peer: NodeId, progress: Progress, entries: list[Entry]) -> None:
        raft, log = self._raft, self._raft.log
        prev = LogIndex(progress.next_index - 1)
        prev_term = log.term_at(prev)
        assert prev_term is not None, f"entry {prev} of {raft.node_id} is compacted"
        progress.commit_sent = max(progress.commit_sent, min(log.commit_index, progress.match_index))
        term, commit = raft.current_term, log.commit_index
        book = progress.book
        raft.send(AppendEntries(raft.node_id, peer, term, prev, prev_term, entries, commit, book))

    def on_append_response(self, message: AppendEntriesResponse) -> None:
        progress = self._heard(message)
        if progress is None:
            return
        if message.success:
            if message.match_index > self._raft.log.last_index:
                # Only a peer with a broken disk or a forged frame claims more than was sent.
                return
            if progress.acknowledged(message.match_index):
                self.maybe_commit()
        elif 0 < message.prev_log_index <= self._raft.log.last_index and message.conflict_index > 0:
            progress.rejected(message.prev_log_index, self._next_after(message))

    def _next_after(self, rejection: AppendEntriesResponse) -> LogIndex:
        """Where to go on, skipping a whole term of the follower's, or of ours, in one step (§5.3)."""
        if not rejection.conflict_term:
            return min(rejection.conflict_index, rejection.prev_log_index)
        log = self._raft.log
        last = log.last_index_with_term_at_most(
            LogIndex(rejection.prev_log_index - 1), rejection.conflict_term
        )
        if log.term_at(last) == rejection.conflict_term:
            return LogIndex(last + 1)
        return min(LogIndex(last + 1), rejection.conflict_index)

    def maybe_commit(self) -> None:
        """Commit what a majority holds, but only up to an entry of this term (§5.4.2, PITFALLS 1)."""
        raft, log = self._raft, self._raft.log
        matched = {peer: progress.match_index for peer, progress in self.progress.items()}
        matched[raft.node_id] = log.persisted_index
        index = LogIndex(reached_by_quorum(matched, raft.configuration))
        if index > log.commit_index and log.matches(index, raft.current_term):
            self.count_committed(index)
            log.commit_to(index)
            votes = raft.configuration.votes
            self._thrift.committers = {node for node in matched if matched[node] >= index and votes(node)}

    # -- reads

    def add_read(self, reader: NodeId, context: int) -> bool:
        if len(self.reads.waiting) >= self._raft.options.reads_waiting_max:
            return False
        self.reads.waiting.append((reader, context))
        return True

    def serve_reads(self) -> None:
        """Open a round for the reads that wait, and answer those whose round is confirmed."""
        if not self.reads.waiting and not self.reads.open_round:
            return
        raft = self._raft
        # Before the no-op of this term commits, commit_index may lag what an earlier leader
        # has told its clients (PITFALLS 31).
        may_open = raft.log.matches(raft.log.commit_index, raft.current_term)
        if may_open and self.reads.waiting and self.lease_holds():
            for reader, context in self.reads.take_waiting():
                self._answer_read(reader, context, raft.log.commit_index)
        while True:
            confirmed = self.reads.take_confirmed(raft.configuration)
            if confirmed:
                index, readers = confirmed
                for reader, context in readers:
                    self._answer_read(reader, context, index)
            if self.reads.open_round or not self.reads.waiting or not may_open:
                return
            asked = self._thrift.asked(raft, self)
            self.reads.start_round(raft.log.commit_index)
            for peer, progress in self.progress.items():
                if peer in asked:
                    self._send_heartbeat(peer, progress)

    def lease_holds(self) -> bool:
        """Whether nobody else can lead now. A quorum has answered a heartbeat that was sent so lately that,
        by any clock within the bound, none of it votes for another yet (thesis §6.4.1). Not while leadership
        is handed over, and never again once somebody was told to campaign: such an election asks nobody to
        wait (PITFALLS 34)."""
        raft, lease_us = self._raft, self._raft.options.lease_us
        if not lease_us or self.succession.transferee is not None or self.succession.somebody_was_told:
            return False
        answered = {peer: progress.acked_us for peer, progress in self.progress.items()}
        answered[raft.node_id] = raft.now_us
        return raft.now_us < reached_by_quorum(answered, raft.configuration) + lease_us

    def _answer_read(self, reader: NodeId, context: int, index: LogIndex) -> None:
        raft = self._raft
        if reader == raft.node_id:
            raft.read_states.append(ReadState(context, index))
        else:
            raft.send(ReadIndexResponse(raft.node_id, reader, raft.current_term, context, index))

    def on_read_index(self, message: ReadIndex) -> None:
        if message.sender in self.progress:
            self.progress[message.sender].recent_active = True
            self._hear_clients_of(message.sender)
            self.add_read(message.sender, message.context)

    def _hear_clients_of(self, peer: NodeId) -> None:
        if peer in self.progress:
            self.progress[peer].clients_heard_at = self._thrift.ticks

    @property
    def streams(self) -> bool:
        """Whether a peer that is alive is being sent a snapshot."""
        return any(progress.stream and progress.alive for progress in self.progress.values())

    def on_snapshot_response(self, message: InstallSnapshotResponse) -> None:
        progress = self._heard(message)
        if progress:
            snapshot.on_response(progress, message)

    def on_heartbeat_response(self, message: HeartbeatResponse) -> None:
        progress = self._heard(message)
        if progress is None:
            return
        progress.behind, progress.full = message.behind, message.full
        self.reads.confirmed_by(message.sender, message.read_round)
        progress.acked_us = max(progress.acked_us, min(message.sent_us, self._raft.now_us))
        if progress.judge_silence() and self._raft.log.offset_index <= progress.next_index - 1:
            self._send_append(message.sender, progress, [])
