"""What a leader takes for agreed about leases that have lapsed."""

from __future__ import annotations

from raftkv.actors.leases import LeaseActor
from raftkv.actors.messages import EndLeases, MembershipChanged, PeerLapsed, SoftStateChanged
from raftkv.kv import StateMachine
from raftkv.raft import Configuration, Membership, Role, SoftState
from raftkv.types import LogIndex, NodeId, Term
from tests.actors.recorded import Recorded

N1, N2, N3 = (NodeId(f"n{number}") for number in (1, 2, 3))
LAPSE = (5, 5)
"""(lease, renewed at)"""


def leading(context: Recorded) -> LeaseActor:
    machine = StateMachine()
    machine.leases.grant(5, 1000)
    actor = LeaseActor(context, N1, lambda: machine, 10)
    three = Configuration.of([N1, N2, N3])
    actor.handle(MembershipChanged(Membership(three, LogIndex(1), three, LogIndex(1))))
    actor.handle(SoftStateChanged(SoftState(Role.LEADER, N1, Term(1))))
    return actor


def test_a_majority_ends_a_lease() -> None:
    context = Recorded()
    actor = leading(context)
    actor.handle(PeerLapsed(N2, Term(1), (LAPSE,)))
    assert context.of(EndLeases) == []
    actor.handle(PeerLapsed(N3, Term(1), (LAPSE,)))
    assert [each.lapses for each in context.of(EndLeases)] == [(LAPSE,)]


def test_what_was_agreed_in_an_earlier_term_counts_no_more() -> None:
    """With every leader a lease has its full time again: a single fast clock must not end it."""
    context = Recorded()
    actor = leading(context)
    actor.handle(PeerLapsed(N2, Term(1), (LAPSE,)))
    actor.handle(SoftStateChanged(SoftState(Role.FOLLOWER, N3, Term(2))))
    actor.handle(SoftStateChanged(SoftState(Role.LEADER, N1, Term(3))))
    actor.handle(PeerLapsed(N3, Term(3), (LAPSE,)))
    assert context.of(EndLeases) == []
