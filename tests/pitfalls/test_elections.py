"""PITFALLS 14-17 and 19-21: elections that real systems got wrong."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import raftkv
from raftkv.raft import Proposal, Role, dispatch, trace
from raftkv.raft.founding import FOUNDING_MESSAGES
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    PreVote,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
)
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")


def test_pitfall_14_only_the_core_assigns_its_term_vote_and_role() -> None:
    """No module outside ``raft`` writes a field of the core; within it, term and role have one owner."""
    owned = {"current_term", "voted_for", "role", "leader_id", "commit_index"}
    allowed = {
        "raftkv.raft.core": owned,
        "raftkv.raft.election": {"voted_for"},
        "raftkv.raft.log": {"commit_index"},
    }
    package = Path(inspect.getfile(raftkv)).parent
    for info in pkgutil.walk_packages([str(package)], "raftkv."):
        if info.name == "raftkv.__main__":
            continue
        module = import_module(info.name)
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AugAssign) else targets
            for target in targets:
                if isinstance(target, ast.Attribute) and target.attr in owned:
                    assert target.attr in allowed.get(info.name, set()), f"{info.name} sets {target.attr}"


def test_pitfall_15_a_leader_whose_disk_hangs_steps_down() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.auto = False
    cluster.propose("n1", "a")
    for _ in range(OPTIONS.election_ticks_min + 1):
        # Heartbeats flow all the while; only n1's disk says nothing.
        cluster.tick_all()
        cluster.persist("n2")
        cluster.persist("n3")
        cluster.deliver()
    assert cluster["n1"].role is not Role.LEADER
    assert cluster["n1"].disk_stalled


def test_pitfall_15_a_node_whose_disk_hangs_does_not_campaign_itself_deaf() -> None:
    cluster = RaftCluster(3, auto=False)
    cluster["n1"].step(AppendEntries(N2, N1, Term(1), LogIndex(0), Term(0), entries(1), LogIndex(0)))
    cluster._pump(N1)
    cluster.tick("n1", 10 * OPTIONS.election_ticks_max)
    assert cluster["n1"].current_term == 1
    assert cluster["n1"].role is Role.FOLLOWER
    assert not [message for message in cluster.network if isinstance(message, PreVote)]


def test_pitfall_15_a_slow_disk_starts_no_election() -> None:
    """Slow, but never silent for an election timeout: each acknowledgement starts the wait anew."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    term = cluster["n1"].current_term
    cluster.auto = False
    for round_number in range(10):
        cluster.propose("n1", f"c{round_number}")
        for _ in range(OPTIONS.election_ticks_min - 2):
            cluster.tick_all()
            cluster.deliver()
        for name in cluster.names:
            cluster.persist(name)
    assert cluster["n1"].role is Role.LEADER
    assert cluster["n1"].current_term == term


def test_pitfall_16_a_vote_at_a_higher_term_that_is_refused_counts_for_nothing() -> None:
    """The voter adopts the term, but its log is ahead: it refuses, and the refusal carries the term."""
    cluster = RaftCluster(3)
    cluster.start("n2", entries(1, 1), term=1)
    cluster.start("n3", entries(1, 1), term=1)
    cluster["n1"].become_pre_candidate()
    cluster["n1"].become_candidate(trace.REASON_PRE_VOTE_WON)
    for voter in (N2, N3):
        cluster[voter].step(RequestVote(N1, voter, Term(2), LogIndex(0), Term(0)))
        cluster._pump(voter)
        assert cluster[voter].current_term == 2
    for message in cluster.network:
        if isinstance(message, RequestVoteResponse):
            assert not message.granted
            cluster["n1"].step(message)
    assert cluster["n1"].role is not Role.LEADER


def test_pitfall_17_a_pre_vote_response_is_no_vote() -> None:
    cluster = RaftCluster(5)
    cluster["n1"].become_pre_candidate()
    cluster["n1"].become_candidate(trace.REASON_PRE_VOTE_WON)
    term = cluster["n1"].current_term
    for voter in ("n2", "n3", "n4", "n5"):
        cluster["n1"].step(PreVoteResponse(NodeId(voter), N1, Term(term + 1), True))
    assert cluster.roles()["n1"] is Role.CANDIDATE


def test_pitfall_17_a_pre_vote_takes_no_vote_away() -> None:
    cluster = RaftCluster(3)
    cluster["n1"].step(PreVote(N2, N1, Term(1), LogIndex(0), Term(0)))
    cluster["n1"].step(RequestVote(N3, N1, Term(1), LogIndex(0), Term(0)))
    assert cluster["n1"].voted_for == N3


def test_pitfall_17_a_node_with_a_higher_term_and_an_old_log_does_not_block_elections() -> None:
    """With pre-vote and check-quorum: a lone higher term must neither win nor keep others from it."""
    cluster = RaftCluster(3)
    cluster.start("n1", entries(1), term=9)
    cluster.start("n2", entries(1, 1, 1), term=1)
    cluster.start("n3", entries(1, 1, 1), term=1)
    cluster.run_until(lambda: cluster.leader() is not None and cluster["n1"].leader_id is not None)
    leader = cluster.leader()
    assert leader is not None
    assert leader.node_id != "n1"
    assert leader.current_term > 9


