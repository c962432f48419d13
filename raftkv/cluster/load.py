"""A load that runs until it is told to stop, and whose history is checked while it runs: the dashboard's
``L``.

Theory of operation. Eight users (``client.users``) read, write, delete, and compare and set. Their history
is cut into *rounds* of some seconds, each on keys of its own that nobody had before, so that each can be
judged by itself and forgotten. When a round's time is up its users turn to the next at once; it is judged
when the last of its requests has ended, which timeouts see to. So there are at most two rounds at any time,
and by the users' rests one has some 4,000 operations: its check takes some 40 ms, in this same thread.

A round's keys are deleted when the next one has been judged, and all of a run's at its end; a request whose
outcome is unknown may still write one afterwards.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from raftkv.client.calls import Call
from raftkv.client.users import Stage, User
from raftkv.cluster.stage import LoadHabits, SocketStage
from raftkv.errors import SessionExpired
from raftkv.history import Outcome, Recorder, Result, check_history
from raftkv.keys import Key
from raftkv.kv.commands import Op
from raftkv.kv.ranges import prefix_end
from raftkv.observe import LoadReport

CLIENTS = 8
HABITS = LoadHabits(
    keys=8,
    # Lively on the screen, light on the machine, and what bounds a round.
    rest_seconds=0.01,
    request_timeout=2.0,
    burst_share=0.0,
    # Few: while a node is down, whoever asks just that one waits for the timeout.
    pinned_share=0.05,
)
ROUND_SECONDS = 5.0
CHECK_STEPS_MAX = 30_000
"""Of one round's check: twenty times what an ordinary round takes. The load waits while it is judged."""
WORK_SECONDS = 0.1
"""Between two looks at the rounds, and at whether to stop."""
LAST_SECONDS = 2.5
"""For what is open when it is told to stop, which is a little more than a request may take."""
CLEAN_SECONDS = 1.0
"""For the last deletion."""


@dataclass(slots=True)
class Tally:
    """Of all rounds that were judged, over all runs of one load."""

    counts: Counter[Result] = field(default_factory=Counter)
    checked: int = 0
    rounds: int = 0
    undecided: int = 0
    problem: str | None = None
    """The first, for ever."""


@dataclass(frozen=True, slots=True)
class Round:
    prefix: str
    history: Recorder
    ends: float
    """In seconds of the stage."""


