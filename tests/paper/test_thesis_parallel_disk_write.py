"""Thesis §10.2.1: the leader writes to its disk while its followers write to theirs."""

from __future__ import annotations

from raftkv.raft import PersistMark, Raft
from raftkv.raft.messages import AppendEntries, AppendEntriesResponse, Message
from tests.paper.support import N2, N3, accepted, append, at, leader, node, request_vote, step, turn
from tests.support.raft_cluster import RaftCluster, entries


def taken(raft: Raft) -> tuple[list[Message], list[Message], PersistMark]:
    """What a turn with something to write sends now, sends once that is durable, and its mark."""
    ready = raft.ready()
    assert ready is not None
    assert ready.mark is not None
    return ready.messages, ready.messages_after_append, ready.mark


def test_a_leader_sends_entries_before_they_are_on_its_own_disk() -> None:
    """§10.2.1: one disk write less between a command and its commit."""
    raft = leader()
    step(raft, accepted(1, 1), accepted(1, 1, sender=N3))
    raft.propose([b"a"])
    now, later, _ = taken(raft)
    assert {m.to for m in now if isinstance(m, AppendEntries) and m.entries} == {N2, N3}
    assert later == []


def test_a_leader_counts_itself_only_when_its_own_write_is_durable() -> None:
    """§10.2.1: until then, its match index for itself lags its log."""
    raft = leader()
    raft.propose([b"a"])
    _, _, mark = taken(raft)
    step(raft, accepted(1, 2))
    assert raft.log.commit_index == 1
    raft.persisted(mark)
    assert raft.log.commit_index == 2


def test_an_entry_may_be_committed_before_the_leader_has_written_it() -> None:
    """§10.2.1: if a majority of the followers has; the leader's own disk then needs not be waited for."""
    raft = leader()
    raft.propose([b"a"])
    taken(raft)
    done = step(raft, accepted(1, 2), accepted(1, 2, sender=N3))
    assert raft.log.commit_index == 2
    assert [entry.data for entry in done.committed] == [b"", b"a"]
    assert raft.log.persisted_index == 1


def test_a_follower_acknowledges_only_what_is_durable() -> None:
    """§10.2.1: the liberty is the leader's alone."""
    raft = node(term=1)
    raft.step(append(1, (0, 0), at(1, 1)))
    now, later, _ = taken(raft)
    assert now == []
    assert [type(m) for m in later] == [AppendEntriesResponse]


def test_a_repeated_append_is_not_acknowledged_ahead_of_the_first_ones_write() -> None:
    """The same rule where nothing new is to be written (PITFALLS 5): the answer waits its turn."""
    raft = node(term=1)
    message = append(1, (0, 0), at(1, 1))
    raft.step(message)
    taken(raft)
    raft.step(message)
    ready = raft.ready()
    assert ready is not None
    assert (ready.entries, ready.messages) == ([], [])
    assert [type(m) for m in ready.messages_after_append] == [AppendEntriesResponse]


def test_a_confirmation_of_an_overwritten_entry_confirms_nothing() -> None:
    """Marks carry the term: a late word about what has been replaced since must not count."""
    raft = node(term=1)
    raft.step(append(1, (0, 0), at(1, 1)))
    _, _, first = taken(raft)
    raft.step(append(2, (0, 0), at(1, 2), sender=N3))
    _, _, second = taken(raft)
    raft.persisted(first)
    assert raft.log.persisted_index == 0
    raft.persisted(second)
    assert raft.log.persisted_index == 1


def test_a_confirmation_of_a_vote_does_not_cover_what_the_elected_leader_then_overwrote() -> None:
    """A mark names the last entry as of then; in the same term that entry may be replaced once."""
    raft = node(entries(1, 1, 1), term=1)
    raft.step(request_vote(2, (9, 1)))
    _, _, voted = taken(raft)
    raft.step(append(2, (2, 1), at(3, 2)))
    _, _, replaced = taken(raft)
    raft.persisted(voted)
    assert raft.log.persisted_index == 2
    raft.persisted(replaced)
    assert raft.log.persisted_index == 3


def test_a_confirmation_of_an_entry_does_not_cover_its_return() -> None:
    """Written, overwritten, and put back by a third leader: only the last write's word counts, for
    until then the disk may hold the second one."""
    raft = node(term=1)
    marks = []
    for term, entry in ((1, at(1, 1)), (2, at(1, 2)), (3, at(1, 1))):
        raft.step(append(term, (0, 0), entry))
        marks.append(taken(raft)[2])
    raft.persisted(marks[0])
    raft.persisted(marks[1])
    assert raft.log.persisted_index == 0
    raft.persisted(marks[2])
    assert raft.log.persisted_index == 1


def test_a_leader_that_loses_its_unwritten_entries_loses_nothing_committed() -> None:
    """§10.2.1, the danger: it crashes before its write, and the entry lives on where it was counted."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.auto = False
    cluster.propose("n1", "a")
    cluster.deliver()
    for name in ("n2", "n3"):
        cluster.persist(name)
    cluster.deliver()
    assert cluster.data("n1") == ["a"]
    cluster.crash("n1")
    assert [entry.data for entry in cluster.disks[cluster.names[0]].entries] == [b""]
    cluster.auto = True
    cluster.start("n1")
    cluster.run_until(lambda: all(cluster.data(name) == ["a"] for name in cluster.names))


def test_proposals_before_the_disk_answers_join_the_next_write() -> None:
    """§10.2.1 with batching: one write is enough for all that came meanwhile."""
    raft = leader()
    raft.propose([b"a"])
    taken(raft)
    raft.propose([b"b"])
    raft.propose([b"c"])
    ready = raft.ready()
    assert ready is not None
    assert [entry.data for entry in ready.entries] == [b"b", b"c"]
    assert turn(raft).written == []
