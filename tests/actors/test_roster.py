"""Whose frames count, and what those are told who do not belong."""

from __future__ import annotations

import pytest

from raftkv.actors.roster import BOOTS_REMEMBERED, NAMES_MAX, STRAY_SECONDS, VISIT_SECONDS, Roster
from raftkv.errors import WireError
from raftkv.raft import Configuration, Member, Membership, Part
from raftkv.raft.messages import AppendEntries, Heartbeat, HeartbeatResponse, RequestVote, RequestVoteResponse
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire.peer import Disowned, Item, Lapsed, PeerFrame, StateDigest

N1, N2, N3, N4 = (NodeId(f"n{number}") for number in range(1, 5))
THREE = Configuration((Member(N1, incarnation="1a"), Member(N2, incarnation="2a"), Member(N3)))
WITHOUT_N3 = THREE.without(N3)
JOINING = WITHOUT_N3.with_member(Member(N4, Part.LEARNER, address=("tcp://127.0.0.1:4",)))


def roster(latest: Configuration = THREE, committed: Configuration | None = None, index: int = 5) -> Roster:
    found = Roster(N1, "c", "1a", {N2: "tcp://127.0.0.1:2", N3: "tcp://127.0.0.1:3"})
    found.update(Membership(latest, LogIndex(index), committed or latest, LogIndex(index)))
    return found


def frame(
    sender: NodeId, incarnation: str, *items: Item, boot: int = 1, cluster: str = "c", to: NodeId = N1
) -> PeerFrame:
    return PeerFrame(cluster, sender, incarnation, to, boot, items)


ANSWERS: tuple[Item, ...] = (
    HeartbeatResponse(N2, N1, Term(1), 0),
    RequestVoteResponse(N2, N1, Term(1), True),
    StateDigest(LogIndex(1), 7),
    Lapsed(Term(1), ((4, 4),)),
)
REQUESTS: tuple[Item, ...] = (
    Heartbeat(N2, N1, Term(1), LogIndex(0), 0),
    RequestVote(N2, N1, Term(1), LogIndex(0), Term(0)),
    AppendEntries(N2, N1, Term(1), LogIndex(0), Term(0), (), LogIndex(0)),
)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (frame(N2, "2a", cluster="other"), "cluster 'other'"),
        (frame(N2, "2a", to=N3), "for node 'n3'"),
        (frame(N1, "1b"), "another node under this name"),
    ],
)
def test_what_is_not_for_this_node_is_refused(wrong: PeerFrame, why: str) -> None:
    with pytest.raises(WireError, match=why):
        roster().check(wrong, 0.0)


def test_answers_count_from_the_folder_that_the_configuration_names() -> None:
    found = roster()
    assert found.countable(frame(N2, "2a", *ANSWERS, *REQUESTS)) == [*ANSWERS, *REQUESTS]
    assert found.countable(frame(N2, "2b", *ANSWERS, *REQUESTS)) == list(REQUESTS)
    assert found.countable(frame(N3, "3x", *ANSWERS)) == list(ANSWERS), "nobody has heard of n3 yet"
    assert found.countable(frame(N4, "4x", *ANSWERS)) == list(ANSWERS), "it may be us who are behind"


def test_who_does_not_belong_is_told_by_what_is_committed() -> None:
    assert roster().disowned(frame(N2, "2a")) is None
    assert roster().disowned(frame(N3, "3x")) is None
    assert roster().disowned(frame(N2, "2b")) == Disowned("2b", LogIndex(5), "2a")
    assert roster(WITHOUT_N3).disowned(frame(N3, "3x")) == Disowned("3x", LogIndex(5), "")
    assert roster(WITHOUT_N3, committed=THREE).disowned(frame(N3, "3x")) is None, "that may be taken back"
    assert roster(JOINING, committed=WITHOUT_N3).disowned(frame(N4, "4x")) is None, "about to be a member"
    assert roster(index=0).disowned(frame(N4, "4x")) is None, "nothing is known for sure yet"


def test_only_the_word_of_somebody_who_is_not_behind_is_believed() -> None:
    found = roster(index=5)
    assert found.is_meant(Disowned("1a", LogIndex(5), ""))
    assert found.is_meant(Disowned("1a", LogIndex(9), "1z"))
    assert not found.is_meant(Disowned("1a", LogIndex(4), ""))
    assert not found.is_meant(Disowned("1b", LogIndex(9), "")), "somebody else is meant"


def test_nobody_is_believed_whose_folder_may_be_of_before_a_restore() -> None:
    restored = Configuration(
        (Member(N1, incarnation="1a"), Member(N2, incarnation="2a"), Member(N3, incarnation="3*"))
    )
    found = roster(restored)
    replaced, removed = Disowned("1a", LogIndex(9), "1z"), Disowned("1a", LogIndex(9), "")
    for name, folder, believed in ((N2, "2a", True), (N2, "2z", False), (N3, "3x", True), (N3, "zz", False)):
        for word in (replaced, removed):
            assert found.vouches(frame(name, folder), word) is believed, (name, folder)
    assert found.vouches(frame(N4, "4x"), removed), "whoever has come since may know it"
    assert not found.vouches(frame(N4, "4x"), replaced)
    nothing = roster(Configuration.of((N1, N2, N3)), index=0)
    assert nothing.vouches(frame(N4, "4x"), replaced), "where nothing is known everybody knows more"


