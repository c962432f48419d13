"""PITFALLS 1-9 and 11-13: what real systems lost, and why raftkv does not."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from raftkv.errors import CorruptLog, StorageFailed
from raftkv.raft import HardState, Role
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
)
from raftkv.storage import Identity, Wal, WalOptions
from raftkv.storage.memory import MemoryDirectory, keep, keep_prefix, lose
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import OPTIONS, RaftCluster, entries
from tests.support.world import World

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")
IDENTITY = Identity("test", N1, "first")
SMALL = WalOptions(segment_bytes=4096)


class PowerLossError(Exception):
    """Raised by a disk's hook: nothing after this happened."""


def fail_at(wanted: str, number: int) -> Callable[[str], None]:
    count = 0

    def before(operation: str) -> None:
        nonlocal count
        if operation == wanted:
            count += 1
            if count == number:
                raise PowerLossError

    return before


def open_wal(directory: MemoryDirectory) -> tuple[Wal, list[int]]:
    wal, recovered = Wal.open(directory, IDENTITY, SMALL)
    return wal, [entry.index for entry in recovered.entries]


def test_pitfall_01_entries_of_earlier_terms_are_not_committed_by_counting() -> None:
    """Figure 8 (c): term 2's entry on a majority, but term 4 has committed nothing of its own yet."""
    cluster = RaftCluster(5)
    cluster.start("n1", entries(1, 2), term=3)
    cluster.start("n2", entries(1, 2), term=3)
    cluster.start("n3", entries(1, 2), term=3)
    cluster.start("n4", entries(1), term=3)
    cluster.start("n5", entries(1, 3), term=3)
    cluster.block(["n5"], ["n1", "n2", "n3", "n4"])
    cluster["n1"].campaign()
    cluster._pump(N1)
    # Let n1 win, but hold back the no-op of its own term from everyone.
    for _ in range(20):
        cluster.deliver(
            lambda m: not (isinstance(m, AppendEntries) and any(entry.term == 4 for entry in m.entries))
        )
        if cluster["n1"].role is Role.LEADER:
            break
    assert cluster["n1"].role is Role.LEADER
    leadership = cluster["n1"].leadership
    assert leadership is not None
    for peer in (N2, N3):
        message = AppendEntriesResponse(
            peer, N1, Term(4), True, LogIndex(2), LogIndex(1), Term(0), LogIndex(0)
        )
        cluster["n1"].step(message)
    assert leadership.progress[N3].match_index == 2
    assert cluster["n1"].log.commit_index == 0, "term 2's entry sits on a majority, yet is not committed"
    cluster.drop()
    cluster.run(3 * OPTIONS.heartbeat_ticks)
    assert cluster["n1"].log.commit_index == 3, "with an entry of term 4 committed, all before it are"


def test_pitfall_02_term_and_vote_survive_a_restart() -> None:
    cluster = RaftCluster(3)
    request = RequestVote(N2, N1, Term(5), LogIndex(0), Term(0))
    cluster["n1"].step(request)
    cluster._pump(N1)
    cluster.restart("n1")
    assert (cluster["n1"].current_term, cluster["n1"].voted_for) == (5, N2)
    cluster["n1"].step(RequestVote(N3, N1, Term(5), LogIndex(9), Term(4)))
    cluster._pump(N1)
    answers = [m for m in cluster.network if isinstance(m, RequestVoteResponse)]
    assert [(m.to, m.granted) for m in answers] == [(N2, True), (N3, False)]


def test_pitfall_02_no_vote_leaves_before_it_is_durable() -> None:
    cluster = RaftCluster(3, auto=False)
    cluster["n1"].step(RequestVote(N2, N1, Term(5), LogIndex(0), Term(0)))
    cluster._pump(N1)
    assert cluster.network == []
    cluster.persist("n1")
    assert isinstance(cluster.network[0], RequestVoteResponse)


def test_pitfall_02_a_candidate_asks_for_no_vote_before_its_own_is_durable() -> None:
    cluster = RaftCluster(3, auto=False)
    cluster["n1"].campaign()
    cluster._pump(N1)
    cluster.network.clear()
    cluster["n1"].step(PreVoteResponse(N2, N1, Term(1), True))
    cluster._pump(N1)
    assert cluster["n1"].role is Role.CANDIDATE
    assert cluster.network == []
    cluster.persist("n1")
    assert {m.to for m in cluster.network if isinstance(m, RequestVote)} == {N2, N3}


def test_pitfall_03_the_commit_index_on_disk_never_leads_the_log() -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    log = entries(1, 1, 1)
    wal.append(HardState(Term(1), None, LogIndex(0)), log[:1])
    # The batch that brings entries 2 and 3 also says that 3 is committed: together or not at all.
    directory.before = fail_at("sync", 1)
    with pytest.raises(PowerLossError):
        wal.append(HardState(Term(1), None, LogIndex(3)), log[1:])
    for survives in (lose, keep, keep_prefix(40)):
        _, recovered = Wal.open(directory.power_loss(survives), IDENTITY, SMALL)
        last = recovered.entries[-1].index
        assert recovered.hard_state.commit_index <= last
        assert last in (1, 3)


