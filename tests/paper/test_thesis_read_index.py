"""Thesis §6.4: linearizable reads without the log."""

from __future__ import annotations

from raftkv.raft import Raft
from raftkv.raft.messages import Heartbeat, ReadIndex, ReadIndexResponse
from raftkv.types import LogIndex, NodeId, Term
from tests.paper.support import (
    LONGEST,
    N1,
    N2,
    N3,
    accepted,
    heard,
    heartbeat,
    leader,
    node,
    step,
    tick,
    turn,
)
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries


def settled_leader(voters: int = 3) -> Raft:
    """Its no-op is committed everywhere, and no heartbeat waits to be sent."""
    raft = leader(voters=voters)
    for peer in raft.peers:
        step(raft, accepted(1, 1, sender=peer))
    tick(raft, OPTIONS.heartbeat_ticks)
    return raft


def ask(raft: Raft, context: int) -> list[Heartbeat]:
    raft.read_index(context)
    return turn(raft).of(Heartbeat)


def test_step_1_no_read_before_an_entry_of_this_term_is_committed() -> None:
    """§6.4, 1: the no-op has to be committed before commitIndex can be trusted."""
    raft = leader(entries(1), term=1)
    assert ask(raft, 7) == []
    tick(raft, OPTIONS.heartbeat_ticks)
    assert step(raft, heard(2), heard(2, sender=N3)).reads == []
    assert {m.read_round for m in step(raft, accepted(2, 2)).of(Heartbeat)} == {1}


def test_step_2_the_read_index_is_the_commit_index_when_the_round_began() -> None:
    """§6.4, 2: neither what is committed later nor the
    end of the log."""
    raft = settled_leader()
    raft.propose([b"a"])
    ask(raft, 7)
    assert raft.log.last_index == 2
    step(raft, accepted(1, 2))
    assert raft.log.commit_index == 2
    (read,) = step(raft, heard(1, read_round=1)).reads
    assert read.read_index == 1


def test_step_3_a_round_of_heartbeats_is_answered_by_a_majority() -> None:
    """§6.4, 3: begun after the read arrived; the same peer twice is one."""
    raft = settled_leader(voters=5)
    assert {m.to for m in ask(raft, 7)} == set(raft.peers)
    assert step(raft, heard(1, 1), heard(1, 1)).reads == []
    assert len(step(raft, heard(1, 1, sender=N3)).reads) == 1


def test_step_3_the_answers_to_an_earlier_round_vouch_for_nothing() -> None:
    """§6.4, 3 (PITFALLS 32, 33): each round has a number that is never used again."""
    raft = settled_leader()
    ask(raft, 7)
    step(raft, heard(1, read_round=1))
    assert {m.read_round for m in ask(raft, 8)} == {2}
    assert step(raft, heard(1, read_round=1), heard(1, read_round=1, sender=N3)).reads == []
    assert [read.context for read in step(raft, heard(1, read_round=2)).reads] == [8]


def test_step_4_the_read_waits_until_the_state_machine_has_come_that_far() -> None:
    """§6.4, 4: so the answer tells an index, and whoever reads waits for it to be applied: a slow
    apply must not make the answer wait, nor be overtaken by it."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a", "b")
    cluster.settle()
    assert cluster["n2"].log.last_applied == 1
    cluster.read("n2", 7)
    cluster.deliver(lambda message: not isinstance(message, Heartbeat) or message.read_round > 0)
    while not cluster.reads[N2]:
        assert cluster.deliver()
    (read,) = cluster.reads[N2]
    assert read.read_index == 3


def test_one_round_serves_all_reads_that_wait() -> None:
    """§6.4: the cost is amortised; those that come during a round share the next."""
    raft = settled_leader()
    for context in (1, 2, 3):
        raft.read_index(context)
    assert len(turn(raft).of(Heartbeat)) == 2
    assert ask(raft, 4) == ask(raft, 5) == []
    done = step(raft, heard(1, read_round=1))
    assert [read.context for read in done.reads] == [1, 2, 3]
    assert {m.read_round for m in done.of(Heartbeat)} == {2}
    assert [read.context for read in step(raft, heard(1, read_round=2)).reads] == [4, 5]


def test_a_follower_asks_its_leader_for_the_index_and_serves_the_read_itself() -> None:
    """§6.4: which takes the reads off the leader."""
    raft = node(term=1)
    step(raft, heartbeat(1, sender=N3))
    raft.read_index(7)
    request = turn(raft).one(ReadIndex)
    assert (request.to, request.context) == (N3, 7)
    (read,) = step(raft, ReadIndexResponse(N3, N1, Term(1), 7, LogIndex(5))).reads
    assert (read.context, read.read_index) == (7, 5)


def test_a_leader_confirms_its_authority_for_a_follower_as_well() -> None:
    """§6.4: the same steps 1 to 3 before it answers."""
    raft = settled_leader()
    done = step(raft, ReadIndex(N2, N1, Term(1), 7))
    assert len(done.of(Heartbeat)) == 2
    assert done.of(ReadIndexResponse) == []
    reply = step(raft, heard(1, read_round=1, sender=N3)).one(ReadIndexResponse)
    assert (reply.to, reply.context, reply.read_index) == (N2, 7, 1)


def test_a_follower_whose_leader_changes_does_not_wait_for_the_old_ones_answer() -> None:
    """§6.4: the read fails and may be asked again; a late answer is no answer."""
    raft = node(term=1)
    step(raft, heartbeat(1, sender=N3))
    raft.read_index(7)
    turn(raft)
    (read,) = step(raft, heartbeat(2, sender=N2)).reads
    assert (read.context, read.read_index) == (7, None)
    assert step(raft, ReadIndexResponse(N3, N1, Term(2), 7, LogIndex(5))).reads == []


def test_a_follower_without_answer_gives_up() -> None:
    """§6.4: the request or the answer was lost; whoever reads tries again under a new number."""
    raft = node(term=1)
    step(raft, heartbeat(1, sender=N3))
    raft.read_index(7)
    turn(raft)
    reads = []
    for _ in range(LONGEST + 1):
        step(raft, heartbeat(1, sender=N3))
        reads += tick(raft, 1).reads
    assert [(read.context, read.read_index) for read in reads] == [(7, None)]


def test_a_node_alone_needs_nobody() -> None:
    """§6.4, at the limit: the majority of one has confirmed at once."""
    cluster = RaftCluster(1)
    cluster.elect("n1")
    cluster.read("n1", 7)
    assert [(read.context, read.read_index) for read in cluster.reads[NodeId("n1")]] == [(7, 1)]