def test_a_node_is_reached_where_it_says_then_where_the_file_then_where_the_configuration_says() -> None:
    found = roster(JOINING)
    assert found.endpoint(N4) == "tcp://127.0.0.1:4"
    assert found.endpoint(N2) == "tcp://127.0.0.1:2"
    found.introduce(N2, "2a", "tcp://127.0.0.1:9", 0.0)
    assert found.endpoint(N2) == "tcp://127.0.0.1:9"
    assert found.endpoint(NodeId("n9")) is None
    assert found.names() == [N2, N3, N4]
    assert found.members() == [N2, N4]


def test_a_name_that_comes_back_elsewhere_is_looked_for_there() -> None:
    """Whatever the file says of it, and where its former bearer was, or still is."""
    for name in (N3, N4):
        found = roster(THREE)
        found.introduce(name, "4a", "tcp://127.0.0.1:44", 0.0)
        found.update(Membership(WITHOUT_N3, LogIndex(6), WITHOUT_N3, LogIndex(6)))
        found.introduce(name, "4a", "tcp://127.0.0.1:45", 0.0)
        again = WITHOUT_N3.with_member(Member(name, Part.LEARNER, address=("tcp://127.0.0.1:7",)))
        found.update(Membership(again, LogIndex(7), again, LogIndex(7)))
        assert found.endpoint(name) == "tcp://127.0.0.1:7"
        found.introduce(name, "4a", "tcp://127.0.0.1:8", 0.0)
        assert found.endpoint(name) == "tcp://127.0.0.1:8", "it says so itself"
        met = WITHOUT_N3.with_member(Member(name, Part.LEARNER, "4a", ("tcp://127.0.0.1:8",)))
        found.update(Membership(met, LogIndex(8), met, LogIndex(8)))
        assert found.endpoint(name) == "tcp://127.0.0.1:8"


def test_a_node_of_another_folder_is_answered_where_it_is_for_a_moment() -> None:
    """The former bearer of a name is to be told so, and does not take the link to the present one along."""
    found = roster()
    found.introduce(N2, "2a", "tcp://127.0.0.1:9", 0.0)
    found.introduce(N2, "2b", "tcp://127.0.0.1:22", 1.0)
    assert found.endpoint(N2) == "tcp://127.0.0.1:22"
    assert found.visits_over(1.0 + VISIT_SECONDS / 2) == []
    found.introduce(N2, "2b", "tcp://127.0.0.1:22", 2.0)  # whoever goes on talking goes on being answered
    assert found.visits_over(1.0 + VISIT_SECONDS) == []
    assert found.visits_over(2.0 + VISIT_SECONDS) == [N2]
    assert found.endpoint(N2) == "tcp://127.0.0.1:9"
    assert found.visits_over(100.0) == []
    found.introduce(N2, "2b", "tcp://127.0.0.1:22", 100.0)
    found.introduce(N2, "2a", "tcp://127.0.0.1:9", 100.1)
    assert found.endpoint(N2) == "tcp://127.0.0.1:9", "the member itself goes before any visitor"


def test_an_address_of_the_time_before_this_start_does_not_count_beside_the_file() -> None:
    """All nodes may have moved, and the files say so."""
    found = roster(
        THREE.without(N2).with_member(Member(N2, incarnation="2a", address=("tcp://127.0.0.1:1",)))
    )
    assert found.endpoint(N2) == "tcp://127.0.0.1:2"


def test_an_earlier_life_is_told_from_the_present_one_and_folders_apart() -> None:
    found = roster()
    found.check(frame(N2, "2a", boot=1), 0.0)
    found.check(frame(N2, "2a", boot=2), 0.1)
    with pytest.raises(WireError, match="earlier life of n2"):
        found.check(frame(N2, "2a", boot=1), 0.2)
    found.check(frame(N2, "2b", boot=1), 0.2)  # another folder has lives of its own
    found.check(frame(N2, "2a", boot=1), 0.1 + STRAY_SECONDS)  # it is the one that speaks


def test_what_is_remembered_is_bounded() -> None:
    found = roster()
    for number in range(3 * NAMES_MAX):
        name = NodeId(f"x{number}")
        found.check(frame(name, "i"), 0.0)
        found.introduce(name, "i", "tcp://127.0.0.1:1", 0.0)
    assert len(found._known) <= NAMES_MAX
    assert len(found._introduced) <= NAMES_MAX
    for boot in range(3 * BOOTS_REMEMBERED):
        found.check(frame(N2, "2a", boot=boot), 0.0)
    assert len(found._known[N2, "2a"].old_boots) <= BOOTS_REMEMBERED
