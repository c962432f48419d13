"""The log on disk: ``files`` (what a disk can do), ``records`` (framing), ``segment`` (one file),
``wal`` (the whole log), ``memory`` (a disk that can be made to lose power).

Theory of operation. One record per sync: everything that becomes durable together is written as
ONE record and followed by one fdatasync before the next is written. So at any crash at most the
last record is incomplete, and a damaged record that anything valid follows was once complete:
that is how a torn tail (cut silently, it was never acknowledged) is told from damage (refused).
"""

from raftkv.storage.files import Directory, File, OsDirectory, ReadOnlyDirectory
from raftkv.storage.wal import Identity, Inspection, Recovered, Wal, WalOptions

__all__ = [
    "Directory",
    "File",
    "Identity",
    "Inspection",
    "OsDirectory",
    "ReadOnlyDirectory",
    "Recovered",
    "Wal",
    "WalOptions",
]
