"""A leader with little to do talks to a quorum; the others hear of it a few batches or a tick later."""

from __future__ import annotations

import dataclasses

import pytest

from raftkv.raft import AddLearner, Message, Promote, Proposal, RaftLog, RaftOptions, thrift
from raftkv.raft.messages import AppendEntries, Heartbeat
from raftkv.raft.thrift import CLIENTS_TICKS, HELD_BACK_MAX, UNCOMMITTED_BYTES_MAX, UNCOMMITTED_MAX
from raftkv.types import LogIndex, NodeId
from tests.support.raft_cluster import OPTIONS, RaftCluster

BATCHES = 4
THRIFTY = dataclasses.replace(OPTIONS, thrifty_batches=BATCHES, heartbeat_ticks=5)
N1, N2, N3, N4 = (NodeId(f"n{number}") for number in range(1, 5))


def led_by_n1(nodes: int = 3, founders: int | None = None, options: RaftOptions = THRIFTY) -> RaftCluster:
    cluster = RaftCluster(nodes, options=options, founders=founders)
    cluster.elect("n1")
    cluster.run(2)
    assert not cluster.network
    return cluster


def sent(cluster: RaftCluster, kind: type[Message] = AppendEntries) -> list[str]:
    """Who is sent one, of what is on its way."""
    return [str(message.to) for message in cluster.network if isinstance(message, kind)]


def log_of(cluster: RaftCluster, name: str) -> RaftLog:
    return cluster[name].log


def put(cluster: RaftCluster, *commands: str) -> list[str]:
    """Returns who was sent them at once."""
    cluster.propose("n1", *commands)
    appends = sent(cluster)
    cluster.settle()
    return appends


def test_a_batch_goes_to_a_quorum_and_the_others_get_some_in_one_append() -> None:
    cluster = led_by_n1()
    for number in range(1, BATCHES):
        assert put(cluster, f"{number}") == ["n2"]
        assert cluster.data("n1")[-1] == f"{number}", "committed without n3"
    before = log_of(cluster, "n3").last_index
    assert put(cluster, "last") == ["n2", "n3"]
    assert log_of(cluster, "n3").last_index == before + BATCHES
    assert put(cluster, "next") == ["n2"]


def test_without_the_option_everybody_gets_everything_at_once() -> None:
    cluster = RaftCluster(3)
    cluster.elect("n1")
    for number in range(2):
        assert put(cluster, f"{number}") == ["n2", "n3"]
        cluster.read("n1", number)
        assert sent(cluster, Heartbeat) == ["n2", "n3"]
        cluster.settle()


def test_a_leader_counts_on_itself_first_whatever_it_is_called() -> None:
    cluster = RaftCluster(3, options=THRIFTY)
    cluster.elect("n3")
    cluster.run(2)
    cluster.propose("n3", "1")
    assert sent(cluster) == ["n1"]


def test_five_voters_need_two_followers() -> None:
    cluster = led_by_n1(5)
    assert put(cluster, "1") == ["n2", "n3"]
    assert cluster.data("n1") == ["1"]


def test_what_is_held_back_goes_with_the_next_tick_which_comes_without_delay() -> None:
    cluster = led_by_n1()
    assert cluster["n1"].ticks_until_due() > 1
    put(cluster, "1")
    assert cluster["n1"].ticks_until_due() == 1
    cluster.tick("n1")
    assert sent(cluster) == ["n3"]
    cluster.settle()
    cluster.run(1)
    assert cluster.data("n3") == ["1"]
    due = []
    for _ in range(THRIFTY.heartbeat_ticks):
        cluster.run(1)
        due.append(cluster["n1"].ticks_until_due())
    assert sorted(due) == [1, 2, 3, 4, 5], "nothing is held back any more"


def test_whoever_falls_silent_is_not_waited_for_twice() -> None:
    cluster = led_by_n1()
    cluster.crash("n2")
    assert put(cluster, "1") == ["n2"]
    assert cluster.data("n1") == []
    cluster.tick("n1")
    cluster.settle()
    assert cluster.data("n1") == ["1"], "a tick later"
    assert "n3" in put(cluster, "2")
    assert cluster.data("n1") == ["1", "2"], "at once"


def test_a_leader_whose_disk_is_slow_does_not_count_on_itself() -> None:
    cluster = led_by_n1()
    cluster.auto = False
    put(cluster, "1")
    cluster.run(1)
    cluster.propose("n1", "2")
    cluster.tick("n1")
    for _ in range(2):
        cluster.deliver()
        cluster.persist("n2")
        cluster.persist("n3")
    cluster.deliver()
    assert cluster.data("n1") == ["1", "2"], "without the disk of n1"
    cluster.propose("n1", "3")
    assert sorted(sent(cluster)) == ["n2", "n3"]


