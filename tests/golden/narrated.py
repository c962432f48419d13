"""A cluster of pure cores that tells what happens to it, line by line.

Rules:

1. Every line comes from what the core handed out or shows in its status; nothing is guessed.
2. A message that arrives, or a tick, is a heading; what follows from it stands indented below.
3. Invariants are checked at every step, as in every ``RaftCluster``; on top of them, what is
   committed must be on the disks of a majority (``check_durable``).

A node's disk is AUTO (a write is durable at once), MANUAL (``persist`` makes it so) or HUNG.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from raftkv.raft import Configuration, Entry, EntryKind, HardState, Raft, RaftOptions, Ready, SnapshotMark
from raftkv.raft.describe import describe_event, describe_message
from raftkv.raft.quorum import is_quorum
from raftkv.types import NodeId, Term
from tests.support.raft_cluster import NEVER_RAN, Filter, RaftCluster

ROUNDS_MAX = 1000
"""What ``settle`` gives a cluster before it calls it restless."""


class DiskMode(Enum):
    AUTO = "auto"
    MANUAL = "manual"
    HUNG = "hung"


class NarratedCluster(RaftCluster):
    def __init__(
        self, count: int, seed: int, options: RaftOptions, mode: DiskMode, founders: int | None = None
    ) -> None:
        self.lines: list[str] = []
        self.default_mode = mode
        self.disk_modes: dict[NodeId, DiskMode] = {}
        self._indent = ""
        self._handed: dict[NodeId, HardState] = {}
        """The last hard state on its way to each disk, to tell what a write changes."""
        self._writes: dict[NodeId, deque[str]] = {}
        """What the pending writes are, in words; parallel to ``Disk.pending``."""
        self._commit_shown: dict[NodeId, int] = {}
        self._in_effect: set[Configuration] = set()
        """Of the nodes that ran when it was last looked at."""
        self._progress_shown: dict[tuple[NodeId, Term], dict[NodeId, str]] = {}
        super().__init__(count, seed, options, auto=mode is DiskMode.AUTO, founders=founders)

    # -- telling

    def say(self, line: str) -> None:
        self.lines.append(self._indent + line)

    def take_lines(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def snapshot(self, name: str, chunks: int = 1) -> SnapshotMark:
        mark = super().snapshot(name, chunks)
        parts = "1 chunk" if chunks == 1 else f"{chunks} chunks"
        self.say(f"{name}: snapshot of entry {mark.index}/{mark.term} in {parts}")
        return mark

    @contextmanager
    def under(self, heading: str, keep_empty: bool = True) -> Iterator[None]:
        """What is said within stands below ``heading``."""
        self.say(heading)
        before, position = self._indent, len(self.lines)
        self._indent += "  "
        try:
            yield
        finally:
            self._indent = before
        if not keep_empty and len(self.lines) == position:
            self.lines.pop()

    # -- life and death

    def boot(self, name: NodeId, hard_state: HardState, log: list[Entry]) -> None:
        """Start with this on disk, as if the node had lived before."""
        self.disks[name].hard_state = hard_state
        self.disks[name].entries = list(log)
        self.start(name)

    def start(self, name: str, log: object = None, term: int = 0) -> None:
        assert log is None, "boot says what is on disk"
        node = NodeId(name)
        self._handed[node] = self.disks[node].hard_state
        self._writes[node] = deque()
        self._commit_shown[node] = 0
        super().start(name)

    def crash(self, name: str) -> None:
        node = NodeId(name)
        self.say(f"{name}: down")
        for text, write in zip(self._writes[node], self.disks[node].pending, strict=True):
            if text:
                self.say(f"{name}: loses the write of {text}")
            for message in write.messages:
                self.say(f"{name}: never sends {describe_message(message)}")
        super().crash(name)
        self._writes[node].clear()

    # -- steps

    def mode(self, name: NodeId) -> DiskMode:
        return self.disk_modes.get(name, self.default_mode)

    def hang_disk(self, name: NodeId) -> None:
        self.disk_modes[name] = DiskMode.HUNG

    def mend_disk(self, name: NodeId) -> None:
        self.disk_modes.pop(name, None)
        if self.mode(name) is DiskMode.AUTO:
            self._pump(name)

    def persist(self, name: str, count: int | None = None) -> None:
        node = NodeId(name)
        disk = self.disks[node]
        if self.mode(node) is DiskMode.HUNG:
            return
        left = len(disk.pending) if count is None else count
        while left and disk.pending:
            left -= 1
            self._complete_one(node)
            self._pump(node)

    def deliver(self, wanted: Filter = lambda message: True) -> int:
        """Deliver what is in flight now and wanted; links that are cut and nodes that are down
        lose it, answers stay in flight. Returns how many messages were taken from the network."""
        batch = [message for message in self.network if wanted(message)]
        self.network = [message for message in self.network if not wanted(message)]
        for message in batch:
            line = describe_message(message)
            if (message.sender, message.to) in self.blocked:
                self.say(f"{line} is lost: the link is cut")
            elif message.to not in self.nodes:
                self.say(f"{line} is lost: {message.to} is down")
            else:
                with self.under(line):
                    self.nodes[message.to].step(message)
                    self._pump(message.to)
        return len(batch)

    def drop(self, wanted: Filter = lambda message: True) -> int:
        for message in self.network:
            if wanted(message):
                self.say(f"{describe_message(message)} is lost")
        return super().drop(wanted)

    def duplicate(self, wanted: Filter) -> None:
        for message in list(self.network):
            if wanted(message):
                self.say(f"{describe_message(message)} is in flight twice")
                self.network.append(dataclasses.replace(message))

    def settle_among(self, names: set[NodeId]) -> None:
        """Deliver and persist among these nodes until nothing moves."""
        for _ in range(ROUNDS_MAX):
            for name in self.names:
                if name in names and name in self.nodes:
                    self.persist(name)
            if not self.deliver(lambda m: m.sender in names and m.to in names):
                return
        raise AssertionError("the cluster does not settle")

    def heal_among(self, names: set[NodeId]) -> None:
        self.blocked = {(a, b) for a, b in self.blocked if not (a in names and b in names)}

    def touch(self, name: NodeId) -> None:
        """Take what the core has to say after a call from outside."""
        self._pump(name)

    # -- rules

    def check_durable(self) -> None:
        """What was ever committed is on a quorum of disks, whichever nodes are down."""
        if self.nodes:
            known = [raft.log.configurations for raft in self.nodes.values()]
            commits = [raft.log.commit_index for raft in self.nodes.values()]
            self._in_effect = {each.latest for each in known}
            self._in_effect |= {each.at(commit)[1] for each, commit in zip(known, commits, strict=True)}
        for entry in self.history.committed:
            holders = [
                name
                for name, disk in self.disks.items()
                if entry in disk.entries[entry.index - 1 : entry.index]
            ]
            assert any(is_quorum(holders, each) for each in self._in_effect if each.voters), (
                f"entry {entry.index}/{entry.term} is committed, but durable only on {', '.join(holders)}"
            )

    # -- internals

    def _pump(self, name: NodeId) -> None:
        raft, disk = self.nodes[name], self.disks[name]
        while True:
            while ready := raft.ready():
                self._carry_out(name, raft, ready)
                self._check(raft)
            self._tell_progress(name, raft)
            if self.mode(name) is not DiskMode.AUTO or not disk.pending:
                self._check(raft)
                return
            while disk.pending:
                self._complete_one(name)

    def _carry_out(self, name: NodeId, raft: Raft, ready: Ready) -> None:
        for event in ready.events:
            self.say(f"{name}: {describe_event(event)}")
        self._tell_progress(name, raft)
        self._tell_commit(name, raft, ready.committed)
        if ready.mark or ready.messages_after_append:
            self._start_write(name, ready)
        for message in ready.messages:
            self.say(f"sends {describe_message(message)}")
        self.network += ready.messages
        for mark, number, _ in ready.chunks:
            self.say(f"{name}: stores chunk {number + 1} of {mark.chunks}")
        self._store_snapshot(name, ready)
        if ready.committed:
            self.applied[name] += ready.committed
            raft.applied(ready.committed[-1].index)
        for read in ready.read_states:
            fate = "fails" if read.read_index is None else f"may be served at index {read.read_index}"
            self.say(f"{name}: read {read.context} {fate}")
        self.reads[name] += ready.read_states

    def _tell_progress(self, name: NodeId, raft: Raft) -> None:
        if not raft.leadership:
            return
        shown = self._progress_shown.setdefault((name, raft.current_term), {})
        for peer in raft.status().peers:
            if shown.setdefault(peer.name, "probe") != peer.state:
                self.say(
                    f"{name}: {peer.name} {shown[peer.name]} → {peer.state}, "
                    f"match {peer.match_index}, next {peer.next_index}"
                )
                shown[peer.name] = peer.state

    def _tell_commit(self, name: NodeId, raft: Raft, committed: list[Entry]) -> None:
        parts = []
        if raft.log.commit_index != self._commit_shown[name]:
            self._commit_shown[name] = raft.log.commit_index
            parts.append(f"commit {raft.log.commit_index}")
        if committed:
            parts.append("applies " + ", ".join(f"{entry.index} {content(entry)}" for entry in committed))
        if parts:
            self.say(f"{name}: {', '.join(parts)}")

    def _start_write(self, name: NodeId, ready: Ready) -> None:
        text = ""
        if ready.mark:
            text = _describe_write(self._handed[name], ready)
        if ready.hard_state:
            self._handed[name] = ready.hard_state
        self.disks[name].pending.append(self._pending(ready))
        self._writes[name].append(text)
        if self.mode(name) is DiskMode.AUTO:
            if text:
                self.say(f"{name}: writes {text}")
            return
        if text:
            self.say(f"{name}: hands its disk {text}")
        for message in ready.messages_after_append:
            self.say(f"{name}: holds back {describe_message(message)}")

    def _complete_one(self, name: NodeId) -> None:
        text = self._writes[name].popleft()
        mark, messages = self.disks[name].complete_one()
        if text and self.mode(name) is not DiskMode.AUTO:
            self.say(f"{name}: durable: {text}")
        for message in messages:
            self.say(f"sends {describe_message(message)}")
        self.network += messages
        if mark:
            self.nodes[name].persisted(mark)


def _describe_write(before: HardState, ready: Ready) -> str:
    parts = ["a log anew"] if ready.anew else []
    state = ready.hard_state or NEVER_RAN
    if (state.current_term, state.voted_for) != (before.current_term, before.voted_for):
        parts.append(f"term {state.current_term} vote {state.voted_for or 'none'}")
    if ready.entries:
        first, last = ready.entries[0], ready.entries[-1]
        one, span = (
            f"entry {first.index}/{first.term}",
            f"{first.index}/{first.term}..{last.index}/{last.term}",
        )
        parts.append(one if first == last else f"entries {span}")
    return " and ".join(parts)


def content(entry: Entry) -> str:
    if entry.kind == EntryKind.CONFIGURATION:
        return f"[{Configuration.decode(entry.data).describe()}]"
    return "no_op" if entry.kind == EntryKind.NO_OP else entry.data.decode()


def shape(raft: Raft) -> str:
    """The terms of the log as the paper's figures draw them, ``|`` after what is committed."""
    terms = [str(entry.term) for entry in raft.log.entries]
    if raft.log.offset_index:
        terms.insert(0, f"…{raft.log.offset_index}/{raft.log.offset_term}")
    commit = raft.log.commit_index - raft.log.offset_index + (raft.log.offset_index > 0)
    return " ".join([*terms[:commit], "|", *terms[commit:]])


def whole_log(raft: Raft) -> str:
    """``…4/1`` stands for what is forgotten, up to entry 4 of term 1."""
    entries = [f"{entry.index}/{entry.term} {content(entry)}" for entry in raft.log.entries]
    if raft.log.offset_index:
        entries.insert(0, f"…{raft.log.offset_index}/{raft.log.offset_term}")
    commit = raft.log.commit_index - raft.log.offset_index + (raft.log.offset_index > 0)
    return ", ".join(entries[:commit]) + " | " + ", ".join(entries[commit:])
