"""§5.3: log replication."""

from __future__ import annotations

import pytest

from raftkv.raft.messages import AppendEntries
from tests.paper.support import N2, N3, accepted, at, leader, log_of, progress, rejected, step, turn
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries


def test_a_command_is_safe_when_a_majority_has_it_and_only_then_applied() -> None:
    """§5.3: the leader applies once the entry has been safely replicated."""
    cluster = RaftCluster(5)
    cluster.elect("n1")
    cluster.block(["n1", "n2"], ["n3", "n4", "n5"])
    cluster.propose("n1", "a")
    cluster.settle()
    assert cluster.data("n1") == []
    cluster.heal()
    cluster.run(2 * OPTIONS.heartbeat_ticks)
    assert cluster.data("n1") == ["a"]


def test_a_slow_or_crashed_follower_is_sent_what_it_lacks_until_it_has_all() -> None:
    """§5.3: retried without end, even after the command has been answered."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.crash("n3")
    cluster.propose("n1", "a", "b", "c")
    cluster.settle()
    assert cluster.data("n1") == ["a", "b", "c"]
    cluster.run(5 * OPTIONS.election_ticks_max)
    cluster.restart("n3")
    cluster.run(3 * OPTIONS.heartbeat_ticks)
    assert cluster.data("n3") == ["a", "b", "c"]


def test_committing_an_entry_commits_all_before_it() -> None:
    """§5.3: those of earlier leaders included."""
    raft = leader(entries(1, 2, 2), term=2)
    assert [entry.index for entry in step(raft, accepted(3, 4)).committed] == [1, 2, 3, 4]


def test_followers_learn_of_a_commit_from_the_leaders_next_messages() -> None:
    """§5.3: the highest committed index travels with appends; here with heartbeats as well."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a")
    cluster.deliver()
    cluster.deliver()
    assert cluster["n1"].log.commit_index == 2
    assert cluster["n2"].log.commit_index == 1
    cluster.tick("n1")
    cluster.settle()
    assert [cluster[name].log.commit_index for name in ("n2", "n3")] == [2, 2]


def test_a_leader_creates_one_entry_for_an_index_in_a_term() -> None:
    """§5.3, log matching, first half: equal index and term mean an equal command."""
    raft = leader()
    for number in range(5):
        raft.propose([b"%d" % number])
    assert len(set(log_of(raft))) == len(log_of(raft)) == 6


def test_an_append_names_the_entry_right_before_it() -> None:
    """§5.3, log matching, second half: index and term, for the follower to check."""
    raft = leader(entries(1, 2), term=2)
    step(raft, accepted(3, 3))
    for number in range(3):
        raft.propose([b"%d" % number])
        (message,) = [m for m in turn(raft).of(AppendEntries) if m.to == N2]
        assert (message.prev_log_index, message.prev_log_term) == (3 + number, 3)
        assert message.entries[0].index == 4 + number


FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


@pytest.mark.parametrize("case", FIGURE_7)
def test_a_follower_is_made_to_duplicate_the_leaders_log(case: str) -> None:
    """§5.3 and Figure 7: missing entries, extra ones, or both, over several terms."""
    leaders = entries(1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    cluster = RaftCluster(3)
    cluster.start("n1", leaders, term=7)
    cluster.start("n2", leaders, term=7)
    cluster.start("n3", entries(*FIGURE_7[case]), term=7)
    cluster.elect("n1")
    assert cluster["n3"].log.entries == cluster["n1"].log.entries
    assert cluster.terms("n3") == [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]


def test_the_leader_finds_the_last_entry_on_which_both_agree() -> None:
    """§5.3: then sends all that follows it."""
    raft = leader(entries(1, 1, 4, 4), term=4)
    done = step(raft, rejected(5, 4, conflict=(3, 2)))
    (probe,) = done.of(AppendEntries)
    assert (probe.prev_log_index, probe.prev_log_term) == (2, 1)
    step(raft, accepted(5, 5))
    assert progress(raft).match_index == 5


def test_a_leader_skips_all_conflicting_entries_of_a_term_at_once() -> None:
    """§5.3, end: one rejection for each term, not for each entry."""
    raft = leader(entries(1, *[3] * 50), term=3)
    (probe,) = step(raft, rejected(4, 51, conflict=(2, 2))).of(AppendEntries)
    assert probe.prev_log_index == 1


def test_where_the_leader_has_the_conflicting_term_it_goes_on_behind_its_own_last_of_it() -> None:
    """§5.3, end, the other case: what of that term they share need not be sent again."""
    raft = leader(entries(1, 2, 2, 3, 3), term=3)
    (probe,) = step(raft, rejected(4, 5, conflict=(2, 2))).of(AppendEntries)
    assert probe.prev_log_index == 3


def test_a_leader_never_touches_its_own_log_to_bring_others_into_line() -> None:
    """§5.3: nothing special happens at an election; consistency comes from the ordinary appends."""
    raft = leader(entries(1, 1), term=1)
    before = log_of(raft)
    step(raft, rejected(2, 2, conflict=(1, 0)), rejected(2, 2, conflict=(1, 0), sender=N3))
    assert log_of(raft) == before


def test_one_slow_follower_does_not_hold_the_others_up() -> None:
    """§5.3: a command is accepted, replicated and applied as fast as a majority takes it."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n3"], ["n1", "n2"])
    for number in range(20):
        cluster.propose("n1", f"c{number}")
        cluster.deliver()
        cluster.deliver()
        assert len(cluster.data("n1")) == number + 1
    assert at(2, 1, b"c0") in cluster["n2"].log.entries
