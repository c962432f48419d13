"""How a cluster begins when nodes know their folders: one of them writes the first entry, once it has heard
from all."""

from __future__ import annotations

import random

from raftkv.raft import Configuration, Entry, EntryKind, HardState, Member, Message, Raft, Role
from raftkv.raft.messages import (
    FoundingAnswer,
    FoundingCall,
    FoundingEntry,
    PreVote,
    RequestVote,
    RequestVoteResponse,
)
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import OPTIONS

N1, N2, N3 = NAMES = tuple(NodeId(f"n{number}") for number in range(1, 4))
THREE = Configuration.of(NAMES)
FOUNDED = Configuration(tuple(Member(name, incarnation=f"{name}a") for name in NAMES))


def newborn(name: NodeId, life: str = "a", founding: Configuration = THREE) -> Raft:
    raft = Raft(name, founding, OPTIONS, random.Random(1), incarnation=f"{name}{life}")
    sent(raft)
    return raft


def sent(raft: Raft) -> list[Message]:
    """What it sends, its disk being quick."""
    found: list[Message] = []
    while ready := raft.ready():
        found += ready.messages
        if ready.mark:
            raft.persisted(ready.mark)
        found += ready.messages_after_append
    return found


def exchange(*nodes: Raft, lost: tuple[type[Message], ...] = ()) -> None:
    """Everything that is sent arrives, until nothing is."""
    by_name = {raft.node_id: raft for raft in nodes}
    while messages := [message for raft in nodes for message in sent(raft)]:
        for message in messages:
            if message.to in by_name and not isinstance(message, lost):
                by_name[message.to].step(message)


def test_a_cluster_begins_once_all_of_its_nodes_are_there() -> None:
    first, second, third = (newborn(name) for name in NAMES)
    first.tick()
    exchange(first, second)
    for raft in (first, second):
        for _ in range(3 * OPTIONS.election_ticks_max):
            raft.tick()
        exchange(first, second)
        assert (raft.role, raft.current_term, raft.log.last_index) == (Role.FOLLOWER, 0, 0)
    for _ in range(OPTIONS.heartbeat_ticks):
        first.tick()
    exchange(first, second, third)
    assert first.role is Role.LEADER
    assert first.current_term == 2
    for raft in (first, second, third):
        assert raft.configuration == FOUNDED
        assert raft.log.term_at(LogIndex(1)) == 1


def test_only_the_first_asks_and_only_one_that_is_new_answers() -> None:
    second = newborn(N2)
    for _ in range(2 * OPTIONS.heartbeat_ticks):
        second.tick()
    assert sent(second) == []
    second.step(FoundingCall(N1, N2, Term(0), "n1a"))
    assert sent(second) == [FoundingAnswer(N2, N1, Term(0), "n1a", "n2a")]
    old = Raft(N3, THREE, OPTIONS, random.Random(1), HardState(Term(4), None, LogIndex(0)), incarnation="n3a")
    sent(old)
    old.step(FoundingCall(N1, N3, Term(0), "n1a"))
    assert sent(old) == []


def test_an_answer_to_an_earlier_life_of_the_first_founds_nothing() -> None:
    """It may have been given before there was a cluster, and arrive long after the first lost its folder."""
    first = newborn(N1, life="b")
    for name in (N2, N3):
        first.step(FoundingAnswer(name, N1, Term(0), "n1a", f"{name}a"))
    assert sent(first) == []
    assert first.log.last_index == 0


def test_an_entry_that_names_another_folder_is_not_for_this_node() -> None:
    second = newborn(N2, life="b")
    second.step(FoundingEntry(N1, N2, Term(1), FOUNDED.encode()))
    assert second.log.last_index == 0


def test_an_entry_of_an_earlier_life_of_the_first_is_not_heeded() -> None:
    """It comes late, when the first has lost its folder and asks again: two nodes would begin differently."""
    second = newborn(N2)
    second.step(FoundingCall(N1, N2, Term(0), "n1a"))
    second.step(FoundingCall(N1, N2, Term(0), "n1b"))
    second.step(FoundingEntry(N1, N2, Term(1), FOUNDED.encode()))
    assert second.log.last_index == 0
    again = FOUNDED.with_member(Member(N1, incarnation="n1b"))
    second.step(FoundingEntry(N1, N2, Term(1), again.encode()))
    assert second.configuration == again


def test_whoever_is_listed_has_to_be_new_as_well() -> None:
    """A node that has joined since may hold everything that the founders once did."""
    first = Raft(N1, Configuration.of([N1]), OPTIONS, random.Random(1), incarnation="n1a", listed=NAMES)
    first.tick()
    assert sorted(message.to for message in sent(first)) == [N2, N3]
    first.step(FoundingAnswer(N2, N1, Term(0), "n1a", "n2a"))
    assert first.log.last_index == 0
    first.step(FoundingAnswer(N3, N1, Term(0), "n1a", "n3a"))
    assert first.configuration.names == (N1,)


def test_a_majority_that_has_the_entry_needs_the_first_no_more() -> None:
    first, second, third = (newborn(name) for name in NAMES)
    first.tick()
    exchange(first, second, third, lost=(PreVote,))
    assert second.log.last_index == 1
    second.campaign()
    exchange(second, third)
    assert second.role is Role.LEADER


def test_the_entry_is_sent_until_it_has_arrived() -> None:
    first, second, third = (newborn(name) for name in NAMES)
    first.tick()
    exchange(first, second, third, lost=(FoundingEntry, PreVote))
    assert (first.log.last_index, second.log.last_index) == (1, 0)
    for _ in range(OPTIONS.heartbeat_ticks):
        first.tick()
    exchange(first, second, third)
    assert second.log.last_index >= 1


def test_a_node_that_has_voted_and_knows_no_more_does_not_campaign_either() -> None:
    """It could not tell whose votes count. Found by the simulator (docs/bugs-found.md)."""
    second = newborn(N2)
    second.step(RequestVote(N1, N2, Term(3), LogIndex(1), Term(1)))
    assert RequestVoteResponse(N2, N1, Term(3), True) in sent(second)
    second.campaign()
    assert sent(second) == []
    assert second.role is Role.FOLLOWER


def test_one_node_alone_begins_at_once() -> None:
    only = newborn(N1, founding=Configuration.of([N1]))
    only.tick()
    sent(only)
    assert only.role is Role.LEADER


def test_a_node_that_joins_later_founds_nothing() -> None:
    joining = Raft(N1, Configuration(), OPTIONS, random.Random(1), incarnation="n1a")
    for _ in range(3 * OPTIONS.election_ticks_max):
        joining.tick()
    assert sent(joining) == []
    assert joining.role is Role.FOLLOWER


def test_a_node_whose_name_stands_for_another_folder_never_campaigns() -> None:
    """It was sent the log that says so; it may have voted before, and forgotten it."""
    founded = Entry(LogIndex(1), Term(1), EntryKind.CONFIGURATION, FOUNDED.encode())
    state = HardState(Term(1), None, LogIndex(1))
    for life, role in (("a", Role.PRE_CANDIDATE), ("b", Role.FOLLOWER)):
        raft = Raft(N1, THREE, OPTIONS, random.Random(1), state, [founded], incarnation=f"n1{life}")
        raft.campaign()
        assert raft.role is role
