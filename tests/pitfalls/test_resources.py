"""PITFALLS 39 and 40: bounds, and what ZeroMQ does behind one's back."""

from __future__ import annotations

import errno
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import zmq

from raftkv.actors import zmq_ports
from raftkv.actors.gateway import GREETINGS_A_TURN_MAX
from raftkv.actors.messages import DiskPressure, Frames
from raftkv.config import SnapshotConfig
from raftkv.errors import ClientError, LaunchError, Unavailable
from raftkv.kv.commands import Code, Command, Op
from raftkv.raft import Proposal, RaftOptions
from raftkv.raft.log import ENTRY_OVERHEAD_BYTES
from raftkv.raft.messages import AppendEntries, Heartbeat
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import peer as wire
from raftkv.wire.client import Kind, decode_responses, encode_requests
from tests.actors.test_faults import Wire
from tests.support.raft_cluster import RaftCluster
from tests.support.world import World

DEADLINE_SECONDS = 10.0


def test_pitfall_39_the_uncommitted_log_is_bounded() -> None:
    options = RaftOptions(
        election_ticks_min=10,
        election_ticks_max=20,
        heartbeat_ticks=2,
        uncommitted_bytes_max=10 * (100 + ENTRY_OVERHEAD_BYTES),
    )
    cluster = RaftCluster(3, options=options)
    cluster.elect("n1")
    cluster.block(["n1"], ["n2", "n3"])
    outcomes = [cluster["n1"].propose([b"x" * 100]) for _ in range(20)]
    assert outcomes.count(Proposal.ACCEPTED) == 10
    assert outcomes[-1] is Proposal.BUSY
    assert cluster["n1"].propose_clock(b"x" * 100) is Proposal.BUSY
    cluster.heal()
    cluster.run(20)
    assert cluster["n1"].propose([b"x" * 100]) is Proposal.ACCEPTED, "what commits makes room again"


def test_pitfall_39_what_a_slow_follower_is_sent_is_bounded() -> None:
    options = RaftOptions(
        election_ticks_min=10,
        election_ticks_max=20,
        heartbeat_ticks=2,
        inflight_bytes_max=1000,
        append_bytes_max=300,
    )
    cluster = RaftCluster(3, options=options)
    cluster.elect("n1")
    cluster.blocked.add((NodeId("n3"), NodeId("n1")))
    for _ in range(100):
        cluster.propose("n1", "x" * 100)
    sent = [m for m in cluster.network if isinstance(m, AppendEntries) and m.to == "n3"]
    assert sum(len(entry.data) for m in sent for entry in m.entries) <= 1300


def test_pitfall_39_a_gateway_refuses_what_it_cannot_hold_and_nothing_of_it_happens() -> None:
    world = World(pending_writes=10)
    leader = world.await_leader()
    client = world.user()
    client.put("warm", "up")
    world.reach(lambda: client.core.calls_open == 0)
    world.machines[leader].disk.hangs = True
    for name in world.names:
        world.machines[name].disk.hangs = True
    calls = [client.put(f"k{number}", "v", timeout=0.15) for number in range(50)]
    world.run(0.1)
    assert world.node(leader).gateway.pending_writes == 10
    world.run(0.2)
    refused = [call for call in calls if call.why == "the cluster stayed overloaded"]
    assert len(refused) == 40
    assert not any(call.uncertain for call in refused)
    assert any(isinstance(call.error, Unavailable) for call in refused), "certainly not applied"


def test_pitfall_39_what_names_another_request_than_its_frame_takes_no_scarce_place() -> None:
    """Nobody would be answered; each would be held until it is old, and keep others out."""
    world = World(pending_writes=40)
    leader = world.await_leader()
    client = world.user()
    client.put("warm", "up")
    world.reach(lambda: client.core.calls_open == 0)
    other = Command(7, 1, 999, 999, Op.PUT, (b"k", b"v")).encode()
    for command in (b"\x01", b"\xc1", other):
        requests = [(number + 1, Kind.WRITE, 7, number, command) for number in range(100)]
        world.ask_node("stranger", leader, encode_requests(None, requests))
    world.run(0.1)
    assert world.node(leader).gateway.pending_writes == 10
    client.put("k", "v", timeout=1.0)
    world.reach(lambda: client.core.calls_open == 0)
    assert client.await_value("k") == "v"


def test_pitfall_39_greetings_are_answered_within_bounds() -> None:
    world = World()
    leader = world.await_leader()
    gateway = world.node(leader).gateway
    gateway._port = answered = Wire()
    requests = encode_requests(None, [(number, Kind.HELLO) for number in range(4096)])
    gateway.handle(Frames([[b"stranger", requests]]))
    gateway.end_of_turn()
    codes = Counter(response.code for response in decode_responses(answered.frames[0]))
    assert codes == {Code.OK: GREETINGS_A_TURN_MAX, Code.BUSY: 4096 - GREETINGS_A_TURN_MAX}


