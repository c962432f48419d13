"""load and dump: what goes in comes out, and every mistake names its line."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from raftkv.cli import bulk
from raftkv.cli.output import Exit, from_json
from raftkv.client import Client
from raftkv.client.pipeline import Pipeline
from raftkv.errors import ClientError, InvalidRequest, OutcomeUnknown, Unavailable
from tests.cli.asserting import invoke, ok, quiet, refused, run_with
from tests.support.processes import DEADLINE_SECONDS, LocalCluster, await_condition, environment

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cli")]

AWKWARD = {
    b"round/a": b"plain",
    b"round/b": b"",
    b"round/c": b"two\nlines",
    b"round/d": b"a\ttab",
    b"round/e": b"carriage return\r",
    b"round/f": b"base64:AAAA",
    b"round/g": b"\xff\x00\xfe",
    b"round/h\tkey": b"a key with a tab",
    b"round/i\nkey": b"a key with a line end",
    b"round/j\xff": b"a key that is no UTF-8",
    "round/ü €".encode(): "ü €\u2028".encode(),
    b"round/base64:": b"a key like a prefix",
}


def encoded(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


class Background:
    """A command that reads what is written to it."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "raftkv", *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self) -> tuple[int, bytes, bytes]:
        out, err = self.process.communicate(timeout=2 * DEADLINE_SECONDS)
        return self.process.returncode, out, err


@pytest.mark.parametrize("form", ["tsv", "jsonl"])
def test_load_of_what_dump_wrote_restores_it(cluster: LocalCluster, form: str) -> None:
    lines = [{"key": encoded(key), "value": encoded(value)} for key, value in AWKWARD.items()]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (cluster.folder / "awkward.jsonl").write_text(text, encoding="utf-8")
    assert quiet(cluster.run("load", "awkward.jsonl")) == b"%d\n" % len(AWKWARD)
    dumped = quiet(cluster.run("dump", "--prefix", "round/", "--format", form))
    assert dumped.count(b"\n") == len(AWKWARD)
    assert quiet(cluster.run("delete", "--prefix", "round/")) == b"%d\n" % len(AWKWARD)
    assert quiet(cluster.run("load", "-", stdin=dumped)) == b"%d\n" % len(AWKWARD), "told by its first line"
    found = [json.loads(line) for line in cluster.ok("dump", "--prefix", "round/", "--json").splitlines()]
    assert found == sorted(lines, key=lambda line: from_json(line["key"]))


def test_a_name_or_a_flag_comes_before_what_the_first_line_looks_like(cluster: LocalCluster) -> None:
    (cluster.folder / "rows").write_text('{"key": "told/a", "value": "1"}\n')
    assert ok(cluster, "load", "rows") == b"1\n"
    assert "no tab" in refused(invoke(cluster, "load", "rows", "--format", "tsv"), 2)
    (cluster.folder / "rows.jsonl").write_text('{"key":\t"told/b", "value": "2"}\n')
    assert ok(cluster, "load", "rows.jsonl") == b"1\n"
    ok(cluster, "load", "-", stdin=b"{told/c\tno JSON\n")
    assert ok(cluster, "get", "{told/c") == b"no JSON\n"
    assert ok(cluster, "scan", "--prefix", "told/") == b"told/a\t1\ntold/b\t2\n"


def test_dump_comes_in_byte_order_in_both_forms(cluster: LocalCluster) -> None:
    ok(cluster, "load", "-", stdin=b"form/b\t2\nform/a\t1\n")
    assert quiet(invoke(cluster, "dump", "--prefix", "form/")) == b"form/a\t1\nform/b\t2\n"
    lines = b'{"key": "form/a", "value": "1"}\n{"key": "form/b", "value": "2"}\n'
    assert quiet(invoke(cluster, "dump", "--prefix", "form/", "--format", "jsonl")) == lines
    assert quiet(invoke(cluster, "dump", "--prefix", "form/", "--json")) == lines
    for number in (1, 2, 3):
        one = invoke(cluster, "dump", "--prefix", "form/", "--node", f"n{number}")
        assert quiet(one) == b"form/a\t1\nform/b\t2\n"
    assert "n1, n2, n3" in refused(invoke(cluster, "dump", "--node", "n9"), 2)


