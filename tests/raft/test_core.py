"""The core's ordinary life: election, replication, catching up, reads."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace

from raftkv.raft import Proposal, RaftOptions, Role
from raftkv.raft.log import ENTRY_OVERHEAD_BYTES
from raftkv.raft.messages import (
    AppendEntries,
    Heartbeat,
    HeartbeatResponse,
    PreVote,
    PreVoteResponse,
    RequestVote,
)
from raftkv.raft.progress import ProgressState
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries


def test_a_cluster_elects_one_leader_and_commits_its_no_op() -> None:
    cluster = RaftCluster(3)
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.run(5)
    leader = cluster.leader()
    assert leader is not None
    assert leader.log.commit_index == 1
    assert all(raft.leader_id == leader.node_id for raft in cluster.nodes.values())


def test_a_cluster_of_one_elects_itself_once_its_vote_is_durable() -> None:
    cluster = RaftCluster(1, auto=False)
    cluster.tick("n1", OPTIONS.election_ticks_max)
    assert cluster.roles() == {"n1": Role.CANDIDATE}
    cluster.persist("n1")
    assert cluster.roles() == {"n1": Role.LEADER}


def test_commands_are_applied_everywhere_in_order() -> None:
    cluster = RaftCluster(5)
    cluster.elect("n1")
    cluster.propose("n1", "a", "b")
    cluster.propose("n1", "c")
    cluster.settle()
    cluster.tick("n1", 2)
    cluster.settle()
    for name in cluster.names:
        assert cluster.data(name) == ["a", "b", "c"]


def test_a_follower_refuses_proposals() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    assert cluster["n2"].propose([b"x"]) is Proposal.NOT_LEADER


def test_a_follower_far_behind_catches_up_through_probe_to_replicate() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n3"], ["n1", "n2"])
    for number in range(50):
        cluster.propose("n1", f"c{number}")
        cluster.settle()
    leadership = cluster["n1"].leadership
    assert leadership is not None
    cluster.heal()
    cluster.run(20)
    assert leadership.progress[NodeId("n3")].state is ProgressState.REPLICATE
    assert len(cluster.data("n3")) == 50


def test_a_divergent_follower_is_brought_into_line_in_few_steps() -> None:
    """Figure 7 (f): a follower with two terms of entries that no leader ever committed."""
    cluster = RaftCluster(3)
    cluster.start("n1", entries(1, 1, 1, 4, 4, 5, 5, 6, 6, 6), term=6)
    cluster.start("n2", entries(1, 1, 1, 4, 4, 5, 5, 6, 6, 6), term=6)
    cluster.start("n3", entries(1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3), term=3)
    cluster.elect("n1")
    assert cluster.terms("n3") == cluster.terms("n1")


def test_figure_7_every_follower_ends_with_the_leaders_log() -> None:
    leader_log = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    followers = [
        (1, 1, 1, 4, 4, 5, 5, 6, 6),
        (1, 1, 1, 4),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
        (1, 1, 1, 4, 4, 4, 4),
        (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
    ]
    cluster = RaftCluster(7)
    cluster.start("n1", entries(*leader_log), term=7)
    for number, log in enumerate(followers, start=2):
        cluster.start(f"n{number}", entries(*log), term=7)
    cluster.elect("n1")
    for number in range(2, 8):
        assert cluster.terms(f"n{number}") == [*leader_log, 8]


def test_a_rejection_skips_a_whole_term_at_a_time() -> None:
    """A follower with 100 entries of one stale term costs a handful of round trips, not 100."""
    cluster = RaftCluster(3)
    cluster.start("n1", entries(*[1] * 5, *[4] * 100), term=4)
    cluster.start("n2", entries(*[1] * 5, *[4] * 100), term=4)
    cluster.start("n3", entries(*[1] * 5, *[2] * 50, *[3] * 50), term=4)
    cluster.block(["n3"], ["n1", "n2"])
    cluster.elect("n1")
    cluster.heal()
    cluster.network.clear()
    appends = 0
    for _ in range(40):
        cluster.tick("n1")
        appends += sum(isinstance(m, AppendEntries) and m.to == "n3" for m in cluster.network)
        cluster.deliver()
    assert cluster.terms("n3") == cluster.terms("n1")
    assert appends <= 6


def test_pre_vote_keeps_a_node_that_returns_from_deposing_the_leader() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    term = cluster["n1"].current_term
    cluster.block(["n3"], ["n1", "n2"])
    cluster.run(10 * OPTIONS.election_ticks_max)
    assert cluster["n3"].current_term == term
    cluster.heal()
    cluster.run(OPTIONS.election_ticks_max)
    assert cluster["n1"].role is Role.LEADER
    assert cluster["n1"].current_term == term


def test_a_leader_without_a_quorum_steps_down() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n1"], ["n2", "n3"])
    cluster.tick("n1", 3 * OPTIONS.election_ticks_min)
    assert cluster["n1"].role is not Role.LEADER


def test_a_leadership_that_has_ended_is_let_go_of() -> None:
    """Nodes run without a collector of cycles, and there may be an election a second."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.run(50)
    leadership = cluster["n1"].leadership
    assert leadership
    cluster["n1"].step_down("for a test")
    gc.disable()
    try:
        assert sys.getrefcount(leadership) == 2, "of the name here, and of the one who counts"
    finally:
        gc.enable()


