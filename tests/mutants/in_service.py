"""Bugs around consensus: the state machine, the actors of a node, the client."""

from __future__ import annotations

from raftkv.actors.audit import AuditActor
from raftkv.actors.gateway import GatewayActor
from raftkv.actors.link import Link
from raftkv.actors.node import Node
from raftkv.actors.peers import PeersActor
from raftkv.actors.raft import RaftActor
from raftkv.actors.read_queue import ReadQueue
from raftkv.actors.relay import Relay
from raftkv.actors.storage import StorageActor
from raftkv.actors.zmq_ports import ZmqLink
from raftkv.client.core import ClientCore
from raftkv.client.patience import Patience
from raftkv.client.peers import Peers
from raftkv.kv import StateMachine
from raftkv.kv.sessions import Session, Sessions
from tests.mutants.planting import Edit, Mutant, Part


def _kv(name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, Part.KV, edits)


def _actors(name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, Part.ACTORS, edits)


def _client(name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, Part.CLIENT, edits)


KV = (
    _kv(
        "retry-applied-twice",
        "a retry is applied like a new request",
        "35",
        Edit(StateMachine.apply, " or sequence in session.answers", ""),
        Edit(StateMachine._apply_any, "if answer is not None:", "if False:"),
    ),
    _kv(
        "dedupe-by-sequence-alone",
        "all clients share one session",
        "35",
        Edit(StateMachine.apply, "enter(client_id, born, index)", "enter(0, born, index)"),
        Edit(StateMachine._apply_any, "enter(client_id, born, index)", "enter(0, born, index)"),
    ),
    _kv(
        "floor-ignored",
        "a stray copy of a request that its client has long forgotten is applied",
        "35",
        Edit(StateMachine.apply, "not session.floor <= sequence", "not 0 <= sequence"),
        Edit(StateMachine._apply_any, "if sequence < session.floor:", "if False:"),
    ),
    _kv(
        "floor-forgets-one-too-many",
        "the answer at the floor is forgotten although its client still waits for it",
        "35",
        Edit(StateMachine.apply, "session.raise_floor(floor)", "session.raise_floor(floor + 1)"),
        Edit(StateMachine._apply_any, "raise_floor(session, floor)", "raise_floor(session, floor + 1)"),
    ),
    _kv(
        "answers-weighed-late",
        "what a client still holds of answers is known to nodes that start from a snapshot, and to no others",
        "",
        Edit(Session.keep, "self.weight += weight(answer.detail)", "pass"),
    ),
    _kv(
        "answers-of-all-unbounded",
        "clients that somebody invents make every snapshot as large as he likes",
        "",
        Edit(Sessions.keep, "self.weight > self.limits.answers_total_bytes_max", "False"),
    ),
    _kv(
        "forgotten-answers-still-weigh",
        "what a client held counts on after it was forgotten, on those that were not restored",
        "",
        Edit(Sessions._forget_oldest, "self.weight -= forgotten.weight", "pass"),
    ),
    _kv(
        "fetched-answers-still-weigh",
        "what a client has fetched counts against it for as long as it has anything else to fetch",
        "",
        Edit(Session.raise_floor, "self.weight -= weight(answer.detail)", "pass"),
    ),
    _kv(
        "forgotten-client-passes-for-new",
        "a client whose session was dropped for want of room starts afresh",
        "35",
        Edit(Sessions.enter, "born < self.horizon or born >= index", "False"),
    ),
    _kv(
        "latest-client-forgotten",
        "the table of sessions drops whoever came last, not whoever is idle for longest",
        "35",
        Edit(Sessions._forget_oldest, "popitem(last=False)", "popitem(last=True)"),
    ),
    _kv(
        "forgotten-without-a-trace",
        "a client that was forgotten passes for a new one, and its retry is applied again",
        "35",
        Edit(Sessions._forget_oldest, "self.horizon = max(self.horizon, forgotten.last_index)", "pass"),
    ),
    _kv(
        "idle-client-never-forgotten",
        "time passes in the log, and nobody is forgotten for it",
        "35",
        Edit(Sessions.advance, "while self._table and", "while False and"),
    ),
    _kv(
        "activity-does-not-count",
        "a client is forgotten so long after its first write, however busy it is",
        "35",
        Edit(
            Sessions.enter,
            "session.last_index, session.last_ms = index, self.now_ms",
            "session.last_index = index",
        ),
    ),
    _kv(
        "compare-always-succeeds",
        "a compare-and-set sets whatever it finds",
        "",
        Edit(StateMachine._compare_and_set, "(item.value if item else None) != expected", "False"),
    ),
    _kv(
        "read-changes-state",
        "a get of an absent key moves the revision of the node that serves it",
        "38",
        Edit(
            StateMachine.get,
            "    return self.items.get(key)",
            "    self.revision += key not in self.items\n    return self.items.get(key)",
        ),
    ),
    _kv(
        "empty-delete-moves-revision",
        "a delete that finds nothing counts as a change",
        "",
        Edit(StateMachine._remove, "        self.revision += 1\n", ""),
        Edit(StateMachine._remove, "    if keys:\n", "    self.revision += 1\n    if keys:\n"),
    ),
    _kv(
        "multi-put-half-applied",
        "a multi-put that fails at its second pair has applied the first",
        "38",
        Edit(
            StateMachine._multi_put,
            "        check_pair(*pair)\n",
            "        check_pair(*pair)\n        self._set(*pair, 0)\n",
        ),
    ),
)

