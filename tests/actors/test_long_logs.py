"""A node that starts with a long log: it takes part at once, and promises nothing that it cannot keep."""

from __future__ import annotations

import random
from dataclasses import replace

from raftkv.actors.messages import Apply, Applying, Doubted, Persisted, Send, Step, Write
from raftkv.actors.raft import RaftActor
from raftkv.actors.snapshot_messages import TakeSnapshot, WriteChunk
from raftkv.actors.snapshot_schedule import SnapshotRule
from raftkv.actors.store import APPLY_SECONDS_A_TURN, StoreActor
from raftkv.kv import Retention, StateMachine
from raftkv.raft import Configuration, Entry, EntryKind, HardState, Proposal, Raft, RaftOptions, Role
from raftkv.raft.messages import (
    AppendEntries,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    PreVote,
    SnapshotMark,
    TimeoutNow,
)
from raftkv.raft.succession import CHECKS_BEFORE_GIVING_WAY
from raftkv.types import LogIndex, NodeId, Term
from tests.actors.recorded import Recorded
from tests.support.raft_cluster import RaftCluster

N1, N2, N3 = (NodeId(f"n{number}") for number in (1, 2, 3))
OPTIONS = RaftOptions(committed_entries_max=3, unapplied_entries_max=6)
TERM = Term(1)


def recovered(members: list[NodeId], committed: int, count: int) -> Raft:
    """n1 after a restart: ``count`` entries, of which it knows the first ``committed`` to be committed."""
    entries = [Entry(LogIndex(index), TERM, EntryKind.COMMAND, b"x") for index in range(1, count + 1)]
    state = HardState(TERM, None, LogIndex(committed))
    return Raft(N1, Configuration.of(members), OPTIONS, random.Random(1), state, entries)


def test_a_node_with_a_long_log_answers_its_leader_before_all_of_it_is_applied() -> None:
    context = Recorded()
    raft = recovered([N1, N2, N3], committed=8, count=8)
    actor = RaftActor(context, raft, 0.01, SnapshotRule(1000, 1 << 20), ("", ()), Retention(0, 0, 0))
    actor.handle(Step([Heartbeat(N2, N1, TERM, LogIndex(8), 0, 1)]))
    applied: list[int] = []
    answered_after = None
    for turn in range(1, 10):
        context.sent.clear()
        context.delays.clear()
        actor.end_of_turn()
        applied.append(sum(len(apply.entries) for apply in context.of(Apply)))
        answers = [message for send in context.of(Send) for message in send.messages]
        if any(isinstance(message, HeartbeatResponse) for message in answers):
            answered_after = answered_after or turn
        if 0.0 not in context.delays:
            break
    assert applied == [3, 3, 2], "a part each turn, and the next turn follows at once"
    assert answered_after == 1


def test_a_doubted_leader_is_told_to_the_audit() -> None:
    context = Recorded()
    raft = recovered([N1, N2, N3], committed=8, count=8)
    actor = RaftActor(context, raft, 0.01, SnapshotRule(1000, 1 << 20), ("", ()), Retention(0, 0, 0))
    other = Entry(LogIndex(4), Term(2), EntryKind.NO_OP, b"")
    actor.handle(Step([AppendEntries(N2, N1, Term(2), LogIndex(3), TERM, [other], LogIndex(0), 0)]))
    actor.end_of_turn()
    assert [(told.peer, told.index) for told in context.of(Doubted)] == [(N2, 4)]


