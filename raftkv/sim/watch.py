"""What must hold in every simulated world, checked after every step.

Besides the invariants of the protocol (``raft.invariants``):

1. Nothing leaves a node that its disk does not back: terms, votes, append acknowledgements.
2. Nothing is committed that a quorum of disks does not hold.
3. At equal applied index all nodes have equal digests, and have forgotten as much.
4. Every command takes effect once: a second, obvious state machine applies what is committed, and
   every answer a client gets is held against it, as are the nodes' contents at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raftkv.kv import SessionLimits
from raftkv.kv.machine import DEFAULT_LIMITS
from raftkv.raft import Configuration, Entry, EntryKind, Raft, Role
from raftkv.raft.invariants import ClusterHistory, View, check_basic, check_delta, view_of
from raftkv.raft.messages import (
    AppendEntriesResponse,
    Message,
    PreVote,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
)
from raftkv.raft.quorum import is_quorum
from raftkv.sim.disk import Contents, Platter
from raftkv.sim.machine import Machine
from raftkv.sim.twin import Twin, Violation
from raftkv.types import LogIndex, NodeId, Term
from raftkv.wire import peer as wire


class Watcher:
    def __init__(
        self,
        platters: Mapping[str, Platter],
        founding: Configuration,
        sessions: SessionLimits = DEFAULT_LIMITS,
    ) -> None:
        self._platters = platters
        self.committed = founding
        """The latest configuration that is committed, by the entry at the next;"""
        self.committed_index = LogIndex(0)
        self._configurations: dict[tuple[LogIndex, Term], Configuration] = {}
        """Every one that was ever in effect anywhere."""
        self._views: dict[int, View] = {}
        """By boot: what may never go back within one life."""
        self._votes: dict[tuple[int, str, str], str] = {}
        """(term, voter, its incarnation) -> candidate, of votes that have left."""
        self._states: dict[int, tuple[int, int]] = {}
        self._held = dict.fromkeys(platters, 0)
        """How much of what is committed each disk holds; never less again."""
        self._lost: list[tuple[NodeId, Contents]] = []
        self.history = ClusterHistory()
        self.twin = Twin(sessions)
        self.elections = 0

    def after_turn(self, machine: Machine, alive: Iterable[Machine]) -> None:
        raft = machine.node.raft.raft
        view = view_of(raft)
        found = check_basic(raft)
        before = self._views.get(machine.boot)
        if before:
            found += check_delta(before, view)
        if view.role is Role.LEADER and (before is None or before.role is not Role.LEADER):
            self.elections += 1
            found += self._check_elected(raft, machine.node.incarnation)
        self._views[machine.boot] = view
        known = len(self.history.committed)
        found += self.history.check_node(raft, [other.node.raft.raft for other in alive])
        self._note_configuration(raft)
        for entry in self.history.committed[known:]:
            found += self._check_durable(entry, raft)
            self.twin.apply(entry)
            if entry.kind == EntryKind.CONFIGURATION:
                self.committed, self.committed_index = Configuration.decode(entry.data), entry.index
        found += self._check_held(machine.name)
        store = machine.node.store.machine
        state = store.digest, store.history.compacted
        if self._states.setdefault(store.applied_index, state) != state:
            found.append(f"{machine.name}: another state than the others at index {store.applied_index}")
        if machine.node.audit.alarms:
            found.append(f"{machine.name}: {', '.join(machine.node.audit.alarms)}")
        if raft.doubt.lost:
            found.append(f"{machine.name}: {raft.doubt.lost}")
        if found:
            raise Violation("\n".join(found))

    def forget(self, machine: Machine) -> None:
        self._views.pop(machine.boot, None)

    def forget_disk(self, name: str) -> None:
        """All that was on it is about to be lost; what comes next is another node's. What it has acknowledged
        may still be on its way, and counts."""
        self._held[name] = 0
        self._lost.append((NodeId(name), self._platters[name].durable))

    def in_force(self, running: Iterable[Machine]) -> list[Configuration]:
        """Those by which anybody may still count: the committed one, and whatever follows it on a disk or in
        a log."""
        logs = [machine.node.raft.raft.log for machine in running]
        disks = [platter.durable for platter in self._platters.values()]
        found = [self.committed]
        for (index, term), configuration in self._configurations.items():
            if index > self.committed_index and (
                any(disk.term_at(index) == term for disk in disks)
                or any(log.matches(index, term) for log in logs)
            ):
                found.append(configuration)
        return found

    def _note_configuration(self, raft: Raft) -> None:
        latest = raft.log.configurations
        term = raft.log.term_at(latest.latest_index)
        if latest.latest_index > self.committed_index and term is not None:
            self._configurations[latest.latest_index, term] = latest.latest

    def _check_durable(self, entry: Entry, raft: Raft) -> list[str]:
        """By the configuration in effect where it was first seen to be committed, or by the one before a
        change that was begun since."""
        disks = [(NodeId(name), platter.durable) for name, platter in self._platters.items()]
        holders = {name for name, durable in (*disks, *self._lost) if durable.holds(entry)}
        _, committed = raft.log.configurations.at(raft.log.commit_index)
        if is_quorum(holders, raft.configuration) or is_quorum(holders, committed):
            return []
        where, whom = ", ".join(sorted(holders)), raft.configuration.describe()
        return [f"entry {entry.index} is committed, but durable only on {where} ({whom})"]

    def _check_held(self, name: str) -> list[str]:
        durable, committed, held = self._platters[name].durable, self.history.committed, self._held[name]
        if held and not durable.holds(committed[held - 1]):
            return [f"{name}: its disk has lost entry {held}, which is committed"]
        last = min(durable.last_index, len(committed))
        while held < last and durable.holds(committed[held]):
            held += 1
        self._held[name] = held
        return []

    def _check_elected(self, leader: Raft, incarnation: str) -> list[str]:
        """It asked, and a quorum of those that its configuration knows said yes."""
        itself = leader.configuration.member(leader.node_id)
        votes = {leader.node_id} if itself and itself.may_be(incarnation) else set()
        for (term, voter, folder), candidate in self._votes.items():
            member = leader.configuration.member(NodeId(voter))
            known = member is not None and member.may_be(folder)
            if known and term == leader.current_term and candidate == leader.node_id:
                votes.add(NodeId(voter))
        if is_quorum(votes, leader.configuration):
            return []
        named = ", ".join(sorted(votes))  # a set has another order in another process
        return [f"{leader.node_id} leads term {leader.current_term} with the votes of {named} only"]

    # -- what leaves a node

    def check_frame(self, sender: str, frame: bytes, receiver: Machine | None = None) -> None:
        """``receiver`` is None when it is down."""
        decoded = wire.decode(frame)
        for item in decoded.items:
            if isinstance(item, Message):
                problem = self._check_message(self._platters[sender], item, decoded.incarnation)
                if not problem and receiver and isinstance(item, AppendEntriesResponse):
                    problem = self._check_match(self._platters[sender], item, receiver.node.raft.raft)
                if problem:
                    raise Violation(f"{sender}: {problem}")

    @staticmethod
    def _check_match(platter: Platter, answer: AppendEntriesResponse, leader: Raft) -> str | None:
        """What is acknowledged is what the leader has; by log matching the last entry speaks for all."""
        index = answer.match_index
        if platter.durable.hard_state.current_term != answer.term:
            return None
        if not answer.success or leader.role is not Role.LEADER or leader.current_term != answer.term:
            return None
        known = (leader.log.term_at(index), platter.durable.term_at(index))
        if index and None not in known and Term(0) not in known and known[0] != known[1]:
            return f"acknowledges {index}, which is another entry than {leader.node_id} has"
        return None

    def _check_message(self, platter: Platter, message: Message, incarnation: str) -> str | None:
        state = platter.durable.hard_state
        if isinstance(message, (PreVote, PreVoteResponse)):
            return None  # they speak of a term that nobody has entered yet
        if message.term > state.current_term:
            return f"sends {message}, but the durable term is {state.current_term}"
        candidate: NodeId | None = None
        if isinstance(message, RequestVote):
            candidate = message.sender
        elif isinstance(message, RequestVoteResponse) and message.granted:
            candidate = message.to
        if candidate is not None:
            earlier = self._votes.setdefault((message.term, message.sender, incarnation), candidate)
            if earlier != candidate:
                return f"votes for {earlier} and for {candidate} in term {message.term}"
            if state.current_term == message.term and state.voted_for != candidate:
                return f"sends {message}, but the durable vote is for {state.voted_for}"
        # One of an earlier term says what was held then, before a later leader overwrote it: it comes
        # late, as any message may, and only the leader of that term would heed it.
        current = message.term == state.current_term
        if isinstance(message, AppendEntriesResponse) and message.success and current:
            held = platter.durable.last_index
            if message.match_index > held:
                return f"acknowledges {message.match_index}, but {held} entries are durable"
        return None
