"""A node that starts with a long log: it takes part at once, and promises nothing that it cannot keep."""

from __future__ import annotations

import random
from typing import Any

from raftkv.actors.messages import Apply, Send, Step, Tick
from raftkv.actors.raft import RaftActor, SnapshotRule
from raftkv.kv import Retention
from raftkv.raft import Configuration, Entry, EntryKind, HardState, Proposal, Raft, RaftOptions, Role
from raftkv.raft.messages import Heartbeat, HeartbeatResponse, TimeoutNow
from raftkv.types import LogIndex, NodeId, Term

N1, N2, N3 = (NodeId(f"n{number}") for number in (1, 2, 3))
OPTIONS = RaftOptions(committed_entries_max=3, unapplied_entries_max=6)
TERM = Term(1)


class Turns:
    """A context that keeps what is sent, and when to wake."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.sent: list[Any] = []
        self.timers: list[float] = []

    def now(self) -> float:
        return 0.0

    fresh_now = true_now = now

    def send(self, to: str, message: Any) -> None:
        del to
        self.sent.append(message)

    def set_timer(self, to: str, delay: float, message: Any) -> None:
        assert (to, type(message)) == ("raft", Tick)
        self.timers.append(delay)

    def set_true_timer(self, to: str, delay: float, message: Any) -> None:
        raise AssertionError("nothing of the core's concerns the operator's clock")

    def take(self, kind: type) -> list[Any]:
        """What was sent of that kind since it was last asked."""
        found = [message for message in self.sent if isinstance(message, kind)]
        self.sent = [message for message in self.sent if not isinstance(message, kind)]
        return found


def recovered(members: list[NodeId], committed: int, count: int) -> Raft:
    """n1 after a restart: ``count`` entries, of which it knows the first ``committed`` to be committed."""
    entries = [Entry(LogIndex(index), TERM, EntryKind.COMMAND, b"x") for index in range(1, count + 1)]
    state = HardState(TERM, None, LogIndex(committed))
    return Raft(N1, Configuration.of(members), OPTIONS, random.Random(1), state, entries)


def test_a_node_with_a_long_log_answers_its_leader_before_all_of_it_is_applied() -> None:
    context = Turns()
    raft = recovered([N1, N2, N3], committed=8, count=8)
    actor = RaftActor(context, raft, 0.01, SnapshotRule(1000, 1 << 20), ("", ()), Retention(0, 0, 0))
    actor.handle(Step([Heartbeat(N2, N1, TERM, LogIndex(8), 0, 1)]))
    applied: list[int] = []
    answered_after = None
    for turn in range(1, 10):
        context.timers.clear()
        actor.end_of_turn()
        applied.append(sum(len(apply.entries) for apply in context.take(Apply)))
        answers = [message for send in context.take(Send) for message in send.messages]
        if any(isinstance(message, HeartbeatResponse) for message in answers):
            answered_after = answered_after or turn
        if 0.0 not in context.timers:
            break
    assert applied == [3, 3, 2], "a part each turn, and the next turn follows at once"
    assert answered_after == 1


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
