"""Runs one node in this process: sockets, clock, threads, signals, and the poll loop."""

from __future__ import annotations

import gc
import os
import random
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import zmq

from raftkv import clock
from raftkv.actors import zmq_ports
from raftkv.actors.busy_poll import BusyPoll
from raftkv.actors.gatekeeper import Gatekeeper
from raftkv.actors.node import Node, NodeWorld
from raftkv.actors.relay import Relay
from raftkv.actors.system import ActorName, Port
from raftkv.config import ClusterConfig, check_reach, is_loopback
from raftkv.storage import Identity, OsDirectory, Volume, WalOptions
from raftkv.types import NodeId

SWITCH_INTERVAL_SECONDS = 0.0002
"""How long the loop may keep a thread that is done with the disk from the GIL; the default, 5 ms, is fifty
syncs. ``docs/performance.md`` has what other values gave."""
DISK_CLOSE_SECONDS = 5.0
IDLE_SECONDS_MAX = 1.0
ENDINGS = (signal.SIGTERM, signal.SIGINT)
SIGNALS_READ = 512
"""At once; of more the rest wakes the loop again."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Ends the node when ``fd`` reaches its end: the launcher is gone."""

    fd: int


def run_node(
    config: ClusterConfig,
    name: str,
    *,
    report: Callable[[str], None],
    ready: Callable[[], None] = lambda: None,
    guard: Guard | None = None,
) -> None:
    """Run until SIGTERM, SIGINT, the guard's end or a disk failure (which is raised).

    ``report`` gets a line an event, ``ready`` is called once all sockets listen.
    Raises ``ConfigError``, ``StorageError`` or ``LaunchError`` before or while running.
    """
    me = config.node(name)
    check_reach(config, me)
    gatekeeper = Gatekeeper(config.keys, report) if config.keys else None
    _raise_limits()
    folder = config.data_folder(name) / "wal"
    directory = OsDirectory(folder)
    identity = Identity(config.name, me.name, secrets.token_hex(8))
    options = WalOptions(segment_bytes=config.storage.segment_mib << 20)
    # Sockets before the log: a port in use must not leave a new data folder half made.
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with ExitStack() as stack:
        stack.callback(context.destroy, linger=0)
        if gatekeeper:
            gatekeeper.open(context)
        client = zmq_ports.client_port(context, me.client, gatekeeper)
        peer = zmq_ports.peer_port(context, me.peer, gatekeeper)
        control = zmq_ports.client_port(context, me.control, gatekeeper, "control")
        status = zmq_ports.status_port(context, me.status, gatekeeper)
        # See _tune_interpreter; millions of objects are about to be made, none of them garbage.
        gc.collect()
        gc.disable()
        volume, recovered = Volume.open(directory, identity, options)
        disk = Relay(volume)
        world = NodeWorld(
            clock=time.monotonic,
            slept=clock.slept,
            random=random.Random(),
            client_port=client,
            peer_port=peer,
            # An identity a link: where a node has taken over another's port, both links may lead there, and
            # a ROUTER hears only the last of two that call themselves the same.
            connect=lambda to, endpoint, urgent: _connect(
                context, endpoint, f"{config.name}/{me.name}/{to}" + "/urgent" * urgent, gatekeeper
            ),
            control_port=control,
            status_port=status,
            disk=disk,
            report=report,
            boot=secrets.randbits(62),
            pid=os.getpid(),
            log_bytes=volume.log_bytes,
        )
        node = Node(config, NodeId(me.name), recovered, world)
        # From here on the log and the state hold all that was read: dropping these lets go of it.
        del recovered, world
        ready()
        try:
            busy_poll = BusyPoll(config.loop.busy_poll_us * 1e-6)
            names: dict[zmq_ports.ZmqPort, ActorName] = {client: "gateway", peer: "peers", control: "control"}
            _run(node, names, disk, busy_poll, guard, gatekeeper)
        finally:
            disk.close(DISK_CLOSE_SECONDS)
    assert node.stopped is not None
    if node.stopped.error:
        raise node.stopped.error


