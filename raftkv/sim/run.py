"""One seed from beginning to end.

1. *Safety*: users work while the nemesis strikes; every step is checked.
2. *Liveness*: a random quorum is healed, the others stay dead, cut off, or deaf; within ten election
   timeouts a client has written, and then read.
3. *Convergence*: everything is healed; all nodes come to the same state, which is the one that the
   committed commands make.
4. *Calm*, in some seeds: a node that was cut off for a while returns, and deposes nobody.
5. *Check*: every key is read once more, of every node; the history of every key is linearizable.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from raftkv.client.users import User
from raftkv.history import Op, Recorder, Result, check_history, to_json_line
from raftkv.observe.shapes import between, isolate
from raftkv.sim.clients import SimClient
from raftkv.sim.machine import Machine
from raftkv.sim.nemesis import Nemesis
from raftkv.sim.passing import Phase, Play, Unmet, Until, never
from raftkv.sim.swarm import WEATHER, Fault, Profile, draw
from raftkv.sim.tenants import (
    CHANGES_TOLD,
    LEASES_ENDED,
    TOGETHER,
    TOKENS,
    TURNS,
    Bookkeeper,
    Holder,
    Holders,
    Observer,
    Worker,
    check_tokens,
)
from raftkv.sim.trace import Trace
from raftkv.sim.twin import Violation
from raftkv.sim.world import Listener, World

SECONDS = 10.0
"""Of the first phase, unless told otherwise."""
ELECTION_TIMEOUTS = 10
"""Within which a healed quorum must have a leader and a commit."""
DISCOVERY_SECONDS = 1.5
"""For a client to find out who leads now, beyond that."""
SETTLE_SECONDS = 30.0
CHECK_STEPS_MAX = 2_000_000
"""Of the search over one history; more than any of them has come near."""
READERS = 2
READER: dict[str, Any] = {"read_share": 1.0, "pinned_share": 1.0, "burst_share": 0.0, "rest_seconds": 0.03}
VISITOR = 999
"""The number of the one who asks by hand."""
RETURNS_SHARE = 0.3
"""Of seeds in which a node that was cut off returns, which must not disturb anybody."""


@dataclass(slots=True)
class Outcome:
    seed: int
    profile: Profile
    violation: str | None = None
    digest: str = ""
    virtual_seconds: float = 0.0
    steps: int = 0
    committed: int = 0
    elections: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    """By result: ok, fail, unknown."""
    answered: Counter[str] = field(default_factory=Counter)
    """Those that were ok, by kind."""
    faults: Counter[str] = field(default_factory=Counter)
    tenancy: Counter[str] = field(default_factory=Counter)
    """How often what, by ``tenants.TENANCY``."""
    tail: list[str] = field(default_factory=list)
    """The last lines of the trace, of a run that failed."""


def run_seed(
    seed: int,
    *,
    nodes: int | None = None,
    seconds: float = SECONDS,
    faults: Collection[Fault] | None = None,
    write: Callable[[str], None] | None = None,
) -> Outcome:
    """``write`` gets every line of the trace. Never raises for what it finds: see ``Outcome.violation``."""
    profile = draw(seed, nodes, faults)
    run = Run(seed, profile, seconds, write)
    outcome = Outcome(seed, profile)
    play = Play(run.world.schedule, run.phases())
    play.advance()
    if play.violation:
        outcome.violation = play.violation
        outcome.tail = list(run.world.trace.tail)
    world = run.world
    outcome.digest = world.trace.digest
    outcome.virtual_seconds = world.now
    outcome.steps = world.schedule.steps
    outcome.committed = len(world.watcher.history.committed)
    outcome.elections = world.watcher.elections
    for operation in run.history.operations():
        outcome.operations[operation.result.value] += 1
        outcome.answered[operation.op.value] += operation.result is Result.OK
    outcome.tenancy = run.tenancy()
    outcome.faults = world.counts + Counter({kind: world.network.counts[kind] for kind in WEATHER})
    return outcome


class Run:
    """The phases, which ``passing.Play`` lets happen, all at once or step by step."""

    def __init__(
        self,
        seed: int,
        profile: Profile,
        seconds: float,
        write: Callable[[str], None] | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.profile = profile
        self.seconds = seconds
        self.history = Recorder()
        self._healed: list[str] = []
        """Nodes that are to run from now on."""
        self.world = World(profile.world, seed, Trace(write))
        self.world.listener = listener
        self._rng = random.Random(f"{seed}/run")
        self._nemesis = Nemesis(self.world, profile, random.Random(f"{seed}/nemesis"))
        # Whoever writes soon waits for a leader; readers who never write keep asking one that was deposed.
        habits = [profile] * profile.users + [replace(profile, **READER)] * READERS
        self.users = [
            self._user(number, its, random.Random(f"{seed}/user/{number}"))
            for number, its in enumerate(habits)
        ]
        self.holders = Holders(lambda: self.world.now, self.world.clocks_were_true)
        self.world.watcher.twin.on_lease_ended = self.holders.on_lease_ended
        self.observers = [Observer(self._tenant(f"o{number}", seed)) for number in range(profile.observers)]
        self._holding = [
            Holder(
                self._tenant(f"h{number}", seed),
                random.Random(f"{seed}/holder/{number}"),
                profile.lease_ttl,
                profile.request_timeout,
                self.holders,
            )
            for number in range(profile.holders)
        ]
        self._tokens = 0
        self._bookkeepers = [
            Bookkeeper(
                self._tenant(f"b{number}", seed),
                random.Random(f"{seed}/bookkeeper/{number}"),
                profile.request_timeout,
            )
            for number in range(profile.bookkeepers)
        ]
        self.world.trace.add(0.0, profile.describe())

    def _user(self, number: int, habits: Profile, rng: random.Random) -> User:
        world = self.world
        founders = world.names[: self.profile.world.nodes]
        known = rng.sample(founders, rng.randint(1, len(founders)))
        client = world.client(f"c{number}", known)
        return User(
            number,
            client,
            habits,
            rng,
            self.history,
            self._on_answer,
            # Whoever waits to be added answers nobody, and a user would do nothing but ask it again.
            [world.config.node(name).client for name in founders],
        )

    def _participants(self) -> list[User | Worker]:
        return [*self.users, *self._holding, *self._bookkeepers]

    def _tenant(self, name: str, seed: int) -> SimClient:
        founders = self.world.names[: self.profile.world.nodes]
        rng = random.Random(f"{seed}/tenant/{name}")
        return self.world.client(name, rng.sample(founders, rng.randint(1, len(founders))))

    def visitor(self) -> User:
        """Whoever asks by hand, and does nothing by itself. A seed has none: this makes it another run."""
        found = [user for user in self.users if user.number == VISITOR]
        if found:
            return found[0]
        names = self.world.names[: self.profile.world.nodes]
        client = self.world.client("visitor", names)
        rng = random.Random(self._rng.getrandbits(64))
        visitor = User(VISITOR, client, self.profile, rng, self.history, self._on_answer, [])
        visitor.resting = True
        self.users.insert(0, visitor)
        return visitor

    def _on_answer(self, client_id: int, sequence: int, code: int, revision: int) -> None:
        self.world.watcher.twin.check_answer(client_id, sequence, code, revision)

    # -- the phases

    def phases(self) -> Phase:
        """All of them. Raises ``Violation`` for what is found, ``Unmet`` for what is owed."""
        yield from self.safety()
        yield from self.liveness()
        yield from self.convergence()
        yield from self.calm()
        yield from self.check()

    def safety(self) -> Phase:
        for name in self.world.names:
            self.world.start(name)
        for participant in self._participants():
            participant.begin()
        self._nemesis.begin()
        yield Until(never, self.seconds)
        self._nemesis.stop()

    def liveness(self) -> Phase:
        """The rest of the cluster may hinder the healed quorum as much as it can."""
        world, rng = self.world, self._rng
        core = self._draw_quorum()
        others = [name for name in world.names if name not in core]
        world.heal(core)
        self._healed = core
        for name in others:
            fate = rng.choice(("dead", "cut off", "deaf", "as it was"))
            world.trace.add(world.now, f"! {name} stays {fate}")
            if fate == "dead":
                world.power_loss(name)
            elif fate == "cut off":
                world.network.cut(between([name], core))
            elif fate == "deaf":
                world.network.cut((sender, name) for sender in core)
        elections = ELECTION_TIMEOUTS * self.profile.world.raft.election_timeout_max_ms / 1000
        # A user who asks the healed part only: the others may go on asking the dead.
        probe = self._probe(core)
        when = f"after {', '.join(core)} of {', '.join(world.members())} were healed"
        seconds = elections + DISCOVERY_SECONDS
        yield from self._demand(probe, Op.PUT, "probe", seconds, when, "alive")
        yield from self._demand(probe, Op.GET, "probe", seconds, "after a write had gone through")

    def _draw_quorum(self) -> list[str]:
        """Members enough to go on, and some more."""
        world, rng = self.world, self._rng
        members = world.members()
        if not world.watcher.committed_index:
            return sorted(world.names)  # a cluster begins when all that are listed are there, and new
        rng.shuffle(members)
        least = next(
            (count for count in range(1, len(members) + 1) if world.is_quorum(members[:count])), len(members)
        )
        return sorted(members[: rng.randint(least, len(members))])

    def _demand(
        self,
        user: User,
        op: Op,
        key: str,
        seconds: float,
        when: str,
        value: str | None = None,
        target: str | None = None,
    ) -> Phase:
        """This request must be answered, and well. One that was refused may be asked again: where few
        clients are remembered, a new one may be forgotten before its first write. Its own patience is
        longer than ours, so silence is never taken for a refusal."""

        def answered() -> bool:
            self._revive()
            return not user.busy

        deadline = self.world.now + seconds
        while True:
            user.ask(op, key, value, target)
            left = deadline - self.world.now
            if left <= 0 or not (yield Until(answered, left)):
                raise Unmet(f"a request was not answered within {seconds:g} s {when}")
            if user.last is Result.OK:
                return

    def _revive(self) -> None:
        """One that was asked to stop before it was healed may do so afterwards."""
        members = self.world.members()
        for name in self._healed:
            if name not in self.world.machines and name in members:
                self.world.start(name)

    def _probe(self, core: list[str]) -> User:
        number = len(self.users)
        client = self.world.client(f"c{number}", core)
        habits = replace(self.profile, request_timeout=60.0, pinned_share=0.0)
        rng = random.Random(self._rng.getrandbits(64))
        user = User(number, client, habits, rng, self.history, self._on_answer, [])
        user.resting = True
        self.users.append(user)
        return user

    def convergence(self) -> Phase:
        world = self.world
        world.heal(world.names)
        self._healed = world.names
        for participant in self._participants():
            participant.resting = True
        quiet = self.profile.request_timeout + SETTLE_SECONDS
        if not (yield Until(lambda: not any(each.busy for each in self._participants()), quiet)):
            raise Unmet(f"requests are open after {quiet:g} s on a healed cluster")

        def equal() -> bool:
            self._revive()
            last = len(world.watcher.history.committed)
            return not world.watcher.committed.joint and all(
                machine is not None and machine.node.store.machine.applied_index == last
                for machine in self._members()
            )

        if not (yield Until(equal, SETTLE_SECONDS)):
            raise Unmet(f"the nodes are not equal {SETTLE_SECONDS:g} s after everything was healed")
        for machine in self._members():
            assert machine
            world.watcher.twin.check_contents(machine)
        yield from self._settle_tenants()

    def _settle_tenants(self) -> Phase:
        """Nobody holds anything any more: every lease ends by itself, and observers learn of all of it."""
        twin = self.world.watcher.twin
        patience = SETTLE_SECONDS + 2 * self.profile.lease_ttl

        def over() -> bool:
            self._revive()
            reachable = [self.world.config.node(name).client for name in self.world.members()]
            return not twin.leases and all(
                observer.revision == twin.revision or observer.is_stranded(reachable)
                for observer in self.observers
            )

        if not (yield Until(over, patience)):
            behind = [observer.revision for observer in self.observers]
            raise Unmet(
                f"{patience:g} s after everything was healed leases {list(twin.leases)} live on, and "
                f"observers are at {behind} of {twin.revision}"
            )
        for observer in self.observers:
            observer.check(twin)
        self._tokens = check_tokens(twin)

    def tenancy(self) -> Counter[str]:
        """What those who build on the store could rely on, and did."""
        return Counter(
            {
                TURNS: sum(holder.turns for holder in self._holding),
                TOKENS: self._tokens,
                LEASES_ENDED: self.holders.checked,
                CHANGES_TOLD: sum(len(observer.events) for observer in self.observers),
                TOGETHER: sum(observer.together for observer in self.observers),
            }
        )

    def _members(self) -> list[Machine | None]:
        """None for one that is down."""
        return [self.world.machines.get(name) for name in self.world.members()]

    def calm(self) -> Phase:
        """A node that was cut off for some election timeouts and returns deposes nobody (thesis §9.6)."""
        world = self.world

        def settled() -> bool:
            """Nobody is still to end who was asked to before: that one leads no more for its own reasons."""
            self._revive()
            return not any(machine is None or machine.node.leaving for machine in self._members())

        if (
            self.profile.world.preferred
            or self._rng.random() >= RETURNS_SHARE
            or not (yield Until(settled, SETTLE_SECONDS))
        ):
            return
        leader = world.leader()
        members = world.members()
        others = [
            name
            for name in members
            if name != leader and world.is_quorum([other for other in members if other != name])
        ]
        if leader is None or not others:
            return
        timeout = self.profile.world.raft.election_timeout_max_ms / 1000
        away = self._rng.choice(others)
        links = isolate(away, world.names)
        elections = world.watcher.elections
        world.network.cut(links)
        yield Until(never, 3 * timeout)
        world.network.lift(links)
        yield Until(never, 2 * timeout)
        if world.watcher.elections > elections or world.leader() != leader:
            raise Unmet(f"{away} was cut off for {3 * timeout:g} s, returned, and {leader} leads no more")

    def check(self) -> Phase:
        """The last word: what users saw, read once more at the end, is linearizable. The leader dies
        first, and nobody writes to the next one: what it may serve it must find out by itself."""
        world, reader = self.world, self.users[-1]
        leader = world.leader()
        if leader:
            world.power_loss(leader)
            world.start(leader)
        for key in [*(f"k{number}" for number in range(self.profile.keys)), "probe"]:
            yield from self._demand(reader, Op.GET, key, SETTLE_SECONDS, "on a healed cluster")
        for name in world.members():
            when, endpoint = f"by {name} on a healed cluster", world.config.node(name).client
            yield from self._demand(reader, Op.GET, "probe", SETTLE_SECONDS, when, target=endpoint)
        verdict = check_history(self.history.operations(), steps_max=CHECK_STEPS_MAX)
        world.trace.add(world.now, verdict.describe())
        if not verdict.outcome.holds:
            witness = [to_json_line(operation) for operation in verdict.witness]
            raise Violation("\n".join([verdict.describe(), verdict.reason, *witness]))
