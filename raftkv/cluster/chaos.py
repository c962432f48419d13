"""Breaking a running cluster, and mending it: the verbs behind the dashboard's keys and ``raftkv
chaos``. Each returns the command line that does the same."""

from __future__ import annotations

import shlex
import string
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict

from raftkv.cluster.control import LAUNCHER_SECONDS, ControlClient, await_start, refused, snapshots
from raftkv.cluster.discovery import Target
from raftkv.cluster.load import BackgroundLoad
from raftkv.cluster.lookups import Lookups
from raftkv.errors import OutcomeUnknown, RaftkvError, Unavailable, Unreachable, shown
from raftkv.observe import DiskFault, LinkFault, LoadReport, Mended, leader_of, shapes
from raftkv.observe.shapes import Link

NODE_SECONDS = 2.0
LATER_SECONDS_MIN = 0.5
"""For the next question to the same nodes, however long others kept us waiting."""
BLOCKED = LinkFault(block=True)
_PLAIN = (string.ascii_letters + string.digits + "/_.-").encode()


class Chaos(Lookups):
    """Implements ``tui.ports.Actions`` and, by ``Lookups``, those. Safe to use from several threads, one call
    at a time each: every call has its own sockets.

    ``seconds`` is a fault's lifetime, which the node or, for processes, the launcher sees to; None: it lasts
    until healed, resumed or restarted by hand."""

    def __init__(
        self,
        target: Target,
        node_seconds: float = NODE_SECONDS,
        tell: Callable[[str], None] = lambda _: None,
        launcher_seconds: float = LAUNCHER_SECONDS,
    ) -> None:
        """``node_seconds``: how long a node may take to answer, and ``launcher_seconds``, whoever started it.
        ``tell`` gets a line about those that did not when links were cut, where others did."""
        assert target.controls is not None, "chaos needs the nodes' control endpoints"
        super().__init__(target.clients, target.controls, node_seconds, target.key)
        self._target = target
        self._load = BackgroundLoad(target.clients, target.key)
        self._tell = tell
        self._launcher_seconds = launcher_seconds
        self.unheard: tuple[str, ...] = ()
        """Nodes that run, for all that is known, and did not answer when links were cut last."""

    def close(self) -> None:
        self._load.stop()

    # -- processes

    def kill(self, node: str, seconds: float | None) -> str:
        return self._process("kill", node, seconds)

    def stop(self, node: str, seconds: float | None) -> str:
        return self._process("stop", node, seconds)

    def restart(self, node: str) -> str:
        return self._process("restart", node)

    def await_start(self, node: str, timeout: float) -> None:
        """Until it listens, as ``control.await_start`` has it."""
        assert self._target.launcher
        with ControlClient(self._key) as client:
            await_start(client, self._target.launcher, node, timeout)

    def pause(self, node: str, seconds: float | None) -> str:
        return self._process("pause", node, seconds)

    def resume(self, node: str) -> str:
        return self._process("resume", node)

    # -- links

    def isolate(self, node: str, seconds: float | None) -> str:
        self._require(node)
        self.set_links(shapes.isolate(node, self._names), BLOCKED, seconds)
        return f"raftkv chaos isolate {node}{_lifetime(seconds)}"

    def partition(self, groups: Sequence[Sequence[str]], seconds: float | None) -> str:
        named = [name for group in groups for name in group]
        for name in named:
            self._require(name)
            if named.count(name) > 1:
                raise RaftkvError(f"node {name} stands in two groups")
        rest = [name for name in self._names if name not in named]
        sides = [list(group) for group in groups if group] + ([rest] if rest else [])
        if len(sides) < 2:
            raise RaftkvError("a partition needs nodes on two sides")
        self.set_links(shapes.partition(sides), BLOCKED, seconds)
        text = " ".join(",".join(group) for group in groups if group)
        return f"raftkv chaos partition {text}{_lifetime(seconds)}"

    def bridge(self, node: str, seconds: float | None) -> str:
        self._require(node)
        links = shapes.bridge(node, self._names)
        if not links:
            raise RaftkvError("a bridge needs a node on each side of it: the cluster has fewer than three")
        self.set_links(links, BLOCKED, seconds)
        return f"raftkv chaos bridge {node}{_lifetime(seconds)}"

    def ring(self, seconds: float | None) -> str:
        links = shapes.ring(self._names)
        if not links:
            raise RaftkvError(
                f"a ring of {len(self._names)} cuts nothing, as there everybody is next to everybody: "
                "it takes a cluster of four nodes or more"
            )
        self.set_links(links, BLOCKED, seconds)
        return f"raftkv chaos ring{_lifetime(seconds)}"

    def link(
        self, sender: str, to: str, fault: LinkFault, seconds: float | None, both_ways: bool = False
    ) -> str:
        self._require(sender)
        self._require(to)
        if sender == to:
            raise RaftkvError("a link has two different ends")
        self.set_links([(sender, to), (to, sender)] if both_ways else [(sender, to)], fault, seconds)
        flags = " --block" if fault.block else ""
        for flag, value in (
            ("drop", fault.drop),
            ("delay", fault.delay_ms),
            ("jitter", fault.jitter_ms),
            ("duplicate", fault.duplicate),
            ("reorder", fault.reorder),
        ):
            flags += f" --{flag} {value:g}" if value else ""
        lifetime = _lifetime(seconds if flags else None)
        return f"raftkv chaos link {sender} {to}{flags}{'' if both_ways else ' --one-way'}{lifetime}"

    # -- disks and clocks

    def disk(self, node: str, fault: DiskFault, seconds: float | None) -> str:
        self._order(node, "disk", **asdict(fault), seconds=seconds)
        flags = f" --slow {fault.slow_ms:g}" if fault.slow_ms else ""
        flags += " --full" if fault.full else ""
        flags += " --fail" if fault.fail else ""
        return f"raftkv chaos disk {node}{flags}{_lifetime(seconds if flags else None)}"

    def clock(self, node: str, rate: float, seconds: float | None) -> str:
        self._order(node, "clock", rate=rate, seconds=seconds)
        return f"raftkv chaos clock {node} --rate {rate:g}{_lifetime(seconds if rate != 1 else None)}"

    # -- mending

    def heal(self) -> Mended:
        """Raises ``AccessRefused`` where a node takes no faults, nor their mending."""
        return Mended("raftkv chaos heal", self._heal())

    def _heal(self, begun: Collection[str] = ()) -> tuple[str, ...]:
        """Of the nodes that did not answer, those that may have faults all the same: one whose process has
        ended takes none into its next life, nor had one that has just ``begun`` any, which on a busy
        machine does not listen yet."""
        controls = self._controls  # which others replace meanwhile
        with ControlClient(self._key) as client:
            answers = client.ask_all(list(controls.values()), "heal", self._node_seconds)
            for answer in answers.values():
                if answer and not answer[0]:
                    raise refused(answer[1])
            silent = {name for name, endpoint in controls.items() if answers[endpoint] is None}
            return self._running(client, silent.difference(begun))

    def _running(self, client: ControlClient, names: set[str]) -> tuple[str, ...]:
        """Those of which it is not known that their process has ended."""
        if names and self._target.launcher:
            with suppress(Unavailable):  # it may be busy ending a node
                processes = client.ask(self._target.launcher, "processes", self._node_seconds)
                names = names & {process["name"] for process in processes if process["state"] != "exited"}
        return tuple(sorted(names))

    def heal_all(self) -> Mended:
        begun: set[str] = set()
        if self._target.launcher:
            with ControlClient(self._key) as client:
                for process in client.ask(self._target.launcher, "processes", NODE_SECONDS):
                    verb = {"paused": "resume", "exited": "restart"}.get(process["state"])
                    if verb:
                        arguments = {"node": process["name"]}
                        client.order(self._target.launcher, verb, self._launcher_seconds, **arguments)
                    if verb == "restart":
                        begun.add(process["name"])
        return Mended("raftkv chaos heal --all", self._heal(begun))

    # -- leadership

    def leader(self) -> str:
        """Who leads, in the highest term if several think so. Raises ``Unavailable`` when nobody does."""
        with ControlClient(self._key) as client:
            found = snapshots(client, self._controls, self._node_seconds)
        if not any(found.values()):
            raise Unreachable("no node answers")
        leader = leader_of(found.values())
        if leader is None:
            raise Unavailable("no leader: nobody who answers leads")
        return leader.name

    def transfer(self, node: str) -> str:
        self._require(node)
        leader = self.leader()
        if leader == node:
            raise RaftkvError(f"{node} leads already")
        self._order(leader, "transfer", to=node)
        return f"raftkv transfer {node}"

    def campaign(self, node: str) -> str:
        self._order(node, "campaign")
        return f"raftkv chaos campaign {node}"

    # -- data

    def put(self, key: bytes, value: bytes) -> str:
        with self._client() as client:
            client.put(key, value)
        return _command("raftkv put", key, value)

    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes) -> str:
        with self._client() as client:
            result = client.cas(key, expected, value)
        if not result.succeeded:
            held = result.current and f"{shown(key)} holds {shown(result.current.value)}"
            raise RaftkvError(f"nothing was changed: {held or f'there is no key {shown(key)}'}")
        if expected is None:
            return _command("raftkv cas --absent", key, value)
        return _command("raftkv cas", key, expected, value)

    def delete(self, key: bytes) -> str:
        with self._client() as client:
            if not client.delete(key).deleted:
                raise RaftkvError(f"there is no key {shown(key)}")
        return _command("raftkv delete", key)

    def load(self, on: bool) -> str:
        if on:
            self._load.start()
        else:
            self._load.stop()
        return "(load started)" if on else "(load stopped)"  # no command does the same

    def load_report(self) -> LoadReport:
        return self._load.report()

    # -- internals

    @property
    def _names(self) -> list[str]:
        return list(self._controls)

    def _process(self, verb: str, node: str, seconds: float | None = None) -> str:
        self._require(node)
        if self._target.launcher is None:
            raise RaftkvError(
                f"cannot {verb} {node}: only nodes that 'raftkv up' started on this machine have a launcher "
                "to ask; this cluster was found through " + self._target.source
            )
        with ControlClient(self._key) as client:
            patience = self._launcher_seconds
            client.order(self._target.launcher, verb, patience, node=node, seconds=seconds)
        return f"raftkv chaos {verb} {node}{_lifetime(seconds)}"

    def set_links(self, links: Sequence[Link], fault: LinkFault, seconds: float | None) -> None:
        """Give each of ``links`` this fault; ``LinkFault()`` mends them.

        Those that do not answer are told of: what they send is not held up once they go on, unless they got
        it and were only late. If none answers that is an error; else see ``unheard``."""
        if not links:
            raise RaftkvError("a cluster of one node has no links")
        controls = self._controls  # which others replace meanwhile
        reached: set[str] = set()
        silent: set[str] = set()
        doubtful: set[str] = set()
        absent: set[str] = set()
        arguments = {**asdict(fault), "seconds": seconds}
        deadline = time.monotonic() + self._node_seconds
        with ControlClient(self._key) as client:
            # By target, as what is asked of several nodes at once must be one and the same.
            for to in dict.fromkeys(to for _, to in links):
                asked = {
                    controls[sender]: sender
                    for sender, other in links
                    if other == to and sender not in silent
                }
                # Whoever is there answers at once: one that is not is waited for only the first time.
                patience = max(LATER_SECONDS_MIN, deadline - time.monotonic())
                answers = client.ask_all(list(asked), "link", patience, to=to, **arguments)
                for endpoint, answer in answers.items():
                    if answer is None:
                        silent.add(asked[endpoint])
                        if client.is_absent(endpoint):
                            absent.add(asked[endpoint])
                        if client.may_have_got(endpoint) or asked[endpoint] in reached:
                            doubtful.add(asked[endpoint])
                    elif not answer[0]:
                        raise refused(answer[1])
                    else:
                        reached.add(asked[endpoint])
            self.unheard = self._running(client, silent - absent) if reached else ()
        named = ", ".join(sorted(silent))
        if not reached and doubtful:
            raise OutcomeUnknown(f"no answer from {named}: it may or may not have happened")
        if not reached:
            error = Unreachable if silent == controls.keys() else Unavailable
            raise error(f"no answer from {named}: nothing was changed")
        if silent - doubtful:
            self._tell(f"no answer from {', '.join(sorted(silent - doubtful))}: nothing was changed there")
        if doubtful:
            self._tell(f"no answer from {', '.join(sorted(doubtful))}: what was changed there is not known")


def _lifetime(seconds: float | None) -> str:
    return "" if seconds is None else f" --for {seconds:g}"


def _command(verb: str, *words: bytes) -> str:
    """As it would be typed into a shell."""
    ahead = ["--"] if any(word.startswith(b"-") for word in words) else []
    return " ".join([verb, *ahead, *map(_typed, words)])


def _typed(word: bytes) -> str:
    with suppress(UnicodeDecodeError):
        text = word.decode("utf-8")
        if text.isprintable():
            return shlex.quote(text)
    # Whoever may have written it: when it is pasted it must not end the quotation.
    return "$'" + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in word) + "'"
