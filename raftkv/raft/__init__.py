"""The pure consensus core: no I/O, no clock, no serialiser; randomness is injected.

Theory of operation. A shell drives one ``Raft``: it feeds in ``tick()``, ``step(message)``,
``propose(commands)``, ``read_index(context)``, ``persisted(...)`` and ``applied(...)``; whenever
it has nothing more to feed it takes ONE ``ready()`` and does what stands there: writes
``hard_state`` and ``entries``, sends ``messages`` at once and ``messages_after_append`` once that
write is durable, applies ``committed``, serves ``read_states``. Nothing in here waits. Snapshots are the
shell's: it takes them (``snapshot_taken``), reads the chunks that are to be sent, stores those that
arrive (``chunk_stored``); the core decides who needs one, what the log may forget, and what is void.

Modules, leaves first: ``options``, ``messages``, ``configuration``, ``trace`` and ``state`` (data),
``quorum`` and ``log`` (no knowledge of roles), ``progress``, ``read_index`` and ``thrift`` (a leader's
books), ``durability`` (what storage has confirmed), ``doubt`` (whether a leader can be what it was),
``snapshot``, ``election``, ``leader``, ``succession``, ``membership``, ``follower`` (what each role does),
``founding`` (before there is a cluster), ``status`` (how a core stands), ``dispatch`` (a message to its
handler), ``core`` (the one owner of term, vote, role and log), ``invariants`` and ``describe`` (for whoever
watches).
"""

from raftkv.raft.configuration import Configuration, Member, Part
from raftkv.raft.core import Raft
from raftkv.raft.log import RaftLog
from raftkv.raft.membership import AddLearner, Change, Promote, Refusal, Remove, Replace
from raftkv.raft.messages import (
    Entry,
    EntryKind,
    HardState,
    Message,
    PersistMark,
    ReadState,
    SnapshotChunk,
    SnapshotMark,
)
from raftkv.raft.options import RaftOptions
from raftkv.raft.state import Membership, Proposal, Ready, Role, SoftState
from raftkv.raft.status import RaftStatus

__all__ = [
    "AddLearner",
    "Change",
    "Configuration",
    "Entry",
    "EntryKind",
    "HardState",
    "Member",
    "Membership",
    "Message",
    "Part",
    "PersistMark",
    "Promote",
    "Proposal",
    "Raft",
    "RaftLog",
    "RaftOptions",
    "RaftStatus",
    "ReadState",
    "Ready",
    "Refusal",
    "Remove",
    "Replace",
    "Role",
    "SnapshotChunk",
    "SnapshotMark",
    "SoftState",
]
