"""Every error raftkv raises on purpose, in one tree.

::

    RaftkvError
    ├── ConfigError            cluster.toml or a flag is wrong; names file, field and cause
    ├── NotAMember             this node's data folder is not the one that the cluster knows
    │   └── RemovedNode        it was removed
    ├── LaunchError            a local cluster cannot be started or found
    ├── StorageError
    │   ├── CorruptLog         damage that is provably no torn tail; names file and offset
    │   ├── DataFolderLocked   another process runs on this folder
    │   ├── ForeignData        the folder belongs to another node or cluster
    │   ├── DiskFull           nothing was written; may be tried again
    │   ├── EntriesLost        the folder holds less than this node has acknowledged
    │   └── StorageFailed      a write or sync failed; latched, the node must stop
    ├── WireError              a frame that cannot be decoded; counted and dropped
    │   └── VersionMismatch    it speaks another version of the protocol
    ├── HistoryError           a recorded history that cannot be read; names file and line
    ├── RecordingError         a recording of the dashboard that cannot be read or written
    ├── ScenarioFailed         a guided scenario found something else than it must
    ├── Left                   a guided scenario was left before its end
    └── ClientError
        ├── InvalidRequest     did not happen, and never will as it stands
        ├── Compacted          did not happen: what was asked of the past is forgotten
        ├── LeaseNotFound      did not happen: the lease has ended, or never was
        ├── LockLost           a lock or an office is held no longer: its lease has ended
        ├── Unavailable        did not happen: no leader, no answer to a read, or refused to the end
        │   └── Unreachable    no node has said anything at all: none runs, or none where it was looked for
        ├── AccessRefused      did not happen: the nodes take no connection of whoever shows this key, or none
        ├── SessionExpired     did not happen: the session was forgotten for want of use
        └── OutcomeUnknown     may or may not have happened

The three outcomes of a client's request are kept apart: a normal return *happened*;
``OutcomeUnknown`` is *unknown*; every other ``ClientError`` *did not happen*.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any


class RaftkvError(Exception):
    """The root; its text is one line fit to be shown to a user. Each can be copied, and sent to another
    process, with what it holds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[RaftkvError], texts: tuple[Any, ...], held: dict[str, Any]) -> RaftkvError:
    """Past ``__init__``, which for some takes other things than a text."""
    error = kind.__new__(kind, *texts)
    error.__dict__.update(held)
    return error


class ConfigError(RaftkvError):
    """``cluster.toml`` or a flag is wrong."""


class LaunchError(RaftkvError):
    """A local cluster cannot be started, stopped or found."""


class NotAMember(RaftkvError):
    """The cluster does not count this node, or not this data folder, among its members."""


class RemovedNode(NotAMember):
    """It was a member, and is none any more."""


class StorageError(RaftkvError):
    """The root of everything the log on disk can report."""


class CorruptLog(StorageError):
    """Damage that a crash cannot explain. Nothing was changed on disk."""

    def __init__(self, file: str, offset: int, cause: str) -> None:
        super().__init__(
            f"damaged log: {file} at byte {offset}: {cause}; "
            "nothing was changed. Let another node take this one's place (members replace), or begin anew "
            "from a backup: an older copy of the file, or an empty folder, has forgotten votes and writes"
        )
        self.file = file
        self.offset = offset
        self.cause = cause


class EntriesLost(StorageError):
    """The log on disk ends before what this node has acknowledged."""


class DataFolderLocked(StorageError):
    """Another process holds the folder's lock."""


class ForeignData(StorageError):
    """The folder was written by another node, cluster or format version."""


def other_format(found: int, known: int) -> str:
    """What stands behind the name of a file of a format version that is not ours."""
    advice = "upgrade raftkv" if found > known else "an earlier raftkv wrote it, which can read it"
    return f"has format version {found}, but this raftkv reads version {known}: {advice}; nothing was changed"


class DiskFull(StorageError):
    """No space; nothing of the batch was made durable and it may be tried again."""


class StorageFailed(StorageError):
    """A write or sync failed. Latched: what the disk holds is no longer known (PITFALLS 6)."""


class WireError(RaftkvError):
    """A frame that cannot be decoded: wrong shape, version, size or cluster."""


class VersionMismatch(WireError):
    """A frame of another version of the protocol."""


class HistoryError(RaftkvError):
    """A recorded history that cannot be read, or grew past its bound."""


class RecordingError(RaftkvError):
    """A recording of the dashboard that cannot be read, or cannot be written any more."""


class ScenarioFailed(RaftkvError):
    """An assertion of a guided scenario did not hold: ``what`` should have been, and what was ``found``."""

    def __init__(self, what: str, found: str) -> None:
        super().__init__(f"{what}: not so; found {found}")
        self.what = what
        self.found = found


class Left(RaftkvError):
    """A guided scenario was left before its end; the cluster has been mended."""


class ClientError(RaftkvError):
    """The root of every answer to a client that is not success."""


class InvalidRequest(ClientError):
    """The request can never succeed: empty key, key or value over the limit, unknown operation."""


class Compacted(ClientError):
    """The revision asked for is forgotten. ``revision`` is the earliest that can be read; what can be watched
    begins after it."""

    def __init__(self, revision: int) -> None:
        super().__init__(
            f"that revision was compacted; the earliest that can be read is {revision}, "
            f"and watched {revision + 1}"
        )
        self.revision = revision


class LeaseNotFound(ClientError):
    """The lease has ended, or there never was one of that id. Nothing was changed."""

    def __init__(self, lease_id: object) -> None:
        super().__init__(f"there is no lease {shown(lease_id)}: it has expired, was revoked, or never was")


class LockLost(ClientError):
    """Whoever raises this held a lock, a place in a queue or an office, and its lease has ended."""


class Unavailable(ClientError):
    """No leader or no node answered in time. The request did not happen."""


class Unreachable(Unavailable):
    """No node has said anything at all: none runs, or none where it was looked for."""


class AccessRefused(ClientError):
    """The nodes take no connection of whoever shows this key, or none, or do not allow what was asked. It did
    not happen."""


class SessionExpired(ClientError):
    """The cluster no longer remembers this client; the request was not applied."""


class OutcomeUnknown(ClientError):
    """The request was sent and no answer came in time: it may have happened, or may yet."""


SHOWN_CHARACTERS = 60
SHOWN_BITS = 128


def no_node(name: object, names: Iterable[str]) -> str:
    """What is said of a node that there is not."""
    return f"no node named {shown(name)}; the nodes are {', '.join(names)}"


def shown(value: object) -> str:
    """A value of foreign origin for a message: one line of bounded length, whatever it holds. Neither
    nesting nor a number's length can make this fail, as ``repr`` would."""
    if isinstance(value, bytes) and len(value) <= SHOWN_CHARACTERS:
        with suppress(UnicodeDecodeError):
            return repr(value.decode("utf-8"))
    if isinstance(value, str | bytes):
        text = repr(value[:SHOWN_CHARACTERS])
        return text + ("…" if len(value) > SHOWN_CHARACTERS else "")
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= SHOWN_BITS else f"a number of {value.bit_length()} bits"
    if isinstance(value, list | tuple):
        return "a list"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"


def counted(count: int, what: str) -> str:
    """As in '1 node' and '1,000 nodes'."""
    return f"{count:,} {what}{'s'[: count != 1]}"