def test_one_that_is_slow_but_catches_up_between_two_writes_loses_its_place() -> None:
    """Who made the last commit is asked, not who comes first among those that hold as much."""
    cluster = led_by_n1()
    cluster.auto = False
    for number in range(BATCHES):
        put_with_slow_n2(cluster, f"{number}")
    for number in range(2 * BATCHES):
        assert put_with_slow_n2(cluster, f"again {number}"), "without n2, in every write"


def put_with_slow_n2(cluster: RaftCluster, command: str) -> bool:
    """Whether it was committed before the disk of n2 had it. Then all catch up."""
    cluster.propose("n1", command)
    cluster.persist("n1")
    for _ in range(2):
        cluster.deliver()
        cluster.persist("n3")
    early = command in cluster.data("n1")
    cluster.settle()
    return early


def test_a_follower_with_clients_is_not_passed_by() -> None:
    """It answers them from its own state."""
    cluster = led_by_n1()
    put(cluster, "1")
    cluster.read("n3", 1)
    cluster.settle()
    assert cluster.data("n3") == ["1"], "what the read may have to see, without a tick"
    assert cluster.reads[N3], "answered"
    assert put(cluster, "2") == ["n2", "n3"]
    cluster.run(CLIENTS_TICKS)
    assert put(cluster, "3") == ["n2"], "its clients have not been heard of for a while"
    assert cluster["n1"].propose([b"4"], forwarded_by=[N3]) is Proposal.ACCEPTED
    assert put(cluster, "5") == ["n2", "n3"]


def test_commands_forwarded_by_no_member_are_taken_all_the_same() -> None:
    cluster = led_by_n1()
    assert cluster["n1"].propose([b"1"], forwarded_by=[NodeId("n9")]) is Proposal.ACCEPTED


def test_rounds_of_reads_ask_a_follower_with_clients_too() -> None:
    """So that it learns of the commit that it waits for."""
    cluster = led_by_n1()
    cluster.read("n1", 1)
    cluster.settle()
    cluster.read("n3", 2)
    cluster.deliver()
    assert sent(cluster, Heartbeat) == ["n2", "n3"]


def test_nobody_is_passed_by_while_there_is_much_to_send() -> None:
    cluster = led_by_n1()
    assert put(cluster, *map(str, range(UNCOMMITTED_MAX + 1))) == ["n2", "n3"]
    assert put(cluster, "x" * (UNCOMMITTED_BYTES_MAX + 1)) == ["n2", "n3"]
    assert put(cluster, "little") == ["n2"]


