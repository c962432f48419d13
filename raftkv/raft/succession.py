"""Who leads next: leadership is handed over when somebody asks for it, to a voter that ranks higher, and
where this node was removed (thesis §3.10).

The object lives exactly as long as the leadership that it ends (PITFALLS 22).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from raftkv.raft import trace
from raftkv.raft.messages import TimeoutNow
from raftkv.types import LogIndex, NodeId

if TYPE_CHECKING:
    from raftkv.raft.core import Raft
    from raftkv.raft.leader import Leadership

CHECKS_BEFORE_GIVING_WAY = 3
CHECKS_BETWEEN_GIVING_WAY = 30
"""Of the quorum, each an election timeout after the other."""


class Succession:
    __slots__ = (
        "_checks_until_giving_way",
        "_elapsed",
        "_raft",
        "_told_lately",
        "somebody_was_told",
        "transferee",
    )

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        self.transferee: NodeId | None = None
        """Who is to take over."""
        self._elapsed = 0
        """Ticks since that was begun."""
        self._told_lately = False
        """To campaign, since the last heartbeat."""
        self.somebody_was_told = False
        """To campaign, at any time of this leadership: such an election asks nobody to wait."""
        self._checks_until_giving_way = CHECKS_BEFORE_GIVING_WAY

    @property
    def _leadership(self) -> Leadership:
        """By way of the core: nodes have no collector, and two that know each other would stay for ever."""
        assert self._raft.leadership
        return self._raft.leadership

    def begin(self, to: NodeId | None) -> bool:
        """Hand over to ``to``, or to whoever is most likely to win; False where that cannot be."""
        if self.transferee is not None:
            return False
        able = self._able()
        to = to or self._readiest(able)
        if to not in able:
            return False
        self.transferee, self._elapsed, self._told_lately = to, 0, False
        self._raft.trace(trace.TransferStarted(self._raft.current_term, to))
        return True

    def give_way(self) -> None:
        """At each check of the quorum: let a voter lead that ranks higher and could. Not at once, and seldom:
        one that comes and goes must not take the cluster's leadership with it each time."""
        raft = self._raft
        self._checks_until_giving_way -= 1
        # Whoever ranked high and has lost its leadership lately may do so again.
        lately = raft.ticks_since_ranked_led < CHECKS_BETWEEN_GIVING_WAY * raft.options.election_ticks_min
        if self._checks_until_giving_way > 0 or self.transferee is not None or lately:
            return
        ranks, mine, caught_up = raft.priorities, raft.options.priority, self._leadership.caught_up
        ready = [peer for peer in self._able() if ranks.get(peer, 0) > mine and caught_up(peer)]
        if ready and not raft.configuration.joint:
            self._checks_until_giving_way = CHECKS_BETWEEN_GIVING_WAY
            self.begin(max(ready, key=lambda peer: ranks[peer]))

    def hand_over(self) -> None:
        """Once the transferee holds the whole log it wins any election that it starts."""
        to = self.transferee
        if to and not self._told_lately and self._holds_all(to):
            self._told_lately = True
            self._tell(to)

    def retire(self) -> None:
        """This node was removed, and that is committed: nobody hears of it again (PITFALLS 18). Whoever holds
        the whole log need not wait for an election timeout."""
        to = self._readiest(peer for peer in self._able() if self._holds_all(peer))
        if to:
            self._tell(to)

    def tick(self) -> None:
        """Clients wait meanwhile: a transferee that is not there in time is given up."""
        raft, to = self._raft, self.transferee
        if to is None:
            return
        self._elapsed += 1
        if self._elapsed >= raft.options.election_ticks_min:
            self.transferee = None
            raft.trace(trace.TransferAbandoned(raft.current_term, to))
        elif self._elapsed % raft.options.heartbeat_ticks == 0:
            self._told_lately = False  # the word may have been lost: say it again

    def _tell(self, to: NodeId) -> None:
        self.somebody_was_told = True
        self._raft.send(TimeoutNow(self._raft.node_id, to, self._raft.current_term))

    def _holds_all(self, peer: NodeId) -> bool:
        return self._leadership.progress[peer].match_index == self._raft.log.last_index

    def _able(self) -> list[NodeId]:
        """Voters, but for those that would ignore ``TimeoutNow`` while clients wait, or could not write that
        they campaign."""
        voters, books = self._raft.configuration.voters, self._leadership.progress
        return [peer for peer in books if peer in voters and not (books[peer].behind or books[peer].full)]

    def _readiest(self, peers: Iterable[NodeId]) -> NodeId | None:
        return max(peers, key=self._readiness, default=None)

    def _readiness(self, peer: NodeId) -> tuple[bool, LogIndex, bool]:
        """Of those that are alive whoever lacks least, and of those one that was heard since the quorum was
        last checked. One that is dead may well hold everything."""
        progress = self._leadership.progress[peer]
        return (progress.alive, progress.match_index, progress.recent_active)