def test_pitfall_39_leases_that_cannot_end_are_asked_to_end_once() -> None:
    """A majority with full disks still answers heartbeats, and says ten times a second which have lapsed."""
    world = World()
    leader = world.await_leader()
    client = world.user()
    calls = [client.write(Op.LEASE_GRANT, 1000) for _ in range(100)]
    world.reach(lambda: client.core.calls_open == 0)
    assert all(call.response and call.response.code == Code.OK for call in calls)
    full = [name for name in world.names if name != leader]
    for name in full:
        world.machines[name].platter.directory.full = True
    raft, leases = world.node(leader).raft.raft, world.node(leader).store.machine.leases
    before = raft.log.last_index
    world.run(20.0)
    assert world.leader() == leader
    assert raft.log.last_index - before <= 2
    assert len(leases) == 100
    for name in full:
        world.machines[name].platter.directory.full = False
    world.reach(lambda: len(leases) == 0, seconds=20.0)


def test_pitfall_39_a_full_disk_refuses_writes_and_recovers_when_space_returns() -> None:
    world = World(1)
    world.await_leader()
    client = world.user()
    client.put("before", "1")
    world.reach(lambda: client.core.calls_open == 0)
    machine = world.machines["n1"]

    def full(operation: str) -> None:
        if operation in ("write", "allocate"):
            raise OSError(errno.ENOSPC, "No space left on device")

    machine.platter.directory.before = full
    first = client.put("during", "1", timeout=60.0)
    world.run(0.1)
    assert machine.node.status.snapshot().alarms == ("NOSPACE",)
    assert client.core.calls_open == 1
    machine.platter.directory.before = lambda operation: None
    world.reach(lambda: client.core.calls_open == 0, seconds=20.0)
    assert first.response is not None
    assert first.response.code == Code.OK
    assert machine.node.status.snapshot().alarms == ()
    world.crash("n1")
    world.start("n1")
    world.await_leader()
    assert client.await_value("before") == "1"
    assert client.await_value("during") == "1"


def test_pitfall_39_full_disks_everywhere_leave_a_leader_that_serves_reads() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    client.put("before", "1")
    world.reach(lambda: client.core.calls_open == 0)
    for name in [*(name for name in world.names if name != leader), leader]:
        world.machines[name].platter.directory.full = True
    term = world.node(leader).raft.raft.current_term
    during = client.put("during", "1", timeout=60.0)
    world.reach(lambda: "NOSPACE" in world.node(leader).status.snapshot().alarms)
    refused = 0
    for number in range(20):
        later = client.put(f"later/{number}", "1", timeout=0.3)
        world.run(0.5)
        assert isinstance(later.error, ClientError), "refused, and not kept for a day on which there is room"
        if isinstance(later.error, Unavailable):  # else its time was up while it was being asked again
            refused += 1
            assert str(later.error) == "the leader's disk stayed full (NOSPACE): nothing happened"
        assert client.await_value("before") == "1"
    assert refused
    assert world.await_leader() == leader
    assert world.node(leader).raft.raft.current_term == term
    assert during.response is None
    for name in world.names:
        world.machines[name].platter.directory.full = False
    world.reach(lambda: during.response is not None, seconds=20.0)
    assert client.await_value("during") == "1"
    assert [client.await_value(f"later/{number}") for number in range(20)] == [None] * 20


def test_pitfall_39_a_leader_with_a_full_disk_gives_way_where_the_others_have_room() -> None:
    world = World()
    leader = world.await_leader()
    client = world.user()
    world.machines[leader].platter.directory.full = True
    client.put("a", "1", timeout=60.0)
    world.reach(lambda: client.core.calls_open == 0, seconds=20.0)
    world.reach(lambda: world.await_leader() != leader, seconds=20.0)
    client.put("b", "1", timeout=60.0)
    world.reach(lambda: client.core.calls_open == 0, seconds=20.0)
    assert client.await_value("b") == "1"


def test_pitfall_39_a_leader_with_a_full_disk_gives_way_to_a_majority_of_which_it_hears_a_part() -> None:
    """The other part may be dead, for all it knows; or it may wait for the one to vote for it."""
    world = World()
    leader = world.await_leader()
    _, cut_off = (name for name in world.names if name != leader)
    client = world.user()
    client.put("before", "1")
    world.reach(lambda: client.core.calls_open == 0)
    world.network.cut([(leader, cut_off), (cut_off, leader)])
    world.run(2.0)  # by then it does not count as alive
    world.machines[leader].platter.directory.full = True
    during = client.put("during", "1", timeout=60.0)
    world.reach(lambda: during.response is not None, seconds=20.0)
    assert client.await_value("before") == "1"


