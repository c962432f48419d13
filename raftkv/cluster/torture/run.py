"""A torture from beginning to end: start, load, break, heal, compare, check.

Two threads beside this one: the launcher's, which owns the processes, and the nemesis's, which may
wait for nodes that do not answer while the users work on.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from raftkv.cluster.chaos import Chaos
from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.discovery import running_in
from raftkv.cluster.hosting import Hosted
from raftkv.cluster.launcher import Launcher
from raftkv.cluster.stage import LoadHabits
from raftkv.cluster.torture.churn import Churn
from raftkv.cluster.torture.load import Load
from raftkv.cluster.torture.nemesis import NODE_SECONDS, Fault, Nemesis, Stroke
from raftkv.cluster.torture.report import Report
from raftkv.cluster.torture.tenants import Tenants
from raftkv.config import SnapshotConfig
from raftkv.errors import RaftkvError
from raftkv.history import check_history
from raftkv.observe import NodeSnapshot

READY_SECONDS = 90.0
CALM_SECONDS = 1.0
"""Before the first stroke."""
GAP_SECONDS = 0.4
"""Mean time from one stroke to the next."""
SETTLE_SECONDS = 45.0
SEGMENT_MIB = 1
"""Small, so that the log begins new segments all the time."""
SNAPSHOT = SnapshotConfig(entries=300, retain_entries=50)
"""So that a node that was away for a moment needs one."""
STATUS_SECONDS = 0.5
UNDO_SECONDS = 0.3
"""Until what could not be undone is tried again."""
Save = Callable[[Load, bool], None]
"""Gets the load, and whether its history is whole: no if the run was interrupted."""
DIARY = "torture.log"
"""In the folder: each stroke and its end, and what the launcher said, when by the clock of the day."""


@dataclass(frozen=True, slots=True)
class TortureOptions:
    data: Path
    nodes: int = 3
    seconds: float = 60.0
    seed: int = 0
    faults: Sequence[Fault] = tuple(Fault)
    users: int = 10
    keys: int = 20
    budget_seconds: float = 300.0
    """Of the check."""
    base_port: int | None = None


class Torture:
    def __init__(self, options: TortureOptions, say: Callable[[str], None]) -> None:
        """``say`` gets a line for each stroke, from another thread."""
        self._options = options
        self._tell = say
        self._rng = random.Random(options.seed)
        self._launcher = Launcher(
            options.data,
            nodes=options.nodes,
            base_port=options.base_port,
            segment_mib=SEGMENT_MIB,
            snapshot=SNAPSHOT,
            report=self._note,
        )
        self._failures: list[BaseException] = []
        """Of the other threads."""
        self._striking = threading.Event()
        self._digests: dict[int, tuple[str, str]] = {}
        """By applied index: a node that was there, and its digest."""
        self._compared = 0
        self._differs = False
        self._terms: set[int] = set()
        self._snapshots: set[tuple[str, int]] = set()
        """(node, index) of those that were seen."""
        self._problems: list[str] = []

    def run(self, save: Save) -> Report:
        """``save`` gets the load in the end. Everything that was started is ended
        when this returns or raises, whatever the reason."""
        hosted = Hosted(self._launcher)
        try:
            hosted.await_ready(READY_SECONDS)
            return self._torture(save, hosted)
        except RaftkvError:
            hosted.check()  # what has ended the launcher is the cause of all else
            raise
        finally:
            hosted.end()

    def _torture(self, save: Save, hosted: Hosted) -> Report:
        options = self._options
        target = running_in(options.data)
        assert target.controls is not None
        assert target.launcher is not None
        chaos = Chaos(target, NODE_SECONDS)
        controls = target.controls
        clients = list(target.clients)
        churn = Churn(controls, clients, target.launcher)
        nemesis_rng, load_rng = (random.Random(self._rng.getrandbits(64)) for _ in range(2))
        nemesis = Nemesis(chaos, controls, target.launcher, options.faults, nemesis_rng, churn)
        load = Load(clients, options.users, LoadHabits(options.keys), load_rng)
        tenants = Tenants(clients, options.data)
        begun = load.now()
        self._striking.set()
        striker = threading.Thread(target=self._strike, args=(nemesis, controls), name="nemesis", daemon=True)
        try:
            tenants.begin()
            load.begin()
            load.work(begun + CALM_SECONDS)
            striker.start()
            while load.now() < begun + options.seconds and not load.history.nearly_full:
                load.work(min(begun + options.seconds, load.now() + 1.0))
            if load.history.nearly_full:
                self._note(f"the history is as long as it may be: {len(load.history):,} operations")
            self._striking.clear()
            hosted.check()
            self._finish(load, nemesis, striker, controls, tenants)
            seconds = load.now() - begun
            save(load, True)
        except KeyboardInterrupt:
            save(load, False)
            raise
        finally:
            self._striking.clear()
            tenants.end()
            load.close()
            chaos.close()
        report = Report(
            seed=options.seed,
            nodes=options.nodes,
            seconds=seconds,
            operations=Counter(operation.result.value for operation in load.history.operations()),
            writes=load.writes,
            longest_gap=load.longest_gap,
            faults={fault.value: nemesis.counts[fault] for fault in options.faults},
            terms=max(0, max(self._terms, default=0) - min(self._terms, default=0)),
            snapshots_seen=sum(index > 0 for _, index in self._snapshots),
            digests_compared=self._compared,
            events_watched=tenants.events_seen,
            turns=dict(sorted(tenants.turns.items())),
            problems=self._problems,
        )
        report.verdict = check_history(
            load.history.operations(), budget_seconds=options.budget_seconds, clock=time.monotonic
        )
        return report

    def _say(self, line: str) -> None:
        self._note(line)
        self._tell(line)

    def _note(self, line: str) -> None:
        """For whoever looks into the folder of a run that failed; from any thread."""
        with suppress(OSError), (self._options.data / DIARY).open("a", encoding="utf-8") as diary:
            diary.write(f"{datetime.now():%H:%M:%S.%f}"[:-3] + f" {line}\n")

    # -- breaking, in a thread of its own

    def _strike(self, nemesis: Nemesis, controls: dict[str, str]) -> None:
        try:
            self._strike_on(nemesis, controls)
        except BaseException as error:  # without its faults the rest of the run would prove nothing
            self._failures.append(error)

    def _strike_on(self, nemesis: Nemesis, controls: dict[str, str]) -> None:
        rng = random.Random(self._rng.getrandbits(64))
        begun = time.monotonic()
        undoings: list[tuple[float, Stroke]] = []
        next_stroke = next_look = 0.0
        pause = threading.Event()
        while self._striking.is_set():
            now = time.monotonic()
            for undoing in [undoing for undoing in undoings if undoing[0] <= now]:
                undoings.remove(undoing)
                stroke = undoing[1]
                if self._undo(nemesis, stroke):
                    self._say(f"{now - begun:6.1f} s  end of {stroke.fault} {stroke.whom}")
                else:
                    undoings.append((now + UNDO_SECONDS, stroke))
            if now >= next_look:
                next_look = now + STATUS_SECONDS
                self._compare(controls)
            if now >= next_stroke:
                next_stroke = now + rng.expovariate(1 / GAP_SECONDS)
                struck = nemesis.strike()
                if struck:
                    undoings.append((time.monotonic() + struck.seconds, struck))
                    self._say(f"{now - begun:6.1f} s  {struck.fault} {struck.whom}")
            pause.wait(0.02)

    @staticmethod
    def _undo(nemesis: Nemesis, stroke: Stroke) -> bool:
        """False when it has to be tried again: what it is done through may be paused."""
        try:
            stroke.undo()
        except RaftkvError:
            return False
        nemesis.release(stroke)
        return True

    def _compare(self, controls: dict[str, str]) -> list[NodeSnapshot]:
        """Equal applied index, equal digest: of any two nodes, at any two moments."""
        with ControlClient() as client:
            found = [view for view in snapshots(client, controls, NODE_SECONDS).values() if view]
        for view in found:
            self._terms.add(view.term)
            self._snapshots.add((view.name, view.snapshot_index))
            name, digest = self._digests.setdefault(view.applied_index, (view.name, view.state_digest))
            self._compared += name != view.name
            if digest != view.state_digest and not self._differs:
                self._differs = True
                self._problems.append(f"{view.name} and {name} differ at index {view.applied_index}")
        return found

    # -- mending

    def _finish(
        self,
        load: Load,
        nemesis: Nemesis,
        striker: threading.Thread,
        controls: dict[str, str],
        tenants: Tenants,
    ) -> None:
        """Heal; then every node must come to the same state, and every key be read once more."""
        deadline = load.now() + SETTLE_SECONDS
        while striker.is_alive() and load.now() < deadline:
            load.work(load.now() + 0.05)
        if self._failures:
            raise self._failures[0]
        healed = False
        while not healed and load.now() < deadline:
            try:
                nemesis.heal()
                running = nemesis.pids()
                healed = len(running) == len(controls)
                self._note(f"healed as far as can be: {', '.join(running)} of {', '.join(controls)} run")
            except RaftkvError as error:
                self._note(f"not healed yet: {error}")
            if not healed:
                load.work(load.now() + 0.2)
        if striker.is_alive() or not healed:
            self._problems.append(f"not everything could be healed within {SETTLE_SECONDS:g} s")
        load.rest(SETTLE_SECONDS)
        tenants.rest(SETTLE_SECONDS)
        for key in load.last_words(SETTLE_SECONDS):
            self._problems.append(f"{key} is not served {SETTLE_SECONDS:g} s after everything was healed")
        deadline = load.now() + SETTLE_SECONDS  # resting takes time as well
        while load.now() < deadline:
            views = self._compare(controls)
            # All of it: nodes that apply a long log part by part may be equal half-way.
            whole = all(view.applied_index == view.commit_index for view in views)
            if len(views) == len(controls) and whole and len({view.applied_index for view in views}) == 1:
                self._problems += tenants.problems(SETTLE_SECONDS)
                return
            load.work(load.now() + 0.1)
        self._problems.append(f"the nodes are not equal {SETTLE_SECONDS:g} s after everything was healed")