def test_an_append_pipeline_is_bounded() -> None:
    options = RaftOptions(
        election_ticks_min=10, election_ticks_max=20, heartbeat_ticks=2, inflight_messages_max=3
    )
    cluster = RaftCluster(3, options=options)
    cluster.elect("n1")
    cluster.blocked.add((NodeId("n3"), NodeId("n1")))
    cluster.network.clear()
    for number in range(10):
        cluster.propose("n1", f"c{number}")
    sent = [m for m in cluster.network if isinstance(m, AppendEntries) and m.to == "n3"]
    assert len(sent) == 3


def test_lost_appends_are_found_out_and_sent_again() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.drop(lambda message: isinstance(message, AppendEntries) and message.to == "n3")
    cluster.settle()
    cluster.run(4 * OPTIONS.heartbeat_ticks)
    assert cluster.data("n3") == ["a"]


def test_reads_share_one_round() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.network.clear()
    for context in range(1, 6):
        cluster["n1"].read_index(context)
    cluster.read("n1", 6)
    heartbeats = [m for m in cluster.network if isinstance(m, Heartbeat)]
    assert len(heartbeats) == 2
    cluster.settle()
    assert [state.context for state in cluster.reads[NodeId("n1")]] == [1, 2, 3, 4, 5, 6]


def test_a_follower_gets_its_read_index_from_the_leader() -> None:
    cluster = RaftCluster(3)
    leader = cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.settle()
    cluster.read("n2", 77)
    cluster.settle()
    (state,) = cluster.reads[NodeId("n2")]
    assert (state.context, state.read_index) == (77, leader.log.commit_index)


def test_a_followers_read_fails_when_the_answer_does_not_come() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.read("n2", 5)
    cluster.network.clear()
    for _ in range(OPTIONS.election_ticks_max + 1):
        cluster.tick("n1")
        cluster.tick("n2")
        cluster.deliver()
    assert [tuple(state) for state in cluster.reads[NodeId("n2")]] == [(5, None)]


def test_reads_of_a_lost_leadership_fail() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.read("n1", 9)
    cluster.block(["n1"], ["n2", "n3"])
    cluster.tick("n1", 3 * OPTIONS.election_ticks_min)
    assert [tuple(state) for state in cluster.reads[NodeId("n1")]] == [(9, None)]


def test_a_read_without_a_leader_fails_at_once() -> None:
    cluster = RaftCluster(3)
    cluster.read("n1", 1)
    assert [tuple(state) for state in cluster.reads[NodeId("n1")]] == [(1, None)]


