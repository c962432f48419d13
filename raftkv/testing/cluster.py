"""``LocalCluster``: a cluster of real node processes on loopback, in a temporary folder."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from raftkv.errors import InvalidRequest, LaunchError, RaftkvError, counted

if TYPE_CHECKING:
    from raftkv.client import AsyncClient, Client
    from raftkv.cluster.chaos import Chaos
    from raftkv.cluster.discovery import Target
    from raftkv.observe import NodeSnapshot

READY = "ready"
"""The host's first word, if all is well; else it says what is wrong."""
START_SECONDS = 90.0
"""More than a launcher waits for its nodes and a leader."""
STOP_SECONDS = 20.0
WAIT_SECONDS = 30.0
"""Tests run where much else does: this is for a machine ten times slower than it should be."""
LOOK_SECONDS = 0.02
NODE_SECONDS = 1.0
STARTS_MAX = 3
"""Another process may take the ports between the look and the start."""


_stdin_fds: set[int] = set()
"""Of the processes that clusters of this process live in."""


def _close_in_child() -> None:
    """A child that is forked would hold them open, and the clusters with them, for as long as it lives. Its
    numbers stay taken: there are objects that will close them."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in _stdin_fds:
        with suppress(OSError):
            os.dup2(nowhere, fd)
    os.close(nowhere)
    _stdin_fds.clear()


os.register_at_fork(after_in_child=_close_in_child)


class LocalCluster:
    """``with LocalCluster(3) as cluster:``; or ``start`` and ``stop``. Nodes are called n1, n2, …"""

    def __init__(self, nodes: int = 3, *, folder: Path | str | None = None) -> None:
        """``folder`` keeps the data when the cluster stops; without one it is temporary."""
        self._nodes = nodes
        self._folder = None if folder is None else Path(folder)
        self._temporary: str | None = None
        self._host: subprocess.Popen[str] | None = None
        self._chaos: Chaos | None = None
        self._target: Target | None = None
        self._clients: list[Client] = []

    def __repr__(self) -> str:
        return f"<LocalCluster of {counted(self._nodes, 'node')}: {'running' if self._host else 'stopped'}>"

    def __enter__(self) -> LocalCluster:
        return self if self._host else self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # -- life

    def start(self) -> LocalCluster:
        """Returns once a leader serves, after about a second. Raises ``LaunchError``."""
        if self._host:
            raise LaunchError("the cluster runs already")
        for attempt in range(STARTS_MAX):
            try:
                self._start(free_base_port(self._nodes))
                return self
            except BaseException as error:  # also an interrupt: nobody would stop it
                self.stop()
                taken = isinstance(error, LaunchError) and "in use" in str(error)
                if not taken or attempt == STARTS_MAX - 1:
                    raise
        raise AssertionError("unreachable")

    def _start(self, base_port: int) -> None:
        from raftkv.cluster.chaos import Chaos
        from raftkv.cluster.discovery import running_in
        from raftkv.cluster.ourselves import own_command

        if self._folder is None:
            self._temporary = tempfile.mkdtemp(prefix="raftkv-")
        data = Path(self._temporary) if self._temporary else self._folder
        assert data is not None
        arguments = [str(data), str(self._nodes), str(base_port)]
        self._host = subprocess.Popen(
            own_command(*arguments, module="raftkv.testing.host"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever runs the tests; the pipe tells the rest
        )
        assert self._host.stdin is not None
        _stdin_fds.add(self._host.stdin.fileno())
        word = self._first_word()
        if word != READY:
            raise LaunchError(word or "the cluster's process ended without a word")
        self._target = running_in(data)
        self._chaos = Chaos(self._target, NODE_SECONDS)

    def _first_word(self) -> str:
        assert self._host is not None
        assert self._host.stdout is not None
        stdout = self._host.stdout
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        if not poll.poll(START_SECONDS * 1000):
            return f"no leader after {START_SECONDS:g} s"
        return stdout.readline().strip()

    @property
    def clients(self) -> list[Client]:
        """That ``client`` has made, and nobody has closed here."""
        return list(self._clients)

    def close_clients(self, but: Sequence[Client] = ()) -> None:
        """All that ``client`` has made ``but`` these."""
        for client in self._clients:
            if client not in but:
                client.close()
        self._clients = [client for client in self._clients if client in but]

    def stop(self) -> None:
        """End every process, close every client made here, remove a temporary folder."""
        self.close_clients()
        if self._chaos:
            self._chaos.close()
            self._chaos = None
        if self._host:
            assert self._host.stdin is not None
            assert self._host.stdout is not None
            _stdin_fds.discard(self._host.stdin.fileno())
            self._host.stdin.close()
            try:
                self._host.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._host.kill()  # its nodes notice, and end
                self._host.wait()
            self._host.stdout.close()
            self._host = None
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    # -- use

    @property
    def endpoints(self) -> list[str]:
        """Of all nodes, for clients."""
        return list(self._there().clients)

    @property
    def names(self) -> list[str]:
        return list(self._there().controls or ())

    @property
    def folder(self) -> Path:
        """Where the nodes' data is; commands take it as ``--data``."""
        found = self._temporary or self._folder
        assert found is not None
        return Path(found)

    def client(self, timeout: float = WAIT_SECONDS) -> Client:
        """A client of this cluster, closed when the cluster stops; where it is pytest's ``raftkv_cluster``,
        after the test."""
        from raftkv.client import Client

        client = Client(self.endpoints, timeout)
        self._clients.append(client)
        return client

    def async_client(self, timeout: float = WAIT_SECONDS) -> AsyncClient:
        """To be used in an ``async with``."""
        from raftkv.client import AsyncClient

        return AsyncClient(self.endpoints, timeout)

    def status(self) -> dict[str, NodeSnapshot | None]:
        """What each node says of itself; None for one that does not answer."""
        from raftkv.cluster.control import ControlClient, snapshots

        with ControlClient() as control:
            return snapshots(control, self._there().controls or {}, NODE_SECONDS)

    def leader(self, timeout: float = WAIT_SECONDS) -> str:
        """The node that leads, waiting for one."""
        return self.wait_for_leader(timeout)

    def wait_for_leader(self, timeout: float = WAIT_SECONDS, other_than: str | None = None) -> str:
        """The name of a node that says that it leads, in the highest term that any node knows. Raises
        ``RaftkvError`` when there is none in time."""

        def look() -> str | None:
            views = [view for view in self.status().values() if view]
            newest = max((view.term for view in views), default=0)
            for view in views:
                if view.leads and view.term == newest and view.name != other_than:
                    return view.name
            return None

        return self._wait(look, "a leader", timeout)

    def wait_until_healthy(self, timeout: float = WAIT_SECONDS) -> None:
        """Until all nodes answer, one leads, and all have applied what is committed."""

        def look() -> bool:
            views = list(self.status().values())
            alive = [view for view in views if view]
            return (
                len(alive) == len(views)
                and any(view.leads for view in alive)
                and all(view.applied_index == view.commit_index for view in alive)
                and len({(view.term, view.leader, view.applied_index) for view in alive}) == 1
            )

        self._wait(look, "all nodes to be up and equal", timeout)

    # -- faults

    # ``seconds``: until it ends by itself; without it when it is healed.

    def kill(self, node: str, seconds: float | None = None) -> None:
        """SIGKILL; it stays down until ``restart``."""
        self._break().kill(node, seconds)

    def stop_node(self, node: str, seconds: float | None = None) -> None:
        """SIGTERM: it hands over, and ends."""
        self._break().stop(node, seconds)

    def restart(self, node: str) -> None:
        self._break().restart(node)

    def pause(self, node: str, seconds: float | None = None) -> None:
        """SIGSTOP, as a long pause of a virtual machine."""
        self._break().pause(node, seconds)

    def resume(self, node: str) -> None:
        self._break().resume(node)

    def transfer(self, node: str) -> None:
        """Have the leader hand over to that node."""
        self._break().transfer(node)

    def partition(self, *groups: Sequence[str], seconds: float | None = None) -> None:
        """Cut the links between groups of nodes, both ways; whoever is in none forms one more. Clients still
        reach everybody. Raises ``InvalidRequest`` for a name where a list of names is meant."""
        for group in groups:
            if isinstance(group, str):
                raise InvalidRequest(
                    f"a group is a list of names, as in partition([{group!r}]), not {group!r}"
                )
        self._break().partition(groups, seconds)

    def isolate(self, node: str, seconds: float | None = None) -> None:
        """Cut one node off from all others."""
        self._break().isolate(node, seconds)

    def bridge(self, node: str, seconds: float | None = None) -> None:
        """Two halves that hear each other through that node alone."""
        self._break().bridge(node, seconds)

    def ring(self, seconds: float | None = None) -> None:
        """Everybody hears its two neighbours and nobody else."""
        self._break().ring(seconds)

    def link(
        self,
        sender: str,
        to: str,
        *,
        drop: float = 0.0,
        delay_ms: float = 0.0,
        jitter_ms: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        block: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Spoil one direction of one link: ``drop``, ``duplicate``, ``reorder`` are shares of its frames."""
        from raftkv.observe import LinkFault

        fault = LinkFault(block, drop, delay_ms, jitter_ms, duplicate, reorder)
        self._break().link(sender, to, fault, seconds)

    def disk(
        self,
        node: str,
        *,
        slow_ms: float = 0.0,
        full: bool = False,
        fail: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Make each write of a node's disk slower, or let it find no room, or fail, which ends the node."""
        from raftkv.observe import DiskFault

        self._break().disk(node, DiskFault(slow_ms, full, fail), seconds)

    def clock(self, node: str, rate: float, seconds: float | None = None) -> None:
        """Let a node's time pass ``rate`` times as fast."""
        self._break().clock(node, rate, seconds)

    def heal(self) -> None:
        """Mend links, disks and clocks, resume what is paused and restart what is down."""
        self._break().heal_all()

    # -- internals

    def _there(self) -> Target:
        if self._target is None or self._host is None:
            raise LaunchError("the cluster is not running: start it, or use it in a 'with'")
        return self._target

    def _break(self) -> Chaos:
        self._there()
        assert self._chaos is not None
        return self._chaos

    @staticmethod
    def _wait(look: Callable[[], str | bool | None], what: str, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        idle = threading.Event()
        while True:
            found = look()
            if found:
                return found if isinstance(found, str) else ""
            if time.monotonic() >= deadline:
                raise RaftkvError(f"{what}: not within {timeout:g} s")
            idle.wait(LOOK_SECONDS)


def free_base_port(nodes: int) -> int:
    """The first of as many ports in a row as a cluster takes, free now. Below 32768, where the kernel takes
    the ports of outgoing connections from; another range for each process, as tests run in several."""
    from raftkv.cluster.local import PORTS_A_CLUSTER, busy_port

    start = 10_000 + (os.getpid() * 61) % 20_000
    for base in range(start, 32_000, PORTS_A_CLUSTER):
        if busy_port(base, range(nodes)) is None:
            return base
    raise LaunchError("no free ports for a cluster between 10000 and 32000")
