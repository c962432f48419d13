"""Bugs in the log: appending, acknowledging, committing, going back; and in reads without the log."""

from __future__ import annotations

from raftkv.actors.peers import PeersActor
from raftkv.raft import Raft, RaftLog, doubt, election, follower, thrift
from raftkv.raft.leader import Leadership
from raftkv.raft.progress import Progress
from raftkv.raft.read_index import ReadIndexQueue
from raftkv.raft.succession import Succession
from tests.mutants.planting import Edit, Mutant, Part


def _mutant(name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, Part.RAFT, edits)


THRIFT = (
    _mutant(
        "held-back-for-good",
        "a tick does not send what was held back: a write waits for one that has fallen silent",
        "39",
        Edit(thrift.Thrift.tick, "self._due = True", "pass"),
    ),
    _mutant(
        "held-back-before-a-minority",
        "a leader counts on those that made the last commit, though the voters are others since",
        "§6",
        Edit(
            thrift.Thrift._dispensable, "not is_quorum(self.committers, configuration)", "not self.committers"
        ),
    ),
    _mutant(
        "held-back-from-clients",
        "a follower is passed by that has clients of its own, which it answers from its own state",
        "33",
        Edit(thrift.Thrift._dispensable, " | self._with_clients(leadership)", ""),
    ),
    _mutant(
        "reads-ask-those-of-an-earlier-configuration",
        "a round of reads is asked of those that confirmed the last one, though they are no quorum any more",
        "§6",
        Edit(
            thrift.Thrift.asked,
            "not is_quorum(confirmed_last, raft.configuration)",
            "len(confirmed_last) < 2",
        ),
    ),
)

DOUBT = (
    _mutant(
        "leader-on-older-copy-followed",
        "a leader that lacks what is committed is acknowledged, and commits other entries in their place",
        "12",
        Edit(follower.on_append_entries, "if index is None:", "if True:"),
    ),
    _mutant(
        "doubted-leader-heard-again",
        "a leader that is not believed has its reads confirmed and its elections put off all the same",
        "12",
        Edit(doubt.disbelieve, "raft.doubt.term = raft.current_term", "pass"),
    ),
    Mutant(
        "strays-prove-a-loss",
        "what was said before this life began, of another folder perhaps, ends a node that has lost nothing",
        "27",
        Part.ACTORS,
        (Edit(PeersActor._on_frames, "decoded.hears != self._boot", "False"),),
    ),
    _mutant(
        "lost-entries-unnoticed",
        "a node that lacks what it acknowledged stays behind for ever",
        "12",
        Edit(follower.on_heartbeat, "if lacks_what_it_acknowledged(raft, message):", "if False:"),
    ),
)

