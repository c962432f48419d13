"""The log in memory, and how far each stage of the pipeline has come.

Rules; ``invariants.check_basic`` looks at the first three, and ``overwrite`` refuses to break the last:

1. ``entries[i]`` has index ``first_index + i``; terms never decrease.
2. ``persisted_index <= handed_index <= last_index``: handed to storage, then durable.
3. ``last_applied <= delivered_index <= commit_index <= last_index``.
4. Nothing at or below ``commit_index`` is ever truncated.

``commit_index`` may run ahead of ``persisted_index``: a quorum of *others* may hold what this
node's disk has not confirmed yet. Applying such entries is safe because the applied state lives
in memory: after a crash it is rebuilt from what the quorum kept (thesis §10.2.1).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter

from raftkv.raft.configuration import Configuration, Configurations
from raftkv.raft.messages import Entry, EntryKind
from raftkv.types import LogIndex, Term, new

BEFORE_LOG = LogIndex(0)
BEFORE_TERMS = Term(0)
SLICE_ENTRIES_MAX = 8192
ENTRY_OVERHEAD_BYTES = 32
NOBODY = Configuration()
_data = itemgetter(Entry._fields.index("data"))


class RaftLog:
    """Entries after ``offset_index``; the entry at ``offset_index`` itself is only known by its term."""

    __slots__ = (
        "commit_index",
        "configurations",
        "delivered_index",
        "entries",
        "handed_index",
        "last_applied",
        "offset_index",
        "offset_term",
        "persisted_index",
    )

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        commit_index: LogIndex = BEFORE_LOG,
        offset_index: LogIndex = BEFORE_LOG,
        offset_term: Term = BEFORE_TERMS,
        founding: Configuration = NOBODY,
        configuration: Configuration | None = None,
    ) -> None:
        """``entries`` were read back from storage, so they count as durable. ``configuration`` is what was
        in effect at ``offset_index``; None: the founding one."""
        self.entries: list[Entry] = list(entries)
        self.offset_index = offset_index
        self.offset_term = offset_term
        self.handed_index = self.persisted_index = self.last_index
        self.commit_index = commit_index
        self.delivered_index = offset_index
        self.last_applied = offset_index
        self.configurations = Configurations(founding, offset_index, configuration)
        self._note_configurations(self.entries)
        if not offset_index <= commit_index <= self.last_index:
            raise ValueError(f"commit_index {commit_index} outside {offset_index}..{self.last_index}")

    @property
    def first_index(self) -> LogIndex:
        return LogIndex(self.offset_index + 1)

    @property
    def last_index(self) -> LogIndex:
        return LogIndex(self.offset_index + len(self.entries))

    @property
    def last_term(self) -> Term:
        return self.entries[-1].term if self.entries else self.offset_term

    @property
    def unapplied(self) -> int:
        """How many committed entries were not handed to the state machine yet."""
        return self.commit_index - self.last_applied

    def compact(self, index: LogIndex) -> None:
        """Forget the entries up to ``index``, which are applied."""
        assert self.offset_index <= index <= self.last_applied
        term = self.term_at(index)
        assert term is not None
        del self.entries[: index - self.offset_index]
        self.offset_index, self.offset_term = index, term
        self.configurations.compact(index)

    def restore(self, index: LogIndex, term: Term, configuration: Configuration | None = None) -> bool:
        """Everything up to ``index`` is committed, durable and applied, by a snapshot of the leader's.

        What follows stays if it follows *that* entry (§7, receiver rule 6); otherwise the log begins anew
        (PITFALLS 28). True when it stays."""
        kept = self.matches(index, term)
        if not kept:
            self.entries.clear()
            self.configurations.restart(index, configuration)
            self.offset_index, self.offset_term = index, term
            self.handed_index = self.persisted_index = index
        self.persisted_index = max(self.persisted_index, min(index, self.handed_index))
        self.commit_index = max(self.commit_index, index)
        self.delivered_index = self.last_applied = index
        return kept

    def term_at(self, index: LogIndex) -> Term | None:
        """None where the log does not reach: compacted away or beyond the end."""
        position = index - self.offset_index - 1
        if position == -1:
            return self.offset_term
        if 0 <= position < len(self.entries):
            return self.entries[position].term
        return None

    def matches(self, index: LogIndex, term: Term) -> bool:
        return self.term_at(index) == term

    def up_to_date(self, last_log_index: LogIndex, last_log_term: Term) -> bool:
        """Whether a candidate's log is at least as up to date as this one (§5.4.1)."""
        return (last_log_term, last_log_index) >= (self.last_term, self.last_index)

    def slice(self, first: LogIndex, last: LogIndex) -> list[Entry]:
        """Entries ``first..last``, both included."""
        start = first - self.offset_index - 1
        assert start >= 0, f"entry {first} was compacted"
        return self.entries[start : last - self.offset_index]

    def slice_bytes(self, first: LogIndex, last: LogIndex, bytes_max: int) -> list[Entry]:
        """As many of ``first..last`` as fit into ``bytes_max`` of data, but always at least one."""
        # A follower may be a million entries behind: never look at more than one message holds.
        found = self.slice(first, LogIndex(min(last, first + SLICE_ENTRIES_MAX - 1)))
        if size_of(found) <= bytes_max:
            return found
        total = 0
        for count, entry in enumerate(found):
            total += len(entry.data) + ENTRY_OVERHEAD_BYTES
            if total > bytes_max and count:
                return found[:count]
        return found

    def append_commands(self, term: Term, commands: Sequence[bytes]) -> None:
        """A leader appends what its clients proposed."""
        index = self.last_index + 1
        kind = EntryKind.COMMAND
        self.entries += [new(Entry, (i, term, kind, data)) for i, data in enumerate(commands, start=index)]

    def append_clock(self, term: Term, data: bytes) -> None:
        self.entries.append(Entry(LogIndex(self.last_index + 1), term, EntryKind.CLOCK, data))

    def append_configuration(self, term: Term, configuration: Configuration) -> None:
        index = LogIndex(self.last_index + 1)
        self.entries.append(Entry(index, term, EntryKind.CONFIGURATION, configuration.encode()))
        self.configurations.append(index, configuration)

    def append_no_op(self, term: Term) -> None:
        self.entries.append(Entry(LogIndex(self.last_index + 1), term, EntryKind.NO_OP, b""))

    def first_conflict(self, entries: Sequence[Entry]) -> int | None:
        """The position in ``entries`` of the first one this log lacks or holds with another term.

        None when it holds all of them: a retransmission, which must not truncate what follows
        (PITFALLS 11).
        """
        if entries and entries[0].index > self.last_index:
            return 0
        for position, entry in enumerate(entries):
            if self.term_at(entry.index) != entry.term:
                return position
        return None

    def overwrite(self, entries: Sequence[Entry]) -> int:
        """Append ``entries``, dropping whatever stood from their first index on.

        Returns how many entries were dropped. ``handed_index`` falls back with the log, so that
        the new ones are handed to storage again, and so does ``persisted_index`` (PITFALLS 13).
        """
        keep = LogIndex(entries[0].index - 1)
        if keep < self.commit_index:
            raise AssertionError(f"would truncate committed entry {self.commit_index} at {keep + 1}")
        dropped = self.last_index - keep
        if dropped > 0:
            del self.entries[keep - self.offset_index :]
            self.handed_index = min(self.handed_index, keep)
            self.persisted_index = min(self.persisted_index, keep)
            self.configurations.truncate(keep)
        self.entries += entries
        self._note_configurations(entries)
        return max(dropped, 0)

    def _note_configurations(self, entries: Sequence[Entry]) -> None:
        configuration = EntryKind.CONFIGURATION
        for entry in [entry for entry in entries if entry.kind == configuration]:
            self.configurations.append(entry.index, Configuration.decode(entry.data))

    def take_unhanded(self) -> list[Entry]:
        """What storage has not been given yet; given from now on."""
        last = self.last_index
        if self.handed_index == last:
            return []
        first = LogIndex(self.handed_index + 1)
        self.handed_index = last
        return self.slice(first, last)

    def persisted_to(self, index: LogIndex, term: Term) -> None:
        """Storage confirmed everything up to ``index``, whose entry had ``term`` when written."""
        if self.persisted_index < index <= self.handed_index and self.matches(index, term):
            self.persisted_index = index

    def commit_to(self, index: LogIndex) -> None:
        assert self.commit_index <= index <= self.last_index, (self.commit_index, index, self.last_index)
        self.commit_index = index

    def take_committed(self, count_max: int, bytes_max: int) -> list[Entry]:
        """The next committed entries for the state machine, at most ``count_max`` at a time, and no more than
        fit into ``bytes_max``, but for a single one."""
        if self.delivered_index == self.commit_index or not count_max:
            return []
        first = LogIndex(self.delivered_index + 1)
        last = LogIndex(min(self.commit_index, self.delivered_index + count_max))
        taken = self.slice_bytes(first, last, bytes_max)
        self.delivered_index = taken[-1].index
        return taken

    def first_index_of_term_at(self, index: LogIndex) -> LogIndex:
        """The first index that shares the term of the entry at ``index``: the conflict hint."""
        term = self.entries[index - self.first_index].term
        return LogIndex(self.first_index + bisect_left(self.entries, term, key=_term))

    def last_index_with_term_at_most(self, index: LogIndex, term: Term) -> LogIndex:
        """The last index at or below ``index`` whose term does not exceed ``term``.

        Where a leader looks next after a rejection: everything between holds later terms than
        the follower has there, so none of it can match.
        """
        return min(index, LogIndex(self.offset_index + bisect_right(self.entries, term, key=_term)))


def size_of(entries: Sequence[Entry]) -> int:
    """Bytes on the wire and on disk, about. Empty commands count too."""
    return sum(map(len, map(_data, entries))) + ENTRY_OVERHEAD_BYTES * len(entries)


def _term(entry: Entry) -> Term:
    return entry.term
