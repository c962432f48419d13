"""The tape against its twin: a list of everything that was heard, reduced from the beginning up to a moment.

What may differ is stated once, in ``told``: the tape leaves out snapshots that follow within a quarter of a
second and tell of no change, so numbers may be that old and checks be fewer. Where snapshots are further
apart the states are equal in everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from raftkv.observe import Earlier, LoadReport, NodeSnapshot
from raftkv.tui.checks import FINDINGS_MAX
from raftkv.tui.model import (
    CommandDone,
    Item,
    RosterChanged,
    State,
    Stroke,
    initial,
    reduce_all,
)
from raftkv.tui.playback import tape as tapes
from raftkv.tui.playback.codec import Frame
from raftkv.tui.playback.tape import Playhead, Tape
from tests.tui.fakes import event, leader_snapshot, process, snapshot
from tests.tui.scenes import NAMES, election

APART = tapes.SNAPSHOT_SECONDS


@dataclass
class Twin:
    """The obvious tape."""

    names: tuple[str, ...] = NAMES
    frames: list[Frame] = field(default_factory=list)

    def at(self, time: float) -> State:
        return self._reduced([items for now, items in self.frames if now <= time])

    def after_line(self, number: int) -> State:
        state = initial(self.names)
        for item in (item for _, items in self.frames for item in items):
            if state.lines_total >= number:
                break
            state = reduce_all(state, [item])
        return state

    @property
    def state(self) -> State:
        return self._reduced([items for _, items in self.frames])

    def _reduced(self, polls: Sequence[Sequence[Item]]) -> State:
        return reduce_all(initial(self.names), [item for items in polls for item in items])


def at(tape: Tape, time: float) -> Playhead:
    head = Playhead(tape)
    head.seek(time)
    return head


class Recorded:
    """A tape and its twin that hear the same."""

    def __init__(self, bytes_max: int | None = None) -> None:
        self.tape = Tape(NAMES, bytes_max)
        self.twin = Twin()
        self.state = initial(NAMES)
        self.blocks: list[bytes] = []

    def hear(self, now: float, items: Sequence[Item]) -> None:
        before, self.state = self.state, reduce_all(self.state, items)
        self.twin.frames.append((now, items))
        block = self.tape.add(now, items, before, self.state)
        if block:
            self.blocks.append(block)

    def cut(self, time: float) -> None:
        self.tape.cut(time)
        self.twin.frames = [frame for frame in self.twin.frames if frame[0] <= time]
        self.state = at(self.tape, time).state


def told(state: State) -> tuple[object, ...]:
    """All of a state that does not depend on snapshots which told nothing new."""
    nodes = [
        (
            *(node.name, node.process, node.boot, node.sequence, node.missed, node.life),
            node.snapshot
            and (
                *(node.snapshot.boot, node.snapshot.event_sequence, node.snapshot.role),
                *(node.snapshot.term, node.snapshot.voted_for, node.snapshot.leader),
            ),
        )
        for node in state.nodes
    ]
    findings = {(each.invariant, each.time) for each in state.checks.findings}
    found = len(findings) if len(findings) >= FINDINGS_MAX else findings
    return nodes, state.lines, state.lines_total, state.load, found


ROLES = ("follower", "candidate", "leader")


@dataclass
class Script:
    """Makes items that a cluster could have brought, from numbers that are drawn."""

    now: float = 100.0
    sequences: dict[str, int] = field(default_factory=dict)
    boots: dict[str, int] = field(default_factory=dict)
    words: int = 0

    def item(self, kind: int, which: int, value: int) -> Item:
        name = NAMES[which]
        self.now += 1 / 64
        match kind:
            case 0 | 1:
                make = leader_snapshot if value == 2 else snapshot
                return make(
                    name,
                    time=self.now,
                    role=ROLES[value],
                    term=7 + value,
                    last_index=40 + int(self.now),
                    writes_total=int(self.now * 10),
                    event_sequence=self.sequences.get(name, 0),
                    boot=self.boots.get(name, 1),
                    state_digest=f"{int(self.now)}",
                )
            case 2:
                self.sequences[name] = number = self.sequences.get(name, 0) + 1 + (value == 2)
                return event(
                    number, name, "RoleChanged", self.now, role=ROLES[value], term=7 + value, reason="restart"
                )
            case 3:
                self.words += 1
                return CommandDone(self.now, f"raftkv chaos kill {self.words}")
            case 4:
                state = ("running", "exited", "paused")[value]
                return process(name, state, since=self.now, pid=int(self.now))
            case 5:
                self.boots[name], self.sequences[name] = int(self.now * 8), 1
                return event(
                    1,
                    name,
                    "NodeStarted",
                    self.now,
                    boot=self.boots[name],
                    entries=1,
                    cut=None,
                    snapshot=0,
                )
            case 6:
                return LoadReport(self.now, True, value, 0, 0, value, value, None, 0)
            case _:
                self.words += 1
                return Stroke(self.now, f"kill {self.words}", bad=value > 0)


steps = st.lists(
    st.tuples(
        st.sampled_from([0.0625, 0.125, 0.25, 0.5, 1.25, 7.0]),
        st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=60,
)
moments = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=8)
Steps = list[tuple[float, list[tuple[int, int, int]]]]


def play(recorded: Recorded, script: Script, drawn: Steps) -> None:
    for seconds, choices in drawn:
        script.now += seconds
        items = [script.item(*choice) for choice in choices]
        recorded.hear(script.now, items)


def check_moments(recorded: Recorded, where: list[tuple[bool, float]], play: Playhead) -> None:
    """Times and lines, forwards and backwards as they come."""
    tape, twin = recorded.tape, recorded.twin
    for by_line, share in where:
        if by_line:
            number = round(share * twin.state.lines_total)
            play.seek_line(number)
            assert told(play.state) == told(twin.after_line(number))
        else:
            time = tape.start + share * (tape.end - tape.start)
            play.seek(time)
            assert play.time == time
            assert told(play.state) == told(twin.at(time))


@given(steps, moments)
@example(drawn=[(0.0625, [(0, 1, 2), (0, 0, 2), (0, 0, 2), (2, 0, 0)])], where=[(True, 1.0)])
@settings(max_examples=120, deadline=None)
def test_any_moment_is_what_the_twin_says(drawn: Steps, where: list[tuple[bool, float]]) -> None:
    recorded = Recorded()
    play(recorded, Script(), drawn)
    check_moments(recorded, where, Playhead(recorded.tape))
    end = at(recorded.tape, recorded.tape.end)
    assert told(end.state) == told(recorded.state)
    assert end.at_end


@given(steps, moments)
@settings(max_examples=60, deadline=None)
def test_where_snapshots_are_apart_nothing_at_all_differs(
    drawn: Steps, where: list[tuple[bool, float]]
) -> None:
    recorded = Recorded()
    play(recorded, Script(), [(max(APART, seconds), choices[:1]) for seconds, choices in drawn])
    head = Playhead(recorded.tape)
    for _, share in where:
        time = recorded.tape.start + share * (recorded.tape.end - recorded.tape.start)
        head.seek(time)
        assert head.state == recorded.twin.at(time)


@given(steps, steps, st.floats(0, 1), moments)
@settings(max_examples=50, deadline=None)
def test_after_a_cut_it_happens_otherwise(
    before: Steps, after: Steps, share: float, where: list[tuple[bool, float]]
) -> None:
    recorded, script = Recorded(), Script()
    play(recorded, script, before)
    time = recorded.tape.start + share * (recorded.tape.end - recorded.tape.start)
    recorded.cut(time)
    assert recorded.tape.end <= time
    assert told(recorded.state) == told(recorded.twin.state)
    assert all(mark.time <= time for mark in recorded.tape.marks)
    script.now = time
    play(recorded, script, after)
    check_moments(recorded, where, Playhead(recorded.tape))
    numbers = [mark.number for mark in recorded.tape.marks]
    assert numbers == sorted(set(numbers))


@given(steps, st.integers(200, 4000), moments)
@settings(max_examples=60, deadline=None)
def test_a_bounded_tape_forgets_and_goes_on(
    drawn: Steps, bytes_max: int, where: list[tuple[bool, float]]
) -> None:
    recorded, whole = Recorded(bytes_max), Recorded()
    script = Script()
    early = Playhead(recorded.tape)
    for seconds, choices in drawn:
        script.now += seconds
        items = [script.item(*choice) for choice in choices]
        for each in (recorded, whole):
            each.hear(script.now, items)
        kept = recorded.tape.blocks()
        assert len(kept) == 1 or sum(map(len, kept)) <= bytes_max
        if recorded.tape.first % 3 == 2:
            early.seek(script.now)  # however much was forgotten since it last looked
            assert told(early.state) == told(recorded.state)
    check_moments(recorded, [moment for moment in where if not moment[0]], Playhead(recorded.tape))
    early.seek(recorded.tape.end)
    assert told(early.state) == told(recorded.state)
    assert all(
        mark.number > Playhead(recorded.tape).state.lines_total or recorded.tape.first == 0
        for mark in recorded.tape.marks
    )


def test_a_playhead_stays_where_its_block_was_forgotten_and_then_goes_to_the_oldest() -> None:
    recorded = Recorded(bytes_max=1500)
    script = Script()
    play(recorded, script, [(0.25, [(3, 0, 0)]), (0.25, [(3, 0, 0)])])
    head = at(recorded.tape, recorded.tape.end)  # in the block that is being filled
    stood = head.state
    play(recorded, script, [(0.5, [(3, 0, 0), (7, 0, 1)])] * 400)
    assert recorded.tape.first > 5
    assert head.state == stood
    head.seek_line(stood.lines_total + 1)
    first = Playhead(recorded.tape).state.lines_total
    assert head.state.lines_total in (first, first + 1)
    head.seek(recorded.tape.end)
    assert told(head.state) == told(recorded.state)


@given(steps)
@settings(max_examples=40, deadline=None)
def test_every_line_can_be_stepped_to_and_back(drawn: Steps) -> None:
    recorded = Recorded()
    play(recorded, Script(), drawn)
    head = Playhead(recorded.tape)
    numbers = range(1, recorded.state.lines_total + 1)
    forward = []
    for number in numbers:
        head.seek_line(number)
        forward.append((head.state.lines_total, head.time))
    backward = []
    for number in reversed(numbers):
        head.seek_line(number)
        backward.append((head.state.lines_total, head.time))
    assert forward == backward[::-1]
    assert all(found >= number for number, (found, _) in zip(numbers, forward, strict=True))


def test_marks_are_where_their_lines_are() -> None:
    recorded = Recorded()
    for second, item in enumerate(election()):
        recorded.hear(100.0 + second / 8, [item])
    assert [mark.number for mark in recorded.tape.marks] == list(range(1, recorded.state.lines_total + 1))
    head = Playhead(recorded.tape)
    for mark in recorded.tape.marks:
        head.seek(mark.time)
        line = head.state.lines[mark.number - head.state.lines_total - 1]
        assert (line.node, line.mark, line.style) == (mark.node, mark.symbol, mark.style)
    assert [mark.node for mark in recorded.tape.marks if mark.elected] == ["n2"]


def test_snapshots_that_tell_nothing_are_thinned_and_changes_are_not() -> None:
    recorded = Recorded()
    for tenth in range(40):
        recorded.hear(100 + tenth / 10, [snapshot("n1", time=100 + tenth / 10, term=7 + tenth // 10)])
    kept = [item for number in range(9) for _, items in recorded.tape.load(number) or [] for item in items]
    assert len(kept) <= 20
    snapshots = [item for item in kept if isinstance(item, NodeSnapshot)]
    assert sorted({item.term for item in snapshots}) == [7, 8, 9, 10]
    assert next(item.time for item in snapshots if item.term == 8) == 101.0


def test_a_violation_between_snapshots_that_were_thinned_is_kept() -> None:
    recorded = Recorded()
    for tenth in range(8):
        items: list[Item] = [
            snapshot(name, time=100 + tenth / 10, applied_index=40 + tenth, state_digest="same")
            for name in NAMES
        ]
        if tenth == 5:
            items[2] = snapshot("n3", time=100.5, applied_index=45, state_digest="other")
        recorded.hear(100 + tenth / 10, items)
    [finding] = recorded.state.checks.findings
    assert at(recorded.tape, 100.4).state.checks.held
    assert at(recorded.tape, recorded.tape.end).state.checks.findings == (finding,)


def test_an_empty_tape() -> None:
    tape = Tape(NAMES)
    head = Playhead(tape)
    assert (tape.empty, tape.blocks(), tape.seal(), tape.names) == (True, [], None, NAMES)
    head.seek(5.0)
    head.seek_line(3)
    assert (head.state, head.at_end) == (initial(NAMES), True)
    tape.cut(3.0)
    state = initial(NAMES)
    after = reduce_all(state, [Stroke(1.0, "kill", bad=True)])
    assert tape.add(1.0, [Stroke(1.0, "kill", bad=True)], state, after) is None
    head.seek_line(1)
    assert head.state == after


def test_the_names_are_those_of_its_beginning() -> None:
    recorded = Recorded(bytes_max=1000)
    recorded.hear(100.0, [RosterChanged((*NAMES, "n4"))])
    play(recorded, Script(101.0), [(0.5, [(3, 0, 0), (7, 0, 1)])] * 300)
    assert recorded.tape.first > 1
    assert recorded.tape.names == (*NAMES, "n4")


def test_a_flood_is_cut_into_blocks() -> None:
    recorded = Recorded()
    for number in range(40):
        recorded.hear(100.0, [CommandDone(100.0, f"{number} {each}") for each in range(100)])
    assert len(recorded.blocks) == 40 * 100 // (-(-tapes.BLOCK_ITEMS_MAX // 100) * 100)
    head = at(recorded.tape, 100.0)
    assert head.state == recorded.state


def test_a_line_that_is_heard_of_late_has_a_mark_and_costs_no_other_one_its() -> None:
    recorded = Recorded()
    for sequence in range(1, 5):
        elected = event(sequence, "n1", "RoleChanged", 100.0 + sequence, role="leader", term=sequence)
        recorded.hear(100.0 + sequence, [elected])
    recorded.hear(105.0, [CommandDone(102.5, "raftkv chaos kill n2")])
    assert [(mark.number, mark.symbol) for mark in recorded.tape.marks] == [
        *((number, "★") for number in range(1, 5)),
        (5, "$"),
    ]


def test_a_line_before_many_that_were_missed_has_its_mark() -> None:
    recorded = Recorded()
    elected = event(1, "n1", "RoleChanged", 100.2, role="leader", term=2)
    past = [event(each, "n2", "LeaderChanged", 100.0 + each, term=2, leader_id="n1") for each in range(1, 61)]
    recorded.hear(161.0, [elected, Earlier(tuple(past))])
    assert [(mark.number, mark.symbol) for mark in recorded.tape.marks] == [(1, "★")]
