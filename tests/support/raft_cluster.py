"""Several pure cores, a network and disks under the test's control, invariants after every step.

Nothing happens by itself: ``tick`` passes time, ``deliver`` moves messages, ``persist`` completes
disk writes. ``settle`` does all of it until nothing moves.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from raftkv.raft import (
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Message,
    PersistMark,
    Raft,
    RaftOptions,
    ReadState,
    Ready,
    Role,
    SnapshotMark,
)
from raftkv.raft.invariants import ClusterHistory, View, check_basic, check_delta, view_of
from raftkv.types import LogIndex, NodeId, Term

OPTIONS = RaftOptions(election_ticks_min=10, election_ticks_max=20, heartbeat_ticks=2)
NEVER_RAN = HardState(Term(0), None, LogIndex(0))
Filter = Callable[[Message], bool]


class Pending(NamedTuple):
    """A write on its way to the disk."""

    mark: PersistMark | None
    hard_state: HardState | None
    entries: list[Entry]
    messages: list[Message]
    anew: list[Entry] | None
    """What the log is replaced by first: a snapshot stands for these."""


@dataclass
class Disk:
    """What a node's storage holds, and what is on its way there, in order. Nothing is forgotten: where the
    core's log begins after a snapshot, the entries that the snapshot stands for are here all the same."""

    hard_state: HardState = NEVER_RAN
    entries: list[Entry] = field(default_factory=list)
    snapshot: SnapshotMark | None = None
    pending: deque[Pending] = field(default_factory=deque)

    def complete_one(self) -> tuple[PersistMark | None, list[Message]]:
        write = self.pending.popleft()
        if write.hard_state:
            self.hard_state = write.hard_state
        if write.anew is not None:
            self.entries = list(write.anew)
        for entry in write.entries:
            assert entry.index <= len(self.entries) + 1, "the log on disk has no gap"
            del self.entries[entry.index - 1 :]
            self.entries.append(entry)
        return write.mark, write.messages