def test_pitfall_39_a_full_disk_is_read_for_a_peer_that_has_room() -> None:
    """It was away for so long that it needs a snapshot, and without it there is no majority with room."""
    world = World(snapshot=SnapshotConfig(entries=20, retain_entries=2))
    leader = world.await_leader()
    client = world.user()
    client.put("before", "1")
    world.reach(lambda: client.core.calls_open == 0)
    away = next(name for name in world.names if name != leader)
    world.crash(away)
    for number in range(100):
        client.put(f"meanwhile/{number}", "1")
        world.reach(lambda: client.core.calls_open == 0)
    raft = world.node(leader).raft.raft
    world.reach(lambda: raft.log.offset_index > 50, seconds=20.0)
    (other,) = {*world.names} - {leader, away}
    for name in (leader, other):
        world.machines[name].platter.directory.full = True
    during = client.put("during", "1", timeout=600.0)
    world.reach(lambda: world.node(leader).storage.full and world.node(other).storage.full)
    world.start(away)
    world.reach(lambda: world.node(away).store.machine.get(b"meanwhile/50") is not None, seconds=30.0)
    assert world.leader() == leader
    world.machines[other].platter.directory.full = False
    world.reach(lambda: during.response is not None, seconds=30.0)
    assert client.await_value("during") == "1"


def test_pitfall_39_a_snapshot_that_fits_makes_room_on_a_full_disk() -> None:
    """There is none for another segment, and enough for what is left of all that was overwritten."""
    world = World(1)
    world.await_leader()
    client, directory = world.user(), world.machines["n1"].platter.directory
    storage = world.node("n1").storage
    segment_bytes, segments = directory.used(), 5
    directory.space_bytes = segments * segment_bytes + 30_000
    revision = 0
    while not storage.full:
        call = client.write(Op.COMPACT, revision) if revision else client.put("k", "x" * 2000, timeout=60.0)
        world.reach(lambda: client.core.calls_open == 0 or storage.full)
        revision = call.response.revision if call.response and not revision else 0
    assert directory.used() == segments * segment_bytes
    world.control("n1", "snapshot")
    world.reach(lambda: client.core.calls_open == 0, seconds=20.0)
    assert client.await_value("k") == "x" * 2000
    assert directory.used() < segments * segment_bytes
    assert not storage.full


def test_pitfall_39_a_node_with_a_full_disk_is_not_handed_leadership() -> None:
    world = World()
    leader = world.await_leader()
    full, other = (name for name in world.names if name != leader)
    client = world.user()
    world.machines[full].platter.directory.full = True
    client.put("a", "1")
    world.reach(lambda: client.core.calls_open == 0)
    world.reach(lambda: world.node(full).storage.full)
    world.run(1.0)  # a heartbeat tells the leader
    raft = world.node(leader).raft.raft
    assert not raft.transfer_leadership(NodeId(full))
    assert raft.transfer_leadership(None)
    world.reach(lambda: world.leader() == other)


def test_pitfall_40_a_peer_that_starts_again_is_probed_at_once() -> None:
    """In its last life it answered heartbeats, and nothing that needed its disk; so it was asked ever more
    seldom."""
    world = World()
    first = world.await_leader()
    client = world.user()
    client.put("a", "1")
    world.reach(lambda: client.core.calls_open == 0)
    world.run(1.0)
    world.crash(first)
    world.reach(lambda: any(machine.node.raft.raft.leadership for machine in world.machines.values()))
    leader = next(name for name, machine in world.machines.items() if machine.node.raft.raft.leadership)
    (slow,) = {*world.machines} - {leader}
    world.machines[slow].disk.hangs = True
    world.run(14.0)
    assert world.leader() == leader
    _start_again_and_answer(world, slow)


def test_pitfall_40_a_peer_that_starts_again_is_sent_its_snapshot_at_once() -> None:
    world = World(snapshot=SnapshotConfig(entries=40, retain_entries=2), chunk_bytes=256)
    leader = world.await_leader()
    slow, other = (name for name in world.names if name != leader)
    client = world.user()
    world.crash(slow)
    for number in range(200):
        client.put(f"meanwhile/{number}", "1" * 100)
        world.reach(lambda: client.core.calls_open == 0)
    world.run(3.0)
    world.start(slow)
    world.reach(lambda: _stream_acked(world, leader, slow) > 5)
    world.machines[slow].disk.hangs = True
    world.crash(other)
    world.run(14.0)
    assert world.leader() == leader
    _start_again_and_answer(world, slow)


def _start_again_and_answer(world: World, slow: str) -> None:
    world.kill(slow)
    world.start(slow)
    again = world.user("again").put("again", "1", timeout=60.0)
    world.reach(lambda: again.response is not None, seconds=4.0)