class Rounds:
    """The load itself, on any stage: ``tend`` must be called now and then. One thread owns it."""

    def __init__(
        self, stage: Stage, endpoints: Sequence[str], run: str, tally: Tally, rng: random.Random
    ) -> None:
        """``run`` names it, and must be new: its keys begin with ``load/<run>/``."""
        self._stage = stage
        self._run = f"load/{run}/"
        self._tally = tally
        self._number = 0
        self._ended: list[Round] = []
        """Whose requests have not all ended."""
        self._litter: list[str] = []
        """Prefixes of what was judged."""
        self._session = stage.core.new_session()
        self.cleaning = 0
        """Deletions under way."""
        self._round = self._new_round()
        self._users = [
            User(
                number,
                stage,
                HABITS,
                random.Random(rng.getrandbits(64)),
                self._round.history,
                _ignore,
                endpoints,
            )
            for number in range(CLIENTS)
        ]

    def begin(self) -> None:
        for user in self._users:
            user.turn_to(self._round.history, self._round.prefix)
            user.begin()

    def tend(self) -> None:
        """Begin another round when it is time, and judge those that have ended."""
        if self._stage.now() >= self._round.ends:
            self._ended.append(self._round)
            self._round = self._new_round()
            for user in self._users:
                user.turn_to(self._round.history, self._round.prefix)
        for each in [each for each in self._ended if not each.history.pending]:
            self._ended.remove(each)
            self._judge(each)
            for prefix in self._litter:
                self._delete(prefix)
            self._litter = [each.prefix]

    def rest(self) -> None:
        """Ask nothing new."""
        for user in self._users:
            user.resting = True

    @property
    def busy(self) -> bool:
        return any(user.busy for user in self._users)

    def conclude(self) -> None:
        """Judge what there is and have all keys of this run deleted. What is still open counts as unknown."""
        for each in (*self._ended, self._round):
            self._judge(each)
        self._ended, self._round = [], self._new_round()
        self._delete(self._run)

    def report(self, running: bool) -> LoadReport:
        tally = self._tally
        histories = [each.history for each in (*self._ended, self._round)]
        counts = sum((history.counts for history in histories), tally.counts)
        return LoadReport(
            time=self._stage.now(),
            running=running,
            ok=counts[Result.OK],
            failed=counts[Result.FAIL],
            unknown=counts[Result.UNKNOWN],
            checked=tally.checked,
            rounds=tally.rounds,
            problem=tally.problem,
            undecided=tally.undecided,
        )

    def _new_round(self) -> Round:
        self._number += 1
        return Round(f"{self._run}{self._number}/", Recorder(), self._stage.now() + ROUND_SECONDS)

    def _judge(self, ended: Round) -> None:
        tally = self._tally
        tally.counts += ended.history.counts
        tally.counts[Result.UNKNOWN] += ended.history.pending
        verdict = check_history(ended.history.operations(), steps_max=CHECK_STEPS_MAX)
        tally.rounds += 1
        if verdict.outcome is Outcome.UNDECIDED:
            tally.undecided += 1
            return
        tally.checked += verdict.operations
        if verdict.outcome is Outcome.VIOLATION and tally.problem is None:
            tally.problem = " ".join(f"{verdict.describe()}: {verdict.reason}".split())

    def _delete(self, prefix: str) -> None:
        """Best effort: what is left of it is deleted at the end."""
        start = prefix.encode()
        deadline = self._stage.now() + HABITS.request_timeout
        self.cleaning += 1
        fields = (Op.DELETE_RANGE, start, prefix_end(start))
        self._stage.submit(Call(fields, deadline, self._on_deleted, self._session))

    def _on_deleted(self, call: Call) -> None:
        self.cleaning -= 1
        if isinstance(call.error, SessionExpired):
            self._session = self._stage.core.renew()


class BackgroundLoad:
    """``Rounds`` in a thread of its own. Its methods may be called from any thread."""

    def __init__(self, endpoints: Sequence[str], key: Key | None = None) -> None:
        self._endpoints = endpoints
        self._key = key
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._changing = threading.Lock()
        self._tally = Tally()
        self._report = LoadReport(0.0, False, 0, 0, 0, 0, 0, None, 0)

    def start(self) -> None:
        with self._changing:
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._work, name="raftkv-load", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Returns when the last round was judged, after ``LAST_SECONDS`` and ``CLEAN_SECONDS`` at most."""
        with self._changing:
            thread, self._thread = self._thread, None
            if thread:
                self._stop.set()
                thread.join()

    def report(self) -> LoadReport:
        return replace(self._report, time=time.monotonic())

    def _work(self) -> None:
        stage = SocketStage(self._endpoints, key=self._key)
        try:
            self._play(stage)
        except Exception as error:  # a bug of ours; but whoever looks on must hear of it
            problem = self._tally.problem or f"the load itself has failed: {error!r}"
            self._tally.problem = problem
            self._report = replace(self._report, running=False, problem=problem)
        finally:
            stage.close()

    def _play(self, stage: SocketStage) -> None:
        rounds = Rounds(stage, self._endpoints, secrets.token_hex(4), self._tally, random.Random())
        rounds.begin()
        while not self._stop.is_set():
            stage.work(stage.now() + WORK_SECONDS)
            rounds.tend()
            self._report = rounds.report(True)
        rounds.rest()
        deadline = stage.now() + LAST_SECONDS
        while rounds.busy and stage.now() < deadline:
            stage.work(stage.now() + WORK_SECONDS)
        rounds.conclude()
        self._report = rounds.report(False)
        deadline = stage.now() + CLEAN_SECONDS
        while rounds.cleaning and stage.now() < deadline:
            stage.work(stage.now() + WORK_SECONDS / 10)


def _ignore(client_id: int, sequence: int, code: int, revision: int) -> None:
    """The history says it all."""
    del client_id, sequence, code, revision
