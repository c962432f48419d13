"""The search: is there an order of one key's operations that explains every result?

After Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's just-in-time rule and
memory ("Testing for linearizability", 2017), and several rules of its own. A **node** of the search is

    (how many returns are passed, which pending operations are in the order already, the state,
     how many unknown operations of each class were used)

and a depth-first walk over nodes starts before everything. The rules, each of which only leaves out nodes
that cannot matter:

1. *Just in time.* A write is put into the order only when the next operation to return is not in it yet;
   then any pending write may be next.
2. *Reads at once.* A pending read that is right in the present state goes into the order at once: it
   changes nothing, so moving it here from any later place harms nobody.
3. *Seen before.* A node is dropped when one with the same first three parts and no more unknown operations
   used was there already: what is unused may stay unused.
4. *Alike.* Of pending writes with one effect only the one that returns first is tried, and an unknown one
   only when no known one has that effect: in any order two of these may swap places.
5. *Unknown for a reason.* An unknown write must at once make a read come true, or be what a cas or an
   append builds on. Otherwise the order is as good without it.
6. *Junk rides along.* When a put or delete goes into the order, pending puts nobody ever observes go right
   before it, where they are overwritten at once. Not while a cas that found another value may still follow:
   it might owe its outcome to one of these.
7. *No way back.* A state must not be left when a later read or a cas still needs it
   and no write that could bring it back is left for it.
8. *No way there* (keys with appends). The next read, by return, must still be reachable: by appends alone,
   or over a write that gives the state a new value from where it is.

The walk ends with success when every return is passed, and with a violation when no node is left. It can
be stopped and resumed at any node, and does the same steps on every machine.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from raftkv.history.model import ABSENT, IMPOSSIBLE, JUNK
from raftkv.history.problem import Kind, Pending, Problem

Node = tuple[int, int, int, int]
"""(returns passed, pending operations in the order, state, packed counts of used unknowns)"""

ALTERNATIVES_MAX = 64
"""Remembered for one place, none better than another: each new node is compared with them all, so more
would cost more than they save. One that is forgotten may be searched again, and no verdict changes."""

EFFORT_MAX = 100_000
"""Successors, and operations asked whether they are one, in one go: about a tenth of a second."""

BITS_A_NODE = 1600
"""Of a node's sets, beyond which it takes more memory than others: some 200 bytes each."""

STATE_BITS = 40
"""More states than memory could hold."""


