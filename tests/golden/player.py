"""The commands of the golden transcripts.

===========================================  =====================================================
add-nodes COUNT [option=…]                   a new cluster; the options are in ``OPTIONS`` below;
                                             founders=3: the others wait to be added
boot NODE [log=1,1,2] [term=] [vote=] …      start with this on disk; entry 3 of term 2 holds "3@2"
elect NODE                                   make it the leader by every rule, and let all settle
campaign NODE                                its election timer runs out now
forget-leader NODE…                          an election timeout passes without a word of a leader
tick NODES [COUNT]                           time passes; NODES is n1, or n1,n2, or all
propose NODE COMMAND…                        clients' commands, in one batch
read NODE CONTEXT                            a linearizable read arrives
members NODE add|promote|remove NODE         the leader is to change the configuration
members NODE replace NODE NODE               the second votes instead of the first, in one step
meet NODE NODE INCARNATION                   it hears which data folder the other one is
transfer NODE [NODE]                         the leader is to hand over, to this one or to the best
messages [filter]                            what is in flight, numbered
deliver [filter]                             what is in flight arrives; the answers stay in flight
drop [filter], duplicate [filter]            it is lost, or in flight twice
block NODES NODES…                           cut all links between the groups
block-one-way NODES NODES                    nothing gets from the first group to the second
heal [NODES]                                 all links, or those among these nodes
persist NODE [COUNT]                         its oldest writes become durable
hang-disk NODE, mend-disk NODE               writes no longer end; they do again
snapshot NODE [CHUNKS]                       of what it has applied; forgotten at its next tick
crash NODE, restart NODE                     power loss; a start with what is on disk
stabilize [NODE…]                            deliver and persist until nothing moves
status [NODE…], log [NODE…], terms [NODE…]   where they stand
===========================================  =====================================================

A filter is any of ``from=n1 to=n2,n3 type=AppendEntries at=2``; ``at`` picks among what matches the
rest. ``quiet`` at the end of a command shows only where everybody stands after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raftkv.raft import (
    AddLearner,
    Change,
    HardState,
    Message,
    Promote,
    Proposal,
    Raft,
    RaftOptions,
    Remove,
    Replace,
    Role,
)
from raftkv.raft.describe import describe_message
from raftkv.types import LogIndex, NodeId, Term
from tests.golden.language import Command, CommandError
from tests.golden.narrated import DiskMode, NarratedCluster, shape, whole_log
from tests.support.raft_cluster import Filter, entries

QUIET = "quiet"
ALL = "all"
NODES_MAX = 9
TICKS_MAX = 1000
"""More than any story can want: a slip of the pen must not become a test that never ends."""

LOG_OPTIONS = frozenset({"log", "term", "vote", "commit"})
LIMITS = {
    "append-bytes": "append_bytes_max",
    "inflight": "inflight_messages_max",
    "inflight-bytes": "inflight_bytes_max",
    "uncommitted": "uncommitted_bytes_max",
    "reads": "reads_waiting_max",
    "chunks": "inflight_chunks_max",
    "retain": "retained_entries",
    "lag": "lagging_entries_max",
}
OPTIONS = frozenset({"election", "founders", "heartbeat", "persist", "seed", *LIMITS}) | LOG_OPTIONS
FILTERS = frozenset({"from", "to", "type", "at"})
NO_OPTIONS: frozenset[str] = frozenset()


class Player:
    """Carries out one story's commands, one after the other."""

    def __init__(self) -> None:
        self._cluster: NarratedCluster | None = None

    @property
    def cluster(self) -> NarratedCluster:
        if self._cluster is None:
            raise CommandError("no nodes yet: a story begins with add-nodes")
        return self._cluster

    def execute(self, command: Command) -> list[str]:
        """What the command shows. CommandError when it makes no sense, AssertionError when what
        happens breaks an invariant."""
        known = COMMANDS.get(command.name)
        if known is None:
            raise CommandError(f"unknown command; there are {', '.join(sorted(COMMANDS))}")
        for option in command.options:
            if option not in known.options:
                takes = ", ".join(sorted(known.options)) or "none"
                raise CommandError(f"unknown option {option}; {command.name} takes {takes}")
        quiet = command.arguments[-1:] == (QUIET,)
        if quiet:
            command = Command(command.name, command.arguments[:-1], command.options)
        if not known.least <= len(command.arguments) <= known.most:
            raise CommandError(f"usage: {command.name} {known.usage}".rstrip())
        known.run(self, command)
        cluster = self.cluster
        cluster.check_durable()
        lines = cluster.take_lines()
        if quiet:
            return [self._status_line(name) for name in cluster.names]
        return lines

    # -- life and death

    def add_nodes(self, command: Command) -> None:
        options = command.options
        count = _number(command.arguments[0], 1, NODES_MAX)
        try:
            mode = DiskMode(options.get("persist", DiskMode.AUTO.value))
        except ValueError:
            raise CommandError("persist is auto or manual") from None
        low, _, high = options.get("election", "10..20").partition("..")
        raft_options = RaftOptions(
            election_ticks_min=_number(low),
            election_ticks_max=_number(high or low, _number(low)),
            heartbeat_ticks=_number(options.get("heartbeat", "2"), 1),
            **{
                field: _number(options[name], name not in ("retain", "lag"))
                for name, field in LIMITS.items()
                if name in options
            },
        )
        founders = _number(options.get("founders", str(count)), 1, count)
        seed = _number(options.get("seed", "0"))
        self._cluster = NarratedCluster(count, seed, raft_options, mode, founders)
        for name in self._cluster.names:
            if LOG_OPTIONS & options.keys():
                self._boot(name, options)
        self._cluster.take_lines()
        self._cluster.say(f"up: {', '.join(self._cluster.names)}")

    def boot(self, command: Command) -> None:
        self._boot(self._node(command.arguments[0]), command.options)

    def _boot(self, name: NodeId, options: dict[str, str]) -> None:
        terms = [_number(term, 1) for term in options.get("log", "").split(",") if term]
        term = _number(options.get("term", str(max(terms, default=0))), max(terms, default=0))
        vote = self._node(options["vote"]) if "vote" in options else None
        commit = _number(options.get("commit", "0"), 0, len(terms))
        self.cluster.boot(name, HardState(Term(term), vote, LogIndex(commit)), entries(*terms))

    def snapshot(self, command: Command) -> None:
        raft = self._alive(command.arguments[0])
        if not raft.log.last_applied:
            raise CommandError(f"{raft.node_id} has applied nothing")
        chunks = _number(command.arguments[1], 1, 100) if len(command.arguments) > 1 else 1
        self.cluster.snapshot(raft.node_id, chunks)

    def crash(self, command: Command) -> None:
        self.cluster.crash(self._alive(command.arguments[0]).node_id)

    def restart(self, command: Command) -> None:
        name = self._node(command.arguments[0])
        if name in self.cluster.nodes:
            raise CommandError(f"{name} is not down")
        self.cluster.start(name)

    # -- time and elections

    def elect(self, command: Command) -> None:
        self.cluster.elect(self._alive(command.arguments[0]).node_id)
        self.cluster.take_lines()
        self.cluster.lines = [self._status_line(name) for name in self.cluster.names]

    def campaign(self, command: Command) -> None:
        raft = self._alive(command.arguments[0])
        raft.campaign()
        self.cluster.touch(raft.node_id)

    def forget_leader(self, command: Command) -> None:
        for argument in command.arguments:
            raft = self._alive(argument)
            raft.election_elapsed = max(raft.election_elapsed, raft.options.election_ticks_min)
            self.cluster.say(f"{raft.node_id}: has not heard a leader for {raft.election_elapsed} ticks")

    def tick(self, command: Command) -> None:
        names = self._group(command.arguments[0])
        count = _number(command.arguments[1], 1, TICKS_MAX) if len(command.arguments) > 1 else 1
        for number in range(1, count + 1):
            if count == 1:
                self._tick_once(names)
            else:
                with self.cluster.under(f"tick {number}", keep_empty=False):
                    self._tick_once(names)

    def _tick_once(self, names: list[NodeId]) -> None:
        for name in names:
            self.cluster.tick(name)

    # -- clients

    def propose(self, command: Command) -> None:
        raft = self._alive(command.arguments[0])
        outcome = raft.propose([word.encode() for word in command.arguments[1:]])
        verdict = "accepted" if outcome is Proposal.ACCEPTED else f"refused, {outcome.value}"
        self.cluster.say(f"{raft.node_id}: {verdict}")
        self.cluster.touch(raft.node_id)

    def members(self, command: Command) -> None:
        raft, verb = self._alive(command.arguments[0]), command.arguments[1]
        names = [self._node(word) for word in command.arguments[2:]]
        if verb not in CHANGES or len(names) != 1 + (verb == "replace"):
            raise CommandError(f"usage: members {COMMANDS['members'].usage}")
        refused = raft.change_membership(CHANGES[verb](*names))
        if refused:
            self.cluster.say(f"{raft.node_id}: refused, {refused.value}")
        self.cluster.touch(raft.node_id)

    def meet(self, command: Command) -> None:
        raft = self._alive(command.arguments[0])
        raft.meet(self._node(command.arguments[1]), command.arguments[2], (), 0)
        self.cluster.touch(raft.node_id)

    def transfer(self, command: Command) -> None:
        raft = self._alive(command.arguments[0])
        to = NodeId(command.arguments[1]) if len(command.arguments) > 1 else None
        if not raft.transfer_leadership(to):
            self.cluster.say(f"{raft.node_id}: refused")
        self.cluster.touch(raft.node_id)

    def read(self, command: Command) -> None:
        raft = self._alive(command.arguments[0])
        self.cluster.read(raft.node_id, _number(command.arguments[1], 1))

    # -- network

    def messages(self, command: Command) -> None:
        for number, message in enumerate(self._chosen(command), start=1):
            self.cluster.say(f"{number}. {describe_message(message)}")

    def deliver(self, command: Command) -> None:
        self.cluster.deliver(self._filter(command))

    def drop(self, command: Command) -> None:
        self.cluster.drop(self._filter(command))

    def duplicate(self, command: Command) -> None:
        self.cluster.duplicate(self._filter(command))

    def block(self, command: Command) -> None:
        self.cluster.block(*[self._group(group) for group in command.arguments])
        self._tell_links()

    def block_one_way(self, command: Command) -> None:
        senders, receivers = map(self._group, command.arguments)
        self.cluster.blocked |= {(sender, to) for sender in senders for to in receivers if sender != to}
        self._tell_links()

    def heal(self, command: Command) -> None:
        if command.arguments:
            self.cluster.heal_among(set(self._group(command.arguments[0])))
        else:
            self.cluster.heal()
        self._tell_links()

    def _tell_links(self) -> None:
        cut = sorted(self.cluster.blocked)
        both = [f"{a}↔{b}" for a, b in cut if (b, a) in cut and a < b]
        one = [f"{a}→{b}" for a, b in cut if (b, a) not in cut]
        self.cluster.say(f"cut: {', '.join(both + one) or 'nothing'}")

    # -- disks

    def persist(self, command: Command) -> None:
        raft = self._alive(command.arguments[0])
        if self.cluster.mode(raft.node_id) is not DiskMode.MANUAL:
            raise CommandError(f"the disk of {raft.node_id} is {self.cluster.mode(raft.node_id).value}")
        count = _number(command.arguments[1], 1) if len(command.arguments) > 1 else None
        self.cluster.persist(raft.node_id, count)

    def hang_disk(self, command: Command) -> None:
        name = self._alive(command.arguments[0]).node_id
        self.cluster.hang_disk(name)
        self.cluster.say(f"{name}: disk hangs")

    def mend_disk(self, command: Command) -> None:
        name = self._alive(command.arguments[0]).node_id
        self.cluster.say(f"{name}: disk works")
        self.cluster.mend_disk(name)

    # -- everything, and where it stands

    def stabilize(self, command: Command) -> None:
        names = [self._node(argument) for argument in command.arguments] or self.cluster.names
        self.cluster.settle_among(set(names))

    def status(self, command: Command) -> None:
        for name in self._named(command):
            self.cluster.say(self._status_line(name))
            if command.arguments and name in self.cluster.nodes:
                self._tell_details(self.cluster.nodes[name])

    def log(self, command: Command) -> None:
        for name in self._named(command):
            self._tell_log(name, whole_log)

    def terms(self, command: Command) -> None:
        for name in self._named(command):
            self._tell_log(name, shape)

    def _tell_log(self, name: NodeId, line: Callable[[Raft], str]) -> None:
        raft = self.cluster.nodes.get(name)
        self.cluster.say(f"{name}  {line(raft).strip() if raft else 'down'}")

    def _status_line(self, name: NodeId) -> str:
        raft = self.cluster.nodes.get(name)
        if raft is None:
            return f"{name} down"
        view = raft.status()
        line = (
            f"{name} {view.role.value}, term {view.current_term}, vote {view.voted_for or 'none'}, "
            f"leader {view.leader_id or 'unknown'}, log {view.last_index}/{view.last_term}, "
            f"commit {view.commit_index}"
        )
        if view.persisted_index != view.last_index:
            line += f", persisted {view.persisted_index}"
        return line + (", disk stalled" if view.disk_stalled else "")

    def _tell_details(self, raft: Raft) -> None:
        view = raft.status()
        if view.role is not Role.LEADER:
            self.cluster.say(f"  election timer at {view.election_elapsed} of {view.election_timeout} ticks")
        for peer in view.peers:
            self.cluster.say(
                f"  {peer.name} {peer.state}, match {peer.match_index}, next {peer.next_index}, "
                f"in flight {peer.inflights}"
            )

    # -- words

    def _node(self, word: str) -> NodeId:
        name = NodeId(word)
        if name not in self.cluster.names:
            raise CommandError(f"unknown node {word}; there are {', '.join(self.cluster.names)}")
        return name

    def _alive(self, word: str) -> Raft:
        name = self._node(word)
        if name not in self.cluster.nodes:
            raise CommandError(f"{name} is down")
        return self.cluster.nodes[name]

    def _group(self, word: str) -> list[NodeId]:
        return list(self.cluster.names) if word == ALL else [self._node(name) for name in word.split(",")]

    def _named(self, command: Command) -> list[NodeId]:
        return [self._node(word) for word in command.arguments] or self.cluster.names

    def _chosen(self, command: Command) -> list[Message]:
        options = command.options
        senders = self._group(options.get("from", ALL))
        receivers = self._group(options.get("to", ALL))
        kinds = options["type"].split(",") if "type" in options else None
        for kind in kinds or ():
            if kind not in KINDS:
                raise CommandError(f"unknown type {kind}; there are {', '.join(sorted(KINDS))}")
        found = [
            message
            for message in self.cluster.network
            if message.sender in senders
            and message.to in receivers
            and (kinds is None or type(message).__name__ in kinds)
        ]
        if "at" not in options:
            return found
        return [found[_number(at, 1, len(found)) - 1] for at in options["at"].split(",")]

    def _filter(self, command: Command) -> Filter:
        """By identity: two messages may be equal, and only one of them chosen."""
        chosen = {id(message) for message in self._chosen(command)}
        return lambda message: id(message) in chosen