ACTORS = (
    _actors(
        "full-disk-not-read",
        "a snapshot that a peer with room needs waits until the sender's own disk has room",
        "39",
        Edit(StorageActor._may_go_ahead, "if not isinstance(task, WriteChunk):", "if False:"),
    ),
    _actors(
        "batch-without-room-forgotten",
        "what found no room is tried again only if something else comes to be written",
        "39",
        Edit(StorageActor._go_on_without_room, "if self._retry_due:", "if self._retry_due and self._queue:"),
    ),
    _actors(
        "snapshot-ahead-of-its-log",
        "a snapshot of entries that this node's disk has no room for is finished before they are",
        "29",
        Edit(StorageActor._may_go_ahead, "task.job.mark.index < begin", "True"),
    ),
    _actors(
        "ends-asked-for-again",
        "leases that wait for their end are asked to end with every report",
        "39",
        Edit(RaftActor.handle, "and not self._is_ending:", ":"),
    ),
    _actors(
        "refused-batch-kept",
        "an error keeps, by its traceback, the batch for which there was no room",
        "39",
        Edit(Relay._perform, "error = DiskFull(str(full))", "error = full"),
    ),
    _actors(
        "no-descriptor-ends-a-node",
        "a node ends where clients have left no descriptor for one more connection to a peer",
        "39",
        Edit(ZmqLink._connect, "if error.errno not in NO_DESCRIPTORS:", "if True:"),
    ),
    _actors(
        "patience-outlives-a-life",
        "a peer that has started again is sent its snapshot as seldom as in its last life",
        "40",
        Edit(PeersActor._on_frames, 'self._context.send("raft", BegunAnew(decoded.sender))', "pass"),
    ),
    _actors(
        "heartbeats-wait-for-large-frames",
        "a heartbeat waits behind a frame that takes longer than an election timeout",
        "",
        Edit(Link.take_urgent, "if now >= self._heavy_until:", "if True:"),
    ),
    _actors(
        "deaf-until-all-is-applied",
        "a node that starts with a long log applies all of it in one turn",
        "39",
        Edit(
            RaftActor.end_of_turn,
            "ready = self.raft.ready()\n    if ready:\n",
            "while ready := self.raft.ready():\n",
        ),
    ),
    _actors(
        "applies-before-it-answers",
        "a follower applies what was committed earlier while its leader waits for it",
        "",
        Edit(RaftActor._carry_out, "if ready.entries and not self.raft.leadership:", "if False:"),
    ),
    _actors(
        "postponed-for-ever",
        "a follower that got entries never applies what was committed with them",
        "",
        Edit(RaftActor.handle, "if self._postponed:", "if False:"),
    ),
    _actors(
        "never-relieved",
        "a node whose disk hangs is deaf",
        "",
        Edit(Relay._take_over, "if seen and seen == self._awaited:", "if False:"),
    ),
    _actors(
        "two-run-the-loop",
        "a thread whose disk has answered goes on with the loop, which another runs by now",
        "",
        Edit(
            Relay._run_loop,
            "while going_on and shift == self._shift and not self._over.is_set():",
            "while going_on:",
        ),
    ),
    _actors(
        "relieved-without-a-word",
        "what the disk did while the loop went on without it wakes nobody",
        "",
        Edit(Relay._do, "os.eventfd_write(self.wake_fd, 1)", "pass"),
    ),
    _actors(
        "backlog-never-paid",
        "what waited for the disk without a write of its own stays on the books",
        "39",
        Edit(StorageActor._on_append, "self.backlog_bytes -= _size(waited)", "pass"),
    ),
    _actors(
        "backlog-of-questions",
        "a backlogged node takes on what asks where it is, for as long as its disk hangs",
        "39",
        Edit(
            RaftActor._step,
            "isinstance(inner, AppendEntries):",
            "isinstance(inner, AppendEntries) and inner.entries:",
        ),
    ),
    _actors(
        "logged-again",
        "a leader appends a write again each time that its client asks for it",
        "39",
        Edit(
            GatewayActor._admit,
            "return None  # it is in our log: to append it again, because we are slow, would make us slower",
            "pass",
        ),
    ),
    _actors(
        "turn-of-any-size",
        "a turn takes in as many frames as ever, however many requests are in each",
        "39",
        Edit(Node.turn, "receive(most, BYTES_A_TURN_MAX)", "receive(most)"),
    ),
    _actors(
        "released-on-submit",
        "acknowledgements and marks are released when a write begins, not when it is durable",
        "4",
        Edit(
            StorageActor._start_batch,
            "self._under_way = _Batch(writes, job)",
            "self._under_way = _Batch([], job); self._release(writes)",
        ),
    ),
    _actors(
        "ack-overtakes-write",
        "an acknowledgement without a write of its own does not wait for the write before it",
        "5",
        Edit(
            StorageActor.handle,
            "message.mark is None and not self._writes",
            "message.mark is None",
        ),
    ),
    _actors(
        "full-disk-is-success",
        "a batch that found the disk full counts as written",
        "39",
        Edit(StorageActor._on_append, "if result.error:", "if False:"),
    ),
    _actors(
        "states-never-compared",
        "nodes whose states have come apart say nothing",
        "10",
        Edit(AuditActor._compare, "mine == message.digest or", "True or"),
    ),
    _actors(
        "disk-error-retried",
        "a node whose disk failed tries the batch again instead of stopping",
        "6",
        Edit(
            StorageActor._on_result,
            'self._context.send("node", Stop("disk failure", result.error))',
            'self._context.set_timer("storage", RETRY_SECONDS, Tick())',
        ),
    ),
    _actors(
        "answered-when-proposed",
        "a client is told that its write is done when it has only been proposed",
        "4",
        Edit(
            GatewayActor._propose,
            'self._context.send("raft", Propose(keys, commands))',
            'self._context.send("raft", Propose(keys, commands)); self._release(keys, Code.OK)',
        ),
    ),
    _actors(
        "leader-change-is-success",
        "writes that wait when the leader changes are answered as done",
        "35",
        Edit(
            GatewayActor._on_soft_state,
            "self._release(list(self._pending), Code.LEADER_CHANGED)",
            "self._release(list(self._pending), Code.OK)",
        ),
    ),
    _actors(
        "leader-change-is-failure",
        "writes that wait when the leader changes are answered as not done",
        "35",
        Edit(
            GatewayActor._on_soft_state,
            "self._release(list(self._pending), Code.LEADER_CHANGED)",
            "self._release(list(self._pending), Code.NO_LEADER)",
        ),
    ),
    _actors(
        "pending-kept-on-leader-change",
        "writes that wait when the leader changes are neither answered nor handed back",
        "22",
        Edit(
            GatewayActor._on_soft_state,
            "self._release(list(self._pending), Code.LEADER_CHANGED)",
            "pass",
        ),
        Edit(GatewayActor._release_old, "self._release(old, Code.LEADER_CHANGED)", "pass"),
    ),
    _actors(
        "local-read",
        "a linearizable read is served from whatever this node has applied",
        "31",
        Edit(GatewayActor._on_read, "local = is_stale(request)", "local = True"),
    ),
    _actors(
        "failed-read-served",
        "a read for which no leader could be asked is served all the same",
        "32",
        Edit(
            GatewayActor._on_read_index,
            "if message.read_index is None:",
            "if False:",
        ),
        Edit(
            GatewayActor._on_read_index,
            "Read(message.read_index, requests)",
            "Read(message.read_index or LogIndex(0), requests)",
        ),
    ),
    _actors(
        "read-before-applied",
        "a read is served before the state machine has reached its index",
        "33",
        Edit(ReadQueue.serve, "self._waiting[0][0] <= machine.applied_index", "True"),
    ),
)

