"""Bugs in reads by a lease, in the promises they rest on, and in who is to lead."""

from __future__ import annotations

from raftkv.raft import election
from raftkv.raft.core import Raft
from raftkv.raft.leader import Leadership
from raftkv.raft.succession import Succession
from tests.mutants.planting import Edit, Mutant, Part


def _mutant(name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, Part.RAFT, edits)


MUTANTS = (
    _mutant(
        "lease-read-after-a-pause",
        "a lease that was valid once never ends",
        "34",
        Edit(
            Leadership.lease_holds,
            "raft.now_us < reached_by_quorum(answered, raft.configuration) + lease_us",
            "reached_by_quorum(answered, raft.configuration) > 0",
        ),
    ),
    _mutant(
        "lease-during-a-transfer",
        "a leader that hands over goes on serving reads by its lease",
        "34",
        Edit(
            Leadership.lease_holds,
            "self.succession.transferee is not None or self.succession.somebody_was_told",
            "self.succession.somebody_was_told",
        ),
    ),
    _mutant(
        "lease-after-a-transfer",
        "a leader that has told somebody to campaign serves reads by its lease again",
        "34",
        Edit(Leadership.lease_holds, " or self.succession.somebody_was_told", ""),
    ),
    _mutant(
        "lease-of-a-minority",
        "one answer is enough for a lease",
        "34",
        Edit(
            Leadership.lease_holds,
            "reached_by_quorum(answered, raft.configuration)",
            "max(answered.values())",
        ),
    ),
    _mutant(
        "promise-forgotten-by-a-restart",
        "a node that starts votes at once, whatever its last life has promised",
        "34",
        Edit(
            Raft.__init__,
            "self.quiet_ticks = 0 if options.lease_us else options.election_ticks_min",
            "self.quiet_ticks = options.election_ticks_min",
        ),
    ),
    _mutant(
        "promise-ends-with-the-term",
        "a follower whose term was raised votes although it has promised not to",
        "34",
        Edit(election.on_request_vote, "raft.promised and not message.transfer", "False"),
    ),
    _mutant(
        "promise-broken-by-an-operator",
        "a node that is told to campaign does so although it has promised not to",
        "34",
        Edit(Raft.campaign, " and not self.promised", ""),
    ),
    _mutant(
        "gives-way-to-whoever-lags",
        "a leader hands over to a node of higher rank that is not up to date",
        "",
        Edit(Succession.give_way, " and caught_up(peer)", ""),
    ),
    _mutant(
        "gives-way-over-and-over",
        "a node of high rank that keeps failing takes leadership along each time",
        "",
        Edit(Succession.give_way, " or lately", ""),
    ),
)
