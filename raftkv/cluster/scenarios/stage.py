"""What a scenario stands on: the cluster's faults, its nodes' own words, clients, and bounded waiting.

Rules:

1. Nothing is taken for granted because some time has passed: what must be is looked for until it is there,
   or a deadline ends the scenario.
2. Every fault has a lifetime, and ``clear_up`` mends all of them: whatever ends the program leaves a cluster
   that becomes whole by itself.
3. Keys lie under ``scenario/``, which is deleted at the end.
4. Every wait ends at once when the scenario is left, but for those that mend.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from raftkv.client import Client
from raftkv.client.types import Entry
from raftkv.cluster.chaos import Chaos
from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.discovery import Target
from raftkv.cluster.scenarios.model import Narrator, Scenario
from raftkv.cluster.scenarios.pinned import NodeClient
from raftkv.cluster.scenarios.views import Equality, ailments, describe, serving_leader, voters
from raftkv.errors import (
    ClientError,
    ConfigError,
    Left,
    RaftkvError,
    ScenarioFailed,
    Unavailable,
    Unreachable,
)
from raftkv.observe import NodeSnapshot

FAULT_SECONDS = 300.0
"""A fault's lifetime: longer than any scenario takes, with time to think about its question."""
WAIT_SECONDS = 30.0
"""For what takes a second or two on a machine that has nothing else to do."""
HEALTHY_SECONDS = 15.0
MEND_SECONDS = 60.0
NODE_SECONDS = 1.0
"""For a node to say how it stands; whoever does not is looked at again."""
ORDER_SECONDS = 5.0
"""For a node to take an order, which is given once."""
LAUNCHER_SECONDS = 15.0
HEAL_AGAIN_SECONDS = 15.0
"""A node that did not answer when all was healed has to be told again."""
LOOK_SECONDS = 0.01
STRAND_SECONDS = 2.0
"""For a leader that was just cut off to take writes; after an election timeout it takes none."""
STRANDED_MAX = 500
"""Entries among which these are looked for: other clients may write as well."""
TRIES_MAX = 6
"""Of a set-up that chance can spoil."""
PREFIX = "scenario/"

Found = TypeVar("Found")
Judgement = tuple[bool, str]
"""Whether it holds, and what was found, with figures."""


def _never() -> bool:
    return False


