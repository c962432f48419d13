"""The first line: is it live, who leads, how far, how fast, what is broken."""

from __future__ import annotations

from raftkv.errors import counted
from raftkv.tui.frame import Mode, Times
from raftkv.tui.model import State, operations_per_second
from raftkv.tui.view.health import Health, alive, current_term, health, leader
from raftkv.tui.view.spans import Line, Span, brief, length, milliseconds

GAP = 2


def mode_of(times: Times) -> Span:
    """Of a replay and a simulation also whether it goes on, and how fast."""
    if times.mode is Mode.REPLAY:
        return Span(f" ▷ REPLAY ×{times.speed:g} " if times.playing else " ⏸ REPLAY: space plays ", "frozen")
    if times.mode is Mode.SIMULATED:
        return Span(
            f"◌ SIMULATED ×{times.speed:g}" if times.playing else "⏸ SIMULATED: space plays", "accent"
        )
    return Span(" ⏸ VIEW FROZEN: space returns ", "frozen")


def led_by(name: str) -> Line:
    return (Span("leader ", "dim"), Span(name, "leader"))


def header_line(state: State, now: float, width: int, *, times: Times, faults: int) -> Line:
    """Segments that do not fit are left out, the least telling first; at the end the leader's name is cut."""
    head = leader(state, now)
    snapshot = head.snapshot if head else None
    living = sum(alive(node, now) for node in state.nodes)
    count = len(state.nodes)
    live = Span(f"● LIVE {living}/{count}", "good" if living == count else "warn")
    if not living and any(node.snapshot or node.process for node in state.nodes):
        states = {health(node, now) for node in state.nodes}
        if states == {Health.EXITED}:
            live = Span("☠ ALL DOWN: H restarts", "bad")
        elif Health.WAITING in states:
            live = Span(f"◌ STARTING 0/{count}", "warn")
        else:
            live = Span("○ GONE: waiting for its return", "bad")
    commit = max((node.snapshot.commit_index for node in state.nodes if node.snapshot), default=0)
    cluster = next((node.snapshot.cluster for node in state.nodes if node.snapshot), "")
    rate = operations_per_second(head) if head else None
    segments: list[tuple[int, Line]] = [  # (when to leave it out: the higher the earlier, spans)
        (3, (Span("raftkv", "bold"),)),
        (0, (live if times.mode is Mode.LIVE else mode_of(times),)),
        (0, (Span("term ", "dim"), Span(str(current_term(state)), "bold"))),
        (0, led_by(head.name) if head else (Span("no leader", "bad"),)),
        (1, (Span("commit ", "dim"), Span(f"{commit:,}"))),
        (1, (Span(f"{rate or 0:,.0f}"), Span(" op/s", "dim"))),
        (2, (Span("p99 ", "dim"), Span(milliseconds(snapshot.write_ms_p99)))) if snapshot else (4, ()),
        (
            0,
            (Span(counted(faults, "fault"), "bad") if faults else Span("no faults", "dim"),),
        ),
        (5, (Span("cluster ", "dim"), Span(cluster)) if cluster else ()),
    ]
    shown = [segment for segment in segments if segment[1]]
    while len(shown) > 4 and _joined_length(shown) > width - 2:
        shown.remove(max(shown, key=lambda segment: segment[0]))
    over = _joined_length(shown) - (width - 2)
    if head and over > 0:
        name = brief(head.name, max(1, len(head.name) - over), state.names)
        shown[shown.index((0, led_by(head.name)))] = (0, led_by(name))
    line: list[Span] = [Span(" ")]
    for number, (_, spans) in enumerate(shown):
        line += [Span(" " * GAP)] if number else []
        line += spans
    return tuple(line)


def _joined_length(segments: list[tuple[int, Line]]) -> int:
    return sum(length(spans) for _, spans in segments) + GAP * (len(segments) - 1)
