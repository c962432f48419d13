"""Breaking a running cluster, and mending it: the verbs behind the dashboard's keys and ``raftkv
chaos``. Each returns the command line that does the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raftkv.client import Client
from raftkv.cluster.control import ControlClient
from raftkv.cluster.discovery import Target
from raftkv.cluster.load import BackgroundLoad
from raftkv.errors import RaftkvError, Unavailable

NODE_SECONDS = 2.0
LAUNCHER_SECONDS = 15.0
"""A polite end may take its time before it is enforced."""


class Chaos:
    """Implements ``tui.ports.Actions``. Safe to use from several threads, one call at a time each:
    every call has its own sockets."""

    def __init__(self, target: Target, node_seconds: float = NODE_SECONDS) -> None:
        """``node_seconds``: how long a node may take to answer."""
        self._target = target
        self._node_seconds = node_seconds
        assert target.controls is not None, "chaos needs the nodes' control endpoints"
        self._controls = target.controls
        self._load = BackgroundLoad(target.clients)

    def close(self) -> None:
        self._load.stop()

    # -- processes

    def kill(self, node: str) -> str:
        return self._process("kill", node)

    def stop(self, node: str) -> str:
        return self._process("stop", node)

    def restart(self, node: str) -> str:
        return self._process("restart", node)

    def pause(self, node: str) -> str:
        return self._process("pause", node)

    def resume(self, node: str) -> str:
        return self._process("resume", node)

    # -- links

    def isolate(self, node: str, seconds: float | None) -> str:
        self._require(node)
        others = [name for name in self._controls if name != node]
        links = [(node, other) for other in others] + [(other, node) for other in others]
        self.set_links(links, seconds, block=True)
        return f"raftkv chaos isolate {node}{_lifetime(seconds)}"

    def partition(self, groups: Sequence[Sequence[str]], seconds: float | None) -> str:
        named = [name for group in groups for name in group]
        for name in named:
            self._require(name)
            if named.count(name) > 1:
                raise RaftkvError(f"node {name} stands in two groups")
        rest = [name for name in self._controls if name not in named]
        sides = [list(group) for group in groups if group] + ([rest] if rest else [])
        if len(sides) < 2:
            raise RaftkvError("a partition needs nodes on two sides")
        links = [
            (sender, to)
            for side in sides
            for sender in side
            for other in sides
            if other is not side
            for to in other
        ]
        self.set_links(links, seconds, block=True)
        text = " ".join(",".join(group) for group in groups if group)
        return f"raftkv chaos partition {text}{_lifetime(seconds)}"

    def link(
        self,
        sender: str,
        to: str,
        seconds: float | None,
        *,
        block: bool = False,
        drop: float = 0.0,
        delay_ms: float = 0.0,
        jitter_ms: float = 0.0,
    ) -> str:
        self._require(sender)
        self._require(to)
        if sender == to:
            raise RaftkvError("a link has two different ends")
        self.set_links(
            [(sender, to)], seconds, block=block, drop=drop, delay_ms=delay_ms, jitter_ms=jitter_ms
        )
        flags = " --block" if block else ""
        flags += f" --drop {drop:g}" if drop else ""
        flags += f" --delay {delay_ms:g}" if delay_ms else ""
        flags += f" --jitter {jitter_ms:g}" if jitter_ms else ""
        return f"raftkv chaos link {sender} {to}{flags} --one-way{_lifetime(seconds)}"

    # -- disks and clocks

    def disk(self, node: str, *, slow_ms: float = 0.0, full: bool = False, fail: bool = False) -> None:
        """Slow, full or failing writes; nothing of these heals."""
        self._ask_node(node, "disk", slow_ms=slow_ms, full=full, fail=fail)

    def clock(self, node: str, rate: float) -> None:
        """Let the node's time pass ``rate`` times as fast."""
        self._ask_node(node, "clock", rate=rate)

    # -- mending

    def heal(self) -> str:
        with ControlClient() as client:
            client.ask_all(list(self._controls.values()), "heal", self._node_seconds)
        return "raftkv chaos heal"

    def heal_all(self) -> str:
        if self._target.launcher:
            with ControlClient() as client:
                for process in client.ask(self._target.launcher, "processes", NODE_SECONDS):
                    verb = {"paused": "resume", "exited": "restart"}.get(process["state"])
                    if verb:
                        arguments = {"node": process["name"]}
                        client.ask(self._target.launcher, verb, LAUNCHER_SECONDS, **arguments)
        self.heal()
        return "raftkv chaos heal --all"

    # -- the rest

    def transfer(self, leader: str, node: str) -> str:
        """Ask ``leader``, which must lead, to hand over to ``node``."""
        self._ask_node(leader, "transfer", to=node)
        return f"raftkv transfer {node}"

    def campaign(self, node: str) -> str:
        self._ask_node(node, "campaign")
        return f"raftkv chaos campaign {node}"

    def put(self, key: str, value: str) -> str:
        with Client(self._target.clients, timeout=NODE_SECONDS) as client:
            client.put(key, value)
        return f"raftkv put {key} {value}"

    def load(self, on: bool) -> str:
        if on:
            self._load.start()
        else:
            self._load.stop()
        return "raftkv bench put --clients 8" if on else "(load stopped)"

    # -- internals

    def _ask_node(self, node: str, verb: str, **arguments: Any) -> None:
        self._require(node)
        with ControlClient() as client:
            client.ask(self._controls[node], verb, self._node_seconds, **arguments)

    def _require(self, node: str) -> None:
        if node not in self._controls:
            raise RaftkvError(f"no node named {node!r}; the nodes are {', '.join(self._controls)}")

    def _process(self, verb: str, node: str) -> str:
        self._require(node)
        if self._target.launcher is None:
            raise RaftkvError(
                f"cannot {verb} {node}: only nodes that 'raftkv up' started on this machine have a launcher "
                "to ask; this cluster was found through " + self._target.source
            )
        with ControlClient() as client:
            client.ask(self._target.launcher, verb, LAUNCHER_SECONDS, node=node)
        return f"raftkv chaos {verb} {node}"

    def set_links(self, links: Sequence[tuple[str, str]], seconds: float | None, **fault: Any) -> None:
        """Set, or with no ``fault`` mend, links of (sender, to).

        A node that cannot be reached is already cut off more thoroughly than asked; but if none
        can, nothing was done and that is said."""
        if not links:
            raise RaftkvError("a cluster of one node has no links")
        reached: set[str] = set()
        silent: set[str] = set()
        with ControlClient() as client:
            # By target, as what is asked of several nodes at once must be one and the same.
            for to in dict.fromkeys(to for _, to in links):
                asked = {
                    self._controls[sender]: sender
                    for sender, other in links
                    if other == to and sender not in silent
                }
                answers = client.ask_all(
                    list(asked), "link", self._node_seconds, to=to, seconds=seconds, **fault
                )
                for endpoint, answer in answers.items():
                    if answer is None:
                        silent.add(asked[endpoint])
                    elif not answer[0]:
                        raise RaftkvError(str(answer[1]))
                    else:
                        reached.add(asked[endpoint])
        if not reached:
            raise Unavailable(f"no answer from {', '.join(sorted(silent))}: nothing was changed")


def _lifetime(seconds: float | None) -> str:
    return "" if seconds is None else f" --for {seconds:g}"
