"""Starts the node processes of a local cluster, watches over them, and does what ``chaos`` asks.

A node that ends is reported and stays down until it is restarted: what was killed on purpose must
not come back by itself, unless it was killed for a time. All of this runs in ONE thread (see
``process``); others talk to it over its control socket, as the command line does.
"""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import zmq

from raftkv.actors.zmq_ports import ZmqPort
from raftkv.cluster import local, run_state
from raftkv.cluster.awaiting import Awaiting
from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.discovery import DEFAULT_DATA
from raftkv.cluster.process import EXIT_DAMAGED, EXIT_NO_MEMBER, EXIT_REMOVED, NodeProcess
from raftkv.cluster.run_state import RunNode, RunState
from raftkv.config import (
    ENDPOINTS,
    ClusterConfig,
    NodeConfig,
    SnapshotConfig,
    is_endpoint,
    is_name,
    no_endpoint,
)
from raftkv.errors import LaunchError, RaftkvError, WireError, no_node, shown
from raftkv.observe import ProcessSnapshot
from raftkv.types import NodeId
from raftkv.wire.control import (
    FAULT_SECONDS_MAX,
    ControlRequest,
    ControlResponse,
    decode_request,
    encode_response,
)
from raftkv.wire.packing import REQUEST_BYTES_MAX

START_SECONDS = 60.0
"""For all nodes to listen, on a slow machine under load: whoever cannot start ends at once, and says so."""
END_SECONDS = 6.0
POLL_SECONDS = 0.02
_OUTAGES = ("kill", "stop", "pause")
"""What may be asked for with a lifetime."""
_DONE = {"kill": "killed", "stop": "stopped", "pause": "paused", "resume": "resumed", "restart": "started"}


@dataclass(frozen=True, slots=True)
class _Outage:
    verb: str
    until: float
    """Monotonic seconds."""