def _stream_acked(world: World, leader: str, peer: str) -> int:
    leadership = world.node(leader).raft.raft.leadership
    stream = leadership.progress[NodeId(peer)].stream if leadership else None
    return stream.acked if stream else 0


def test_pitfall_39_a_backlogged_disk_takes_no_more_appends() -> None:
    world = World()
    leader = world.await_leader()
    follower = next(name for name in world.names if name != leader)
    node = world.node(follower)
    node.raft.handle(DiskPressure(full=False, backlogged=True))
    client = world.user()
    client.put("a", "1")
    world.reach(lambda: client.core.calls_open == 0)
    world.reach(lambda: node.raft.appends_dropped > 0)  # a thrifty leader may send it some time later
    assert node.store.machine.get(b"a") is None
    node.raft.handle(DiskPressure(full=False, backlogged=False))
    world.reach(lambda: node.store.machine.get(b"a") is not None)


def test_pitfall_40_frames_of_an_earlier_life_are_dropped() -> None:
    world = World()
    world.await_leader()
    world.run(2.0)  # by then nobody has anything to say but heartbeats
    machine, incarnation = world.machines["n1"], world.node("n2").incarnation

    def frame(boot: int) -> bytes:
        heartbeat = Heartbeat(NodeId("n2"), NodeId("n1"), Term(1), LogIndex(0), 0)
        return wire.encode("virtual", NodeId("n2"), incarnation, NodeId("n1"), boot, [heartbeat])

    for boot in (111, 222):
        machine.arrive("peers", [b"n2", frame(boot)])
    world.run(0.001)
    before = machine.node.status.frames_rejected
    machine.arrive("peers", [b"n2", frame(111)])
    world.run(0.001)
    assert machine.node.status.frames_rejected == before + 1
    assert any("earlier life of n2" in line for line in world.lines["n1"])


@contextmanager
def zmq_context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)


def receive(port: zmq_ports.ZmqPort) -> list[bytes]:
    assert port.socket.poll(int(DEADLINE_SECONDS * 1000)), "nothing arrived in time"
    (frame,) = port.receive(1)
    return frame


def send_until_connected(port: zmq_ports.ZmqLink, frame: bytes) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not port.send([frame]):
        assert time.monotonic() < deadline, "never connected"
        time.sleep(0.01)


def test_pitfall_40_a_restarted_peer_takes_over_its_identity() -> None:
    with zmq_context() as ours, zmq_context() as first, zmq_context() as second:
        listener = zmq_ports.peer_port(ours, "tcp://127.0.0.1:*")
        endpoint = listener.socket.get_string(zmq.LAST_ENDPOINT)
        before = zmq_ports.peer_link(first, endpoint, "cluster/n2")
        send_until_connected(before, b"one")
        assert receive(listener) == [b"cluster/n2", b"one"]
        # The first life is not closed: its connection lingers as after a power loss.
        after = zmq_ports.peer_link(second, endpoint, "cluster/n2")
        send_until_connected(after, b"two")
        assert receive(listener) == [b"cluster/n2", b"two"]


def test_pitfall_40_nothing_is_queued_for_a_peer_that_is_not_there() -> None:
    # Bound, so that nobody else can have the port, but not listening: connections are refused.
    with zmq_context() as context, socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        link = zmq_ports.peer_link(context, f"tcp://127.0.0.1:{holder.getsockname()[1]}", "cluster/n2")
        assert not any(link.send([b"x"]) for _ in range(1000))


def test_pitfall_39_a_link_for_which_no_descriptor_is_left_is_opened_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clients may have them all; that one more connection is wanted must not end the node."""
    monkeypatch.setattr(zmq_ports, "RELINK_SECONDS", 0.05)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with zmq_context() as ours, zmq_context() as theirs:
        listener = zmq_ports.peer_port(ours, "tcp://127.0.0.1:*")
        endpoint = listener.socket.get_string(zmq.LAST_ENDPOINT)
        theirs.socket(zmq.DEALER).close()  # the context's own threads have theirs
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
            with suppress(OSError):
                while True:
                    taken.append(os.eventfd(0))
            link = zmq_ports.peer_link(theirs, endpoint, "cluster/n2")
            assert not link.send([b"lost"])
            assert link.receive(1) == []
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        send_until_connected(link, b"kept")
        assert receive(listener) == [b"cluster/n2", b"kept"]
        link.close()


def test_pitfall_40_a_port_in_use_is_one_clear_line() -> None:
    with zmq_context() as context:
        taken = zmq_ports.peer_port(context, "tcp://127.0.0.1:*")
        endpoint = taken.socket.get_string(zmq.LAST_ENDPOINT)
        with pytest.raises(LaunchError, match="in use by another process"):
            zmq_ports.peer_port(context, endpoint)