def _number(word: str, least: int = 0, most: int | None = None) -> int:
    if not word.isdecimal():
        raise CommandError(f"{word!r} is no number")
    number = int(word)
    if number < least or (most is not None and number > most):
        raise CommandError(f"{number} is not in {least}..{'' if most is None else most}")
    return number


@dataclass(frozen=True, slots=True)
class Known:
    """How a command is called, and what carries it out."""

    run: Callable[[Player, Command], None]
    usage: str = ""
    least: int = 0
    most: int = 0
    options: frozenset[str] = NO_OPTIONS


COMMANDS = {
    "add-nodes": Known(Player.add_nodes, "COUNT", 1, 1, OPTIONS),
    "block": Known(Player.block, "NODES NODES…", 2, NODES_MAX),
    "block-one-way": Known(Player.block_one_way, "NODES NODES", 2, 2),
    "boot": Known(Player.boot, "NODE", 1, 1, LOG_OPTIONS),
    "campaign": Known(Player.campaign, "NODE", 1, 1),
    "crash": Known(Player.crash, "NODE", 1, 1),
    "deliver": Known(Player.deliver, options=FILTERS),
    "drop": Known(Player.drop, options=FILTERS),
    "duplicate": Known(Player.duplicate, options=FILTERS),
    "elect": Known(Player.elect, "NODE", 1, 1),
    "forget-leader": Known(Player.forget_leader, "NODE…", 1, NODES_MAX),
    "hang-disk": Known(Player.hang_disk, "NODE", 1, 1),
    "heal": Known(Player.heal, "[NODES]", 0, 1),
    "log": Known(Player.log, "[NODE…]", 0, NODES_MAX),
    "mend-disk": Known(Player.mend_disk, "NODE", 1, 1),
    "meet": Known(Player.meet, "NODE NODE INCARNATION", 3, 3),
    "members": Known(Player.members, "NODE add|promote|remove|replace NODE [NODE]", 3, 4),
    "messages": Known(Player.messages, options=FILTERS),
    "persist": Known(Player.persist, "NODE [COUNT]", 1, 2),
    "propose": Known(Player.propose, "NODE COMMAND…", 2, 1000),
    "read": Known(Player.read, "NODE CONTEXT", 2, 2),
    "restart": Known(Player.restart, "NODE", 1, 1),
    "snapshot": Known(Player.snapshot, "NODE [CHUNKS]", 1, 2),
    "stabilize": Known(Player.stabilize, "[NODE…]", 0, NODES_MAX),
    "status": Known(Player.status, "[NODE…]", 0, NODES_MAX),
    "terms": Known(Player.terms, "[NODE…]", 0, NODES_MAX),
    "tick": Known(Player.tick, "NODES [COUNT]", 1, 2),
    "transfer": Known(Player.transfer, "NODE [NODE]", 1, 2),
}
CHANGES: dict[str, Callable[..., Change]] = {
    "add": AddLearner,
    "promote": Promote,
    "remove": Remove,
    "replace": Replace,
}
KINDS = {kind.__name__ for kind in Message.__subclasses__()}
