"""How a cluster begins: with an entry that says which data folder each of its founders is.

A node that lost its folder knows as little as one that is new, and two such could found a cluster over the
head of one that exists (PITFALLS 27). So nobody campaigns before the log says who the founders are, folder by
folder, and only one node writes that entry: the first of the founders, once every other one has told it, in
answer to its own question, that it is new as well. From then on a vote counts only from the folder that the
configuration names, and an election needs no more than a majority.

The entry is the first of the log, in term 1, which nobody ever leads; elections begin in term 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from raftkv.raft import trace
from raftkv.raft.configuration import Configuration
from raftkv.raft.messages import FoundingAnswer, FoundingCall, FoundingEntry, Message
from raftkv.types import NodeId, Term

if TYPE_CHECKING:
    from raftkv.raft.core import Raft

FOUNDING_MESSAGES = (FoundingCall, FoundingAnswer, FoundingEntry)
TERM = Term(1)
NO_TERM = Term(0)


class Founding:
    """What the first founder has heard; and, on any other node, that it has to wait."""

    __slots__ = ("_answered", "_elapsed", "_missing", "_others", "_raft", "_told")

    def __init__(self, raft: Raft, listed: Sequence[NodeId]) -> None:
        self._raft = raft
        names = dict.fromkeys((*raft.log.configurations.founding.names, *listed))
        self._others = [name for name in names if name != raft.node_id]
        """All that have to be new: of what others hold nothing may be forgotten, founders or not."""
        self._answered = ""
        """The incarnation of whoever called last: only an entry of that one is for this node."""
        self._elapsed = raft.options.heartbeat_ticks
        self._told: dict[NodeId, str] = {raft.node_id: raft.incarnation}
        self._missing = ""

    @property
    def pending(self) -> bool:
        """Nobody has said yet who the founders are. Such a node may vote, for one that knows; but whom it
        could count itself, it cannot tell."""
        return bool(self._raft.incarnation) and not self._raft.log.last_index

    @property
    def newborn(self) -> bool:
        """Nor was anything ever promised from this folder."""
        return self.pending and not self._raft.current_term

    @property
    def _first(self) -> bool:
        return self._raft.log.configurations.founding.names[:1] == (self._raft.node_id,)

    def tick(self) -> None:
        raft = self._raft
        if not self._first or raft.current_term > TERM or raft.log.last_index > 1:
            return
        self._elapsed += 1
        if self._elapsed < raft.options.heartbeat_ticks:
            return
        self._elapsed = 0
        if self.newborn:
            self._call()
        elif raft.current_term == TERM and raft.log.last_index == 1:
            self._spread()

    def _call(self) -> None:
        raft = self._raft
        missing = [name for name in self._others if name not in self._told]
        if not missing:
            self._found()
            return
        for name in missing:
            raft.send(FoundingCall(raft.node_id, name, NO_TERM, self._raft.incarnation))
        if self._missing != " ".join(missing):
            self._missing = " ".join(missing)
            raft.trace(trace.FoundingAwaits(NO_TERM, self._missing))

    def _found(self) -> None:
        founding = self._raft.log.configurations.founding
        members = tuple(replace(each, incarnation=self._told[each.name]) for each in founding.members)
        self._begin(Configuration(members))
        self._spread()
        self._raft.campaign()

    def _begin(self, configuration: Configuration) -> None:
        self._raft.become_follower(TERM, None, trace.REASON_HIGHER_TERM)
        self._raft.log.append_configuration(TERM, configuration)

    def _spread(self) -> None:
        """After append: nobody may have it before this node is sure to keep it."""
        raft = self._raft
        configuration = raft.configuration.encode()
        for name in raft.peers:
            raft.send_after_append(FoundingEntry(raft.node_id, name, TERM, configuration))

    def handle(self, message: Message) -> None:
        if not self.newborn:
            return
        raft = self._raft
        match message:
            case FoundingCall():
                self._answered = message.incarnation
                answer = FoundingAnswer(
                    raft.node_id, message.sender, NO_TERM, message.incarnation, self._raft.incarnation
                )
                raft.send(answer)
            case FoundingAnswer():
                if message.called == self._raft.incarnation and message.sender in self._others:
                    self._told[message.sender] = message.incarnation
                    if self._first and len(self._told) == 1 + len(self._others):
                        self._found()
            case FoundingEntry():
                configuration = Configuration.decode(message.configuration)
                mine, theirs = (configuration.member(name) for name in (raft.node_id, message.sender))
                called = theirs is not None and theirs.incarnation == self._answered
                if called and mine and mine.incarnation == self._raft.incarnation:
                    self._begin(configuration)