def test_pitfall_03_a_commit_index_beyond_the_log_is_refused_not_looped_over() -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    wal.append(HardState(Term(1), None, LogIndex(7)), entries(1))
    with pytest.raises(CorruptLog, match="commit index 7 lies beyond the last entry 1"):
        open_wal(directory.power_loss())


def test_pitfall_04_a_single_node_answers_only_after_its_sync() -> None:
    world = World(1)
    world.await_leader()
    client = world.user()
    client.put("warm", "up")
    world.reach(lambda: client.core.calls_open == 0)
    world.machines["n1"].disk.hangs = True
    call = client.put("a", "1", timeout=0.5)
    world.run(0.2)
    assert call.response is None
    assert world.node("n1").store.machine.get(b"a") is None


def test_pitfall_05_an_empty_append_is_not_acked_before_earlier_entries_are_durable() -> None:
    cluster = RaftCluster(3, auto=False)
    raft = cluster["n1"]
    log = entries(1, 1)
    raft.step(AppendEntries(N2, N1, Term(1), LogIndex(0), Term(0), log, LogIndex(0)))
    cluster._pump(N1)
    # Once more the same, and an empty one that matches its end: both while the disk is busy.
    raft.step(AppendEntries(N2, N1, Term(1), LogIndex(0), Term(0), log, LogIndex(0)))
    raft.step(AppendEntries(N2, N1, Term(1), LogIndex(2), Term(1), [], LogIndex(0)))
    cluster._pump(N1)
    assert [m for m in cluster.network if isinstance(m, AppendEntriesResponse)] == []
    cluster.persist("n1")
    acks = [m for m in cluster.network if isinstance(m, AppendEntriesResponse)]
    assert [ack.match_index for ack in acks] == [2, 2, 2]


def test_pitfall_06_a_failed_sync_is_latched_and_never_retried() -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    syncs = 0

    def fail_once(operation: str) -> None:
        nonlocal syncs
        if operation == "sync":
            syncs += 1
            if syncs == 1:
                raise OSError(errno.EIO, "Input/output error")

    directory.before = fail_once
    with pytest.raises(StorageFailed, match="this node stops"):
        wal.append(None, entries(1))
    with pytest.raises(StorageFailed):
        wal.append(None, entries(1))
    assert syncs == 1, "the second append must not have asked the disk again"


def test_pitfall_06_a_node_with_a_failed_disk_stops() -> None:
    world = World()
    leader = world.await_leader()
    machine = world.machines[leader]

    def fail(operation: str) -> None:
        if operation == "sync":
            raise OSError(errno.EIO, "Input/output error")

    machine.platter.directory.before = fail
    world.user().put("a", "1")
    world.reach(lambda: machine.node.stopped is not None)
    assert machine.node.stopped is not None
    assert isinstance(machine.node.stopped.error, StorageFailed)


def test_pitfall_07_a_lost_unsynced_write_takes_nothing_acknowledged_with_it() -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    wal.append(HardState(Term(1), N1, LogIndex(0)), entries(1, 1))
    directory.before = fail_at("sync", 1)
    with pytest.raises(PowerLossError):
        wal.append(HardState(Term(2), N2, LogIndex(2)), entries(1, 1, 2)[2:])
    _, recovered = Wal.open(directory.power_loss(lose), IDENTITY, SMALL)
    assert [entry.index for entry in recovered.entries] == [1, 2]
    assert recovered.hard_state == (1, N1, 0)


def test_pitfall_08_a_new_segment_is_there_after_a_crash_even_if_only_synced_names_are() -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    acknowledged = 0
    for entry in entries(*[1] * 60):
        wal.append(None, [entry._replace(data=b"x" * 200)])
        acknowledged = entry.index
        survivor = directory.power_loss(lose, keep_names=False)
        assert open_wal(survivor)[1][-1] == acknowledged
    assert wal.segment_count > 2


