"""Bugs in the history, in transactions, watches and leases."""

from __future__ import annotations

from raftkv.actors.leases import LeaseActor
from raftkv.actors.raft import RaftActor
from raftkv.actors.watches import WatchActor
from raftkv.client.keeping import Keeper
from raftkv.client.watching import Watch, Watches
from raftkv.kv.history import History
from raftkv.kv.leases import Leases
from raftkv.kv.machine import StateMachine
from raftkv.kv.transactions import Draft
from tests.mutants.planting import Edit, Mutant, Part


def _mutant(part: Part, name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, part, edits)


MUTANTS = (
    _mutant(
        Part.KV,
        "past-one-revision-late",
        "a read of the past misses what was written at that very revision",
        "37",
        Edit(
            History._first_after,
            "bisect_right(self.events, revision",
            "bisect_right(self.events, revision - 1",
        ),
    ),
    _mutant(
        Part.KV,
        "past-without-what-is-gone",
        "a range of the past leaves out keys that were deleted since",
        "37",
        Edit(History.range_at, "heapq.merge(present, gone, reverse=reverse)", "present"),
    ),
    _mutant(
        Part.KV,
        "compaction-by-what-is-in-memory",
        "what may be read of the past depends on how far this node has tidied up",
        "38",
        Edit(
            StateMachine._check_revision,
            "revision < self.history.compacted",
            "revision < self.history.first_number",
        ),
    ),
    _mutant(
        Part.KV,
        "compaction-forgets-a-live-version",
        "compaction drops the version that is still to be read at its revision",
        "37",
        Edit(
            History.compact,
            "self._kept = self._first_after(revision)",
            "self._kept = self._first_after(revision) + 1",
        ),
    ),
    _mutant(
        Part.KV,
        "transaction-reads-past-itself",
        "a transaction does not see what it has written itself",
        "38",
        Edit(
            Draft._get,
            "self.changes[key] if key in self.changes else self._machine.items.get(key)",
            "self._machine.items.get(key)",
        ),
    ),
    _mutant(
        Part.KV,
        "transaction-writes-at-once",
        "a transaction that fails half-way has written the first half",
        "38",
        Edit(
            Draft._put,
            "    revision = self._revision\n",
            "    self._machine.revision += 1\n"
            "    self._machine._set(key, value, 0)\n"
            "    revision = self._revision\n",
        ),
    ),
    _mutant(
        Part.KV,
        "put-leaves-its-key-on-the-lease",
        "a key that was written anew without its lease goes when the lease ends",
        "34",
        Edit(StateMachine.apply, "self.leases.move(key, before[4], 0)", "pass"),
    ),
    _mutant(
        Part.KV,
        "maps-of-any-keys",
        "a command may hold a map of tuples, whose hashes may all collide",
        "32",
        Edit(
            StateMachine.apply,
            "_unpack(data, use_list=False)",
            "_unpack(data, use_list=False, strict_map_key=False)",
        ),
    ),
    _mutant(
        Part.KV,
        "lease-renewed-too-late",
        "a renewal that came first in the log does not save a lease whose end was agreed on",
        "34",
        Edit(
            Leases.is_last,
            "lease is not None and lease.renewed_index == renewed_index",
            "lease is not None",
        ),
    ),
    _mutant(
        Part.ACTORS,
        "lease-ended-by-one-clock",
        "the leader's own clock is enough to end a lease",
        "34",
        Edit(
            LeaseActor._agree, "if is_quorum(self._agreed.get(lapse, ()), configuration)", "if configuration"
        ),
    ),
    _mutant(
        Part.ACTORS,
        "lease-without-a-margin",
        "nodes wait for the time to live and no longer, on clocks that run apart",
        "34",
        Edit(LeaseActor._count, "ttl_ms / 1000 * self._margin", "ttl_ms / 1000 * 0.5"),
    ),
    _mutant(
        Part.ACTORS,
        "lease-not-extended",
        "a change of leader gives leases no time in which they could not be renewed",
        "34",
        Edit(LeaseActor._until, "max(count.until, self._anew_since + count.seconds)", "count.until"),
    ),
    _mutant(
        Part.ACTORS,
        "lapses-always-the-first",
        "only the first of the leases that have lapsed are ever reported",
        "34",
        Edit(LeaseActor._report, "self._reported % len(lapses)", "0"),
    ),
    _mutant(
        Part.ACTORS,
        "watch-skips-after-stalling",
        "a watch that ran out of credit goes on with what comes next",
        "37",
        Edit(
            WatchActor._tell_synced,
            "        if not watch.credit:\n            self._fall_behind(watch, self._seen)\n",
            "",
        ),
    ),
    _mutant(
        Part.ACTORS,
        "watch-progress-ahead",
        "an answer without events claims more than was looked at",
        "37",
        Edit(
            WatchActor._on_tick,
            "self._tell(watch, [], 0, self._seen_done, 0)",
            "self._tell(watch, [], 0, self._machine().revision + 1, 0)",
        ),
    ),
    _mutant(
        Part.ACTORS,
        "watch-splits-transactions",
        "a part of a transaction passes for all of it",
        "37",
        Edit(WatchActor._read_on, "cut = self._cut(watch.number)", "cut = False"),
    ),
    _mutant(
        Part.ACTORS,
        "watch-lost-in-a-snapshot",
        "a watch goes on in the new state from where it was in the old one",
        "37",
        Edit(
            WatchActor._on_swapped,
            "self._place(watch, covered)",
            "self._place(watch, machine.revision)",
        ),
    ),
    _mutant(
        Part.CLIENT,
        "watch-trusts-every-answer",
        "a client does not notice that an answer to its watch was lost",
        "37",
        Edit(
            Watch.take,
            "(after, offset) != (self.revision, self._offset) or response.revision < after",
            "False",
        ),
    ),
    _mutant(
        Part.CLIENT,
        "watch-stays-where-it-is",
        "a watch is not taken elsewhere when its node falls silent",
        "37",
        Edit(
            Watches._look,
            "best is None or watch.endpoint != best or watch.boot != boots[best]",
            "False",
        ),
    ),
    _mutant(
        Part.CLIENT,
        "holder-counts-from-the-answer",
        "a holder takes its lease to live from when it was answered, not from when it asked",
        "36",
        Edit(Keeper._on_done, "asked_at + ttl", "asked_at + 2 * ttl"),
    ),
    _mutant(
        Part.CLIENT,
        "watch-never-renewed",
        "a watch of which nothing is heard for a minute is told nothing any more",
        "37",
        Edit(Watches._look, "now - watch.renewed_at >= RENEW_SECONDS", "False"),
    ),
    _mutant(
        Part.CLIENT,
        "watch-moves-with-half-a-revision",
        "what a watch had of a revision is told again when it moves",
        "37",
        Edit(Watch.restart, "self._held, self._offset = [], 0", "self._offset = 0"),
    ),
    _mutant(
        Part.ACTORS,
        "lapses-agreed-in-another-term",
        "what nodes said of lapsed leases counts under the next leader, too",
        "34",
        Edit(LeaseActor._on_soft_state, "self._agreed.clear()", "pass"),
    ),
    _mutant(
        Part.ACTORS,
        "log-time-runs-ahead",
        "with every leader the time since the one before it is added to the log's",
        "38",
        Edit(
            RaftActor._stamp,
            "self._stamped_term, self._stamped_at = term, now",
            "self._stamped_term = term",
        ),
    ),
)
