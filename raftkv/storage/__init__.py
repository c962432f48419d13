"""The log and the snapshot on disk: ``files`` (what a disk can do), ``records`` (framing), ``recovery``
(reading a log back), ``wal`` (appending to it), ``snapshots``, ``volume`` (all of a node's folder),
``memory`` (a disk that can be made to lose power).

Theory of operation. One record per sync: everything that becomes durable together is written as
ONE record and followed by one fdatasync before the next is written. So at any crash at most the
last record is incomplete, and the seal of the segment before it; any other damaged record that anything
valid follows was once complete: that is how a torn tail (cut silently, it was never acknowledged) is
told from damage (refused).
"""

from raftkv.storage.files import Directory, File, OsDirectory, ReadOnlyDirectory
from raftkv.storage.recovery import Identity, Inspection, Recovered
from raftkv.storage.volume import Append, DiskJob, ReadChunk, StoreChunk, Volume
from raftkv.storage.wal import Wal, WalOptions

__all__ = [
    "Append",
    "Directory",
    "DiskJob",
    "File",
    "Identity",
    "Inspection",
    "OsDirectory",
    "ReadChunk",
    "ReadOnlyDirectory",
    "Recovered",
    "StoreChunk",
    "Volume",
    "Wal",
    "WalOptions",
]
