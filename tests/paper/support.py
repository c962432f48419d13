"""One node of three, its messages built in a line each, and everything it does in answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from raftkv.raft import Configuration, Entry, HardState, Message, Raft, ReadState, Role
from raftkv.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
)
from raftkv.raft.progress import Progress
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import OPTIONS

N1, N2, N3, N4, N5 = (NodeId(f"n{number}") for number in range(1, 6))
LONGEST = OPTIONS.election_ticks_max
M = TypeVar("M", bound=Message)


@dataclass
class Turn:
    """What a node did until it had nothing more to do, its disk working at once."""

    messages: list[Message] = field(default_factory=list)
    hard_states: list[HardState] = field(default_factory=list)
    written: list[Entry] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    reads: list[ReadState] = field(default_factory=list)

    def of(self, kind: type[M]) -> list[M]:
        return [message for message in self.messages if type(message) is kind]

    def one(self, kind: type[M]) -> M:
        (message,) = self.of(kind)
        return message


def node(
    log: Sequence[Entry] = (),
    term: int = 0,
    voted_for: NodeId | None = None,
    commit: int = 0,
    voters: int = 3,
    seed: int = 0,
) -> Raft:
    """n1 as it starts with this on its disk."""
    raft = Raft(
        N1,
        Configuration.of([N1, N2, N3, N4, N5][:voters]),
        OPTIONS,
        random.Random(seed),
        HardState(Term(term), voted_for, LogIndex(commit)),
        log,
    )
    turn(raft)
    return raft


def turn(raft: Raft) -> Turn:
    done = Turn()
    while ready := raft.ready():
        done.messages += ready.messages
        if ready.hard_state:
            done.hard_states.append(ready.hard_state)
        done.written += ready.entries
        if ready.mark:
            raft.persisted(ready.mark)
        done.messages += ready.messages_after_append
        done.committed += ready.committed
        if ready.committed:
            raft.applied(ready.committed[-1].index)
        done.reads += ready.read_states
    return done


def step(raft: Raft, *messages: Message) -> Turn:
    for message in messages:
        raft.step(message)
    return turn(raft)


def tick(raft: Raft, count: int) -> Turn:
    done = Turn()
    for _ in range(count):
        raft.tick()
        now = turn(raft)
        done.messages += now.messages
        done.reads += now.reads
    return done


def win_pre_vote(raft: Raft) -> Turn:
    """From a timeout to a candidate whose own vote is durable."""
    raft.campaign()
    turn(raft)
    term = Term(raft.current_term + 1)
    return step(
        raft, *[PreVoteResponse(v, N1, term, True) for v in raft.peers[: len(raft.configuration.voters) // 2]]
    )


def candidate(log: Sequence[Entry] = (), term: int = 0, voters: int = 3, commit: int = 0) -> Raft:
    """n1 as a candidate of ``term + 1``, no other vote there yet."""
    raft = node(log, term, voters=voters, commit=commit)
    win_pre_vote(raft)
    assert raft.role is Role.CANDIDATE
    return raft


def elect(raft: Raft) -> Turn:
    """The votes that a candidate still lacks; everything it does as a new leader."""
    done = step(
        raft,
        *[
            vote(raft.current_term, sender=voter)
            for voter in raft.peers[: len(raft.configuration.voters) // 2]
        ],
    )
    assert raft.role is Role.LEADER
    return done


def leader(log: Sequence[Entry] = (), term: int = 0, voters: int = 3, commit: int = 0) -> Raft:
    """n1 as the leader of ``term + 1``; its no-op is on its own disk, and nowhere else yet."""
    raft = candidate(log, term, voters, commit)
    elect(raft)
    return raft


def progress(raft: Raft, peer: NodeId = N2) -> Progress:
    assert raft.leadership is not None
    return raft.leadership.progress[peer]


def at(index: int, term: int, data: bytes = b"x") -> Entry:
    return Entry(LogIndex(index), Term(term), 1, data)


def log_of(raft: Raft) -> list[tuple[int, int]]:
    return [(entry.index, entry.term) for entry in raft.log.entries]


def request_vote(term: int, last: tuple[int, int] = (0, 0), sender: NodeId = N2) -> RequestVote:
    """``last``: index and term of the candidate's last entry."""
    return RequestVote(sender, N1, Term(term), LogIndex(last[0]), Term(last[1]))


def vote(term: int, granted: bool = True, sender: NodeId = N2) -> RequestVoteResponse:
    return RequestVoteResponse(sender, N1, Term(term), granted)


def append(
    term: int, prev: tuple[int, int] = (0, 0), *new: Entry, commit: int = 0, sender: NodeId = N2
) -> AppendEntries:
    """``prev``: index and term of the entry before the new ones."""
    return AppendEntries(sender, N1, Term(term), LogIndex(prev[0]), Term(prev[1]), new, LogIndex(commit))


def accepted(term: int, match: int, sender: NodeId = N2) -> AppendEntriesResponse:
    zero = LogIndex(0)
    return AppendEntriesResponse(sender, N1, Term(term), True, LogIndex(match), zero, Term(0), zero)


def rejected(
    term: int, prev: int, conflict: tuple[int, int] = (1, 0), sender: NodeId = N2
) -> AppendEntriesResponse:
    """``conflict``: first index of the conflicting term, and that term."""
    return AppendEntriesResponse(
        sender,
        N1,
        Term(term),
        False,
        LogIndex(0),
        LogIndex(prev),
        Term(conflict[1]),
        LogIndex(conflict[0]),
    )


def heartbeat(term: int, commit: int = 0, read_round: int = 0, sender: NodeId = N2) -> Heartbeat:
    return Heartbeat(sender, N1, Term(term), LogIndex(commit), read_round)


def heard(term: int, read_round: int = 0, sender: NodeId = N2) -> HeartbeatResponse:
    return HeartbeatResponse(sender, N1, Term(term), read_round)
