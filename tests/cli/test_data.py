"""put, get, delete, scan and cas against a real cluster: shapes, exit codes, what goes where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest

from raftkv.cli.data import _document
from raftkv.client import Client, Entry
from tests.cli.asserting import ENTRY_FIELDS, client_endpoint, document, invoke, ok, quiet, refused, run_with
from tests.support.processes import LocalCluster, await_condition, environment

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cli")]


def test_put_get_and_delete_in_text(cluster: LocalCluster) -> None:
    assert quiet(cluster.run("put", "text/a", "one")) == b"OK\n"
    assert quiet(cluster.run("set", "text/a", "two")) == b"OK\n"
    assert quiet(cluster.run("get", "text/a")) == b"two\n"
    await_condition(
        lambda: cluster.run("get", "text/a", "--stale").stdout == b"two\n", "every node to have it"
    )
    assert quiet(cluster.run("delete", "text/a")) == b"1\n"
    missing = cluster.run("get", "text/a")
    assert (missing.returncode, missing.stdout, missing.stderr) == (1, b"", b"")
    again = cluster.run("delete", "text/a")
    assert (again.returncode, again.stdout, again.stderr) == (1, b"0\n", b"")


def test_put_get_and_delete_in_json(cluster: LocalCluster) -> None:
    first = document(cluster, "put", "json/a", "1", "--json")
    assert list(first) == ["revision"]
    second = document(cluster, "set", "json/a", "2", "--json")
    assert second["revision"] == first["revision"] + 1
    entry = document(cluster, "get", "json/a", "--json")
    assert list(entry) == [*ENTRY_FIELDS, "revision"]
    assert entry == {
        "key": "json/a",
        "value": "2",
        "create_revision": first["revision"],
        "mod_revision": second["revision"],
        "version": 2,
        "lease": 0,
        "revision": second["revision"],
    }
    gone = document(cluster, "delete", "json/a", "--json")
    assert gone == {"revision": second["revision"] + 1, "deleted": 1}
    missing = invoke(cluster, "get", "json/a", "--json")
    assert (missing.returncode, missing.stdout, missing.stderr) == (1, b"", b"")


def test_delete_prefix_counts_and_is_no_failure_when_nothing_is_there(cluster: LocalCluster) -> None:
    for name in "abc":
        ok(cluster, "put", f"gone/{name}", "x")
    assert quiet(invoke(cluster, "delete", "gone/", "--prefix")) == b"3\n"
    assert quiet(invoke(cluster, "delete", "gone/", "--prefix")) == b"0\n"


def test_scan_comes_in_byte_order_and_within_its_bounds(cluster: LocalCluster) -> None:
    for name, value in (("b", "2"), ("a", "1"), ("c", "3"), ("ä", "4")):
        ok(cluster, "put", f"scan/{name}", value)
    everything = "scan/a\t1\nscan/b\t2\nscan/c\t3\nscan/ä\t4\n".encode()
    assert quiet(invoke(cluster, "scan", "--prefix", "scan/")) == everything
    assert quiet(invoke(cluster, "get", "--prefix", "scan/")) == everything
    assert quiet(invoke(cluster, "scan", "scan/b", "scan/d")) == b"scan/b\t2\nscan/c\t3\n"
    assert quiet(invoke(cluster, "scan", "--prefix", "scan/", "--limit", "2")) == b"scan/a\t1\nscan/b\t2\n"
    backwards = invoke(cluster, "scan", "scan/", "scan/z", "--reverse", "--keys-only", "--limit", "2")
    assert quiet(backwards) == b"scan/c\nscan/b\n"
    assert quiet(invoke(cluster, "scan", "--prefix", "scan/", "--count")) == b"4\n"
    assert quiet(invoke(cluster, "scan", "--prefix", "nothing-is-here/")) == b""
    assert "either" in refused(invoke(cluster, "scan", "a", "b", "--prefix", "c"), 2)


def test_scan_in_json(cluster: LocalCluster) -> None:
    for name in ("a", "b", "c"):
        ok(cluster, "put", f"kvs/{name}", name.upper())
    found = document(cluster, "scan", "--prefix", "kvs/", "--limit", "2", "--json")
    assert list(found) == ["kvs", "count", "more", "revision"]
    assert (found["count"], found["more"]) == (3, True)
    assert [list(entry) for entry in found["kvs"]] == [ENTRY_FIELDS] * 2
    assert [entry["value"] for entry in found["kvs"]] == ["A", "B"]
    by_get = document(cluster, "get", "--prefix", "kvs/", "--json")
    assert list(by_get) == ["kvs", "count", "more", "revision"]
    assert (by_get["count"], by_get["more"], by_get["revision"]) == (3, False, found["revision"])
    keys = document(cluster, "scan", "--prefix", "kvs/", "--keys-only", "--json")["kvs"]
    assert [list(entry) for entry in keys] == [[field for field in ENTRY_FIELDS if field != "value"]] * 3
    counted = document(cluster, "scan", "--prefix", "kvs/", "--count", "--json")
    assert (counted["kvs"], counted["count"]) == ([], 3)
    nothing = document(cluster, "get", "--prefix", "nothing-is-here/", "--json")
    assert nothing == {"kvs": [], "count": 0, "more": False, "revision": found["revision"]}


def test_a_scan_of_the_past(cluster: LocalCluster) -> None:
    ok(cluster, "put", "past/a", "1")
    then = str(document(cluster, "put", "past/b", "2", "--json")["revision"])
    ok(cluster, "put", "past/a", "3")
    ok(cluster, "delete", "past/b")
    asked = ("scan", "--prefix", "past/", "--revision", then)
    assert quiet(invoke(cluster, *asked)) == b"past/a\t1\npast/b\t2\n"
    assert quiet(invoke(cluster, *asked, "--reverse", "--keys-only", "--limit", "1")) == b"past/b\n"
    assert quiet(invoke(cluster, *asked, "--count")) == b"2\n"
    endpoints = [client_endpoint(cluster, number) for number in range(cluster.nodes)]
    with Client(endpoints) as client:
        for endpoint in endpoints:
            client.catch_up(endpoint)  # for one that lags, that revision would lie in the future
    for stale in ((), ("--stale",)):
        found = document(cluster, *asked, *stale, "--json")
        assert [entry["value"] for entry in found["kvs"]] == ["1", "2"]
        assert (found["count"], found["more"]) == (2, False)


def test_cas_says_on_stderr_what_stands_in_its_way(cluster: LocalCluster) -> None:
    assert quiet(invoke(cluster, "cas", "cas/a", "--absent", "1")) == b"OK\n"
    assert quiet(invoke(cluster, "cas", "cas/a", "1", "2")) == b"OK\n"
    failed = invoke(cluster, "cas", "cas/a", "1", "3")
    assert (failed.returncode, failed.stdout) == (1, b"")
    assert failed.stderr == b"compare failed: the present value is 2\n"
    taken = invoke(cluster, "cas", "cas/a", "--absent", "3")
    assert (taken.returncode, taken.stdout) == (1, b"")
    absent = invoke(cluster, "cas", "cas/nobody", "1", "2")
    assert (absent.returncode, absent.stderr) == (1, b"compare failed: no key of that name\n")
    assert ok(cluster, "get", "cas/a") == b"2\n"
    assert quiet(invoke(cluster, "cas", "cas/a", "-", "\n", stdin=b"2")) == b"OK\n", "what it must hold"
    assert quiet(invoke(cluster, "cas", "cas/a", "\n", "-", stdin=b"3")) == b"OK\n", "or what it shall"
    assert "only one" in refused(invoke(cluster, "cas", "cas/a", "-", "-", stdin=b"3"), 2)


def test_cas_in_json(cluster: LocalCluster) -> None:
    done = document(cluster, "cas", "cas/json", "--absent", "1", "--json")
    assert list(done) == ["succeeded", "revision"]
    assert done["succeeded"] is True
    failed = invoke(cluster, "cas", "cas/json", "x", "y", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout) == {"succeeded": False, "revision": done["revision"], "current": "1"}
    absent = invoke(cluster, "cas", "cas/nobody", "x", "y", "--json")
    assert json.loads(absent.stdout)["current"] is None
    assert "--absent" in refused(invoke(cluster, "cas", "cas/json", "x"), 2)
    assert "KEY and NEW only" in refused(invoke(cluster, "cas", "cas/json", "x", "y", "--absent"), 2)


def test_a_dash_reads_the_value_from_stdin_byte_for_byte(cluster: LocalCluster) -> None:
    content = b"line one\nline\ttwo\r\n\x00no newline at the end"
    assert quiet(cluster.run("put", "stdin/a", "-", stdin=content)) == b"OK\n"
    assert quiet(cluster.run("get", "stdin/a")) == content + b"\n"
    assert quiet(cluster.run("cas", "stdin/b", "--absent", "-", stdin=b"new")) == b"OK\n"
    assert quiet(cluster.run("cas", "stdin/b", "new", "-", stdin=b"newer")) == b"OK\n"
    assert quiet(cluster.run("get", "stdin/b")) == b"newer\n"
    assert quiet(cluster.run("put", "stdin/empty", "-", stdin=b"")) == b"OK\n"
    assert quiet(cluster.run("get", "stdin/empty")) == b"\n"


def test_what_is_no_utf8_goes_in_as_it_is_and_comes_out_as_base64(cluster: LocalCluster) -> None:
    assert quiet(cluster.run("put", b"bin/\xff\xfe", b"\x80value")) == b"OK\n"
    assert quiet(cluster.run("get", b"bin/\xff\xfe")) == b"base64:gHZhbHVl\n"
    entry = document(cluster, "get", b"bin/\xff\xfe", "--json")
    assert (entry["key"], entry["value"]) == ({"base64": "YmluL//+"}, {"base64": "gHZhbHVl"})
    assert quiet(cluster.run("scan", "--prefix", b"bin/\xff")) == b"base64:YmluL//+\tbase64:gHZhbHVl\n"
    failed = cluster.run("cas", b"bin/\xff\xfe", "x", "y")
    assert failed.stderr == b"compare failed: the present value is base64:gHZhbHVl\n"
    assert quiet(cluster.run("cas", b"bin/\xff\xfe", b"\x80value", "text")) == b"OK\n"
    assert quiet(cluster.run("delete", b"bin/\xff\xfe")) == b"1\n"


def test_what_was_put_comes_out_byte_for_byte_if_it_is_to(cluster: LocalCluster) -> None:
    value = bytes(range(256)) * 500
    cluster.ok("put", "raw", "-", stdin=value)
    assert cluster.ok("get", "raw", "--raw") == value
    assert refused(invoke(cluster, "get", "raw", "--raw", "--json"), 2).startswith("--raw is for the value")
    assert "--prefix P" in refused(invoke(cluster, "get", "--raw"), 2)


def test_values_are_empty_or_begin_with_a_dash_or_look_like_base64(cluster: LocalCluster) -> None:
    assert quiet(invoke(cluster, "put", "odd/empty", "")) == b"OK\n"
    assert quiet(invoke(cluster, "get", "odd/empty")) == b"\n"
    assert document(cluster, "get", "odd/empty", "--json")["value"] == ""
    assert quiet(invoke(cluster, "put", "odd/dash", "--", "-5")) == b"OK\n"
    assert quiet(invoke(cluster, "get", "odd/dash")) == b"-5\n"
    assert quiet(invoke(cluster, "put", "odd/base64", "base64:AAAA")) == b"OK\n"
    assert quiet(invoke(cluster, "get", "odd/base64")) == b"base64:AAAA\n"
    # One field of a line: here it must be told from what is really encoded.
    assert (
        quiet(invoke(cluster, "scan", "--prefix", "odd/base64")) == b"odd/base64\tbase64:YmFzZTY0OkFBQUE=\n"
    )


def test_limits_are_told_in_one_line(cluster: LocalCluster) -> None:
    assert "empty" in refused(invoke(cluster, "put", "", "x"), 2)
    assert "empty" in refused(invoke(cluster, "get", ""), 2)
    assert "empty" in refused(invoke(cluster, "delete", ""), 2)
    longest = "k" * 4096
    assert quiet(invoke(cluster, "put", longest, "fits")) == b"OK\n"
    assert quiet(invoke(cluster, "delete", longest)) == b"1\n"
    assert "4,097 bytes; the limit is 4,096" in refused(invoke(cluster, "put", longest + "k", "x"), 2)
    largest = b"v" * (1 << 20)
    assert quiet(invoke(cluster, "put", "limit/value", "-", stdin=largest)) == b"OK\n"
    assert quiet(invoke(cluster, "get", "limit/value")) == largest + b"\n"
    too_large = invoke(cluster, "put", "limit/value", "-", stdin=largest + b"v")
    assert "over 1,048,576 bytes" in refused(too_large, 2)
    endless = run_with(["put", "limit/value", "-"], cluster.folder, shell='"$@" </dev/zero')
    assert "over 1,048,576 bytes" in refused(endless, 2)
    assert quiet(invoke(cluster, "delete", "limit/value")) == b"1\n"


def test_a_usage_error_is_no_traceback_and_exits_2(cluster: LocalCluster) -> None:
    for arguments in (["put", "k"], ["nonsense"], ["put", "--nonsense"], ["scan", "--limit", "-1"]):
        assert "usage: raftkv" in refused(invoke(cluster, *arguments), 2) or arguments == ["nonsense"]
    assert "KEY or --prefix" in refused(cluster.run("get"), 2)
    for timeout in ("0", "-1", "nan", "inf"):
        assert "--timeout" in refused(invoke(cluster, "get", "k", f"--timeout={timeout}"), 2)


def test_closed_streams_are_one_line_each(cluster: LocalCluster) -> None:
    folder = cluster.folder
    no_stdin = run_with(["put", "k", "-"], folder, shell='exec "$@" <&-')
    assert "stdin is closed" in refused(no_stdin, 2)
    for arguments in (["put", "k", "-"], ["load", "-"]):
        unreadable = run_with(arguments, folder, shell='exec "$@" 0>unreadable')
        assert "cannot be read: Bad file descriptor" in refused(unreadable, 2)
    assert quiet(run_with(["put", "closed", "v"], folder, shell='exec "$@" <&-')) == b"OK\n"
    assert "stdout is closed" in refused(run_with(["get", "closed"], folder, shell='exec "$@" >&-'), 2)
    full = run_with(["get", "closed"], folder, shell='exec "$@" >/dev/full')
    assert refused(full, 2).endswith("No space left on device"), "a read has no unknown outcome"
    unheard = run_with(["put", "unheard", "1"], folder, shell='exec "$@" >&-')
    assert "stdout is closed" in refused(unheard, 2)
    leader = cluster.leader()
    other = next(name for name in ("n1", "n2", "n3") if name != leader)
    (folder / "unheard").write_text("unheard\t1\n")
    for arguments in (
        ["load", "unheard"],
        ["transfer", other],
        ["bench", "put", "--total", "1"],
        ["snapshot"],
    ):
        assert "stdout is closed" in refused(run_with(arguments, folder, shell='exec "$@" >&-'), 2)
    assert cluster.run("get", "unheard").returncode == 1, "whose answer goes nowhere is not asked"
    assert cluster.leader() == leader
    for line in ("chaos heal", "alarm clear", "put --help"):
        assert quiet(run_with(line.split(), folder, shell='exec "$@" >&- 2>/dev/null')) == b""
    unseen = refused(run_with(["put", "unseen", "1"], folder, shell='exec "$@" >/dev/full'), 4)
    assert unseen.endswith("No space left on device; what was asked for may be done")
    assert cluster.run("get", "unseen").stdout == b"1\n"
    assert "No space left" in refused(run_with(["--help"], folder, shell='exec "$@" >/dev/full'), 2)
    no_stderr = run_with(["put", "", "x"], folder, shell='exec "$@" 2>&-')
    assert (no_stderr.returncode, no_stderr.stdout) == (2, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_had_enough_is_no_failure(cluster: LocalCluster, unbuffered: str) -> None:
    """Whether python writes at once or at its end: 'head' that leaves early must not show."""
    folder = cluster.folder
    cluster.ok("put", "pipe/key", "x" * 5000)
    for arguments in (["get", "pipe/key"], ["scan"], ["get", "pipe/key", "--json"], ["status"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "raftkv", *arguments],
            cwd=folder,
            env={**environment(), "PYTHONUNBUFFERED": unbuffered},
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b""), arguments
    for arguments, code in ((["delete", "pipe/none"], 1), (["cas", "pipe/key", "y", "z"], 1)):
        refused = run_with(arguments, folder, shell='"$@" | true; exit "${PIPESTATUS[0]}"')
        assert refused.returncode == code, "what has been decided is told, whoever reads it"
    piped = run_with(["scan"], folder, shell='"$@" | head -c 3; exit "${PIPESTATUS[0]}"')
    assert (piped.returncode, len(piped.stdout), piped.stderr) == (0, 3, b"")


class Moving:
    """A store to which somebody writes between any two questions."""

    def __init__(self, revision: int) -> None:
        self.present = revision

    def count(self, low: bytes, high: bytes, *, revision: int, stale: bool) -> tuple[int, int]:
        self.present += 1
        return (revision or self.present) - 1, self.present

    def range(self, low: bytes, high: bytes, *, revision: int, **_: Any) -> Iterator[Entry]:
        self.present += 1
        as_of = revision or self.present
        for number in range(1, as_of):
            yield Entry(b"%d" % number, b"", number, number, 1, 0, as_of)


@pytest.mark.parametrize(("revision", "of"), [(0, 6), (3, 3)])
def test_what_is_read_is_of_the_revision_that_is_named(revision: int, of: int) -> None:
    """Or whoever watches from there on would miss a change, or see one twice."""
    found = _document(cast(Client, Moving(5)), b"", b"", revision=revision)
    assert len(found["kvs"]) == found["count"] == of - 1
    assert revision or found["revision"] == of


def test_of_what_may_lag_the_first_revision_is_named() -> None:
    found = _document(cast(Client, Moving(5)), b"", b"", stale=True)
    assert (len(found["kvs"]), found["count"], found["revision"]) == (6, 6, 7)
