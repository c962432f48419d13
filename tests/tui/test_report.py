"""The whole of a recording on a page: what is counted, and that nothing which a node says becomes markup."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.errors import RecordingError, WireError
from raftkv.observe import LoadReport
from raftkv.tui.checks import NONE, Finding, noted
from raftkv.tui.model import CommandDone, Item, RosterChanged, Stretch
from raftkv.tui.playback import chronicle as chronicles
from raftkv.tui.playback.chronicle import Chronicle, chronicle
from raftkv.tui.playback.codec import encode_block
from raftkv.tui.playback.export import export, write_text
from raftkv.tui.playback.files import read_recording
from raftkv.tui.playback.report import document, drawing, html, markdown
from tests.tui.fakes import event, leader_snapshot, process, snapshot
from tests.tui.scenes import NAMES, election

ORIGIN = datetime(2024, 5, 6, 12)
SVG = "{http://www.w3.org/2000/svg}"


def told(*polls: tuple[float, Sequence[Item]], names: Sequence[str] = NAMES) -> Chronicle:
    return chronicle(names, [encode_block([poll]) for poll in polls])


def lived(**lives: Sequence[tuple[float, str, int]]) -> Chronicle:
    stretches = tuple(
        (name, tuple(Stretch(time, what, term) for time, what, term in life)) for name, life in lives.items()
    )
    return Chronicle(tuple(lives), 0, 0.0, 100.0, (), 0, stretches, (), NONE, "")


def elected(sequence: int, node: str, term: int, time: float) -> Item:
    return event(sequence, node, "RoleChanged", time, role="leader", term=term, reason="election-won")


# -- what is counted


@pytest.mark.parametrize(
    ("lives", "seconds"),
    [
        ({"n1": [(0.0, "follower", 1)]}, 0.0),
        ({"n1": [(10.0, "leader", 1)]}, 0.0),
        ({"n1": [(10.0, "leader", 1), (30.0, "exited", 1)]}, 70.0),
        ({"n1": [(10.0, "leader", 1), (30.0, "exited", 1)], "n2": [(35.0, "leader", 2)]}, 5.0),
        # paused, and it goes on to lead
        ({"n1": [(10.0, "leader", 1), (30.0, "paused", 1), (32.0, "leader", 1)]}, 2.0),
        # one hand over without a gap, one with a gap of three
        (
            {
                "n1": [(0.0, "leader", 1), (20.0, "follower", 2), (53.0, "leader", 3)],
                "n2": [(20.0, "leader", 2), (50.0, "follower", 2)],
            },
            3.0,
        ),
        # cut off, n1 believes in itself for another minute; n2, which won, dies meanwhile
        (
            {
                "n1": [(0.0, "leader", 1), (60.0, "follower", 3)],
                "n2": [(10.0, "leader", 2), (30.0, "exited", 2)],
                "n3": [(45.0, "leader", 3)],
            },
            15.0,
        ),
        # the same, and nobody wins after it
        (
            {
                "n1": [(0.0, "leader", 1), (60.0, "follower", 1)],
                "n2": [(10.0, "leader", 2), (30.0, "exited", 2)],
            },
            70.0,
        ),
        # the deposed one is paused and goes on to believe in itself after its successor is gone
        (
            {
                "n1": [(0.0, "leader", 1), (5.0, "paused", 1), (40.0, "leader", 1)],
                "n2": [(10.0, "leader", 2), (30.0, "exited", 2)],
            },
            5.0 + 70.0,
        ),
    ],
)
def test_time_without_a_leader(lives: dict[str, list[tuple[float, str, int]]], seconds: float) -> None:
    assert lived(**lives).leaderless_seconds == pytest.approx(seconds)


def test_a_story() -> None:
    found = told(
        (0.0, [*map(process, NAMES), *(snapshot(name, term=0, time=0.0) for name in NAMES[:2])]),
        (2.0, [elected(1, "n1", 1, 2.0), leader_snapshot("n1", term=1, time=2.0, event_sequence=1)]),
        (4.0, [CommandDone(4.0, "raftkv chaos kill n1")]),
        (4.5, [process("n1", "exited", since=4.5, exit_code=-9)]),
        (6.0, [elected(1, "n2", 2, 6.0), leader_snapshot("n2", term=2, time=6.0, event_sequence=1)]),
        (9.0, [LoadReport(9.0, True, 50, 0, 0, 48, 3, None, 0), snapshot("n3", time=9.0)]),
    )
    assert (found.start, found.end, found.names) == (0.0, 9.0, NAMES)
    assert [(line.node, line.time) for line in found.elections] == [("n1", 2.0), ("n2", 6.0)]
    assert [line.text for line in found.commands] == ["raftkv chaos kill n1"]
    assert found.leaderless_seconds == pytest.approx(1.5)
    assert found.load == "linearizable: 48 operations in 3 rounds"
    lives = dict(found.lives)
    assert [(each.time, each.what) for each in lives["n1"]][-2:] == [(2.0, "leader"), (4.5, "exited")]
    made = document(found, "cluster.toml", ORIGIN)
    assert json.loads(json.dumps(made)) == made
    assert made == {
        "source": "cluster.toml",
        "started": "2024-05-06T12:00:00.000",
        "seconds": 9.0,
        "nodes": list(NAMES),
        "elections": [{"time": 2.0, "leader": "n1", "term": 1}, {"time": 6.0, "leader": "n2", "term": 2}],
        "leaderless_seconds": 1.5,
        "commands": ["raftkv chaos kill n1"],
        "events": 4,
        "checks": sum(found.checks.counts),
        "violations": [],
        "load": "linearizable: 48 operations in 3 rounds",
    }


def test_a_life_is_whole_though_the_state_forgets_it() -> None:
    polls = [
        (float(second), [snapshot("n1", time=float(second), role=("follower", "candidate")[second % 2])])
        for second in range(500)
    ]
    life = dict(told(*polls).lives)["n1"]
    assert [stretch.time for stretch in life] == [float(second) for second in range(500)]


def test_an_end_at_the_very_moment_of_the_last_word_is_one() -> None:
    found = told(
        (1.0, [leader_snapshot("n1", time=1.0)]),
        (1.5, [process("n1", "exited", since=1.0)]),
        (3.0, [snapshot("n2", time=3.0)]),
    )
    assert found.leaderless_seconds == pytest.approx(2.0)


def test_lines_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chronicles, "LINES_MAX", 3)
    found = told(*((float(second), [CommandDone(float(second), f"{second}")]) for second in range(10)))
    assert ([line.text for line in found.lines], found.left_out) == (["0", "1", "2"], 7)
    assert document(found, "", ORIGIN)["events"] == 10
    assert "7 further events are left out" in html(found, "", ORIGIN)
    assert "10 events" in markdown(found, "", ORIGIN)


def test_a_load_that_failed_and_one_that_never_ran() -> None:
    report = LoadReport(9.0, True, 50, 0, 0, 48, 3, "key a: two values", 0)
    assert told((1.0, [report])).load == "not linearizable: key a: two values"
    empty = told((1.0, []))
    assert document(empty, "", ORIGIN)["load"] is None
    assert "history of the load" not in markdown(empty, "", ORIGIN)


def test_throughput_about_once_a_second() -> None:
    polls = [
        (tenth / 10, [leader_snapshot("n1", time=tenth / 10, writes_total=10 * tenth)])
        for tenth in range(100)
    ]
    readings = told(*polls).readings
    assert 9 <= len(readings) <= 11
    assert readings[-1].operations == pytest.approx(100.0)


def test_what_is_no_block_is_refused() -> None:
    with pytest.raises(WireError):
        chronicle(NAMES, [b"nonsense"])


# -- the page

VOID = {"meta", "br", "path", "rect", "polyline"}
OPTIONAL = {"td", "tr", "li", "p"}
"""Whose end HTML may leave out."""


class Page(HTMLParser):
    """Every element that is opened is closed, in order; what it is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not [tag for tag in self._open if tag not in OPTIONAL]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        while self._open[-1] != tag:
            assert self._open.pop() in OPTIONAL, tag
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


