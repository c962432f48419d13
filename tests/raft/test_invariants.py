"""What ``check_basic`` finds: a check that finds nothing would make every simulation pass."""

from __future__ import annotations

import random

import pytest

from raftkv.raft import Configuration, Entry, EntryKind, HardState, Raft
from raftkv.raft.invariants import check_basic
from raftkv.types import LogIndex, NodeId, Term
from tests.support.raft_cluster import OPTIONS

N1 = NodeId("n1")


def raft_with(*entries: tuple[int, int]) -> Raft:
    """``entries``: of this index and term each."""
    rows = [Entry(LogIndex(index), Term(term), EntryKind.NO_OP, b"") for index, term in entries]
    state = HardState(Term(9), None, LogIndex(0))
    return Raft(N1, Configuration.of([N1]), OPTIONS, random.Random(1), state, rows)


def test_a_sound_node_is_found_to_be_sound() -> None:
    assert check_basic(raft_with()) == []
    assert check_basic(raft_with(*((index, 1 + index // 5) for index in range(1, 30)))) == []


@pytest.mark.parametrize(
    "entries", [[(1, 1), (3, 1)], [(2, 1)], [(1, 2), (2, 1)], [(1, 1), (2, 3), (3, 1)], [(1, 1), (1, 1)]]
)
def test_a_log_with_gaps_or_with_terms_that_fall_is_found(entries: list[tuple[int, int]]) -> None:
    assert "n1: entries without gaps, of terms that never fall" in check_basic(raft_with(*entries))
    sound = [(index, 1) for index in range(1, 20)]
    assert check_basic(raft_with(*sound, *((19 + index, term) for index, term in entries)))


def test_stages_of_the_pipeline_out_of_order_are_found() -> None:
    raft = raft_with((1, 1), (2, 1))
    raft.log.persisted_index = LogIndex(3)
    raft.log.last_applied = LogIndex(1)
    assert len(check_basic(raft)) == 2