def test_messages_for_others_and_of_itself_are_ignored() -> None:
    cluster = RaftCluster(3)
    raft = cluster["n1"]
    raft.step(RequestVote(NodeId("n1"), NodeId("n1"), Term(5), LogIndex(9), Term(5)))
    raft.step(RequestVote(NodeId("n2"), NodeId("n3"), Term(5), LogIndex(9), Term(5)))
    assert raft.current_term == 0


def test_an_old_heartbeat_response_confirms_no_later_round() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.read("n1", 1)
    cluster.settle()
    stale = HeartbeatResponse(NodeId("n2"), NodeId("n1"), cluster["n1"].current_term, 1)
    cluster.read("n1", 2)
    cluster["n1"].step(stale)
    cluster._pump(NodeId("n1"))
    assert [state.context for state in cluster.reads[NodeId("n1")]] == [1]


def test_a_pre_vote_changes_nothing_at_the_one_asked() -> None:
    cluster = RaftCluster(3)
    raft = cluster["n1"]
    raft.election_elapsed = 7
    raft.step(PreVote(NodeId("n2"), NodeId("n1"), Term(4), LogIndex(0), Term(0)))
    assert (raft.current_term, raft.voted_for, raft.election_elapsed) == (0, None, 7)


def test_nothing_uncommitted_counts_nothing() -> None:
    """The no-op of the term counts when it is appended, as it does when it commits."""
    cluster = RaftCluster(3)
    leader = cluster.elect("n1")
    assert leader.leadership is not None
    assert leader.leadership.uncommitted_bytes == 0
    cluster.propose("n1", "a", "b")
    assert leader.leadership.uncommitted_bytes == 2 * (ENTRY_OVERHEAD_BYTES + 1)
    cluster.settle()
    assert leader.leadership.uncommitted_bytes == 0


def test_whoever_leaves_its_timeout_to_others_vouches_for_the_dead_leader_no_longer() -> None:
    """n2 has much to apply and does not campaign itself; but n3 needs its vote, and gets it at once."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    behind = cluster["n2"]
    behind.options = replace(behind.options, unapplied_entries_max=-1)
    cluster.crash("n1")
    cluster.tick("n2", OPTIONS.election_ticks_max)
    assert (behind.role, behind.leader_id, behind.leader_is_fresh) == (Role.FOLLOWER, None, False)
    cluster.tick("n3", OPTIONS.election_ticks_max)
    cluster.settle()
    assert cluster["n3"].role is Role.LEADER


def test_a_late_refusal_does_not_hide_the_grant_of_a_new_campaign() -> None:
    """A refusal says nothing of the campaign that it answers, and the network may hold it up."""
    cluster = RaftCluster(3)
    cluster.elect("n3")
    n1, n2 = cluster["n1"], cluster["n2"]
    n1.campaign()
    cluster._pump(n1.node_id)
    cluster.deliver(lambda message: isinstance(message, PreVote))
    (late,) = [each for each in cluster.network if isinstance(each, PreVoteResponse) and each.sender == "n2"]
    assert not late.granted, "it hears its leader"
    cluster.crash("n3")
    cluster.network.clear()
    n2.election_elapsed = OPTIONS.election_ticks_min
    n1.campaign()
    cluster._pump(n1.node_id)
    n1.step(late)
    assert cluster.roles()["n1"] is Role.PRE_CANDIDATE
    cluster.settle()
    assert cluster.roles()["n1"] is Role.LEADER


def test_leadership_is_handed_to_whoever_is_alive_and_not_to_whoever_is_first() -> None:
    """Right after the quorum was checked nobody has been heard from yet, and the dead hold as much."""
    for dead, alive in (("n2", "n3"), ("n3", "n2")):
        cluster = RaftCluster(3)
        leader = cluster.elect("n1")
        cluster.propose("n1", "a")
        cluster.settle()
        cluster.crash(dead)
        cluster.run(2 * OPTIONS.election_ticks_min)
        leadership = leader.leadership
        assert leadership
        while leadership.quorum_elapsed:
            cluster.settle()
            cluster.tick_all()
        assert not any(book.recent_active for book in leadership.progress.values())
        assert leader.transfer_leadership()
        assert leader.status().transferee == alive
