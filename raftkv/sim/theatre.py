"""One seed, played for somebody who watches and takes part: a run with a position in time.

Theory of operation. A seed is a whole history, so any moment of it can be had again by playing it from the
beginning. An action by hand makes another history of it: a *fork*. Forks are kept with their moments, and
are done again whenever the run is played again past them; so seed and forks together are as deterministic
as the seed alone. Invariants are checked all the way. What a healed cluster owes within some time
(``passing.Unmet``) is not held against one that was broken by hand.

The owner calls ``advance`` again and again, with the real time that went by, and then ``poll``. Nothing here
takes long: a call lets at most ``STEPS_A_CALL_MAX`` steps happen, and ``seek`` and ``step`` only say what the
next calls of ``advance`` are to reach (``busy`` until then).

One thread at a time: several may share a theatre only if they give it a ``lock``, which every call then
holds. Whoever acts waits for one call of ``advance`` at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from raftkv.errors import RaftkvError
from raftkv.history import Result
from raftkv.observe import Event, LinkFault, LinkSnapshot, LoadReport, NodeSnapshot, ProcessSnapshot
from raftkv.sim.lookups import Found, Lookups
from raftkv.sim.passing import Play
from raftkv.sim.run import SECONDS, Run
from raftkv.sim.schedule import TRUE_RATE
from raftkv.sim.stagehand import Act, Stagehand
from raftkv.sim.swarm import Fault, draw
from raftkv.sim.world import World
from raftkv.types import NodeId
from raftkv.wire import status as wire

SPEED_DEFAULT = 0.25
SPEED_MIN, SPEED_MAX = 0.01, 10.0
STEPS_A_CALL_MAX = 500
"""Some 20 ms of work."""
FORKS_MAX = 1000
"""More than anybody does by hand."""
ITEMS_MAX = 20_000
"""Kept for a poll that does not come; the oldest go first, and a gap in the numbers of events tells."""
ITEMS_A_POLL_MAX = 2000
STROKES_MAX = 1000
"""Some minutes of the fiercest nemesis."""
RECENT_SECONDS = 60.0
"""Before the moment that is sought: the only snapshots worth reading on the way there."""
REPORT_SECONDS = 0.5
"""Of virtual time, between two reports of the users."""
RUNNING, EXITED = "running", "exited"

FeedItem = NodeSnapshot | Event | ProcessSnapshot | LoadReport


@dataclass(frozen=True, slots=True)
class Fork:
    """What was done by hand."""

    time: float
    """Virtual seconds."""
    text: str
    act: Act


class Theatre(Stagehand, Lookups):
    """Implements ``tui.ports.Feed``, ``Actions`` and ``Lookups``. All times of its items are those of
    the world."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int | None = None,
        seconds: float = SECONDS,
        faults: Collection[Fault] | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        """The first four as of ``run_seed``."""
        self.seed = seed
        self.playing = True
        """Whether time passes by itself; may be set."""
        self.generation = 0
        """Goes up when the run begins anew: whoever keeps a model of what was polled begins anew as well."""
        self._profile = draw(seed, nodes, faults)
        self._seconds = seconds
        self._lock = lock or nullcontext()
        self._speed = SPEED_DEFAULT
        self._forks: list[Fork] = []
        self._goal: float | None = None
        self._stepping = False
        self._begin()

    def _begin(self) -> None:
        self.generation += 1
        self.now = 0.0
        """Where the run stands, in virtual seconds."""
        self._applied = 0
        """Of the forks."""
        self._shown = 0
        """Things worth showing, so far."""
        self._strokes: deque[tuple[float, str]] = deque(maxlen=STROKES_MAX)
        self._items: deque[FeedItem] = deque(maxlen=ITEMS_MAX)
        self._processes: dict[str, ProcessSnapshot] = {}
        self._report_at = 0.0
        self._told_end = False
        self._run = Run(self.seed, self._profile, self._seconds, self._on_line, self)
        self._world = self._run.world
        self._names = [str(node.name) for node in self._world.config.nodes if not node.joining]
        self._play = Play(self._world.schedule, self._run.phases())

    # -- the feed

    def names(self) -> Sequence[str]:
        """Founders, and whoever has joined so far."""
        return tuple(self._names)

    def poll(self) -> Sequence[FeedItem]:
        """Nothing while a moment is sought."""
        with self._lock:
            if self._goal is not None:
                return ()
            return [self._items.popleft() for _ in range(min(ITEMS_A_POLL_MAX, len(self._items)))]

    def close(self) -> None:
        """There is nothing to be closed."""

    # -- time

    @property
    def speed(self) -> float:
        """Virtual seconds in a real one, from ``SPEED_MIN`` to ``SPEED_MAX``; what is set beyond is taken to
        the nearer of them. More than the machine can do is not made up for."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._speed = min(max(speed, SPEED_MIN), SPEED_MAX)

    @property
    def busy(self) -> bool:
        """On the way to what was asked for by ``seek`` or ``step``."""
        return self._goal is not None or self._stepping

    def advance(self, real_seconds: float) -> None:
        """Let time pass, or go on with what was asked for."""
        with self._lock:
            if self._goal is not None:
                if self._go(self._goal):
                    self._goal = None
            elif self._stepping:
                self._step()
            elif self.playing:
                self._go(self.now + self._speed * real_seconds)
            self._note_members()
            self._report()

    def step(self) -> None:
        """Hold, once the next thing worth showing has happened: an event of a node, a process that starts,
        pauses or ends, a stroke of the nemesis."""
        with self._lock:
            self.playing = False
            self._stepping = not self.finished

    def seek(self, virtual_seconds: float) -> None:
        """To that moment, or to the end if it comes first. Going back begins the run anew; the forks
        before that moment are done again, and later ones when they are reached. Raises ``RaftkvError``."""
        if not virtual_seconds >= 0:
            raise RaftkvError(f"there is no moment {virtual_seconds:g} s: a run begins at 0 s")
        with self._lock:
            self._seek(virtual_seconds)

    def undo(self) -> str:
        """Take the last fork back, and go to its moment. Raises ``RaftkvError`` when there is none."""
        with self._lock:
            if not self._forks:
                raise RaftkvError("nothing was done by hand that could be undone")
            fork = self._forks.pop()
            if self._applied > len(self._forks):
                self._begin()
            self._seek(fork.time)
            return f"{self._moment(fork.time)}: undone: {fork.text}"

    def _seek(self, moment: float) -> None:
        self._stepping = False
        if moment < self.now:
            self._begin()
        self._goal = moment

    # -- what is to be known of it

    @property
    def finished(self) -> bool:
        """To the end, or to a violation."""
        return self._play.finished

    @property
    def violation(self) -> str | None:
        if self._play.unmet and self._applied:
            return None
        return self._play.violation

    @property
    def digest(self) -> str:
        """Of the trace so far; at the end, and without forks, that of ``raftkv sim --seed``."""
        return self._world.trace.digest

    @property
    def verdict(self) -> str:
        """One line, and after a violation whatever belongs to it."""
        if self.violation:
            return f"VIOLATION at {self.now:.3f} s: {self.violation}"
        if self._play.violation:
            return f"not seen to its end: {self._play.violation}; a cluster broken by hand need not do that"
        if not self.finished:
            return f"every invariant has held for {self.now:.3f} s"
        if self._applied:
            return f"every invariant held, with {self._applied} actions by hand"
        return f"every invariant held; digest {self.digest}"

    @property
    def forks(self) -> Sequence[Fork]:
        """In the order of their moments; those after ``now`` are still to come."""
        return tuple(self._forks)

    @property
    def strokes(self) -> Sequence[tuple[float, str]]:
        """What the seed's own nemesis did so far, with its moments."""
        return tuple(self._strokes)

    # -- within one call

    def _go(self, target: float) -> bool:
        """As far as the steps of one call go; whether it is there, or at the end."""
        schedule = self._world.schedule
        last = schedule.steps + STEPS_A_CALL_MAX
        while True:
            fork = self._next_fork()
            limit = min(target, fork.time) if fork else target
            self._play.advance(limit, last - schedule.steps)
            if self.finished or schedule.steps >= last:
                self.now = max(self.now, schedule.now)
                return self.finished
            self.now = limit
            if fork is None or fork.time > limit:
                return True
            self._apply(fork)

    def _step(self) -> None:
        schedule, shown = self._world.schedule, self._shown
        last = schedule.steps + STEPS_A_CALL_MAX
        while self._shown == shown and not self.finished and schedule.steps < last:
            fork = self._next_fork()
            when = schedule.next_time()
            if fork and (when is None or fork.time < when):
                self._settle(fork.time)
                self._apply(fork)
                break
            self._play.advance(steps_max=1)
        self.now = max(self.now, schedule.now)
        self._settle(self.now)
        self._stepping = self._shown == shown and not self.finished

    def _settle(self, moment: float) -> None:
        """Whatever is due up to then happens: an action comes after it, now as well as in every replay."""
        self._play.advance(moment)
        self.now = max(moment, self.now)

    def _next_fork(self) -> Fork | None:
        return self._forks[self._applied] if self._applied < len(self._forks) else None

    def _apply(self, fork: Fork) -> None:
        self._world.schedule.now = fork.time
        fork.act(self._run)
        self._applied += 1
        self._shown += 1

    def _perform(self, text: str, act: Act) -> str:
        with self._lock:
            if self.busy:
                raise RaftkvError(f"{self._moment(self.now)}: still on the way; try again when it is there")
            if len(self._forks) >= FORKS_MAX:
                raise RaftkvError(f"no more than {FORKS_MAX:,} actions by hand")
            self._settle(self.now)
            if self.finished:
                raise RaftkvError(f"{self._moment(self.now)}: the run is over; seek an earlier moment first")
            fork = Fork(self.now, text, act)
            self._apply(fork)
            # Whatever was done later belonged to another course of things.
            self._forks[self._applied - 1 :] = [fork]
            self._settle(self.now)
            return f"{self._moment(fork.time)}: {text}"

    def _look(self, look: Callable[[World], Found]) -> Found:
        with self._lock:
            return look(self._world)

    def _moment(self, time: float) -> str:
        return f"sim --seed {self.seed}, at {time:.3f} s"

    # -- what the world tells

    def on_status(self, name: str, frame: Sequence[bytes]) -> None:
        """Implements ``world.Listener``, as does the next."""
        topic, data = frame
        world = self._world
        late = self._goal is not None and world.now < self._goal - RECENT_SECONDS
        if name not in self._names or (late and topic == wire.TOPIC_SNAPSHOT):
            return
        item = wire.decode(topic, data)
        if isinstance(item, Event):
            self._shown += 1
            self._items.append(replace(item, time=world.now))
        else:
            links = tuple(self._link(link, name) for link in item.links)
            self._items.append(replace(item, time=world.now, links=links, faults=self._faults(name)))

    def on_process(self, name: str, state: str, exit_code: int | None) -> None:
        pid = None if state == EXITED else self._world.platters[name].starts
        found = ProcessSnapshot(NodeId(name), state, pid, exit_code, self._world.now)
        self._processes[name] = found
        if name in self._names:
            self._shown += 1
            self._items.append(found)

    def _link(self, link: LinkSnapshot, sender: str) -> LinkSnapshot:
        """As it is: cut by the nemesis, or broken by hand."""
        network, ends = self._world.network, (sender, str(link.to))
        by_hand = network.faults.get(ends)
        if network.is_cut(ends) and not (by_hand and by_hand[0].block):
            return replace(link, fault=LinkFault(block=True), seconds_left=None)
        return replace(link, fault=by_hand[0], seconds_left=by_hand[1]) if by_hand else link

    def _faults(self, name: str) -> tuple[str, ...]:
        """Of disk and clock, in the words of a real node."""
        machine = self._world.machines[name]
        rate = machine.clock.rate
        return (*machine.disk.faults(), *([f"clock ×{rate:g}"] if rate != TRUE_RATE else []))

    def _on_line(self, line: str) -> None:
        """Of the trace: a stroke has a mark of its own."""
        time, _, text = line.partition(" ")
        if text.startswith("! "):
            self._shown += 1
            self._strokes.append((float(time), text.removeprefix("! ").strip()))

    def _note_members(self) -> None:
        for name in map(str, self._world.watcher.committed.names):
            if name not in self._names:
                self._names.append(name)
                if name in self._processes:
                    self._items.append(self._processes[name])

    def _report(self) -> None:
        """The users are the load; their history is judged when all is over."""
        over = self.finished
        if self._told_end or not (over or self.now >= self._report_at):
            return
        self._told_end, self._report_at = over, self.now + REPORT_SECONDS
        history = self._run.history
        checked = len(history) if over and self._play.violation is None else 0
        self._items.append(
            LoadReport(
                time=self.now,
                running=not over,
                ok=history.counts[Result.OK],
                failed=history.counts[Result.FAIL],
                unknown=history.counts[Result.UNKNOWN],
                checked=checked,
                rounds=int(checked > 0),
                problem=self.violation.splitlines()[0] if self.violation else None,
                undecided=0,
            )
        )