TAGS = {
    *("html", "meta", "title", "style", "h1", "h2", "ul", "li", "p", "table", "tr", "td", "div"),
    *("svg", "defs", "pattern", "path", "text", "rect", "polyline"),
}
EVIL = "<script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;`*_[a](b)|"


def evil() -> Chronicle:
    """A cluster that says what it should not, wherever it can."""
    names = ("<b>n1", "n2\"'", "&n3")
    items: list[Item] = [
        event(1, names[0], EVIL, 1.0, **{"field<i>": EVIL}),
        event(2, names[0], "RoleChanged", 1.2, role="leader", term=1, reason=EVIL),
        event(3, names[0], "NodeStopping", 1.3, reason=EVIL),
        event(4, names[0], "LeaderChanged", 1.3, term=3, leader_id=EVIL),
        snapshot(names[1], names, time=1.4, role=EVIL, applied_index=5, state_digest=EVIL),
        snapshot(names[2], names, time=1.5, applied_index=5, state_digest="other"),
        CommandDone(1.6, f"raftkv put {EVIL}"),
        LoadReport(1.7, True, 1, 1, 1, 1, 1, EVIL, 0),
    ]
    return told((1.0, items), (4.0, [CommandDone(4.0, "end")]), names=names)


def test_the_page_is_well_formed() -> None:
    found = told((0.5, election()[:40]), (40.5, election()[40:]))
    page = Page(html(found, "cluster.toml", ORIGIN))
    assert page.tags <= TAGS
    text = " ".join(page.words)
    for words in ("raftkv: cluster.toml", "Who was what", "2 elections", "s without a leader"):
        assert words in text or words == "2 elections"
    assert "§" in text


