"""The one owner of term, vote, role and log.

Rules:

1. ``current_term`` never falls; ``voted_for`` changes only with the term, or from nobody.
2. No message leaves that carries a term of our own which is not durable here (a pre-vote carries one that
   is not taken yet); votes and append acknowledgements wait, beyond that, for the write they speak of.
3. ``leadership`` exists exactly while ``role`` is LEADER, ``candidacy`` exactly while it is
   PRE_CANDIDATE or CANDIDATE.
4. Everything that goes out goes through one ``Ready``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from raftkv.raft import election, follower, membership, trace
from raftkv.raft.configuration import Configuration
from raftkv.raft.dispatch import handle
from raftkv.raft.doubt import Doubt
from raftkv.raft.durability import Durability
from raftkv.raft.election import Candidacy
from raftkv.raft.founding import FOUNDING_MESSAGES, Founding
from raftkv.raft.leader import Leadership
from raftkv.raft.log import BEFORE_LOG, BEFORE_TERMS, RaftLog
from raftkv.raft.messages import (
    Entry,
    HardState,
    Message,
    PersistMark,
    PreVote,
    PreVoteResponse,
    ReadState,
    RequestVote,
    SnapshotMark,
)
from raftkv.raft.options import RaftOptions
from raftkv.raft.snapshot import Snapshots
from raftkv.raft.state import Membership, Proposal, Ready, Role, SoftState
from raftkv.raft.status import RaftStatus, status_of
from raftkv.types import LogIndex, NodeId, Term

NEVER_TICKS = 1 << 40


class Raft:
    """One node's consensus state. ``hard_state``, ``snapshot`` and the ``entries`` after it are what storage
    held at start; the state machine begins with that snapshot. ``founding`` holds until the log says
    otherwise; a node that joins later has an empty one. ``incarnation`` is the data folder's; without one
    the founding configuration holds as it is. ``listed``: all nodes that may hold anything."""

    def __init__(
        self,
        node_id: NodeId,
        founding: Configuration,
        options: RaftOptions,
        rng: random.Random,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
        snapshot: SnapshotMark | None = None,
        incarnation: str = "",
        listed: Sequence[NodeId] = (),
    ) -> None:
        self.node_id = node_id
        self.options = options
        self._rng = rng
        state = hard_state or HardState(Term(0), None, LogIndex(0))
        self.current_term = state.current_term
        self.voted_for = state.voted_for
        if snapshot and snapshot.term > self.current_term:
            # On the disk before its term was: that was seen, and nothing could be said in it yet.
            self.current_term, self.voted_for = snapshot.term, None
        self.snapshots = Snapshots(self, snapshot)
        start = (snapshot.index, snapshot.term) if snapshot else (BEFORE_LOG, BEFORE_TERMS)
        known = Configuration.decode(snapshot.configuration) if snapshot and snapshot.configuration else None
        self.log = RaftLog(entries, max(state.commit_index, start[0]), *start, founding, known)
        self.heard: dict[NodeId, tuple[str, tuple[str, ...]]] = {}
        """What a leader, or one to be, has heard of members that the configuration does not say yet."""
        self.membership: Membership | None = None
        """As it was last handed out."""
        self.retired = False  # it has led the others to where it is no member: nobody will talk to it again
        self.incarnation = incarnation
        self.founding = Founding(self, listed)
        self.role = Role.FOLLOWER
        self.leader_id: NodeId | None = None
        self.leadership: Leadership | None = None
        self.candidacy: Candidacy | None = None
        self.election_elapsed = 0
        self.election_timeout = self._draw_election_timeout()
        self.timeouts_behind = 0  # in a row, with much to apply
        self.quiet_ticks = 0 if options.lease_us else options.election_ticks_min
        """Since a leader was heard; with leases a start counts: the last life may have promised."""
        self.now_us = 0
        """The shell's monotonic clock, set before each ``ready``."""
        self.priorities: dict[NodeId, int] = {}
        self.ticks_since_ranked_led = NEVER_TICKS
        self.commit_heard = self.log.commit_index
        self._delivery_paused = False
        self.doubt = Doubt()
        self._durability = Durability(state)
        self.disk_full = False
        """Set by the shell: what waits for the disk waits for room."""
        self.forwarded_reads: dict[int, int] = {}
        """Reads asked of the leader: context -> ticks waited."""
        self.read_states: list[ReadState] = []
        self._messages: list[Message] = []
        self._messages_after_append: list[Message] = []
        self._events: list[trace.RaftEvent] = []
        self._soft_state = SoftState(self.role, None, self.current_term)
        self.trace(trace.RoleChanged(self.current_term, self.role.value, trace.REASON_RESTART))

    # -- what the shell feeds in

    def tick(self) -> None:
        """One unit of time has passed."""
        self.ticks_since_ranked_led += 1
        self._durability.tick()
        follower.expire_reads(self)
        self.snapshots.tick()
        if self.leadership:
            self.leadership.tick()
            return
        self.founding.tick()
        self.election_elapsed += 1
        self.quiet_ticks += 1
        if self.election_elapsed >= self.election_timeout:
            self.reset_election_timer()
            election.on_timeout(self)

    def ticks_until_due(self) -> int:
        """How many ticks may pass at once as things stand, the last of which may do something: at least 1, at
        most a heartbeat's worth. A shell that sleeps for so long and calls ``tick`` so often is not late."""
        if self.snapshots.forgets:
            return 1
        if self.leadership:
            return self.leadership.ticks_until_due()
        return max(1, min(self.options.heartbeat_ticks, self.election_timeout - self.election_elapsed))

    def step(self, message: Message) -> None:
        """A message has arrived. Stale terms are answered or dropped here. Senders that this node's
        configuration does not know are heard all the same: it may be the one that is behind (§6)."""
        if message.to != self.node_id or message.sender == self.node_id:
            return
        if isinstance(message, FOUNDING_MESSAGES):
            self.founding.handle(message)
            return
        if isinstance(message, PreVote):
            election.on_pre_vote(self, message)
            return
        if isinstance(message, PreVoteResponse) and message.granted:
            election.on_pre_vote_response(self, message)
            return
        if message.term > self.current_term:
            if isinstance(message, RequestVote) and self.leader_is_fresh and not message.transfer:
                # Stickiness: a node that lost touch must not depose a leader we still hear.
                election.trace_answer(self, message, trace.VOTE_LEADER_ALIVE, pre=False)
                return
            self.become_follower(message.term, None, trace.REASON_HIGHER_TERM)
        elif message.term < self.current_term:
            follower.answer_stale(self, message)
            return
        handle(self, message)

    def campaign(self) -> None:
        """Let the election timer run out now: for tests, transcripts and the dashboard."""
        if self.leadership is None and not self.disk_stalled and not self.promised:
            self.reset_election_timer()
            election.campaign(self)

    def propose(self, commands: Sequence[bytes], forwarded_by: Sequence[NodeId] = ()) -> Proposal:
        """Append commands to the log, of own clients or of those of followers; all of them or none."""
        return self.leadership.propose(commands, forwarded_by) if self.leadership else Proposal.NOT_LEADER

    def propose_clock(self, data: bytes) -> Proposal:
        """Let the state machine's time go on, if this node leads and hands over to nobody."""
        return self.leadership.propose_clock(data) if self.leadership else Proposal.NOT_LEADER

    def pause_delivery(self, paused: bool) -> None:
        """While the shell can take no more of what is committed."""
        self._delivery_paused = paused

    def transfer_leadership(self, to: NodeId | None = None) -> bool:
        """Hand leadership over to ``to``, or to the peer that is best prepared (thesis §3.10).

        False when this node does not lead, hands over already, or has nobody to hand over to. Given up
        by itself after the shortest election timeout."""
        return self.leadership is not None and self.leadership.succession.begin(to)

    def change_membership(self, change: membership.Change) -> membership.Refusal | None:
        """Begin to change who belongs to the cluster. None: it is in the log, and ends by itself."""
        return membership.request(self, change)

    def meet(self, name: NodeId, incarnation: str, address: tuple[str, ...], priority: int) -> None:
        """A node has said which data folder it is, where it is reached, and how much it wants to lead."""
        membership.meet(self, name, incarnation, address, priority)

    def begun_anew(self, peer: NodeId) -> None:
        """That node has started again."""
        if self.leadership and peer in self.leadership.progress:
            self.leadership.progress[peer].begun_anew()

    def read_index(self, context: int) -> None:
        """Ask from which index on the applied state is fresh; a ``ReadState`` answers.

        ``context`` must not repeat within a node's life, nor from one life to the next.
        """
        if self.leadership:
            if not self.leadership.add_read(self.node_id, context):
                self.read_states.append(ReadState(context, None))
        else:
            follower.ask_leader(self, context)

    def persisted(self, mark: PersistMark) -> None:
        """The write of this mark, and every one before it, is durable."""
        self._durability.confirmed(mark.current_term)
        if mark.current_term != self.current_term:
            return  # the term's own write is still to come and covers the log again
        self.log.persisted_to(mark.index, mark.term)
        election.on_own_vote_durable(self)
        if self.leadership:
            self.leadership.maybe_commit()

    def snapshot_taken(self, mark: SnapshotMark) -> None:
        """The shell has taken a snapshot of what was applied up to ``mark.index``; it is durable."""
        self.snapshots.taken(mark)

    def chunk_stored(self, snapshot_id: int, number: int) -> None:
        """A chunk that a ``Ready`` has handed out is written; the last one: all of it is durable."""
        self.snapshots.chunk_stored(snapshot_id, number)

    def chunk_refused(self, snapshot_id: int) -> None:
        """A chunk could not be used or stored: the snapshot it belongs to has to come once more."""
        self.snapshots.chunk_refused(snapshot_id)

    @property
    def streams(self) -> bool:
        """A snapshot is on its way, out or in: to take another one now would undo it."""
        sends = self.leadership is not None and self.leadership.streams
        return sends or self.snapshots.incoming is not None

    def applied(self, index: LogIndex) -> None:
        assert self.log.last_applied <= index <= self.log.delivered_index
        self.log.last_applied = index

    def ready(self) -> Ready | None:
        """Everything that has to happen now, each thing handed out once; None when there is nothing.

        Committed entries come in parts: there may be more."""
        if self.leadership:
            membership.advance(self)
        if self.leadership:
            self.leadership.serve_reads()
            self.leadership.replicate()
            self.leadership.succession.hand_over()
        snapshots = self.snapshots
        entries = self.log.take_unhanded()
        hard_state = mark = None
        state = (self.current_term, self.voted_for)
        anew, snapshots.anew = snapshots.anew, None
        if self._durability.give(state, bool(entries or anew)):
            hard_state = HardState(*state, self.log.commit_index)
            mark = PersistMark(self.log.last_index, self.log.last_term, self.current_term)
        most = 0 if self._delivery_paused else self.options.committed_entries_max
        committed = self.log.take_committed(most, self.options.committed_bytes_max)
        soft_state = self._take_soft_state()
        messages, messages_after_append = self._messages, self._messages_after_append
        read_states, events = self.read_states, self._events
        chunks, installed = snapshots.chunks, snapshots.installed
        changed = membership.news(self)
        told = messages or messages_after_append or read_states or events or soft_state or changed
        if not (mark or committed or told or chunks or installed):
            return None
        self._messages, self._messages_after_append = [], []
        snapshots.chunks, snapshots.installed = [], None
        self.read_states, self._events = [], []
        # By position, once a turn: by name it takes 1.5 us instead of 0.5.
        return Ready(
            hard_state,
            entries,
            mark,
            messages,
            messages_after_append,
            anew,
            chunks,
            installed,
            committed,
            read_states,
            soft_state,
            changed,
            events,
        )

    def status(self) -> RaftStatus:
        return status_of(self)

    # -- what the roles' modules use

    @property
    def configuration(self) -> Configuration:
        """In effect: the latest in the log, committed or not (§6)."""
        return self.log.configurations.latest

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """All other members."""
        return tuple([name for name in self.configuration.names if name != self.node_id])

    @property
    def voting_peers(self) -> tuple[NodeId, ...]:
        return tuple([name for name in self.peers if self.configuration.votes(name)])

    @property
    def disk_stalled(self) -> bool:
        """Storage has confirmed nothing for an election timeout although something waits."""
        return self._durability.silent_for(self.options.election_ticks_min)

    @property
    def promised(self) -> bool:
        """A leader may rely on it that this node votes for nobody else yet."""
        return self.options.lease_us > 0 and self.quiet_ticks < self.options.election_ticks_min

    @property
    def leader_is_fresh(self) -> bool:
        """A leader was heard within the shortest election timeout, or this node is it."""
        if self.leadership or self.promised:
            return True
        return self.leader_id is not None and self.election_elapsed < self.options.election_ticks_min

    def send(self, message: Message) -> None:
        """Send now, unless our term is not durable yet: then nothing that carries it may leave."""
        if self._durability.term < self.current_term:
            self._messages_after_append.append(message)
        else:
            self._messages.append(message)

    def send_after_append(self, message: Message) -> None:
        """Send once everything handed to storage so far, this Ready included, is durable."""
        self._messages_after_append.append(message)

    def trace(self, event: trace.RaftEvent) -> None:
        self._events.append(event)

    def reset_election_timer(self) -> None:
        self.election_elapsed = 0  # and drawn anew: a fixed jitter can split votes forever (PITFALLS 20)
        self.election_timeout = self._draw_election_timeout()

    def follow(self, leader_id: NodeId) -> None:
        """A leader of the current term has spoken."""
        if self.role is not Role.FOLLOWER:
            self.become_follower(self.current_term, leader_id, trace.REASON_LEADER_FOUND)
        elif self.leader_id != leader_id:
            self._set_leader(leader_id)
        self.reset_election_timer()
        self.quiet_ticks = 0

    def become_follower(self, term: Term, leader_id: NodeId | None, reason: str) -> None:
        assert term >= self.current_term
        was_follower = self.role is Role.FOLLOWER
        self._abandon_role()
        self.heard = {}
        if term > self.current_term:
            self.current_term = term
            self.voted_for = None
        self.role = Role.FOLLOWER
        self._set_leader(leader_id)
        if not was_follower:
            # A follower that merely learns of a newer term keeps its timer: only a leader or a
            # granted vote may hold back its own candidacy (§5.2).
            self.reset_election_timer()
            self.trace(trace.RoleChanged(term, self.role.value, reason))

    def forget_leader(self) -> None:
        """It was not heard for an election timeout, and this node cannot look for another one."""
        self._set_leader(None)

    def step_down(self, reason: str) -> None:
        """A leader gives up within its own term."""
        self.become_follower(self.current_term, None, reason)

    def become_pre_candidate(self) -> None:
        self._abandon_role()
        self.role = Role.PRE_CANDIDATE
        self.candidacy = Candidacy(pre=True)
        self._set_leader(None)
        self.trace(trace.RoleChanged(self.current_term, self.role.value, trace.REASON_ELECTION_TIMEOUT))

    def become_candidate(self, reason: str) -> None:
        self._abandon_role()
        self.role = Role.CANDIDATE
        self.candidacy = Candidacy(pre=False)
        self.current_term = Term(self.current_term + 1)
        self.voted_for = self.node_id
        self._set_leader(None)
        self.reset_election_timer()
        self.trace(trace.RoleChanged(self.current_term, self.role.value, reason))

    def become_leader(self) -> None:
        self._abandon_role()
        self.snapshots.abandon()
        self.role = Role.LEADER
        self.leadership = Leadership(self)
        self._set_leader(self.node_id)
        self.log.append_no_op(self.current_term)
        self.trace(trace.RoleChanged(self.current_term, self.role.value, trace.REASON_ELECTION_WON))

    # -- internals

    def _take_soft_state(self) -> SoftState | None:
        """Who leads, if that has changed since it was last asked."""
        known = self._soft_state
        if (
            known.role is self.role
            and known.leader_id == self.leader_id
            and known.current_term == self.current_term
        ):
            return None
        self._soft_state = SoftState(self.role, self.leader_id, self.current_term)
        return self._soft_state

    def _abandon_role(self) -> None:
        """Reads that waited for this leadership fail: their asker tries again elsewhere."""
        if self.leadership:
            for reader, context in self.leadership.reads.drain():
                if reader == self.node_id:
                    self.read_states.append(ReadState(context, None))
        self.leadership = None
        self.candidacy = None

    def _set_leader(self, leader_id: NodeId | None) -> None:
        if leader_id != self.leader_id:
            self.read_states += [ReadState(context, None) for context in self.forwarded_reads]
            self.forwarded_reads.clear()
            if self.leader_id and self.priorities.get(self.leader_id, 0):
                self.ticks_since_ranked_led = 0
            self.leader_id = leader_id
            self.trace(trace.LeaderChanged(self.current_term, leader_id))

    def _draw_election_timeout(self) -> int:
        return self._rng.randint(self.options.election_ticks_min, self.options.election_ticks_max)
