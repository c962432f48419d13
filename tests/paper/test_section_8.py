"""§8: client interaction: the no-op, reads, and commands that take effect once."""

from __future__ import annotations

from raftkv.kv import Answer, Code, Command, KeyValue, Op, StateMachine
from raftkv.raft import Proposal, Role
from raftkv.raft.messages import EntryKind, Heartbeat
from tests.kv.support import Client
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


def test_who_does_not_lead_refuses_commands_and_knows_who_does() -> None:
    """§8: a client that meets a follower is told of the leader it last heard from."""
    raft = node(term=1)
    assert raft.propose([b"a"]) is Proposal.NOT_LEADER
    step(raft, heartbeat(1, sender=N3))
    assert raft.propose([b"a"]) is Proposal.NOT_LEADER
    assert raft.leader_id == N3


def test_a_leader_commits_a_blank_entry_at_the_start_of_its_term() -> None:
    """§8: to find out which of its entries are committed."""
    raft = leader(entries(1, 1), term=1)
    assert raft.log.commit_index == 0
    done = step(raft, accepted(2, 3))
    assert done.committed[-1].kind == EntryKind.NO_OP
    assert raft.log.commit_index == 3


def test_no_read_is_served_before_that_entry_is_committed() -> None:
    """§8: until then the leader may not know the latest committed entry (PITFALLS 31)."""
    raft = leader(entries(1, 1), term=1)
    raft.read_index(7)
    done = step(raft, heard(2), heard(2, sender=N3))
    assert (done.of(Heartbeat), done.reads) == ([], [])
    done = step(raft, accepted(2, 3))
    assert len(done.of(Heartbeat)) == 2
    (read,) = step(raft, heard(2, read_round=1)).reads
    assert (read.context, read.read_index) == (7, 3)


def test_a_read_waits_for_a_round_of_heartbeats_with_a_majority() -> None:
    """§8: a leader checks that it has not been deposed before it answers a read."""
    raft = leader(voters=5)
    step(raft, accepted(1, 1), accepted(1, 1, sender=N3))
    raft.read_index(7)
    (read_round,) = {message.read_round for message in turn(raft).of(Heartbeat)}
    assert step(raft, heard(1, read_round)).reads == []
    assert [read.context for read in step(raft, heard(1, read_round, sender=N3)).reads] == [7]


def test_an_answer_given_before_the_read_arrived_confirms_nothing() -> None:
    """§8: the exchange must come after the request (PITFALLS 33)."""
    raft = leader()
    step(raft, accepted(1, 1))
    tick(raft, OPTIONS.heartbeat_ticks)
    raft.read_index(7)
    turn(raft)
    assert step(raft, heard(1, read_round=0), heard(1, read_round=0, sender=N3)).reads == []


def test_a_deposed_leader_serves_no_stale_read() -> None:
    """§8: it cannot get its round confirmed, so the read fails rather than lie."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n1"], ["n2", "n3"])
    cluster.read("n1", 1)
    for _ in range(LONGEST):
        cluster.tick("n2")
        cluster.tick("n3")
        cluster.settle()
    assert Role.LEADER in (cluster["n2"].role, cluster["n3"].role)
    assert cluster["n1"].role is Role.LEADER, "it does not know yet"
    assert cluster.reads[N1] == []
    cluster.tick("n1", 2 * OPTIONS.election_ticks_min)
    assert [read.read_index for read in cluster.reads[N1]] == [None]


def test_a_leader_that_was_deposed_while_a_read_waited_fails_it() -> None:
    """§8, the same for a read that was already under way."""
    raft = leader()
    step(raft, accepted(1, 1))
    raft.read_index(7)
    turn(raft)
    (read,) = step(raft, heartbeat(2, sender=N2)).reads
    assert (read.context, read.read_index) == (7, None)


def test_a_read_writes_nothing_to_the_log() -> None:
    """§8: read-only operations need no entry."""
    raft = leader()
    step(raft, accepted(1, 1))
    raft.read_index(7)
    done = turn(raft)
    done = step(raft, heard(1, read_round=1))
    assert (done.written, raft.log.last_index) == ([], 1)


# -- exactly once


def test_a_command_repeated_under_its_serial_number_is_executed_once_and_answered_alike() -> None:
    """§8: a client tries again after a crash of the leader that had committed but not answered."""
    machine = StateMachine()
    client = Client(machine, client_id=5)
    client.send(1, 0, Op.PUT, b"a", b"1")
    first = client.send(2, 0, Op.COMPARE_AND_SET, b"a", b"1", b"2")
    assert client.send(2, 0, Op.COMPARE_AND_SET, b"a", b"1", b"2") == first == Answer(Code.OK, 2)
    assert machine.get(b"a") == KeyValue(b"2", 1, 2, 2)


def test_serial_numbers_are_each_clients_own() -> None:
    """§8: a unique number for every command, of that client."""
    machine = StateMachine()
    for client_id in (1, 2):
        assert Client(machine, client_id).send(1, 0, Op.PUT, b"a", b"x").code == Code.OK
    assert machine.revision == 2


def test_every_node_remembers_answers_since_they_follow_from_the_log() -> None:
    """§8: the state machine tracks the latest serial number, so that a *new* leader answers the
    repetition as the old one would have."""
    log = [
        Command(5, 0, 1, 1, Op.PUT, (b"a", b"1")).encode(),
        Command(5, 0, 1, 1, Op.PUT, (b"a", b"1")).encode(),
        Command(6, 1, 1, 1, Op.DELETE, (b"a",)).encode(),
        Command(5, 0, 1, 1, Op.PUT, (b"a", b"1")).encode(),
    ]
    old, new = StateMachine(), StateMachine()
    answers = [[machine.apply(index, data) for index, data in enumerate(log, 1)] for machine in (old, new)]
    assert answers[0] == answers[1]
    assert old.get(b"a") is None
    assert old.digest == new.digest


def test_a_retry_that_finds_its_first_try_in_the_log_as_well_takes_effect_once() -> None:
    """§8, end to end: the first try survived its leader; both copies are applied on all nodes."""
    cluster = RaftCluster(3)
    command = Command(5, 0, 1, 1, Op.COMPARE_AND_SET, (b"a", None, b"1")).encode()
    cluster.elect("n1")
    cluster["n1"].propose([command])
    cluster.tick("n1")
    cluster.deliver()
    cluster.crash("n1")
    cluster.run_until(lambda: cluster.leader() is not None)
    new = cluster.leader()
    assert new is not None
    new.propose([command])
    cluster.tick(new.node_id)
    cluster.run(3)
    machine = StateMachine()
    applied = cluster.applied[new.node_id]
    assert [entry.data for entry in applied if entry.data] == [command, command]
    answers = [machine.apply(entry.index, entry.data) for entry in applied if entry.data]
    assert answers[0] is not None
    assert answers[0] == answers[1]
    assert machine.get(b"a") == KeyValue(b"1", 1, 1, 1)