class Ticking:
    """A clock by which each part that is applied takes so long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def test_what_takes_too_long_for_one_turn_goes_on_in_the_next() -> None:
    """A transaction may take twenty milliseconds: three hundred of them in one turn are deaf for six seconds,
    on all nodes alike. What is asked of the state behind them waits, and finds it as it was asked for."""
    context, clock = Recorded(), Ticking(0.6 * APPLY_SECONDS_A_TURN)
    store = StoreActor(context, StateMachine(), lambda lease: 0, clock=clock)
    entries = [Entry(LogIndex(index), TERM, EntryKind.NO_OP, b"") for index in range(1, 41)]
    store.handle(Apply(entries[:30]))
    store.handle(TakeSnapshot(LogIndex(30), TERM, b""))
    store.handle(Apply(entries[30:]))
    applied: list[int] = []
    for _ in range(4):
        store.end_of_turn()
        applied.append(store.machine.applied_index)
        assert len(context.of(WriteChunk)) == (applied[-1] > 30)
    assert applied == [16, 30, 40, 40]
    assert [message.goes_on for message in context.of(Applying)] == [True, False]
    assert context.delays.count(0.0) == 2, "the next turn follows at once"
    assert len(entries) == 40, "they are the log's"


def test_nothing_more_is_handed_out_while_the_store_has_enough() -> None:
    context = Recorded()
    raft = recovered([N1, N2, N3], committed=8, count=8)
    actor = RaftActor(context, raft, 0.01, SnapshotRule(1000, 1 << 20), ("", ()), Retention(0, 0, 0))
    parts: list[int] = []
    for goes_on in (None, True, None, None, False, None):
        if goes_on is not None:
            actor.handle(Applying(goes_on))
        context.sent.clear()
        actor.end_of_turn()
        parts.append(sum(len(apply.entries) for apply in context.of(Apply)))
    assert parts == [3, 0, 0, 0, 3, 2]


def test_a_follower_answers_for_new_entries_before_it_applies_older_ones() -> None:
    """The leader and all clients wait for the one, for the other none but its own."""
    context = Recorded()
    raft = recovered([N1, N2, N3], committed=0, count=2)
    actor = RaftActor(context, raft, 0.01, SnapshotRule(1000, 1 << 20), ("", ()), Retention(0, 0, 0))
    entry = Entry(LogIndex(3), TERM, EntryKind.COMMAND, b"x")
    append = AppendEntries(N2, N1, TERM, LogIndex(2), TERM, [entry], LogIndex(2), 0)
    actor.handle(Step([append]))
    actor.end_of_turn()
    (write,) = context.of(Write)
    assert not context.of(Apply)
    assert 0.0 in context.delays, "the next turn follows at once, whatever the disk does"
    actor.handle(Persisted([write.mark]))
    assert [apply.entries[-1].index for apply in context.of(Apply)] == [2]
    assert raft.log.last_applied == 2
    # A commit index that comes alone waits for nothing, and the one after is not lost.
    actor.handle(Step([Heartbeat(N2, N1, TERM, LogIndex(3), 0, 1)]))
    actor.end_of_turn()
    assert [apply.entries[-1].index for apply in context.of(Apply)] == [2, 3]


def behind() -> Raft:
    """The leader of a cluster of one. Its log is committed, and none of it applied."""
    raft = recovered([N1], committed=0, count=20)
    for _ in range(2 * OPTIONS.election_ticks_max):
        raft.tick()
        ready = raft.ready()
        if ready and ready.mark:
            raft.persisted(ready.mark)
    assert raft.role is Role.LEADER
    assert raft.log.commit_index == 21
    return raft


def test_a_leader_takes_no_writes_while_much_has_to_be_applied_first() -> None:
    raft = behind()
    assert raft.propose([b"y"]) is Proposal.BUSY
    assert raft.log.last_index == 21, "nothing of it happened"
    while raft.log.unapplied > OPTIONS.unapplied_entries_max:
        ready = raft.ready()
        assert raft.propose([b"y"]) is Proposal.BUSY
        raft.applied(raft.log.delivered_index)
        assert ready is None or len(ready.committed) <= OPTIONS.committed_entries_max
    assert raft.propose([b"y"]) is Proposal.ACCEPTED


def test_a_node_far_behind_with_applying_does_not_take_over() -> None:
    raft = recovered([N1, N2, N3], committed=8, count=8)
    raft.step(Heartbeat(N2, N1, TERM, LogIndex(8), 0, 1))
    raft.step(TimeoutNow(N2, N1, TERM))
    assert raft.status().role is Role.FOLLOWER
    ready = raft.ready()
    assert ready
    raft.applied(raft.log.delivered_index)
    raft.step(TimeoutNow(N2, N1, TERM))
    assert raft.status().role is Role.CANDIDATE


def test_a_node_far_behind_with_applying_says_so_to_its_leader() -> None:
    raft = recovered([N1, N2, N3], committed=8, count=8)
    said = []
    for _ in range(2):
        raft.step(Heartbeat(N2, N1, TERM, LogIndex(8), 0, 1))
        ready = raft.ready()
        assert ready
        said += [each.behind for each in ready.messages if isinstance(each, HeartbeatResponse)]
        raft.applied(raft.log.delivered_index)
    assert said == [True, False]


def test_leadership_is_handed_to_nobody_who_would_not_take_it() -> None:
    cluster = RaftCluster(3)
    leader = cluster.elect("n1")
    leader.priorities = {N2: 1}

    def hears(peer: NodeId, behind: bool) -> None:
        leader.step(HeartbeatResponse(peer, N1, leader.current_term, 0, behind=behind))

    hears(N2, True)
    assert not leader.transfer_leadership(N2)
    for _ in range(2 * CHECKS_BEFORE_GIVING_WAY * leader.options.election_ticks_min):
        hears(N2, True)  # what ranks higher does not count yet
        cluster.tick("n1")
        assert leader.status().transferee is None
    hears(N3, True)
    assert not leader.transfer_leadership(), "nobody could"
    hears(N3, False)
    assert leader.transfer_leadership()
    assert leader.status().transferee == N3


def test_leadership_goes_to_whoever_was_behind_once_it_is_no_longer() -> None:
    cluster = RaftCluster(3)
    leader = cluster.elect("n1")
    for behind in (True, False):
        leader.step(HeartbeatResponse(N2, N1, leader.current_term, 0, behind=behind))
    assert leader.transfer_leadership(N2)


def campaigns(raft: Raft) -> bool:
    """Whether it does, after an election timeout without a leader."""
    for _ in range(raft.election_timeout):
        raft.tick()
    ready = raft.ready()
    return ready is not None and any(isinstance(each, PreVote) for each in ready.messages)


def test_others_go_first_where_nobody_leads_but_not_for_ever() -> None:
    raft = recovered([N1, N2, N3], committed=8, count=8)
    found = [campaigns(raft) for _ in range(8)]
    assert found == [False, False, False, True] * 2, "it never gets to apply anything here"
    raft.applied(raft.log.delivered_index)
    assert campaigns(raft)


def test_a_snapshot_that_the_log_has_overtaken_but_the_state_has_not_is_installed() -> None:
    """It was handed out whole when another leader's entries committed beyond it. Taken for one of our own,
    the log would be cut beyond what is applied."""
    options = replace(OPTIONS, retained_entries=0)
    entries = [Entry(LogIndex(index), TERM, EntryKind.COMMAND, b"x") for index in range(1, 51)]
    state = HardState(TERM, None, LogIndex(50))
    raft = Raft(N1, Configuration.of([N1, N2, N3]), options, random.Random(1), state, entries)
    mark = SnapshotMark(LogIndex(60), TERM, 7, 1)
    raft.step(InstallSnapshot(N2, N1, TERM, mark, 0, b"state"))
    ready = raft.ready()
    assert ready
    assert [chunk.mark for chunk in ready.chunks] == [mark]
    raft.applied(raft.log.delivered_index)
    more = [Entry(LogIndex(index), TERM, EntryKind.COMMAND, b"x") for index in range(51, 71)]
    raft.step(AppendEntries(N3, N1, Term(2), LogIndex(50), TERM, more, LogIndex(70)))
    assert raft.log.commit_index == 70
    raft.chunk_stored(mark.id, 0)
    raft.tick()
    assert raft.log.last_applied == 60
    ready = raft.ready()
    assert ready
    assert ready.installed == mark
    assert ready.committed[0].index == 61
    assert ready.anew is None, "the log goes on"


def test_a_part_of_what_is_committed_is_bounded_in_bytes_too() -> None:
    raft = recovered([N1, N2, N3], committed=8, count=8)
    raft.options = replace(OPTIONS, committed_bytes_max=1)
    ready = raft.ready()
    assert ready
    assert len(ready.committed) == 1, "a single one always fits"