class Launcher:
    """``run`` does everything, from the folder's lock to the last process's end."""

    def __init__(
        self,
        data: Path,
        *,
        nodes: int | None = None,
        base_port: int | None = None,
        fresh: bool = False,
        degraded: bool = False,
        segment_mib: int | None = None,
        snapshot: SnapshotConfig | None = None,
        echo: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``degraded``: without the nodes that cannot start, if a majority can.
        ``segment_mib``, ``snapshot``: of a new cluster; ``echo``: nodes print their events to stderr;
        ``report`` gets the launcher's own lines."""
        self._data = data
        self._degraded = degraded
        self._echo = echo
        self._report = report
        new = not data.exists()
        self._lock = local.FolderLock(data)
        run_state.forget(data)
        try:
            self.config: ClusterConfig = local.prepare(data, nodes, base_port, fresh, segment_mib, snapshot)
        except BaseException:
            self._lock.release()
            if new:
                self._lock.remove()
            raise
        self._processes: dict[str, NodeProcess] = {}
        self._mourned: set[str] = set()
        """Nodes of whose end was reported."""
        self._outages: dict[str, _Outage] = {}
        """Of the nodes that are to come back by themselves. Whatever else somebody does to such a node's
        process, it is theirs from then on."""
        self._stopping = False
        """A plain one: it is set by signals too, and one may interrupt another."""
        self.started = threading.Event()
        """Set once the nodes listen."""
        self.ready = threading.Event()
        """Set once a leader serves."""

    @property
    def endpoint(self) -> str:
        return local.launcher_endpoint(self.config)

    def stop(self) -> None:
        """End everything; from any thread."""
        self._stopping = True

    def run(self) -> None:
        """Until ``stop``, or ``down`` over the control socket. Raises ``LaunchError`` when a node
        cannot start."""
        try:
            with zmq.Context[zmq.Socket[bytes]]() as context:
                socket = context.socket(zmq.ROUTER)
                socket.setsockopt(zmq.LINGER, 200)
                socket.setsockopt(zmq.MAXMSGSIZE, REQUEST_BYTES_MAX)
                try:
                    self._bind(socket)
                    self._start_all()
                    self._save_state()
                    self.started.set()
                    self._report_ends()  # ahead of the word that the others are ready
                    port = ZmqPort(socket)
                    self._await_leader(port)
                    while not self._stopping:
                        self._serve(port, POLL_SECONDS)
                finally:
                    run_state.remove(self._data)
                    self._end_all()
                    socket.close()
        finally:
            self._lock.release()

    # -- start and end

    def _bind(self, socket: zmq.Socket[bytes]) -> None:
        try:
            socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            raise LaunchError(f"cannot listen on {self.endpoint}: {error.strerror}") from None

    def _start_all(self) -> None:
        for node in self.config.nodes:
            self._start(node.name)
        deadline = time.monotonic() + START_SECONDS
        while any(process.state == "starting" for process in self._processes.values()):
            for process in self._processes.values():
                process.poll()
            ended = [process for process in self._processes.values() if process.state == "exited"]
            majority = 2 * len(ended) < len(self._processes)
            for process in ended:
                if process.exit_code in (EXIT_NO_MEMBER, EXIT_REMOVED) or (self._degraded and majority):
                    continue  # the others are a cluster without it
                why = process.failure or f"its process ended with code {process.exit_code}"
                if process.exit_code == EXIT_DAMAGED and majority:
                    where = "" if self._data == DEFAULT_DATA else f" --data {shlex.quote(str(self._data))}"
                    why += f"; 'raftkv up --degraded{where}' starts the others without it"
                raise LaunchError(f"node {process.name} cannot start: {why}")
            if self._stopping:
                return
            if time.monotonic() > deadline:
                raise LaunchError(f"the nodes do not listen after {START_SECONDS:g} s")
            time.sleep(0.005)

    def _start(self, name: str) -> None:
        folder = self.config.data_folder(name)
        self._mourned.discard(name)
        self._processes[name] = NodeProcess(self.config.source, name, folder, self._echo)

    def _save_state(self) -> None:
        nodes = tuple(
            RunNode(node.name, node.client, node.control, node.status) for node in self.config.nodes
        )
        RunState(self.config.name, os.getpid(), self.endpoint, nodes).save(self._data)

    def _await_leader(self, port: ZmqPort) -> None:
        """Serve as usual meanwhile: a cluster without a leader can be talked to as well."""
        endpoints = {str(node.name): node.control for node in self.config.nodes}
        awaiting = Awaiting(time.monotonic())
        with ControlClient() as client:
            while not self._stopping:
                nodes = snapshots(client, endpoints, 0.5).values()
                leader = awaiting.look(time.monotonic(), nodes)
                if leader:
                    alive = {name for name, process in self._processes.items() if process.state != "exited"}
                    running = [node for node in self.config.nodes if node.name in alive]
                    clients = ",".join(node.client for node in running)
                    count = len(running)  # "1 nodes" as well: programs look for this line
                    self._report(f"ready: {count} nodes, leader {leader.name}, client endpoints {clients}")
                    self.ready.set()
                    return
                if awaiting.over:
                    self._report_majority()
                if awaiting.line:
                    self._report(awaiting.line)
                if awaiting.over:
                    return
                self._serve(port, awaiting.pause(time.monotonic()))

    def _report_majority(self) -> None:
        gone = [process.name for process in self._processes.values() if process.state == "exited"]
        if 2 * len(gone) >= len(self._processes):
            self._report(
                f"without {', '.join(gone)} there is no majority: bring one of them back, or read "
                "'raftkv recover --help' if their folders are lost"
            )

    def _end_all(self) -> None:
        alive = [process for process in self._processes.values() if process.exit_code is None]
        for process in alive:
            if process.state == "paused":
                process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        for process in alive:
            process.wait(max(0.1, deadline - time.monotonic()))

    # -- while it runs

    def _report_ends(self) -> None:
        for process in list(self._processes.values()):
            process.poll()
            if process.state == "exited" and process.name not in self._mourned:
                self._mourned.add(process.name)
                code = process.exit_code or 0
                how = f"was ended by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
                why = f": {process.failure}" if process.failure else ""
                hint = f"; 'raftkv chaos restart {process.name}' brings it back" * (code < EXIT_NO_MEMBER)
                self._report(f"node {process.name} {how}{why}{hint}")
                if code == EXIT_REMOVED:
                    with suppress(OSError):  # it is there still, and can be dropped by hand
                        self._drop(process)

    def _serve(self, port: ZmqPort, wait: float) -> None:
        self._report_ends()
        self._bring_back()
        if not port.socket.poll(int(wait * 1000)):
            return
        for frame in port.receive(1):
            self._on_frame(port, frame)

    def _on_frame(self, port: ZmqPort, frame: list[bytes]) -> None:
        try:
            request = decode_request(frame[-1])
        except WireError:
            return
        try:
            response = ControlResponse(request.request_id, True, self._do(request))
        except (RaftkvError, OSError, ValueError) as error:
            response = ControlResponse(request.request_id, False, str(error))
        except Exception as error:  # a mistake in answering one must not end the cluster
            text = f"this is a bug in raftkv: {shown(request.verb)} raised {type(error).__name__}: {error}"
            self._report(text)
            response = ControlResponse(request.request_id, False, text)
        port.send((frame[0], encode_response(response)))

    def _do(self, request: ControlRequest) -> Any:
        match request.verb:
            case "processes":
                return [asdict(snapshot) for snapshot in self.processes()]
            case "down":
                self._stopping = True
                return None
            case "reserve_node":
                node = self._reserve(request.arguments.get("node"))
                return {"name": node.name, "address": node.endpoints()}
            case "add_node":
                self._add(request.arguments)
                return None
        name = request.arguments.get("node")
        process = self._processes.get(name) if isinstance(name, str) else None
        if process is None:
            raise RaftkvError(no_node(name, self._processes))
        if request.verb == "begun":
            return process.begun
        seconds = _lifetime(request.arguments.get("seconds"))
        match request.verb:
            case "kill":
                self._require_something_to_end(process)
                self._mourned.add(process.name)
                process.signal(signal.SIGKILL)
                process.wait(END_SECONDS)
            case "stop":
                self._require_something_to_end(process)
                self._mourned.add(process.name)
                process.end(END_SECONDS)
            case "pause":
                self._require_alive(process)
                process.signal(signal.SIGSTOP)
            case "resume":
                self._require_alive(process)
                process.signal(signal.SIGCONT)
            case "drop_node":
                self._drop(process)
            case "restart":
                if process.exit_code is None:
                    process.end(END_SECONDS)
                self._start(process.name)
            case _:
                raise RaftkvError(f"unknown verb {shown(request.verb)}")
        self._outages.pop(process.name, None)
        lasting = ""
        if request.verb in _OUTAGES and seconds is not None:
            self._outages[process.name] = _Outage(request.verb, time.monotonic() + seconds)
            lasting = f" for {seconds:g} s"
        if self._echo and request.verb in _DONE:  # a dashboard shows it by itself
            self._report(f"node {process.name} was {_DONE[request.verb]}{lasting}, as asked")
        return None

    def _bring_back(self) -> None:
        """Those whose time is up."""
        now = time.monotonic()
        for name in [name for name, outage in self._outages.items() if outage.until <= now]:
            outage = self._outages.pop(name)
            process = self._processes[name]
            if self._echo:
                self._report(f"node {name} comes back: its time is up")
            if outage.verb == "pause":
                process.signal(signal.SIGCONT)  # not heard by one that has ended meanwhile
                continue
            try:
                self._start(name)
            except OSError as error:
                self._report(f"node {name} was to come back, and cannot be started: {error}")

    # -- members that come and go

    def _reserve(self, name: Any) -> NodeConfig:
        if name is not None and (not isinstance(name, str) or not is_name(name)):
            raise RaftkvError(f"{shown(name)} is no name: letters, digits, '.', '_' and '-', at most 63")
        return local.another_node(self.config, name)

    def _add(self, arguments: dict[str, Any]) -> None:
        """The cluster knows it already; from here on its file does, and its process runs."""
        name, address = arguments.get("node"), arguments.get("address")
        if not isinstance(name, str) or not isinstance(address, tuple | list) or len(address) != ENDPOINTS:
            raise RaftkvError(f"expected a name and {ENDPOINTS} endpoints")
        for endpoint in address:
            if not isinstance(endpoint, str) or not is_endpoint(endpoint):
                raise RaftkvError(no_endpoint(endpoint))
        node = self._reserve(name)
        if node.endpoints() != tuple(address):
            node = replace(node, **dict(zip(("peer", "client", "control", "status"), address, strict=True)))
        local.set_aside(self.config.data_folder(name))  # first: where that cannot be, nothing has happened
        known = self.config.nodes
        try:
            self._adopt((*known, node))
            self._start(name)
        except OSError:
            self.config = replace(self.config, nodes=known)  # or it could be neither added nor dropped
            with suppress(OSError):
                self._adopt(known)
            raise
        self._report(f"node {name} joins, client endpoint {node.client}")

    def _drop(self, process: NodeProcess) -> None:
        name = process.name
        process.end(END_SECONDS)
        # First: where there is no room for it the node stays known, and can be dropped again.
        self._adopt(tuple(node for node in self.config.nodes if node.name != name))
        del self._processes[name]
        self._outages.pop(name, None)
        local.set_aside(self.config.data_folder(name))
        self._report(f"node {name} has left")

    def _adopt(self, nodes: tuple[NodeConfig, ...]) -> None:
        changed = replace(self.config, nodes=nodes)
        local.write_config(changed)
        self.config = changed
        self._save_state()

    def _require_something_to_end(self, process: NodeProcess) -> None:
        """Or whoever tests with it believes in a fault that never was. One that was to come back can still be
        ended for good."""
        if process.exit_code is not None and process.name not in self._outages:
            raise RaftkvError(f"node {process.name} has exited already")

    @staticmethod
    def _require_alive(process: NodeProcess) -> None:
        if process.exit_code is not None:
            raise RaftkvError(f"node {process.name} has exited; restart it first")

    def processes(self) -> list[ProcessSnapshot]:
        return [
            ProcessSnapshot(
                NodeId(process.name),
                "running" if process.state == "starting" else process.state,
                process.pid,
                process.exit_code,
                process.since,
                outage.until if (outage := self._outages.get(process.name)) else None,
            )
            for process in self._processes.values()
        ]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # of the real-time ones two have names


def _lifetime(seconds: Any) -> float | None:
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not 0 <= seconds <= FAULT_SECONDS_MAX:
        raise RaftkvError(f"seconds: expected a number from 0 to {FAULT_SECONDS_MAX}, found {shown(seconds)}")
    return float(seconds)