def test_pitfall_09_a_torn_tail_is_cut_and_damage_is_refused() -> None:
    directory = MemoryDirectory()
    wal, _ = open_wal(directory)
    for entry in entries(1, 1, 1):
        wal.append(None, [entry])
    whole = directory.power_loss()
    name = whole.list()[0]
    image = whole.files[name].durable
    end = len(bytes(image).rstrip(b"\0"))

    torn = directory.power_loss()
    torn.files[name].live[end - 5 :] = bytes(len(image) - end + 5)
    assert open_wal(torn)[1] == [1, 2], "the last record is cut"

    for position in (end // 2, end - 20):
        damaged = directory.power_loss()
        damaged.files[name].live[position] ^= 0x10
        with pytest.raises(CorruptLog) as caught:
            open_wal(damaged)
        assert name in str(caught.value)
        assert caught.value.offset > 0


def test_pitfall_11_a_matching_append_truncates_nothing() -> None:
    cluster = RaftCluster(3)
    cluster.start("n1", entries(1, 1, 1), term=1)
    # A delayed append of the same leader with an earlier part of what n1 holds by now.
    cluster["n1"].step(AppendEntries(N2, N1, Term(1), LogIndex(1), Term(1), entries(1, 1)[1:], LogIndex(0)))
    cluster._pump(N1)
    assert cluster.terms("n1") == [1, 1, 1]
    ack = next(m for m in cluster.network if isinstance(m, AppendEntriesResponse))
    assert ack.match_index == 2, "what lies beyond this message is not vouched for"


def test_pitfall_11_prev_log_index_below_the_commit_index_is_answered_not_compared() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.propose("n1", "a", "b", "c")
    cluster.settle()
    cluster.tick("n1", 2)
    cluster.settle()
    term = cluster["n1"].current_term
    commit = cluster["n2"].log.commit_index
    assert commit == 4
    cluster["n2"].step(
        AppendEntries(
            N1, N2, term, LogIndex(1), term, cluster["n1"].log.slice(LogIndex(2), LogIndex(2)), commit
        )
    )
    cluster._pump(N2)
    ack = next(m for m in cluster.network if isinstance(m, AppendEntriesResponse))
    assert (ack.success, ack.match_index) == (True, commit)


def test_pitfall_11_an_answer_of_an_earlier_term_moves_no_match_index() -> None:
    """Its index lies within the leader's log: one beyond is refused on its own account, and would
    prove nothing of terms."""
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.elect("n2")
    leader = cluster.elect("n1")
    cluster.block(["n1"], ["n2", "n3"])
    cluster.propose("n1", "a")
    assert leader.leadership is not None
    before = leader.leadership.progress[N3].match_index
    index = leader.log.last_index
    assert before < index
    leader.step(AppendEntriesResponse(N3, N1, Term(1), True, index, LogIndex(0), Term(0), LogIndex(0)))
    assert leader.leadership.progress[N3].match_index == before
    assert leader.log.commit_index < index


def test_pitfall_11_an_answer_beyond_the_leaders_log_is_not_believed() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    term = cluster["n1"].current_term
    leadership = cluster["n1"].leadership
    assert leadership is not None
    cluster["n1"].step(
        AppendEntriesResponse(N3, N1, term, True, LogIndex(99), LogIndex(0), Term(0), LogIndex(0))
    )
    assert leadership.progress[N3].match_index <= cluster["n1"].log.last_index


def test_pitfall_12_a_follower_commits_no_further_than_it_verified() -> None:
    cluster = RaftCluster(3)
    cluster.start("n1", entries(1, 1, 1, 1, 1), term=1)
    cluster["n1"].step(AppendEntries(N2, N1, Term(2), LogIndex(2), Term(1), [], LogIndex(5)))
    cluster._pump(N1)
    assert cluster["n1"].log.commit_index == 2, "entries 3 to 5 may differ from the leader's"


def test_pitfall_12_a_heartbeat_never_commits_beyond_the_match() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    cluster.block(["n3"], ["n1", "n2"])
    cluster.propose("n1", "a", "b")
    cluster.settle()
    cluster.tick("n1", 2)
    sent = [m for m in cluster.network if isinstance(m, Heartbeat) and m.to == "n3"]
    assert sent
    assert all(m.leader_commit == 1 for m in sent)


def test_pitfall_13_a_late_storage_ack_covers_no_overwritten_entry() -> None:
    """n1's entry 2 of term 1 is on its way to the disk when a new leader overwrites it."""
    cluster = RaftCluster(3, auto=False)
    raft = cluster["n1"]
    raft.step(AppendEntries(N2, N1, Term(1), LogIndex(0), Term(0), entries(1, 1), LogIndex(0)))
    cluster._pump(N1)
    late = cluster.disks[N1].pending[0].mark
    assert late is not None
    raft.step(AppendEntries(N3, N1, Term(2), LogIndex(1), Term(1), entries(1, 2)[1:], LogIndex(0)))
    cluster._pump(N1)
    assert raft.log.persisted_index < 2
    raft.persisted(late)
    assert raft.log.persisted_index < 2
    assert cluster.terms("n1") == [1, 2]


def test_pitfall_13_an_entry_put_back_by_a_third_leader_is_not_durable_by_the_first_write() -> None:
    """(2, term 1) written, overwritten by (2, term 2), and put back: one late ack must not fit both."""
    cluster = RaftCluster(3, auto=False)
    raft = cluster["n1"]
    first = entries(1, 1)
    raft.step(AppendEntries(N2, N1, Term(1), LogIndex(0), Term(0), first, LogIndex(0)))
    cluster._pump(N1)
    late = cluster.disks[N1].pending[0].mark
    assert late is not None
    raft.step(AppendEntries(N3, N1, Term(2), LogIndex(1), Term(1), entries(1, 2)[1:], LogIndex(0)))
    cluster._pump(N1)
    raft.step(AppendEntries(N2, N1, Term(3), LogIndex(1), Term(1), first[1:], LogIndex(0)))
    cluster._pump(N1)
    assert cluster.terms("n1") == [1, 1]
    raft.persisted(late)
    assert raft.log.persisted_index < 2, "what the disk holds at 2 is still of term 2"