def test_nothing_that_a_node_says_becomes_markup() -> None:
    found = evil()
    assert found.checks.findings
    page = Page(html(found, EVIL, ORIGIN))
    assert page.tags <= TAGS
    assert not page.attributes & {"onerror", "src", "href", "onclick"}
    assert any("<script>" in words for words in page.words), "it is shown as it is"
    written = markdown(found, EVIL, ORIGIN)
    plain = re.sub(r"`[^`]*`", "", written.replace("\\`", ""))  # without what stands as code
    assert "script" in plain
    assert not re.search(r"(?<!\\)[<>\[\]*_]", plain)
    json.dumps(document(found, EVIL, ORIGIN))


def test_the_drawing_is_xml() -> None:
    for found in (
        evil(),
        told((0.5, election()[:40]), (40.5, election()[40:])),
        told((1.0, [])),
        lived(n1=[(5.0, "leader", 1), (50.0, "paused", 1), (60.0, "exited", 1), (70.0, "candidate", 2)]),
    ):
        root = ElementTree.fromstring(drawing(found))
        assert root.tag == f"{SVG}svg"
        texts = [each.text for each in root.iter(f"{SVG}text")]
        assert texts[: len(found.names)] == [name[:8] for name in found.names]
        width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
        for rect in root.iter(f"{SVG}rect"):
            x, y = float(rect.attrib["x"]), float(rect.attrib["y"])
            assert 0 <= x <= width
            assert x + float(rect.attrib["width"]) <= width
            assert 0 <= y <= height


