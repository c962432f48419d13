"""The arithmetic of configurations, and the changes that may be asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.raft import AddLearner, Configuration, Member, Part, Promote, Refusal, Remove, Replace
from raftkv.raft.configuration import MEMBERS_MAX, Configurations
from raftkv.raft.membership import Change, plan
from raftkv.raft.quorum import VoteResult, count_votes, is_quorum, reached_by_quorum, tally
from raftkv.types import LogIndex, NodeId

NAMES = tuple(NodeId(f"n{number}") for number in range(1, 10))
N1, N2, N3, N4, N5, *_ = NAMES
THREE = Configuration.of([N1, N2, N3])
WITH_LEARNER = THREE.with_member(Member(N4, Part.LEARNER, "4"))
JOINT = Configuration(
    (Member(N1), Member(N2), Member(N3, Part.OUTGOING), Member(N4, Part.INCOMING), Member(N5, Part.LEARNER))
)


def named(*numbers: int) -> set[NodeId]:
    return {NodeId(f"n{number}") for number in numbers}


def held(**indexes: int) -> dict[NodeId, LogIndex]:
    return {NodeId(name): LogIndex(index) for name, index in indexes.items()}


# -- majorities


def test_a_joint_configuration_has_two_groups_of_voters() -> None:
    assert (JOINT.voters, JOINT.outgoing, JOINT.learners) == ((N1, N2, N4), (N1, N2, N3), (N5,))
    assert JOINT.left() == Configuration((Member(N1), Member(N2), Member(N4), Member(N5, Part.LEARNER)))
    assert not THREE.outgoing


@pytest.mark.parametrize(
    ("who", "decides"),
    [((1, 2), True), ((1, 3), False), ((1, 4), False), ((1, 3, 4), True), ((3, 4, 5), False), ((), False)],
)
def test_a_joint_configuration_decides_by_both_majorities(who: tuple[int, ...], decides: bool) -> None:
    names = named(*who)
    assert is_quorum(names, JOINT) is decides
    assert (tally(dict.fromkeys(names, True), JOINT) is VoteResult.WON) is decides


def test_an_election_is_lost_as_soon_as_one_of_the_majorities_is() -> None:
    assert tally({N1: True, N3: False}, JOINT) is VoteResult.PENDING
    assert tally({N1: True, N3: False, N2: False}, JOINT) is VoteResult.LOST
    assert count_votes({N1: True, N2: True, N3: True, N5: True}, THREE) == (3, 2)
    assert count_votes({N1: True, N3: True}, JOINT) == (1, 2), "of the group that lacks more"


def test_what_is_committed_is_on_both_majorities() -> None:
    assert reached_by_quorum(held(n1=9, n2=7, n3=5), THREE) == 7
    assert reached_by_quorum(held(n1=9, n2=7, n3=5, n4=8), JOINT) == 7
    assert reached_by_quorum(held(n1=9, n4=9, n5=9), JOINT) == 0
    assert reached_by_quorum(held(n1=9, n4=9, n3=3), JOINT) == 3


# -- text


def test_a_configuration_is_one_line_a_member() -> None:
    known = JOINT.with_member(replace(Member(N1), incarnation="77", address=("tcp://a:1", "tcp://a:2")))
    text = "n1 voter 77 tcp://a:1 tcp://a:2\nn2 voter -\nn3 outgoing -\nn4 incoming -\nn5 learner -"
    assert known.encode() == text.encode()
    assert Configuration.decode(text.encode()) == known
    assert Configuration.decode(b"") == Configuration()
    assert JOINT.describe() == "voters n1 n2 n4, before n1 n2 n3, learners n5"
    assert Configuration().describe() == "nobody"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"n1",
        b"n1 voter",
        b"n1 king -",
        b"n1 voter -\n",
        b"n1 voter -\nn1 learner -",
        b" voter -",
        b"n1 learner -",
        b"\n".join(b"n%d voter -" % number for number in range(2 * MEMBERS_MAX + 1)),
    ],
)
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Configuration.decode(data)


# -- the history of them in the log


def test_configurations_move_with_the_log() -> None:
    known = Configurations(THREE, LogIndex(0), None)
    known.append(LogIndex(4), WITH_LEARNER)
    known.append(LogIndex(7), JOINT)
    assert known.at(LogIndex(3)) == (0, THREE)
    assert known.at(LogIndex(6)) == (4, WITH_LEARNER)
    known.truncate(LogIndex(6))
    assert (known.latest, known.latest_index) == (WITH_LEARNER, 4)
    known.compact(LogIndex(5))
    assert known.at(LogIndex(5)) == (4, WITH_LEARNER), "the one in effect there is kept"
    known.truncate(LogIndex(5))
    assert known.latest == WITH_LEARNER
    known.restart(LogIndex(9), JOINT)
    assert (known.latest, known.latest_index) == (JOINT, 9)
    known.restart(LogIndex(12), None)
    assert (known.latest, known.latest_index) == (THREE, 0), "a snapshot that says nothing about members"


# -- changes


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (AddLearner(N4), Refusal.NAME_TAKEN),
        (AddLearner(N1), Refusal.NAME_TAKEN),
        (AddLearner(N5, ("tcp://a:1",)), Refusal.ADDRESS_TAKEN),
        (Promote(N5), Refusal.UNKNOWN),
        (Promote(N1), Refusal.NO_LEARNER),
        (Remove(N5), Refusal.UNKNOWN),
        (Replace(N5, N4), Refusal.UNKNOWN),
        (Replace(N1, N5), Refusal.UNKNOWN),
        (Replace(N1, N2), Refusal.NO_LEARNER),
        (Replace(N4, N4), Refusal.NO_LEARNER),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(change: Change, refused: Refusal) -> None:
    now = WITH_LEARNER.with_member(Member(N2, address=("tcp://a:1", "tcp://a:2")))
    assert plan(now, change) is refused


def test_the_last_voter_stays_and_a_full_cluster_takes_nobody() -> None:
    alone = Configuration((Member(N1), Member(N4, Part.LEARNER)))
    assert plan(alone, Remove(N1)) is Refusal.LAST_VOTER
    assert plan(Configuration.of(NAMES), AddLearner(NodeId("n10"))) is Refusal.TOO_MANY


def test_only_a_change_of_voters_is_joint() -> None:
    added = plan(THREE, AddLearner(N4, ("tcp://a:1",)))
    assert added == THREE.with_member(Member(N4, Part.LEARNER, "", ("tcp://a:1",)))
    assert plan(WITH_LEARNER, Remove(N4)) == THREE
    for change, voters in (
        (Promote(N4), (N1, N2, N3, N4)),
        (Remove(N1), (N2, N3)),
        (Replace(N1, N4), (N2, N3, N4)),
    ):
        planned = plan(WITH_LEARNER, change)
        assert isinstance(planned, Configuration)
        assert planned.joint
        assert (planned.voters, planned.outgoing) == (voters, (N1, N2, N3))
        assert planned.left().voters == voters


configurations = st.lists(st.sampled_from(Part), min_size=1, max_size=7).map(
    lambda parts: Configuration(tuple(map(Member, NAMES, parts)))
)


@given(configurations, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_two_quorums_always_share_somebody(
    found: Configuration, one: set[NodeId], other: set[NodeId]
) -> None:
    """Also where one decides by the joint configuration and the other by what was before or comes after."""
    before = Configuration.of(found.outgoing or found.voters)
    after = Configuration.of(found.voters)
    for left, right in ((found, found), (found, before), (found, after)):
        if left.voters and right.voters and is_quorum(one, left) and is_quorum(other, right):
            assert one & other


@pytest.mark.parametrize(
    ("known", "bound", "may_be"),
    [("", False, ["ab1", "x"]), ("ab1", True, ["ab1"]), ("ab*", False, ["ab1", "ab2"])],
)
def test_which_folder_a_member_is(known: str, bound: bool, may_be: list[str]) -> None:
    member = Member(NodeId("n1"), incarnation=known)
    assert member.bound is bound
    assert [each for each in ("ab1", "ab2", "x", "a") if member.may_be(each)] == [
        each for each in ("ab1", "ab2", "x", "a") if each in may_be or not known
    ]
    assert Configuration.decode(Configuration((member,)).encode()).members == (member,)