def test_pitfall_17_a_leader_of_the_past_learns_of_the_new_term_from_its_own_heartbeats() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n1"], ["n2", "n3"])
    for name in ("n2", "n3"):
        cluster[name].election_elapsed = OPTIONS.election_ticks_min
    cluster["n2"].campaign()
    cluster._pump(N2)
    cluster.settle()
    assert cluster["n2"].role is Role.LEADER
    cluster.heal()
    cluster.network.clear()
    cluster.tick("n1", OPTIONS.heartbeat_ticks)
    cluster.settle()
    assert cluster["n1"].role is Role.FOLLOWER
    assert cluster["n1"].current_term == cluster["n2"].current_term


def test_pitfall_19_a_rejected_append_resets_the_election_timer() -> None:
    cluster = RaftCluster(3)
    cluster["n1"].election_elapsed = 9
    cluster["n1"].step(AppendEntries(N2, N1, Term(1), LogIndex(7), Term(1), [], LogIndex(0)))
    assert cluster["n1"].election_elapsed == 0
    cluster._pump(N1)
    answers = [m for m in cluster.network if isinstance(m, AppendEntriesResponse)]
    assert [answer.success for answer in answers] == [False]


def test_pitfall_20_the_election_timeout_is_drawn_anew_every_time() -> None:
    cluster = RaftCluster(3)
    drawn = set()
    for _ in range(200):
        cluster["n1"].reset_election_timer()
        drawn.add(cluster["n1"].election_timeout)
    assert drawn == set(range(OPTIONS.election_ticks_min, OPTIONS.election_ticks_max + 1))


def test_pitfall_20_split_votes_end() -> None:
    """All nodes time out in the same tick, again and again: some draw breaks the tie."""
    for seed in range(20):
        cluster = RaftCluster(4, seed)
        for name in cluster.names:
            cluster[name].election_elapsed = 0
            cluster[name].election_timeout = 10
        cluster.run_until(lambda cluster=cluster: cluster.leader() is not None, ticks_max=300)  # type: ignore[misc]


def test_pitfall_21_a_leader_heeds_a_newer_term_in_any_reply() -> None:
    replies = [
        AppendEntriesResponse(N2, N1, Term(8), False, LogIndex(0), LogIndex(0), Term(0), LogIndex(1)),
        HeartbeatResponse(N2, N1, Term(8), 0),
        RequestVoteResponse(N2, N1, Term(8), False),
        PreVoteResponse(N2, N1, Term(8), False),
    ]
    for reply in replies:
        cluster = RaftCluster(3)
        cluster.elect("n1")
        cluster["n1"].step(reply)
        assert cluster.roles()["n1"] is Role.FOLLOWER, reply
        assert cluster["n1"].current_term == 8


def test_pitfall_21_outdated_requests_are_answered_with_the_newer_term() -> None:
    cluster = RaftCluster(3)
    cluster.start("n1", (), term=5)
    cluster["n1"].step(Heartbeat(N2, N1, Term(3), LogIndex(0), 0))
    cluster["n1"].step(RequestVote(N2, N1, Term(3), LogIndex(9), Term(3)))
    cluster["n1"].step(PreVote(N2, N1, Term(4), LogIndex(9), Term(3)))
    cluster._pump(N1)
    assert [(type(m), m.term) for m in cluster.network] == [
        (AppendEntriesResponse, 5),
        (PreVoteResponse, 5),
        (RequestVoteResponse, 5),
    ]


def test_the_core_names_every_message_it_handles() -> None:
    """A message class without a handler would be a KeyError in production."""
    from raftkv.raft import messages

    kinds = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, messages.Message) and kind is not messages.Message
    }
    ahead = {PreVote, *FOUNDING_MESSAGES}
    assert kinds - set(dispatch._HANDLERS) == ahead, "these are handled ahead of the table"


def test_pitfall_22_nothing_of_a_transfer_outlives_the_leadership() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    assert cluster["n1"].transfer_leadership(N2)
    cluster.tick("n1")
    assert cluster["n1"].status().transferee == N2
    cluster.network.clear()
    cluster.elect("n3")
    assert cluster["n1"].role is Role.FOLLOWER
    cluster.elect("n1")
    assert cluster["n1"].status().transferee is None
    cluster.propose("n1", "a")
    cluster.settle()
    assert cluster.data("n1") == ["a"]


def test_pitfall_22_a_transfer_that_fails_ends_by_itself() -> None:
    cluster = RaftCluster(3)
    leader = cluster.elect("n1")
    cluster.crash("n2")
    assert leader.transfer_leadership(N2)
    assert leader.propose([b"a"]) is Proposal.BUSY
    cluster.run(cluster.options.election_ticks_min)
    assert leader.role is Role.LEADER
    assert leader.propose([b"a"]) is Proposal.ACCEPTED
    assert not leader.transfer_leadership(NodeId("n9"))