LOG = (
    _mutant(
        "old-term-committed-by-count",
        "an entry of an earlier term is committed because a majority holds it",
        "1",
        Edit(Leadership.maybe_commit, " and log.matches(index, raft.current_term)", ""),
    ),
    _mutant(
        "leader-behind-takes-writes",
        "a leader with much to apply takes writes whose answers come too late",
        "39",
        Edit(Leadership.propose, "is_behind(raft)", "False"),
    ),
    _mutant(
        "node-behind-takes-over",
        "a node with much to apply becomes leader because the leader asks it to",
        "22",
        Edit(election.on_timeout_now, " or is_behind(raft)", ""),
    ),
    _mutant(
        "handed-to-one-behind",
        "leadership is handed to a node that will not take it, while clients wait",
        "22",
        Edit(Succession._able, "(books[peer].behind or books[peer].full)", "books[peer].full"),
    ),
    _mutant(
        "node-behind-keeps-it-to-itself",
        "a node with much to apply does not tell its leader",
        "22",
        Edit(follower.on_heartbeat, "is_behind(raft)", "False"),
    ),
    _mutant(
        "leader-counts-itself-early",
        "a leader counts its own copy before its disk has it",
        "4",
        Edit(
            Leadership.maybe_commit,
            "matched[raft.node_id] = log.persisted_index",
            "matched[raft.node_id] = log.last_index",
        ),
    ),
    _mutant(
        "ack-before-durable",
        "a follower acknowledges an append before its disk has it",
        "5",
        Edit(follower._accept, "raft.send_after_append(", "raft.send("),
    ),
    _mutant(
        "ack-whole-log",
        "a follower acknowledges its whole log, not what the append vouches for",
        "11",
        Edit(
            follower.on_append_entries,
            "_accept(raft, message, verified)",
            "_accept(raft, message, log.last_index)",
        ),
    ),
    _mutant(
        "append-commits-unverified",
        "an append commits the follower's log beyond what it vouches for",
        "12",
        Edit(
            follower.on_append_entries,
            "commit = min(message.leader_commit, verified)",
            "commit = min(message.leader_commit, log.last_index)",
        ),
    ),
    _mutant(
        "heartbeat-commits-unverified",
        "a heartbeat commits the follower's log beyond what the leader knows to match",
        "12",
        Edit(
            Leadership._send_heartbeat,
            "commit = min(progress.match_index, raft.log.commit_index)",
            "commit = raft.log.commit_index",
        ),
    ),
    _mutant(
        "any-append-truncates",
        "an append cuts off what follows it, also where the entries match",
        "11",
        Edit(
            follower.on_append_entries,
            "conflict = log.first_conflict(message.entries)",
            "conflict = 0 if message.entries else None",
        ),
    ),
    _mutant(
        "prev-term-not-compared",
        "a follower asks whether it holds prev_log_index, not of which term",
        "§5.3",
        Edit(
            follower.on_append_entries,
            "not log.matches(message.prev_log_index, message.prev_log_term)",
            "log.term_at(message.prev_log_index) is None",
        ),
    ),
    _mutant(
        "overwritten-not-written-again",
        "entries that replace others count as handed to the disk already",
        "13",
        Edit(RaftLog.overwrite, "self.handed_index = min(self.handed_index, keep)", "pass"),
        Edit(RaftLog.overwrite, "self.persisted_index = min(self.persisted_index, keep)", "pass"),
    ),
    _mutant(
        "late-mark-counts",
        "a late confirmation covers entries that replaced the ones it was for",
        "13",
        Edit(RaftLog.persisted_to, " and self.matches(index, term)", ""),
        Edit(Raft.persisted, "if mark.current_term != self.current_term:", "if False:"),
    ),
    _mutant(
        "restart-skips-committed",
        "after a restart only what is committed from then on is applied",
        "10",
        Edit(RaftLog.__init__, "self.delivered_index = offset_index", "self.delivered_index = commit_index"),
    ),
    _mutant(
        "no-no-op",
        "a new leader appends no entry of its own term",
        "§8",
        Edit(Raft.become_leader, "self.log.append_no_op(self.current_term)", "pass"),
    ),
    _mutant(
        "hint-skips-past",
        "a follower whose log is too short names an index behind its end",
        "§5.3",
        Edit(follower._reject, "LogIndex(log.last_index + 1)", "LogIndex(log.last_index + 2)"),
    ),
    _mutant(
        "next-index-never-goes-back",
        "a leader sends a follower that rejects the same append again",
        "§5.3",
        Edit(Progress.rejected, "self.become_probe(next_index)", "self.become_probe(self.next_index)"),
    ),
    _mutant(
        "lost-append-not-missed",
        "a leader never finds out that an append was lost",
        "§5.3",
        Edit(
            Leadership.on_heartbeat_response,
            "self._send_append(message.sender, progress, [])",
            "pass",
        ),
    ),
    _mutant(
        "probe-never-asked-after",
        "a probe that was lost is waited for without end",
        "§5.3",
        Edit(Progress.judge_silence, "if self.probe_open:", "if False:"),
    ),
    _mutant(
        "uncommitted-without-bound",
        "a leader without a quorum takes on whatever it is given",
        "39",
        Edit(
            Leadership._make_room,
            "self.uncommitted_bytes + size > self._raft.options.uncommitted_bytes_max",
            "False",
        ),
    ),
    _mutant(
        "uncommitted-never-subtracted",
        "what has committed still counts as uncommitted, until nothing more is taken",
        "39",
        Edit(Leadership.maybe_commit, "self.count_committed(index)", "pass"),
    ),
)

READS = (
    _mutant(
        "read-without-round",
        "a leader answers reads without asking whether it still leads",
        "33",
        Edit(ReadIndexQueue.take_confirmed, " or not is_quorum(self._acks, configuration)", ""),
    ),
    _mutant(
        "read-before-no-op",
        "a leader answers reads before an entry of its term has committed",
        "31",
        Edit(
            Leadership.serve_reads,
            "may_open = raft.log.matches(raft.log.commit_index, raft.current_term)",
            "may_open = True",
        ),
    ),
    _mutant(
        "read-round-reused",
        "every round of reads has the same number",
        "32",
        Edit(ReadIndexQueue.start_round, "self.last_round += 1", "self.last_round = 1"),
    ),
    _mutant(
        "any-round-confirms",
        "the answer to any heartbeat confirms the round that is open",
        "32",
        Edit(ReadIndexQueue.confirmed_by, "if read_round and read_round == self.open_round:", "if True:"),
    ),
    _mutant(
        "answers-of-earlier-rounds-count",
        "whoever has confirmed one round of reads confirms all later ones",
        "33",
        Edit(ReadIndexQueue.start_round, "self._acks = {self._node_id}", ""),
    ),
    _mutant(
        "read-round-not-asked-of-the-rest",
        "a round of reads that was asked of one that has fallen silent waits for the next heartbeat",
        "33",
        Edit(Leadership._without_news, "or progress.round_sent < open_round", ""),
    ),
    _mutant(
        "read-joins-open-round",
        "a read joins a round that began before it, and its index",
        "33",
        Edit(
            Leadership.add_read,
            "self.reads.waiting.append(",
            "(self.reads._open_readers if self.reads.open_round else self.reads.waiting).append(",
        ),
    ),
    _mutant(
        "deposed-leader-answers-reads",
        "reads that wait when a leadership ends are answered instead of failed",
        "32",
        Edit(
            Raft._abandon_role,
            "ReadState(context, None)",
            "ReadState(context, self.log.commit_index)",
        ),
    ),
)

MUTANTS = (*THRIFT, *DOUBT, *LOG, *READS)