def test_the_name_tells_the_form_and_an_option_overrules_it(cluster: LocalCluster) -> None:
    (cluster.folder / "name.jsonl").write_text('{"key": "name/a", "value": "from json"}\n')
    assert quiet(invoke(cluster, "load", "name.jsonl")) == b"1\n"
    assert ok(cluster, "get", "name/a") == b"from json\n"
    (cluster.folder / "name.json").write_text("name/a\tfrom tsv\n")
    assert "line 1" in refused(invoke(cluster, "load", "name.json"), 2)
    assert quiet(invoke(cluster, "load", "name.json", "--format", "tsv")) == b"1\n"
    assert ok(cluster, "get", "name/a") == b"from tsv\n"


def test_of_lines_of_one_key_the_last_one_stays(cluster: LocalCluster) -> None:
    lines = b"".join(b"twice/%d\t%d\n" % (number % 3, number) for number in range(300))
    assert quiet(invoke(cluster, "load", "-", stdin=lines)) == b"300\n"
    assert ok(cluster, "scan", "--prefix", "twice/") == b"twice/0\t297\ntwice/1\t298\ntwice/2\t299\n"


def test_only_the_first_tab_divides_and_an_end_of_line_may_be_missing(cluster: LocalCluster) -> None:
    assert quiet(invoke(cluster, "load", "-", stdin=b"tabs/a\tx\ty\n\ntabs/b\tno newline")) == b"2\n"
    assert ok(cluster, "get", "tabs/a") == b"x\ty\n"
    assert ok(cluster, "get", "tabs/b") == b"no newline\n"
    assert quiet(invoke(cluster, "load", "-", stdin=b"")) == b"0\n"