class RaftCluster:
    def __init__(
        self,
        names: int | Sequence[str] = 3,
        seed: int = 0,
        options: RaftOptions = OPTIONS,
        auto: bool = True,
        founders: int | None = None,
    ) -> None:
        """``auto``: disk writes complete at once; otherwise ``persist`` completes them. ``founders``: so many
        of the nodes make up the cluster, the others wait to be added."""
        count = names if isinstance(names, int) else len(names)
        self.names = [NodeId(f"n{i}") for i in range(1, count + 1)]
        self.founders = self.names[:founders]
        self.rng = random.Random(seed)
        self.options = options
        self.auto = auto
        self.disks = {name: Disk() for name in self.names}
        self.nodes: dict[NodeId, Raft] = {}
        self.network: list[Message] = []
        self.blocked: set[tuple[NodeId, NodeId]] = set()
        self.applied: dict[NodeId, list[Entry]] = {name: [] for name in self.names}
        self.reads: dict[NodeId, list[ReadState]] = {name: [] for name in self.names}
        self.images: dict[int, list[Entry]] = {}
        """By a snapshot's id: the applied entries that it stands for."""
        self.history = ClusterHistory()
        self._views: dict[NodeId, View] = {}
        for name in self.names:
            self.start(name)

    def __getitem__(self, name: str) -> Raft:
        return self.nodes[NodeId(name)]

    # -- life and death

    def start(self, name: str, log: Iterable[Entry] | None = None, term: int = 0) -> None:
        node = NodeId(name)
        disk = self.disks[node]
        if log is not None:
            disk.entries = list(log)
            disk.hard_state = HardState(Term(term), None, LogIndex(0))
        disk.pending.clear()
        image = self.images[disk.snapshot.id] if disk.snapshot else []
        if image and image[-1] not in disk.entries:
            disk.entries = list(image)  # as storage does: the snapshot has overtaken the log
        self.nodes[node] = Raft(
            node,
            Configuration.of(self.founders if node in self.founders else ()),
            self.options,
            random.Random(self.rng.random()),
            disk.hard_state,
            disk.entries[len(image) :],
            disk.snapshot,
        )
        self.applied[node] = list(image)
        self._views.pop(node, None)
        self._pump(node)

    def crash(self, name: str) -> None:
        """Power loss: what was not durable is gone, as is everything in memory."""
        node = NodeId(name)
        del self.nodes[node]
        self.disks[node].pending.clear()

    def restart(self, name: str) -> None:
        if NodeId(name) in self.nodes:
            self.crash(name)
        self.start(name)

    # -- steps

    def tick(self, name: str, count: int = 1) -> None:
        for _ in range(count):
            if NodeId(name) in self.nodes:
                self[name].tick()
                self._pump(NodeId(name))

    def tick_all(self, count: int = 1) -> None:
        for _ in range(count):
            for name in list(self.nodes):
                self.tick(name)

    def persist(self, name: str, count: int | None = None) -> None:
        node = NodeId(name)
        disk = self.disks[node]
        left = len(disk.pending) if count is None else count
        while left and disk.pending:
            left -= 1
            mark, messages = disk.complete_one()
            if mark:
                self.nodes[node].persisted(mark)
            self.network += messages
            self._pump(node)

    def deliver(self, wanted: Filter = lambda m: True) -> int:
        """Deliver what is in flight now and wanted; answers stay in flight. Returns how many."""
        batch, self.network = self.network, []
        delivered = 0
        for message in batch:
            if (message.sender, message.to) in self.blocked:
                continue
            if not wanted(message):
                self.network.append(message)
            elif message.to in self.nodes:
                self.nodes[message.to].step(message)
                self._pump(message.to)
                delivered += 1
        return delivered

    def drop(self, wanted: Filter = lambda m: True) -> int:
        before = len(self.network)
        self.network = [message for message in self.network if not wanted(message)]
        return before - len(self.network)

    def settle(self) -> None:
        """Deliver and persist until nothing moves."""
        for _ in range(1000):
            for name in list(self.nodes):
                self.persist(name)
            if not self.deliver():
                return
        raise AssertionError("the cluster does not settle")

    def snapshot(self, name: str, chunks: int = 1) -> SnapshotMark:
        """Of what the node has applied; durable at once."""
        node, snapshot_id = NodeId(name), len(self.images) + 1
        last = self.applied[node][-1]
        _, configuration = self.nodes[node].log.configurations.at(last.index)
        mark = SnapshotMark(last.index, last.term, snapshot_id, chunks, configuration.encode())
        self.images[snapshot_id] = list(self.applied[node])
        self.disks[node].snapshot = mark
        self.nodes[node].snapshot_taken(mark)
        self._pump(node)
        return mark

    # -- what tests want to say

    def block(self, *groups: Sequence[str]) -> None:
        """Cut all links between the groups."""
        for one in groups:
            for other in groups:
                if one is not other:
                    self.blocked |= {(NodeId(a), NodeId(b)) for a in one for b in other}

    def heal(self) -> None:
        self.blocked.clear()

    def elect(self, name: str) -> Raft:
        """Make ``name`` the leader, if the others let it, and bring everyone up to date."""
        for other in self.nodes:
            if other != name:
                self.nodes[other].election_elapsed = self.options.election_ticks_min
        self[name].campaign()
        self._pump(NodeId(name))
        self.settle()
        assert self[name].role is Role.LEADER, f"{name} was not elected: {self[name].status()}"
        self.tick(name, self.options.heartbeat_ticks)
        self.settle()
        return self[name]

    def propose(self, name: str, *commands: str) -> None:
        outcome = self[name].propose([command.encode() for command in commands])
        assert outcome.value == "accepted", outcome
        self._pump(NodeId(name))

    def read(self, name: str, context: int) -> None:
        self[name].read_index(context)
        self._pump(NodeId(name))

    def leader(self) -> Raft | None:
        leaders = [raft for raft in self.nodes.values() if raft.role is Role.LEADER]
        return max(leaders, key=lambda raft: raft.current_term, default=None)

    def run(self, ticks: int) -> None:
        """Let time pass with a working network and disk."""
        for _ in range(ticks):
            self.tick_all()
            self.settle()

    def run_until(self, condition: Callable[[], bool], ticks_max: int = 500) -> None:
        for _ in range(ticks_max):
            if condition():
                return
            self.run(1)
        raise AssertionError(f"not reached within {ticks_max} ticks")

    def data(self, name: str) -> list[str]:
        """The commands that ``name`` has applied."""
        applied = self.applied[NodeId(name)]
        return [entry.data.decode() for entry in applied if entry.kind == EntryKind.COMMAND]

    def roles(self) -> dict[str, Role]:
        return {str(name): raft.role for name, raft in self.nodes.items()}

    def terms(self, name: str) -> list[int]:
        return [entry.term for entry in self[name].log.entries]

    # -- internals

    def _pump(self, name: NodeId) -> None:
        raft, disk = self.nodes[name], self.disks[name]
        while True:
            while ready := raft.ready():
                if ready.mark or ready.messages_after_append:
                    disk.pending.append(self._pending(ready))
                self.network += ready.messages
                self._store_snapshot(name, ready)
                if ready.committed:
                    self.applied[name] += ready.committed
                    raft.applied(ready.committed[-1].index)
                self.reads[name] += ready.read_states
                self._check(raft)
            if not (self.auto and disk.pending):
                self._check(raft)
                return
            while disk.pending:
                mark, messages = disk.complete_one()
                if mark:
                    raft.persisted(mark)
                self.network += messages

    def _pending(self, ready: Ready) -> Pending:
        anew = self.images[ready.anew.id] if ready.anew else None
        return Pending(ready.mark, ready.hard_state, ready.entries, ready.messages_after_append, anew)

    def _store_snapshot(self, name: NodeId, ready: Ready) -> None:
        """Chunks are durable at once; what they hold is known by the snapshot's id."""
        if ready.installed:
            self.applied[name] = list(self.images[ready.installed.id])
        for mark, number, _ in ready.chunks:
            if number == mark.chunks - 1:
                self.disks[name].snapshot = mark
            self.nodes[name].chunk_stored(mark.id, number)

    def _check(self, raft: Raft) -> None:
        violations = check_basic(raft)
        view = view_of(raft)
        before = self._views.get(raft.node_id)
        if before:
            violations += check_delta(before, view)
        self._views[raft.node_id] = view
        violations += self.history.check_cluster(self.nodes.values())
        assert not violations, "\n".join(violations)


def entries(*terms: int) -> list[Entry]:
    """A log with one entry a term given: ``entries(1, 1, 2)``."""
    return [
        Entry(LogIndex(index), Term(term), 1, f"{index}@{term}".encode())
        for index, term in enumerate(terms, start=1)
    ]