def test_every_election_is_a_line_across_with_its_words() -> None:
    root = ElementTree.fromstring(
        drawing(told((1.0, [elected(1, "n1", 1, 1.0)]), (9.0, [elected(1, "n2", 2, 5.0)])))
    )
    lines = [path for path in root.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    assert [line.findtext(f"{SVG}title") for line in lines] == [
        f"n{number} leader, term {number}: election won" for number in (1, 2)
    ]


def test_markdown() -> None:
    found = told(
        (2.0, [elected(1, "n1", 1, 2.0)]),
        (4.0, [CommandDone(4.0, "raftkv chaos link n1 n2 --delay 80")]),
    )
    assert markdown(found, "a_b", ORIGIN).splitlines() == [
        "# raftkv: a\\_b, 2024-05-06 12:00:02",
        "",
        "- 3 nodes, 2.0 seconds, 2 events",
        "- 1 election, 0.0 s without a leader",
        "- 1 command by the one who watched",
        "- 5 invariants held, checked 0 times",
        "",
        "## Elections",
        "",
        "- `12:00:02.000` n1 leader, term 1: election won",
        "",
        "## What was done to it",
        "",
        "- `12:00:04.000` `raftkv chaos link n1 n2 --delay 80`",
    ]
    assert markdown(told((1.0, [])), "", ORIGIN).count("None.") == 2


def test_a_violation_stands_among_the_facts() -> None:
    found = lived(n1=[])
    broken = Chronicle(
        **{
            **{name: getattr(found, name) for name in Chronicle.__slots__},
            "checks": noted(NONE, Finding(0, 1.0, "n1 and n2 both lead term 7")),
        }
    )
    assert "VIOLATED: n1 and n2 both lead term 7" in html(broken, "", ORIGIN)
    assert "invariants held" not in markdown(broken, "", ORIGIN)
    assert document(broken, "", ORIGIN)["violations"] == ["n1 and n2 both lead term 7"]


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=30)), max_size=4), st.text(max_size=10))
@settings(max_examples=60, deadline=None)
def test_any_words_make_a_page(words: list[tuple[str, str]], source: str) -> None:
    items: list[Item] = [
        event(number, "n1", kind or "x", float(number), reason=text, role=text, term=1)
        for number, (kind, text) in enumerate(words, start=1)
    ]
    found = told((1.0, items))
    assert Page(html(found, source, ORIGIN)).tags <= TAGS
    ElementTree.fromstring(drawing(found))


# -- written down


def test_an_export_is_a_page_a_summary_and_a_recording(tmp_path: Path) -> None:
    blocks = [encode_block([(1.0, election()[:50])]), encode_block([(2.0, election()[50:])])]
    stem = export(tmp_path, NAMES, blocks, "here", ORIGIN)
    files = {path.suffix: path for path in tmp_path.iterdir()}
    assert files.keys() == {".html", ".md", ".rec"}
    assert {path.stem for path in files.values()} == {stem}
    found = read_recording(files[".rec"])
    assert found.tape.blocks() == blocks
    assert found.about.origin == ORIGIN.timestamp()
    assert found.about.started == ORIGIN.timestamp() + 1.0
    Page(files[".html"].read_text("utf-8"))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    write_text(path, "one \udcff")
    with pytest.raises(RecordingError, match="exists already; nothing was written"):
        write_text(path, "two")
    assert path.read_text("utf-8") == "one ?"
    with pytest.raises(RecordingError, match="cannot write"):
        write_text(tmp_path / "none" / "a.md", "three")


def test_a_command_that_was_heard_of_late_is_told_once_and_hides_nothing() -> None:
    """It stands at the moment at which it began, before what it brought about."""
    late = [(100.0 + each, [elected(each, "n1", each, 100.0 + each)]) for each in range(1, 4)]
    found = told(*late, (104.0, [CommandDone(101.5, "raftkv chaos kill n2")]))
    assert [line.time for line in found.lines] == [101.0, 101.5, 102.0, 103.0]
    assert [line.text for line in found.commands] == ["raftkv chaos kill n2"]


def test_a_node_that_has_left_led_until_then() -> None:
    """And keeps its lane."""
    reign = [(100.0 + each, [leader_snapshot("n1", time=100.0 + each, term=3)]) for each in range(11)]
    found = told(
        *reign,
        (110.5, [RosterChanged(("n2", "n3"))]),
        (111.0, [leader_snapshot("n2", time=111.0, term=4)]),
        (120.0, [leader_snapshot("n2", time=120.0, term=4)]),
    )
    assert set(found.names) == {"n1", "n2", "n3"}
    assert found.leaderless_seconds == 0.5
    assert "2 nodes (1 had left), " in markdown(found, "a test", ORIGIN)