def test_a_follower_lacks_only_so_much() -> None:
    cluster = led_by_n1()
    batch = [str(number) for number in range(HELD_BACK_MAX // 2)]
    assert put(cluster, *batch) == ["n2"]
    assert put(cluster, *batch) == ["n2"]
    assert BATCHES > 3
    assert put(cluster, "one more") == ["n2", "n3"]


def test_a_follower_that_catches_up_is_sent_all_that_its_window_has_room_for() -> None:
    cluster = led_by_n1(options=dataclasses.replace(THRIFTY, append_bytes_max=200))
    cluster.block(["n3"], ["n1", "n2"])
    for number in range(2 * HELD_BACK_MAX):
        put(cluster, f"{number}")
    cluster.heal()
    leadership = cluster["n1"].leadership
    assert leadership
    book = leadership.progress[N3]
    book.become_probe(LogIndex(book.match_index + 1))
    cluster.propose("n1", "last")
    cluster.settle()
    assert log_of(cluster, "n3").last_index == log_of(cluster, "n1").last_index, "without a tick"


def test_one_that_is_probed_is_asked_all_the_same() -> None:
    cluster = led_by_n1()
    leadership = cluster["n1"].leadership
    assert leadership
    leadership.progress[N3].become_probe(log_of(cluster, "n1").last_index)
    cluster.propose("n1", "1")
    assert sorted(sent(cluster)) == ["n2", "n3"]


def test_a_learner_is_passed_by_as_well_however_quick_it_is() -> None:
    cluster = with_learner()
    cluster.propose("n1", *map(str, range(UNCOMMITTED_MAX + 1)))
    cluster.deliver(lambda message: message.to == N4)
    cluster.deliver(lambda message: message.sender == N4)
    cluster.settle()
    assert put(cluster, "1") == ["n2"]
    cluster.run(1)
    assert cluster.data("n4")[-1] == "1"


def test_those_left_are_a_quorum_of_the_voters_before_a_change_and_after() -> None:
    cluster = with_learner()
    assert cluster["n1"].change_membership(Promote(N4)) is None
    cluster.block(["n1", "n4"], ["n2", "n3"])  # so that the joint configuration lasts
    cluster.propose("n1", "1")
    assert cluster["n1"].configuration.joint
    cluster.settle()
    assert put(cluster, "2") == ["n2", "n3", "n4"]


def test_reads_ask_everybody_once_those_that_confirmed_are_no_quorum_any_more() -> None:
    cluster = with_learner()
    cluster.read("n1", 1)
    cluster.settle()
    cluster.read("n1", 2)
    assert sent(cluster, Heartbeat) == ["n2"]
    cluster.settle()
    assert cluster["n1"].change_membership(Promote(N4)) is None
    cluster.settle()
    cluster.tick("n1")
    cluster.settle()
    assert len(cluster["n1"].configuration.voters) == 4
    cluster.read("n1", 3)
    assert sent(cluster, Heartbeat) == ["n2", "n3", "n4"]


def with_learner() -> RaftCluster:
    cluster = led_by_n1(4, founders=3)
    assert cluster["n1"].change_membership(AddLearner(N4)) is None
    cluster["n1"].meet(N4, "its folder", (), 0)
    cluster.run(3 * THRIFTY.election_ticks_min)
    return cluster


def test_who_is_to_take_over_gets_what_was_held_back_at_once_and_is_not_passed_by() -> None:
    cluster = led_by_n1()
    put(cluster, "1")
    assert cluster["n1"].transfer_leadership(N3)
    ready = cluster["n1"].ready()
    assert ready is not None
    assert [message.to for message in ready.messages if isinstance(message, AppendEntries)] == [N3]
    cluster["n1"].ready()
    leadership = cluster["n1"].leadership
    assert leadership
    assert thrift.Thrift().next_turn(cluster["n1"], leadership) == set()


def test_a_full_window_is_nothing_held_back() -> None:
    """An idle leader whose follower is dead need not wake for each tick."""
    cluster = led_by_n1()
    cluster.crash("n3")
    for number in range(BATCHES * (THRIFTY.inflight_messages_max + 1)):
        put(cluster, f"{number}")
    cluster.run(THRIFTY.heartbeat_ticks)
    due = []
    for _ in range(THRIFTY.heartbeat_ticks):
        cluster.run(1)
        due.append(cluster["n1"].ticks_until_due())
    assert sorted(due) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("nodes", [3, 5])
def test_reads_ask_those_that_confirmed_last(nodes: int) -> None:
    cluster = led_by_n1(nodes)
    everybody = [f"n{number}" for number in range(2, nodes + 1)]
    quorum = everybody[: nodes // 2]
    cluster.read("n1", 1)
    assert sent(cluster, Heartbeat) == everybody, "nobody has confirmed anything yet"
    cluster.settle()
    cluster.read("n1", 2)
    assert sent(cluster, Heartbeat) == quorum
    cluster.settle()
    assert [read.context for read in cluster.reads[N1]] == [1, 2]


def test_a_read_that_is_not_confirmed_is_asked_of_all_with_the_next_tick() -> None:
    cluster = led_by_n1()
    cluster.read("n1", 1)
    cluster.settle()
    cluster.crash("n2")
    cluster.read("n1", 2)
    assert sent(cluster, Heartbeat) == ["n2"]
    cluster.settle()
    assert cluster["n1"].ticks_until_due() == 1
    cluster.tick("n1")
    assert sent(cluster, Heartbeat) == ["n3"]
    cluster.settle()
    cluster.read("n1", 3)
    assert sent(cluster, Heartbeat) == ["n3"], "who answered is asked from now on"
    cluster.settle()
    assert [read.context for read in cluster.reads[N1]] == [1, 2, 3]


def test_a_round_that_nobody_confirms_is_not_sent_with_every_tick() -> None:
    cluster = led_by_n1()
    cluster.read("n1", 1)
    cluster.settle()
    cluster.block(["n1"], ["n2", "n3"])
    cluster.read("n1", 2)
    cluster.tick("n1", THRIFTY.heartbeat_ticks)
    told = sent(cluster, Heartbeat)
    assert sorted(told) == ["n2", "n2", "n3", "n3"], "by the round, or a tick later, and by the heartbeat"