class Search:
    """One key's search. ``run`` until it is not None."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._stack: list[Node] = [(*self._settle(0, 0, ABSENT), 0)]
        self._seen: dict[int, tuple[int, ...]] = {}
        self._seen_count = 0
        self._weight = 1 + (problem.slots + problem.guards.bit_length()) // BITS_A_NODE
        """Of a node whose sets are wide."""
        self.steps = 0
        self._looked_at = 0
        """Operations, in the present step."""
        self.returns_passed = 0
        """The most that any order explained so far; all that came before these returns is linearizable."""

    @property
    def remembered(self) -> int:
        """Nodes in memory, seen or to be looked at; wide ones count for several. What the caller bounds."""
        return (self._seen_count + len(self._stack)) * self._weight

    def run(self, steps: int) -> bool | None:
        """True: linearizable. False: not. None: not known yet, after so many steps, or fewer where each takes
        long."""
        end = len(self._problem.returning)
        last, effort = self.steps + steps, EFFORT_MAX
        stack, breadth = self._stack, len(self._problem.unknowns)
        if self._problem.impossible:
            return False
        while stack:
            if self.steps >= last or effort <= 0:
                return None
            node = stack.pop()
            if node[0] > self.returns_passed:
                self.returns_passed = node[0]
            if node[0] == end:
                return True
            if self._is_new(node):
                self.steps += 1
                self._looked_at = 0
                following = self._successors(*node)
                effort -= 1 + breadth + len(following) + self._looked_at
                following.reverse()
                stack += following
        return False

    def _is_new(self, node: Node) -> bool:
        """Rule 3."""
        passed, mask, state, used = node
        place = (mask << STATE_BITS | state) << 32 | passed
        seen = self._seen.get(place)
        if seen is None:
            self._seen[place] = (used,)
        else:
            guards = self._problem.guards
            if any(((used | guards) - other) & guards == guards for other in seen):
                return False
            kept = tuple(other for other in seen if ((other | guards) - used) & guards != guards)
            kept = kept[:ALTERNATIVES_MAX]
            self._seen[place] = (*kept, used)
            self._seen_count -= len(seen) - len(kept)
        self._seen_count += 1
        return True

    def _settle(self, passed: int, mask: int, state: int) -> tuple[int, int, int]:
        """Rule 2, and over every return of what is in the order already."""
        problem = self._problem
        returning = problem.returning
        gets, found = problem.gets.get(state), problem.misses_of.get(state)
        misses = problem.misses if problem.misses_of else None
        while passed < len(returning):
            _, bit, _, moment = returning[passed]
            if gets is not None:
                mask |= gets.at(moment)
            if misses is not None:
                mask |= misses.at(moment) & ~(found.at(moment) if found is not None else 0)
            if not mask & bit:
                break
            mask ^= bit
            passed += 1
        return passed, mask, state

    def _successors(self, passed: int, mask: int, state: int, used: int) -> list[Node]:
        """The likeliest first: what returns first was probably first."""
        problem = self._problem
        moment = problem.returning[passed].returned
        found: list[Node] = []
        candidates = self._candidates(mask, moment)
        for operation in sorted(candidates.values(), key=_returned):
            effect = operation.effect
            following = effect.apply(state, problem.states)
            taken = mask | operation.bit
            if following == IMPOSSIBLE or self._is_hopeless(moment, taken, state, following, used):
                continue
            if effect.kind is Kind.PUT:
                taken |= self._junk(moment)
            found.append((*self._settle(passed, taken, following), used))
        for unknowns in problem.unknowns:
            if unknowns.effect in candidates or not unknowns.left(used, moment):
                continue
            following = unknowns.effect.apply(state, problem.states)
            if following in (IMPOSSIBLE, state) or not self._is_useful(moment, mask, following, used):
                continue
            now_used = used + (1 << unknowns.shift)
            if self._is_hopeless(moment, mask, state, following, now_used):
                continue
            taken = mask | self._junk(moment) if unknowns.effect.kind is Kind.PUT else mask
            found.append((*self._settle(passed, taken, following), now_used))
        return found

    def _candidates(self, mask: int, moment: int) -> dict[object, Pending]:
        """The pending writes that are not in the order yet; rule 4."""
        problem = self._problem
        found: dict[object, Pending] = {}
        rest = problem.writes.at(moment) & ~mask
        while rest:
            self._looked_at += 1
            bit = rest & -rest
            rest ^= bit
            operation = problem.operation_at(bit, moment)
            other = found.get(operation.effect)
            if other is None or operation.returned < other.returned:
                found[operation.effect] = operation
        return found

    def _is_useful(self, moment: int, mask: int, following: int, used: int) -> bool:
        """Rule 5, of the state after an unknown write."""
        problem = self._problem
        gets, found = problem.gets.get(following), problem.misses_of.get(following)
        if gets is not None and gets.at(moment) & ~mask:
            return True
        if problem.misses.at(moment) & ~mask & ~(found.at(moment) if found is not None else 0):
            return True
        if problem.loose_appends:
            # An append on junk leaves junk, which matters to a cas that found another value, and is
            # possible where an append on a number is not.
            return following != JUNK or not self._junk_is_invisible(moment)
        known = problem.cas_of.get(following)
        return (known is not None and bool(known.at(moment) & ~mask)) or any(
            other.left(used, moment) for other in problem.unknown_cas_of.get(following, ())
        )

    def _junk(self, moment: int) -> int:
        """Rule 6: what goes into the order along with a put or delete."""
        return self._problem.junk_puts.at(moment) if self._junk_is_invisible(moment) else 0

    def _junk_is_invisible(self, moment: int) -> bool:
        return self._problem.junk_is_harmless and self._problem.last_miss < moment

    def _is_hopeless(self, moment: int, mask: int, state: int, following: int, used: int) -> bool:
        """Rules 7 and 8. The mask has the write already."""
        if following != state and self._is_needed_again(moment, mask, state, used):
            return True
        return self._problem.appends and self._cannot_reach_next_read(moment, mask, following, used)

    def _is_needed_again(self, moment: int, mask: int, state: int, used: int) -> bool:
        """Rule 7. Pending gets of this state are all in the order, by rule 2."""
        problem = self._problem
        observers = problem.observers.get(state)
        if observers is None:
            return False
        before = observers.first_return(moment)
        waiting = problem.cas_of.get(state)
        if waiting is not None and waiting.at(moment) & ~mask:
            before = problem.end
        if before is None or problem.states.ends_with(state, problem.loose_appends):
            return False
        producers = problem.producers.get(state)
        if producers is not None and producers.at(moment) & ~mask:
            return False
        calls = problem.producer_calls.get(state, ())
        at = bisect_right(calls, moment)
        if at < len(calls) and calls[at] < before:
            return False
        return not any(other.left(used, before) for other in problem.unknown_producers.get(state, ()))

    def _cannot_reach_next_read(self, moment: int, mask: int, state: int, used: int) -> bool:
        """Rule 8."""
        problem = self._problem
        at = bisect_left(problem.observer_returns, moment)
        for at in range(at, len(problem.observer_returns)):  # noqa: B020 - on from the one found
            observer = problem.observers_by_return[at]
            if observer.called > moment or not observer.bit & mask:
                break
        else:
            return False
        target = observer.effect.expected
        extends = problem.states.extends
        if extends(state, target):
            return False
        rest = problem.resets.at(moment) & ~mask
        while rest:
            self._looked_at += 1
            bit = rest & -rest
            rest ^= bit
            if extends(problem.operation_at(bit, moment).effect.value, target):
                return False
        first = bisect_right(problem.reset_calls, moment)
        last = bisect_left(problem.reset_calls, observer.returned)
        if any(extends(reset.effect.value, target) for reset in problem.reset_operations[first:last]):
            return False
        return not any(
            other.left(used, observer.returned) and extends(other.effect.value, target)
            for other in problem.unknowns
            if other.effect.is_reset
        )


def _returned(operation: Pending) -> int:
    return operation.returned