def _raise_limits() -> None:
    """A connection takes a descriptor, and there may be thousands; the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _connect(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, identity: str, gatekeeper: Gatekeeper | None
) -> Port:
    """Whatever a frame or a file says, nothing of ours leaves the machine in the clear."""
    if gatekeeper is None and not is_loopback(endpoint):
        return zmq_ports.Nowhere()
    return zmq_ports.peer_link(context, endpoint, identity, gatekeeper.key if gatekeeper else None)


def _run(
    node: Node,
    ports: dict[zmq_ports.ZmqPort, ActorName],
    disk: Relay,
    busy_poll: BusyPoll,
    guard: Guard | None = None,
    gatekeeper: Gatekeeper | None = None,
) -> None:
    _tune_interpreter()
    wake_fd, restore = _catch_signals()
    poller = zmq.Poller()
    names: dict[object, ActorName] = {}
    for port, name in ports.items():
        poller.register(port.socket, zmq.POLLIN)
        names[port.socket] = name
    poller.register(disk.wake_fd, zmq.POLLIN)
    poller.register(wake_fd, zmq.POLLIN)
    if guard:
        poller.register(guard.fd, zmq.POLLIN)
    if gatekeeper:
        poller.register(gatekeeper.socket, zmq.POLLIN)

    def hear_disk() -> bool:
        results = disk.collect()
        if results:
            node.hear_disk(results)
            os.sched_yield()  # to ZeroMQ's thread, which a follower has given an acknowledgement to send
        return bool(results)

    def turn() -> bool:
        timer = 0.0 if hear_disk() else node.next_timer()
        readable: list[ActorName] = []
        for source, _ in _await_news(poller, timer, busy_poll):
            port_name = names.get(source)
            if port_name:
                readable.append(port_name)
            elif source == disk.wake_fd:
                os.eventfd_read(disk.wake_fd)
                hear_disk()
            elif source == wake_fd:
                for number in os.read(wake_fd, SIGNALS_READ):
                    if number in ENDINGS:
                        node.stop(signal.Signals(number).name)
            elif gatekeeper and source is gatekeeper.socket:
                gatekeeper.answer()
            elif guard and source == guard.fd:
                # It stays at its end, and a second request would cut short what the first has begun.
                poller.unregister(guard.fd)
                node.stop("the launcher is gone")
        node.turn(readable)
        return node.stopped is None

    try:
        disk.run(turn)
    finally:
        restore()


def _await_news(poller: zmq.Poller, timer: float | None, busy_poll: BusyPoll) -> Sequence[tuple[object, int]]:
    """What has become readable, at the latest when ``timer`` goes off."""
    if not _milliseconds_until(timer):
        return poller.poll(0)
    began = asked = time.monotonic()
    arrived = poller.poll(0) if busy_poll.pays else []
    while busy_poll.pays and not arrived and asked - began < busy_poll.seconds:
        os.sched_yield()  # there may be fewer cores than nodes, and ZeroMQ's threads want one, too
        before, asked = asked, time.monotonic()
        if asked - before >= busy_poll.seconds:
            busy_poll.preempted()
        arrived = poller.poll(0)
    if not arrived:
        arrived = poller.poll(_milliseconds_until(timer))
    busy_poll.waited(time.monotonic() - began)
    return arrived


def _milliseconds_until(timer: float | None) -> int:
    if timer is None:
        return int(IDLE_SECONDS_MAX * 1000)
    left = timer - time.monotonic()
    if left <= 0.0:
        return 0
    # Rounded up: waking early would only spin until the timer is due.
    return min(int(IDLE_SECONDS_MAX * 1000), int(left * 1000) + 1)


def _tune_interpreter() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    # The log and the state are millions of small tuples without cycles: reference counts free
    # them, and a collector that walks them all would stop the node for longer than a heartbeat.
    gc.freeze()


def _catch_signals() -> tuple[int, Callable[[], None]]:
    """SIGTERM and SIGINT end the node after its turn. The descriptor wakes the poll."""
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    previous_fd = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)

    def on_signal(number: int, frame: object) -> None:
        """The byte in the descriptor says it."""

    previous = {
        number: signal.signal(number, on_signal)
        for number in ENDINGS
        if signal.getsignal(number) is not signal.SIG_IGN  # a launcher answers Ctrl-C for its nodes
    }

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(read_fd)
        os.close(write_fd)

    return read_fd, restore