CLIENT = (
    _client(
        "timeout-is-failure",
        "a write without an answer in time is reported as not done",
        "35",
        Edit(Peers.outcome, "call.may_have_happened", "False"),
    ),
    _client(
        "moved-write-counts-as-unsent",
        "a write that was left at a silent node is reported as not done",
        "35",
        Edit(ClientCore._ask_again, "call.uncertain = True", "pass"),
    ),
    _client(
        "slow-answers-asked-for-again",
        "a request is sent again and again over a line that is only slow",
        "",
        Edit(Patience.resend, "once * 2.0 ** min(call.tries, 8)", "RESEND_SECONDS"),
        Edit(Patience.desert, "once * 2.0 ** min(self._moves, 8)", "DESERT_SECONDS"),
    ),
    _client(
        "leader-change-counts-as-unsent",
        "a write that its node handed back is reported as not done",
        "35",
        Edit(
            ClientCore._on_response,
            "call.uncertain = call.uncertain or code == Code.LEADER_CHANGED",
            "pass",
        ),
    ),
    _client(
        "refused-in-the-log-counts-as-unsent",
        "a write that the log refused, and a second copy of which may be in it, is reported as not done",
        "",
        Edit(
            ClientCore._on_response,
            "call.uncertain = call.uncertain or response.detail is not None",
            "pass",
        ),
    ),
    _client(
        "retry-under-new-sequence",
        "a client asks again under a name of its own for each try",
        "35",
        Edit(
            ClientCore._dispatch,
            "    session = call.session\n",
            "    session = call.session\n"
            "    if session and call.request:\n"
            "        session.end(call.sequence)\n"
            "        call.sequence = session.begin()\n"
            "        call.request = None\n",
        ),
    ),
    _client(
        "late-answer-ends-next-call",
        "an answer to a request that is over ends the one that is open",
        "35",
        Edit(
            ClientCore.on_frame,
            "call = self._calls.get(response.request_id)",
            "call = self._calls.get(response.request_id) or next(iter(self._calls.values()), None)",
        ),
    ),
    _client(
        "floor-above-open-writes",
        "a client says that it waits for nothing older, while it does",
        "35",
        Edit(ClientCore._make_request, "call.sequence, session.oldest", "call.sequence, call.sequence"),
    ),
    _client(
        "request-never-resent",
        "a request that got lost behind a living node is waited for until its deadline",
        "",
        Edit(Patience.take_overdue, "if due <= now:", "if False:"),
    ),
    _client(
        "silent-node-not-left",
        "a client stays with a node that has fallen silent",
        "",
        Edit(ClientCore._seeking, "self._silent_for(now) >= SILENCE_SECONDS", "False"),
        Edit(ClientCore._leave_silent_target, "self._is_deserted(self._silent_for(now), now)", "False"),
    ),
)

MUTANTS = (*KV, *ACTORS, *CLIENT)