@pytest.mark.parametrize(
    ("form", "line", "cause"),
    [
        ("tsv", b"no tab here", "no tab between key and value"),
        ("tsv", b"\tno key", "the key is empty"),
        ("tsv", b"base64:!!\tx", "base64"),
        ("tsv", b"k" * 4097 + b"\tx", "4,097 bytes"),
        ("tsv", b"bad/large\t" + b"v" * ((1 << 20) + 1), "1,048,577 bytes"),
        ("jsonl", b"{", "not JSON: Expecting property name enclosed in double quotes at column 2"),
        ("jsonl", b"[1]", "no JSON object"),
        ("jsonl", b'"text"', "no JSON object"),
        ("jsonl", b'{"key": "bad/a"}', "no field 'value'"),
        ("jsonl", b'{"key": 1, "value": "x"}', "neither a string nor"),
        ("jsonl", b'{"key": {"base64": "!"}, "value": "x"}', "base64"),
        ("jsonl", b'{"key": "\xff", "value": "x"}', "utf-8"),
        ("jsonl", b'{"key": "\\ud800", "value": "x"}', "surrogates"),
        ("jsonl", b"[" * 100_000, "recursion"),
    ],
    ids=[
        *("no-tab", "no-key", "bad-base64", "long-key", "large-value", "half-json", "array", "text"),
        *("no-value", "number", "bad-json-base64", "no-utf8", "surrogate", "deep"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(
    cluster: LocalCluster, form: str, line: bytes, cause: str
) -> None:
    good = {"tsv": b"bad/%d\tx\n", "jsonl": b'{"key": "bad/%d", "value": "x"}\n'}[form]
    content = good % 1 + good % 2 + line + b"\n" + good % 4
    ok(cluster, "delete", "--prefix", "bad/")
    text = refused(invoke(cluster, "load", "-", "--format", form, stdin=content), 2)
    assert text.startswith("-, line 3: "), text
    assert cause in text
    assert text.endswith("; loaded before it: 2")
    assert ok(cluster, "scan", "--prefix", "bad/", "--keys-only") == b"bad/1\nbad/2\n"


def test_files_that_cannot_be_read(cluster: LocalCluster) -> None:
    assert refused(invoke(cluster, "load", "absent.tsv"), 2).startswith("absent.tsv: cannot be read: ")
    assert "directory" in refused(invoke(cluster, "load", "."), 2)
    no_stdin = run_with(["load", "-"], cluster.folder, shell='exec "$@" <&-')
    assert "stdin is closed" in refused(no_stdin, 2)
    (cluster.folder / "closed.tsv").write_text("closed/a\tx\n")
    assert quiet(run_with(["load", "closed.tsv"], cluster.folder, shell='exec "$@" <&-')) == b"1\n"


def test_lines_may_end_as_on_windows(cluster: LocalCluster) -> None:
    lines = b"crlf/a\t1\r\n\r\ncrlf/b\tbase64:Mg0=\r\n"
    assert invoke(cluster, "load", "-", stdin=lines).stdout == b"2\n"
    assert ok(cluster, "dump", "--prefix", "crlf/") == b"crlf/a\t1\ncrlf/b\tbase64:Mg0=\n"


def test_what_comes_slowly_is_loaded_as_it_comes(cluster: LocalCluster) -> None:
    """However long the next line takes, what came before it is sent, and its answer taken in."""
    begun = Background(["load", "-"], cluster.folder)
    begun.write(b"slow/1\t1\n")
    await_condition(lambda: ok(cluster, "get", "--prefix", "slow/") == b"slow/1\t1\n", "the first line")
    begun.write(b"slow/2\t2\n")
    assert begun.end() == (0, b"2\n", b"")


def test_a_source_that_breaks_off_is_named_with_what_was_loaded(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            line = super().readline(size)
            if not line:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return line

    monkeypatch.setattr(bulk, "stdin", lambda: Broken(b"broken/1\t1\n"))
    text = refused(invoke(cluster, "load", "-"), 2)
    assert text == "-, line 2: cannot be read: Input/output error; loaded before it: 1"
    assert ok(cluster, "get", "broken/1") == b"1\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_says_how_far_it_came(cluster: LocalCluster, number: signal.Signals) -> None:
    begun = Background(["load", "-"], cluster.folder)
    begun.write(b"interrupted/%d\t1\n" % number)
    await_condition(lambda: ok(cluster, "get", "--prefix", f"interrupted/{number}"), "the first line")
    begun.process.send_signal(number)
    code, out, err = begun.end()
    assert (code, out) == (128 + number, b"")
    # What was written may not have been answered yet.
    unanswered = b"0 loaded; go on from line 1: that one may or may not have happened\n"
    assert err in (b"-: interrupted, 1 loaded\n", b"-: interrupted, " + unanswered)


def test_a_load_that_is_interrupted_while_it_waits_for_answers_names_the_first_line_without_one(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "drain", interrupted)
    done = invoke(cluster, "load", "-", stdin=b"\nwaits/1\t1\nwaits/2\t2\n")
    told = b"-: interrupted, 0 loaded; go on from line 2: that one may or may not have happened\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", told)


def test_a_load_that_is_interrupted_before_its_first_line_says_so(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "_told_apart", interrupted)
    done = invoke(cluster, "load", "-", stdin=b"never/1\t1\n")
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"-: interrupted, 0 loaded\n")


def test_a_load_ends_at_a_write_that_fails_though_its_source_goes_on(cluster: LocalCluster) -> None:
    begun = Background(["load", "-", "--endpoints", "tcp://127.0.0.1:9", "--timeout", "0.3"], cluster.folder)
    begun.write(b"nobody/1\t1\n")
    assert begun.process.wait(2 * DEADLINE_SECONDS) == 3
    _, out, err = begun.end()
    assert out == b"0\n"
    assert err.startswith(b"raftkv: -, line 1: ")


def test_a_load_that_reaches_nobody_gives_up_after_one_timeout(cluster: LocalCluster) -> None:
    lines = b"".join(b"nobody/%d\tx\n" % number for number in range(3000))
    nobody = ("--endpoints", "tcp://127.0.0.1:9", "--timeout", "0.4")
    done = cluster.run("load", "-", *nobody, stdin=lines)
    assert (done.returncode, done.stdout) == (3, b"0\n")
    notes = done.stderr.decode().splitlines()
    assert notes[0].startswith("raftkv: -, line 1: ")
    assert notes[-1].startswith("raftkv: 0 loaded, ")
    assert len(notes) <= 6


def test_half_of_the_timeout_is_kept_for_a_node_that_confirms_nothing() -> None:
    client = Client(["tcp://127.0.0.1:9"], timeout=0.2)
    try:
        assert not bulk._catch_up(client, "tcp://127.0.0.1:9", 0.1)
        assert client.timeout == 0.1
    finally:
        client.close()


@pytest.mark.parametrize(
    ("loaded", "errors", "code"),
    [
        (0, [Unavailable("nobody leads")], Exit.UNAVAILABLE),
        (3, [Unavailable("nobody leads")], Exit.UNKNOWN),
        (0, [Unavailable("nobody leads"), OutcomeUnknown("no answer")], Exit.UNKNOWN),
        (3, [InvalidRequest("the key is empty")], Exit.USAGE),
    ],
)
def test_that_nothing_happened_is_only_said_where_nothing_has(
    loaded: int, errors: list[ClientError], code: Exit
) -> None:
    pipeline: Any = SimpleNamespace(succeeded=loaded, errors=list(enumerate(errors, 1)))
    with pytest.raises(typer.Exit) as ended:
        bulk._conclude(pipeline, "file", json=True)
    assert ended.value.exit_code == code
