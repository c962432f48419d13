"""The log against a plain list, over any sequence of appends, new starts and losses of power."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raftkv.raft import Entry, HardState
from raftkv.storage import WalOptions
from raftkv.storage.memory import MemoryDirectory
from raftkv.types import LogIndex, NodeId, Term
from tests.storage.support import (
    NOTHING,
    SURVIVALS,
    PowerLoss,
    State,
    Write,
    lose_power_at,
    open_wal,
    reopened,
    replay,
    state_of,
)

OPTIONS = WalOptions(segment_bytes=700)
sizes = st.sampled_from([0, 1, 15, 16, 17, 100, 511, 512, 513, 1500])
batches = st.lists(st.tuples(sizes, st.integers(0, 255)), max_size=4)


KeptNames = bool | random.Random
kept_names = st.booleans() | st.randoms(use_true_random=False)


class WalAndList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = MemoryDirectory()
        self.wal, _ = open_wal(self.directory, OPTIONS)
        self.twin: State = NOTHING, []
        self.term = 1

    def next_write(self, back: int, batch: list[tuple[int, int]], with_state: bool) -> Write:
        """A batch that follows the log, or overwrites its last ``back`` entries, as a new term does."""
        log = self.twin[1]
        if back:
            self.term += 1
        first = max(1, len(log) + 1 - back)
        items = [
            Entry(LogIndex(first + position), Term(self.term), 1, bytes([fill]) * size)
            for position, (size, fill) in enumerate(batch)
        ]
        last = items[-1].index if items else len(log)
        commit = LogIndex(min(last, self.twin[0].commit_index))
        state = HardState(Term(self.term), NodeId("n1") if back else None, commit)
        # A log that got shorter needs a commit index that still lies in it.
        return (state if with_state or commit < self.twin[0].commit_index else None), items

    @rule(back=st.sampled_from([0, 0, 0, 1, 2, 5]), batch=batches, with_state=st.booleans())
    def append(self, back: int, batch: list[tuple[int, int]], with_state: bool) -> None:
        write = self.next_write(back, batch, with_state)
        self.wal.append(*write)
        self.twin = replay([self.twin, write])

    @rule()
    def commit_everything(self) -> None:
        state = HardState(Term(self.term), None, LogIndex(len(self.twin[1])))
        self.wal.append(state, [])
        self.twin = state, self.twin[1]

    @rule()
    def start_again(self) -> None:
        self.recover(reopened(self.directory), (self.twin,))

    @rule(
        survival=st.sampled_from(sorted(SURVIVALS)),
        keep_names=kept_names,
    )
    def lose_power_at_rest(self, survival: str, keep_names: KeptNames) -> None:
        self.recover(self.directory.power_loss(SURVIVALS[survival](), keep_names), (self.twin,))

    @rule(
        back=st.sampled_from([0, 0, 1, 3]),
        batch=batches,
        operations=st.integers(0, 8),
        survival=st.sampled_from(sorted(SURVIVALS)),
        keep_names=kept_names,
    )
    def lose_power_while_appending(
        self,
        back: int,
        batch: list[tuple[int, int]],
        operations: int,
        survival: str,
        keep_names: KeptNames,
    ) -> None:
        write = self.next_write(back, batch, with_state=True)
        after = replay([self.twin, write])
        allowed: tuple[State, ...] = (self.twin, after)
        self.directory.before = lose_power_at(operations)
        try:
            self.wal.append(*write)
            allowed = (after,)
        except PowerLoss:
            pass
        self.recover(self.directory.power_loss(SURVIVALS[survival](), keep_names), allowed)

    def recover(self, directory: MemoryDirectory, allowed: tuple[State, ...]) -> None:
        self.directory = directory
        self.wal, recovered = open_wal(directory, OPTIONS)
        found = state_of(recovered)
        assert found in allowed
        self.twin = found[0], list(found[1])

    @invariant()
    def the_disk_holds_the_list(self) -> None:
        _, recovered = open_wal(self.directory.power_loss(), OPTIONS)
        assert state_of(recovered) == self.twin


TestWalAndList = WalAndList.TestCase
TestWalAndList.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