class Stage:
    """Used by one thread. ``names``: the voters, known once ``prepare`` has returned."""

    def __init__(self, target: Target, narrator: Narrator, cancelled: Callable[[], bool] = _never) -> None:
        if target.controls is None:
            raise ConfigError(
                "a scenario needs the nodes' control endpoints: name the cluster by --config or --data"
            )
        self.narrator = narrator
        self.chaos = Chaos(target, ORDER_SECONDS)
        self._target = target
        self.launcher = target.launcher
        self.controls = dict(target.controls)
        self.names: tuple[str, ...] = ()
        self.endpoints = target.clients
        self._cancelled = cancelled
        self._control = ControlClient(target.key)
        self._client: Client | None = None
        self._endpoints: dict[str, str] = {}
        self._afterwards: list[Callable[[], None]] = []
        self._mending = False
        self._pause = threading.Event()

    def close(self) -> None:
        if self._client:
            self._client.close()
        self._control.close()
        self.chaos.close()

    # -- telling

    def go_on(self) -> None:
        """Raises ``Left`` when the scenario was left, unless it is being mended."""
        if not self._mending and self._cancelled():
            raise Left("the scenario was left")

    def say(self, text: str) -> None:
        self.go_on()
        self.narrator.say(text)

    def did(self, command: str) -> None:
        """A fault was made; ``command`` does the same."""
        self.narrator.command(command)

    def ask(self, question: str, choices: tuple[str, ...], right: int, why: str) -> None:
        self.go_on()
        self.narrator.ask(question, choices, right, why)
        self.go_on()

    # -- checking

    def check(self, what: str, judge: Callable[[], Judgement], seconds: float = WAIT_SECONDS) -> None:
        """Until it holds. Raises ``ScenarioFailed`` with what was found last."""
        last = "nothing"

        def look() -> str | None:
            nonlocal last
            holds, last = judge()
            return last if holds else None

        found = self._poll(look, seconds)
        if found is None:
            raise ScenarioFailed(what, last)
        self.narrator.checked(what, found)

    def assure(self, what: str, holds: bool, found: str) -> None:
        """What must be true as it is."""
        if not holds:
            raise ScenarioFailed(what, found)
        self.narrator.checked(what, found)

    def wait(self, what: str, look: Callable[[], Found | None], seconds: float = WAIT_SECONDS) -> Found:
        """Something that the story needs to go on. Raises ``ScenarioFailed``."""
        found = self._poll(look, seconds)
        if found is None:
            raise ScenarioFailed(what, f"{describe(self.views().values())} after {seconds:g} s")
        return found

    def happens(self, look: Callable[[], bool], seconds: float) -> bool:
        """Whether it is so within this time: for set-ups that may have to be tried again."""
        return self._poll(lambda: look() or None, seconds) is not None

    def check_equal(self, names: Sequence[str] | None = None) -> None:
        """All nodes hold the same state, digest by digest."""
        chosen = self.names if names is None else tuple(names)
        equality = Equality(chosen)

        def judge() -> Judgement:
            equality.add(self.views(chosen).values())
            if equality.difference:
                raise ScenarioFailed("all nodes hold the same state", equality.difference)
            text = f"equal digests on {', '.join(chosen)} at entry {equality.last}"
            return equality.complete, text if equality.complete else describe(self.views(chosen).values())

        self.check("all nodes hold the same state", judge)

    # -- looking

    def views(self, names: Sequence[str] | None = None) -> dict[str, NodeSnapshot]:
        """Of those nodes that answer. Whoever is dead or paused costs a second: leave them out."""
        chosen = (self.names or tuple(self.controls)) if names is None else names
        endpoints = {name: self.controls[name] for name in chosen}
        found = snapshots(self._control, endpoints, NODE_SECONDS)
        return {name: view for name, view in found.items() if view}

    def view(self, name: str) -> NodeSnapshot:
        """Waits for its answer."""
        return self.wait(f"{name} answers", lambda: self.views([name]).get(name))

    def leader(self, among: Sequence[str] | None = None, above: int = 0) -> NodeSnapshot:
        """Waits for one that serves, in a term later than ``above``."""
        return self.wait("a leader", lambda: serving_leader(self.views(among).values(), above))

    def others(self, *names: str) -> list[str]:
        return [name for name in self.names if name not in names]

    # -- clients

    def key(self, name: str) -> str:
        return PREFIX + name

    @property
    def client(self) -> Client:
        """Of the whole cluster; finds whoever leads."""
        if self._client is None:
            self._client = self.connect(self.endpoints, WAIT_SECONDS)
        return self._client

    def connect(self, endpoints: Sequence[str], seconds: float) -> Client:
        return Client(endpoints, seconds, key=self._target.key)

    def put(self, key: str, value: str) -> int:
        """Acknowledged, at this revision. Raises ``ScenarioFailed``."""
        try:
            return self.client.put(self.key(key), value).revision
        except ClientError as error:
            raise ScenarioFailed(f"a write of {self.key(key)} is acknowledged", str(error)) from None

    def get(self, key: str) -> str | None:
        """A linearizable read. Raises ``ScenarioFailed``."""
        try:
            entry = self.client.get(self.key(key))
        except ClientError as error:
            raise ScenarioFailed(f"a linearizable read of {self.key(key)} is served", str(error)) from None
        return None if entry is None else entry.value.decode()

    def stale(self, node: str, key: str) -> Entry | None:
        """What that node holds itself. Raises ``ScenarioFailed``."""
        with self.at(node, WAIT_SECONDS) as there:
            try:
                return there.stale_get(self.key(key))
            except ClientError as error:
                raise ScenarioFailed(f"a stale read of {node} is served", str(error)) from None

    @contextmanager
    def at(self, node: str, seconds: float) -> Iterator[NodeClient]:
        """A client of one node and no other; what is still open at the end is given up."""
        with self.connect([self._endpoints[node]], seconds) as client:
            yield NodeClient(client, self._endpoints[node])

    # -- breaking

    def strand(
        self, cut: Callable[[str], str], pairs: Sequence[tuple[str, str]]
    ) -> tuple[NodeSnapshot, int, int]:
        """Write to a leader that ``cut`` has just cut off, so that nobody else has it: the leader as it was
        then, and the first and last index of these writes in its log.

        It notices soon that it is alone, and takes no writes from then on: then all is tried again."""
        for _ in range(TRIES_MAX):
            leader = self.leader()
            with self.at(leader.name, STRAND_SECONDS) as there:
                there.put(self.key("before"), "cut off").result()
                self.did(cut(leader.name))
                # From here on nothing leaves it: what it appends after this look, it has alone.
                before = self.view(leader.name)
                for key, value in pairs:
                    there.put(self.key(key), value)
                found: list[int] = []

                def look(before: NodeSnapshot = before, found: list[int] = found) -> bool:
                    entries = self.chaos.entries(before.name, before.last_index + 1, STRANDED_MAX)
                    wanted = tuple(f"put {self.key(key)}=" for key, _ in pairs)
                    found[:] = [
                        entry.index
                        for entry in entries
                        if entry.term == before.term and entry.text.startswith(wanted)
                    ]
                    return len(found) == len(pairs)

                came = self.happens(look, STRAND_SECONDS)
            after = self.view(leader.name)
            if came and after.commit_index <= before.last_index and before.term == leader.term:
                last = max(found)
                self.wait(
                    f"{leader.name} has them on disk",
                    lambda name=leader.name, last=last: self.view(name).persisted_index >= last or None,  # type: ignore[misc]
                )
                return before, min(found), last
            self.say("It gave up its office before the writes came, which is chance; once more.")
            self.did(self.chaos.heal().command)
            self.await_whole()
        raise ScenarioFailed("a leader that was just cut off still takes writes", "none did")

    def require_launcher(self, why: str) -> str:
        """Its endpoint. Raises ``ConfigError``."""
        if self.launcher is None:
            raise ConfigError(
                f"this scenario {why}, which only the launcher of 'raftkv up' can do; this cluster has none: "
                "leave out --config and --endpoints to play it on a cluster of its own"
            )
        return self.launcher

    def afterwards(self, undo: Callable[[], None]) -> None:
        """Done when everything is mended, however the scenario ended."""
        self._afterwards.append(undo)

    def tell_node(self, node: str, verb: str, /, **arguments: Any) -> Any:
        """Ask a node's control socket. Raises ``RaftkvError``."""
        return self._control.ask(self.controls[node], verb, ORDER_SECONDS, **arguments)

    @property
    def control(self) -> ControlClient:
        return self._control

    # -- before and after

    def prepare(self, scenario: Scenario) -> None:
        """Only a healthy cluster with enough voters is broken. Raises ``ConfigError``, ``Unavailable``."""
        found = self._poll(lambda: self.views() or None, HEALTHY_SECONDS)
        if not found:
            raise Unreachable(f"scenario {scenario.name}: no node answers")
        self.names = voters(found.values())
        if len(self.names) < scenario.nodes:
            raise ConfigError(
                f"scenario {scenario.name} needs {scenario.nodes} voters, this cluster has "
                f"{len(self.names)}; 'raftkv up --nodes {scenario.nodes}' makes it grow"
            )
        for view in found.values():
            for member in view.members:
                if len(member.address) > 2:
                    self.controls.setdefault(member.name, member.address[2])
        self.chaos = Chaos(replace(self._target, controls=self.controls), ORDER_SECONDS)
        lacking = self._await_health(0.0)
        if lacking:
            self.narrator.say(f"Wait for a healthy cluster: {'; '.join(lacking)}.")
            lacking = self._await_health(HEALTHY_SECONDS)
        if lacking:
            raise Unavailable(
                f"scenario {scenario.name} needs a healthy cluster: {'; '.join(lacking)}. Mend it with "
                "'raftkv chaos heal --all'"
            )
        self._endpoints = {name: view.client_endpoint for name, view in self.views().items()}

    def await_whole(self) -> None:
        """All voters answer, nothing is broken, one leads and all follow. Raises ``ScenarioFailed``."""
        lacking = self._await_health(WAIT_SECONDS)
        if lacking:
            raise ScenarioFailed("the cluster is whole again", "; ".join(lacking))

    def clear_up(self) -> None:
        """Mend everything, take back what was done, delete what was written. Raises ``Unavailable``, and what
        kept something from being taken back, or told, once the rest is done."""
        self._mending = True
        deadline = time.monotonic() + MEND_SECONDS
        lacking = ["not tried"]
        while lacking:
            try:
                command = self.chaos.heal_all().command
                lacking = self._await_health(HEAL_AGAIN_SECONDS)
            except RaftkvError as error:
                lacking = [str(error)]
                self._pause.wait(0.2)
            if lacking and time.monotonic() > deadline:
                raise Unavailable(
                    f"the cluster is not whole again after {MEND_SECONDS:g} s: {'; '.join(lacking)}. Try "
                    f"'raftkv chaos heal --all'; every fault ends by itself within {FAULT_SECONDS:g} s"
                )
        failures: list[Exception] = []
        for undo in (lambda: self.narrator.command(command), *reversed(self._afterwards), self._delete_keys):
            try:
                undo()
            except Exception as error:
                failures.append(error)
        self._afterwards.clear()
        if failures:
            raise next((error for error in failures if isinstance(error, RaftkvError)), failures[0])

    def _delete_keys(self) -> None:
        try:
            self.client.delete_prefix(PREFIX)
        except ClientError as error:
            raise Unavailable(f"the keys under {PREFIX} cannot be deleted: {error}") from None

    # -- internals

    def _await_health(self, seconds: float) -> list[str]:
        """Empty: it is healthy."""
        lacking: list[str] = []

        def look() -> bool:
            lacking[:] = self._down() or ailments(self.names, self.views())
            return not lacking

        self.happens(look, seconds)
        return lacking

    def _down(self) -> list[str]:
        """Processes that the launcher says do not run; asked first, as waiting for them takes long."""
        if self.launcher is None:
            return []
        with suppress(Unavailable):
            rows = self._control.ask(self.launcher, "processes", LAUNCHER_SECONDS)
            return [
                f"{row['name']} {'is paused' if row['state'] == 'paused' else 'is down'}"
                for row in rows
                if row["state"] != "running" and row["name"] in self.names
            ]
        return ["the launcher does not answer"]

    def _poll(self, look: Callable[[], Found | None], seconds: float) -> Found | None:
        deadline = time.monotonic() + seconds
        while True:
            self.go_on()
            found = look()
            if found is not None and found is not False:
                return found
            if time.monotonic() >= deadline:
                return None
            self._pause.wait(LOOK_SECONDS)
