"""Every event and every reason has its sentence, the sentence has the event's numbers, and what another
version says is passed over."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.observe import Event, events
from raftkv.raft import trace
from raftkv.tui.event_log import LogLine
from raftkv.tui.model import CommandDone, CommandFailed, Stroke, initial, reduce, reduce_all
from raftkv.tui.why import EXPLAINED, Reason, why
from raftkv.types import NodeId
from tests.tui.fakes import event, process, snapshot
from tests.tui.scenes import NAMES

TEXT_MAX = 300
UNEXPLAINED: frozenset[str] = frozenset()
"""Kinds that say everything themselves."""
SECTION = re.compile(r"(thesis )?§\d+(\.\d+)*")

ROLES = [
    *(("pre_candidate", "election-timeout"), ("candidate", "election-timeout")),
    *(("candidate", "pre-vote-won"), ("candidate", "leadership-transfer"), ("leader", "election-won")),
    *(("follower", "higher-term"), ("follower", "leader-found"), ("follower", "election-lost")),
    *(("follower", "check-quorum"), ("follower", "disk-stalled"), ("follower", "removed")),
    *(("follower", "restart"), ("learner", "restart")),
]
VOTE: dict[str, Any] = {
    "term": 31,
    "candidate": "n3",
    "granted": False,
    "pre": False,
    "voted_for": "n2",
    "last_index": 1041,
    "last_term": 29,
    "candidate_index": 1036,
    "candidate_term": 28,
}
DISK: dict[str, Any] = {"part": "disk", "slow_ms": 50.0, "full": False, "fail": False, "seconds": None}

EXAMPLES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    *(("RoleChanged", {"term": 31, "role": role, "reason": reason}, ()) for role, reason in ROLES),
    ("LeaderChanged", {"term": 31, "leader_id": None}, ("31",)),
    ("LeaderChanged", {"term": 31, "leader_id": "n1"}, ("31", "n1")),
    ("LeaderChanged", {"term": 31, "leader_id": "n2"}, ("31", "n2")),
    *(
        ("VoteAnswered", {**VOTE, "granted": True, "pre": pre, "reason": "granted"}, ("n3", "1041", "1036"))
        for pre in (True, False)
    ),
    ("VoteAnswered", {**VOTE, "reason": "log-behind"}, ("1041", "1036", "29", "28")),
    ("VoteAnswered", {**VOTE, "reason": "already-voted"}, ("n2", "31")),
    ("VoteAnswered", {**VOTE, "reason": "already-voted", "voted_for": None}, ("31",)),
    ("VoteAnswered", {**VOTE, "reason": "leader-alive"}, ("n3",)),
    ("VoteAnswered", {**VOTE, "reason": "old-term"}, ("n3", "31")),
    ("VoteAnswered", {**VOTE, "reason": "disk-stalled"}, ("n1",)),
    *(
        (
            "VoteReceived",
            {"term": 31, "voter": voter, "granted": granted, "pre": pre, "votes": votes, "needed": 3},
            (f"{votes} of 3", "31"),
        )
        for voter, granted, pre, votes in (
            *(("n1", True, False, 1), ("n2", True, True, 2), ("n2", True, False, 3), ("n2", False, True, 1)),
        )
    ),
    (
        "EntriesLost",
        {"term": 31, "leader": "n2", "known_index": 1042, "last_index": 1037},
        ("n2", "1042", "1037", "older copy"),
    ),
    ("LeaderDoubted", {"term": 31, "leader": "n2", "index": 1040}, ("n2", "1040", "Whoever leads")),
    ("EntriesTruncated", {"term": 31, "first_index": 1037, "last_index": 1039}, ("1037", "1039", "31")),
    ("EntriesTruncated", {"term": 31, "first_index": 1037, "last_index": 1037}, ("entry 1037", "31")),
    *(
        (
            "AppendRejected",
            {
                "term": 31,
                "leader": "n2",
                "prev_log_index": 1036,
                "conflict_term": term,
                "conflict_index": 1030,
            },
            ("1036", shown, "n2"),
        )
        for term, shown in ((29, "1030"), (0, "1029"))
    ),
    ("TransferStarted", {"term": 31, "to": "n3"}, ("n3",)),
    ("TransferAbandoned", {"term": 31, "to": "n3"}, ("n3",)),
    ("SnapshotSent", {"term": 31, "to": "n3", "index": 1036}, ("n3", "1036")),
    ("SnapshotInstalled", {"term": 31, "index": 1036, "kept": True}, ("1036",)),
    ("SnapshotInstalled", {"term": 31, "index": 1036, "kept": False}, ("1036",)),
    ("LogCompacted", {"term": 31, "last_index": 1036}, ("1036",)),
    ("ConfigurationChanged", {"term": 31, "index": 1036, "text": "n1 n2 n3"}, ()),
    ("FoundingAwaits", {"term": 0, "missing": "n2, n3"}, ("n2, n3",)),
    (events.NODE_STARTED, {"boot": 1, "entries": 1036, "snapshot": 0, "cut": None}, ("1,036",)),
    (events.NODE_STOPPING, {"reason": "asked to"}, ()),
    (
        events.LINK_FAULT_SET,
        {
            "to": "n3",
            "block": True,
            "drop": 0.0,
            "delay_ms": 0.0,
            "jitter_ms": 0.0,
            "duplicate": 0.0,
            "reorder": 0.0,
            "seconds": 30.0,
        },
        ("n3",),
    ),
    (events.LINK_HEALED, {"to": "n3", "expired": True}, ("n3", "time was up")),
    (events.LINK_HEALED, {"to": "n3", "expired": False}, ("n3", "healed it")),
    (events.NODE_FAULT_SET, DISK, ("disk",)),
    (events.NODE_FAULT_SET, {"part": "clock", "rate": 1.5, "seconds": 3.0}, ("clock", "1.5 times")),
    (events.NODE_FAULT_HEALED, {"part": "disk", "expired": True}, ("disk", "time was up")),
    (events.NODE_FAULT_HEALED, {"part": "clock", "expired": False}, ("clock", "healed it")),
    (events.SPACE_LOW, {"cause": "No space left on device"}, ()),
    (events.SPACE_BACK, {}, ()),
    (events.SNAPSHOT_TAKEN, {"index": 1036, "bytes": 4096}, ("1,036",)),
    (events.SNAPSHOT_GIVEN_UP, {"cause": "no space"}, ()),
    (events.SNAPSHOT_REFUSED, {"cause": "another version"}, ()),
    (events.STATE_DIFFERS, {"peer": "n3", "index": 1036}, ("n3", "1,036")),
    (events.FRAME_REJECTED, {"socket": "peers", "cause": "no MessagePack", "count": 3}, ()),
]
RAFT_EVENTS = {kind.__name__: kind for kind in get_args(trace.RaftEvent)}
NODE_EVENTS = {value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)}


def line_of(found: Event) -> LogLine:
    [line] = reduce(initial(NAMES), found).lines
    return line


def words(prefix: str) -> set[str]:
    return {value for name, value in vars(trace).items() if name.startswith(prefix)}


def test_nothing_is_without_a_sentence_but_what_is_said_to_be() -> None:
    kinds = {*RAFT_EVENTS, *NODE_EVENTS}
    assert kinds - set(EXPLAINED) == UNEXPLAINED
    assert set(EXPLAINED) <= kinds
    assert {kind for kind, _, _ in EXAMPLES} == kinds - UNEXPLAINED


def test_every_reason_word_has_a_sentence_of_its_own() -> None:
    assert {reason for _, reason in ROLES} == words("REASON_")
    answers = {fields["reason"] for kind, fields, _ in EXAMPLES if kind == "VoteAnswered"}
    assert answers == words("VOTE_")
    told = [
        why(line_of(event(1, "n1", kind, **fields)))
        for kind, fields, _ in EXAMPLES
        if kind in ("RoleChanged", "VoteAnswered") and fields.get("role") != "learner"
    ]
    texts = [reason.text for reason in told if reason]
    assert len(set(texts)) == len(texts) == len(told)


@pytest.mark.parametrize(
    ("kind", "fields", "numbers"),
    EXAMPLES,
    ids=[f"{number}-{kind}" for number, (kind, _, _) in enumerate(EXAMPLES)],
)
def test_a_sentence(kind: str, fields: dict[str, Any], numbers: tuple[str, ...]) -> None:
    if kind in RAFT_EVENTS:
        assert fields.keys() == RAFT_EVENTS[kind].__slots__ or set(fields) == set(RAFT_EVENTS[kind].__slots__)
    line = line_of(event(1, "n1", kind, **fields))
    reason = why(line)
    assert reason is not None
    assert len(reason.text) <= TEXT_MAX
    assert reason.text.endswith(".")
    assert reason.text[0].isupper() or reason.text[0] == "n"
    assert "  " not in reason.text
    assert "{" not in reason.text
    assert 1 <= len(re.findall(r"[.:;!?](?= [A-Z]|$)", reason.text)) <= 3
    assert len(re.findall(r"\.(?= |$)", reason.text)) <= 3
    for number in numbers:
        assert number in reason.text, reason.text
    for section in filter(None, re.split(", ", reason.section)):
        assert SECTION.fullmatch(section) or re.fullmatch(r"Figure \d+", section)
    if kind == "RoleChanged" and fields["role"] in ("candidate", "leader"):
        assert "31" in reason.text
        assert "n1" in reason.text


def test_faults_of_disks_and_clocks_have_marks() -> None:
    assert line_of(event(1, "n1", events.NODE_FAULT_SET, **DISK)).mark == "!"
    assert line_of(event(1, "n1", events.NODE_FAULT_HEALED, part="disk", expired=True)).mark == "●"


def test_a_transfer_names_the_term_before_and_a_pre_vote_the_next() -> None:
    def text(role: str, reason: str) -> str:
        found = why(line_of(event(1, "n1", "RoleChanged", term=31, role=role, reason=reason)))
        assert found
        return found.text

    assert "leader of term 30" in text("candidate", "leadership-transfer")
    assert "election in term 32" in text("pre_candidate", "election-timeout")


# -- lines that are no events


def test_lines_without_an_event() -> None:
    state = reduce_all(
        initial(NAMES),
        [
            CommandDone(1.0, "raftkv chaos kill n1"),
            CommandDone(1.0, "(load started)"),
            CommandFailed(1.0, "no"),
            Stroke(1.0, "kill n1", bad=True),
            process("n1", "running"),
            process("n1", "exited"),
            process("n2", "paused"),
            snapshot("n1", event_sequence=1),
            snapshot("n1", event_sequence=9, time=1001.0),
        ],
    )
    told = {line.mark: why(line) for line in state.lines}
    assert told.keys() == {"$", "✓", "!", "✕", "☠", "⏸", "…"}
    for mark, reason in told.items():
        assert (reason is not None) == (mark in "$☠…")
    died = told["☠"]
    assert died
    assert "n1" in died.text
    (exported,) = reduce(initial(NAMES), CommandDone(1.0, "raftkv replay seen.rec")).lines
    shows = why(exported)
    assert shows
    assert "lies in that file" in shows.text


# -- other versions

strange = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.floats()


@given(st.sampled_from(sorted(EXPLAINED)), st.dictionaries(st.text(max_size=8), strange, max_size=4))
@settings(max_examples=100, deadline=None)
def test_an_event_of_another_version_is_passed_over(kind: str, fields: dict[str, Any]) -> None:
    reason = why(LogLine(1.0, "n1", "·", "", "", Event(1, 1.0, NodeId("n1"), kind, fields)))
    assert reason is None or isinstance(reason, Reason)


@given(st.sampled_from(EXAMPLES), st.data())
@settings(max_examples=200, deadline=None)
def test_a_field_of_another_version_raises_nothing(
    example: tuple[str, dict[str, Any], tuple[str, ...]], data: st.DataObject
) -> None:
    kind, fields, _ = example
    if fields:
        fields = {**fields, data.draw(st.sampled_from(sorted(fields))): data.draw(strange)}
    reason = why(line_of(event(1, "n1", kind, **fields)))
    assert reason is None or isinstance(reason, Reason)


def test_kinds_and_reasons_that_are_unknown() -> None:
    assert why(line_of(event(1, "n1", "Invented", term=1))) is None
    assert why(line_of(event(1, "n1", "RoleChanged", term=1, role="follower", reason="boredom"))) is None
    assert why(line_of(event(1, "n1", "RoleChanged", term=1, role=["x"], reason=["y"]))) is None
    assert why(line_of(event(1, "n1", "VoteAnswered", **{**VOTE, "reason": "mood"}))) is None
    assert why(line_of(event(1, "n1", events.NODE_FAULT_SET, part="soul", seconds=None))) is None
