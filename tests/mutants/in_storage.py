"""Bugs on the way to the disk and back: syncs, checksums, recovery, errors."""

from __future__ import annotations

from raftkv.storage import Volume, Wal, files, records
from raftkv.storage.recovery import Reader
from tests.mutants.planting import Edit, Mutant, Part


def _mutant(name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, Part.STORAGE, edits)


MUTANTS = (
    _mutant(
        "no-record-fsync",
        "a batch is reported durable without a sync",
        "7",
        Edit(Wal._write, "sync(self._file)", "pass"),
    ),
    _mutant(
        "no-directory-fsync",
        "the name of a new segment is never synced",
        "8",
        Edit(Wal._start_segment, "sync(self._directory)", "pass"),
    ),
    _mutant(
        "no-segment-header-fsync",
        "a new segment gets its name before its header is durable",
        "7",
        Edit(Wal._start_segment, "sync(file)", "pass"),
    ),
    _mutant(
        "recovered-not-synced",
        "a start vouches for a record that only the page cache holds",
        "7",
        Edit(Wal._continue, "    sync(file)\n", "    pass\n"),
    ),
    _mutant(
        "recovered-not-written-anew",
        "a start vouches for a record whose sync has failed",
        "6",
        Edit(Wal._continue, "file.write(reader.last_record, [file.read(", "len([file.read("),
    ),
    _mutant(
        "recovered-name-not-synced",
        "a start appends to a segment whose name only the page cache holds",
        "8",
        Edit(Wal._continue, "sync(self._directory)", "pass"),
    ),
    _mutant(
        "zeros-over-the-log",
        "the zeros that go ahead of the records begin too early",
        "9",
        Edit(Wal._write, "zero_ahead(end, ", "zero_ahead(self._offset - 16, "),
    ),
    _mutant(
        "zeros-beyond-the-segment",
        "the zeros that go ahead of the records lengthen the file",
        "9",
        Edit(Wal._write, "min(end + ZERO_AHEAD_BYTES, self._capacity)", "end + ZERO_AHEAD_BYTES"),
    ),
    _mutant(
        "segment-without-room-stays",
        "a segment for which there is no room keeps what there was",
        "39",
        Edit(Wal._start_segment, "self._directory.remove(_TEMPORARY)\n        raise", "pass\n        raise"),
    ),
    _mutant(
        "snapshot-makes-way-at-once",
        "each write that finds no room gives up the snapshot that would make some",
        "39",
        Edit(Volume.do, "if self._refusals >= STALLED_REFUSALS:", "if True:"),
    ),
    _mutant(
        "room-for-what-it-was-before",
        "whether a record fits is asked of its payload before it is deflated, which can make it larger",
        "9",
        Edit(
            Wal.append,
            "size = records.size_of(body)",
            "size = records.size_of(records.Body(0, msgpack.packb((hard_state, entries))))",
        ),
    ),
    _mutant(
        "checksum-skips-the-length",
        "a record's length is not covered by any checksum",
        "9",
        Edit(records.encode, "zlib.crc32(prefix, ", "zlib.crc32(prefix[:4], "),
        Edit(records._header_length, "zlib.crc32(prefix, ", "zlib.crc32(prefix[:4], "),
    ),
    _mutant(
        "checksum-ignores-the-place",
        "a record is valid wherever it stands, also within a value",
        "9",
        Edit(records.encode, "_SEED.pack(segment, offset)", 'b""'),
        Edit(records._header_length, "_SEED.pack(segment, offset)", 'b""'),
    ),
    _mutant(
        "payload-checksum-not-checked",
        "a record with a sector missing in the middle is taken for whole",
        "9",
        Edit(records.decode, " or zlib.crc32(body, header_crc) != payload_crc", ""),
    ),
    _mutant(
        "missing-newest-segment-not-missed",
        "a log whose newest segment was taken away is gone on with",
        "9",
        Edit(Reader.read_all, "if self._sealed:", "if False:"),
    ),
    _mutant(
        "what-stands-behind-a-bad-record-is-dropped",
        "a record that was pushed out of its place is taken for torn, with all that follows it",
        "9",
        Edit(
            records._judge_last,
            'Verdict.DAMAGED,\n            f"a bad record that ends',
            'Verdict.TORN,\n            f"a bad record that ends',
        ),
    ),
    _mutant(
        "torn-taken-for-damage",
        "a node does not start after a crash in the middle of a write",
        "9",
        Edit(
            Reader._judge_end,
            "judgement.verdict is Verdict.DAMAGED or (torn and not last and not torn_seal)",
            "judgement.verdict is not Verdict.END",
        ),
    ),
    _mutant(
        "damage-taken-for-torn",
        "a damaged record is cut off in silence, with everything after it",
        "9",
        Edit(
            Reader._judge_end,
            "judgement.verdict is Verdict.DAMAGED or (torn and not last and not torn_seal)",
            "judgement.verdict is not Verdict.END and not last",
        ),
    ),
    _mutant(
        "torn-tail-left-in-place",
        "what a torn write left behind is not made zero before the next write",
        "9",
        Edit(Wal._continue, "if reader.dirty_end > reader.end:", "if False:"),
    ),
    _mutant(
        "cut-takes-a-good-record",
        "cutting a torn tail takes the entry before it along",
        "7",
        Edit(
            Reader.read_all,
            "    recovered = self._recovered\n",
            "    recovered = self._recovered\n    if recovered.cut:\n        del recovered.entries[-1:]\n",
        ),
    ),
    _mutant(
        "replay-keeps-overwritten-tail",
        "an entry read back replaces the one at its index, and what followed that one stays",
        "13",
        Edit(
            Reader._replay,
            "last_term = self._cut(index)",
            "entries[index - 1] = _new(Entry, row); continue",
        ),
    ),
    _mutant(
        "replay-takes-the-first-hard-state",
        "of several terms and votes in one segment, the header's wins",
        "2",
        Edit(Reader._replay, "if hard_state is not None:", "if False:"),
    ),
    _mutant(
        "header-without-hard-state",
        "a new segment's header forgets term and vote",
        "2",
        Edit(Wal.append, "self._hard_state = hard_state or self._hard_state", "pass"),
    ),
    _mutant(
        "missing-segment-passes",
        "a hole in the sequence of segments is not noticed",
        "9",
        Edit(Reader.read_all, "if number != before + 1 and (position or not self._snapshot):", "if False:"),
        Edit(
            Reader._on_header,
            "stated != number or (first_index - 1, prev_term) != last",
            "stated != number",
        ),
    ),
    _mutant(
        "failed-sync-retried",
        "a sync that failed is called again, and believed",
        "6",
        Edit(
            files.sync,
            "        raise SyncError(error.errno, error.strerror or str(error)) from error",
            "        target.sync()",
        ),
    ),
    _mutant(
        "failure-not-latched",
        "after a disk error the next append is tried as if nothing had been",
        "6",
        Edit(Wal._latched, "self._failure = conclusion", "pass"),
    ),
    _mutant(
        "no-space-in-sync-forgiven",
        "a sync that fails for want of space counts as nothing having happened",
        "6",
        Edit(files.conclude, " and not isinstance(error, SyncError)", ""),
    ),
    _mutant(
        "full-disk-leftovers-stay",
        "what a write left that found the disk full is not made zero",
        "39",
        Edit(Wal.append, "self._dirty_end > self._offset", "False"),
    ),
)
