"""txn, watch, lease, lock, elect, compact, shell, and reads of the past."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, ClassVar

import pytest

from raftkv.cli import lease as lease_commands
from raftkv.cli import options
from raftkv.cli.endings import ENDINGS
from raftkv.cli.options import DEFAULT_TIMEOUT, find_target
from raftkv.client import Client
from raftkv.cluster.discovery import Target
from raftkv.errors import ConfigError, LeaseNotFound, OutcomeUnknown, Unavailable
from tests.cli.asserting import document, invoke, ok, quiet, refused, run_with
from tests.support.processes import DEADLINE_SECONDS, LocalCluster, await_condition, environment, is_alive

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cli")]


def transact(cluster: LocalCluster, transaction: Any, *flags: str) -> subprocess.CompletedProcess[bytes]:
    return invoke(cluster, "txn", *flags, stdin=json.dumps(transaction).encode())


def revision_of(cluster: LocalCluster, key: str) -> int:
    return int(document(cluster, "get", key, "--json")["mod_revision"])


def test_a_transaction_in_json_and_in_text(cluster: LocalCluster) -> None:
    ok(cluster, "put", "txn/a", "1")
    transaction = {
        "compare": [{"key": "txn/a", "to": "1"}, {"key": "txn/b", "target": "version", "is": "=", "to": 0}],
        "success": [
            {"op": "put", "key": "txn/b", "value": "2"},
            {"op": "get", "key": "txn/b"},
            {"op": "range", "prefix": "txn/", "keys_only": True},
            {"op": "delete", "key": "txn/a"},
            {"op": "txn", "compare": [{"prefix": "txn/", "target": "version", "is": ">", "to": 0}]},
        ],
        "failure": [{"op": "get", "key": "txn/a"}],
    }
    done = transact(cluster, transaction, "--json")
    assert done.returncode == 0, done
    result = json.loads(done.stdout)
    assert (result["succeeded"], result["results"][0], result["results"][3]) == (True, None, {"deleted": 1})
    assert result["results"][1]["value"] == "2"
    assert [item["key"] for item in result["results"][2]["kvs"]] == ["txn/a", "txn/b"]
    assert result["results"][4]["succeeded"] is True
    again = transact(cluster, transaction)
    assert (again.returncode, again.stdout) == (1, b"failure\n1\tnone\n")


def test_every_line_of_a_transaction_says_whose_it_is(cluster: LocalCluster) -> None:
    nested = {
        "op": "txn",
        "compare": [{"key": "said/a", "target": "version", "to": 0}],
        "failure": [{"op": "get", "key": "said/a"}, {"op": "put", "key": "said/c", "value": "3"}],
    }
    steps = [
        {"op": "put", "key": "said/a", "value": "1"},
        {"op": "put", "key": "said/b", "value": "2"},
        {"op": "range", "prefix": "said/"},
        nested,
        {"op": "get", "key": "said/none"},
        {"op": "range", "prefix": "unsaid/"},
        {"op": "delete", "prefix": "said/"},
    ]
    done = transact(cluster, {"success": steps})
    assert done.returncode == 0, done
    assert done.stdout.decode().splitlines() == [
        "success",
        "1\tOK",
        "2\tOK",
        "3\tsaid/a\t1",
        "3\tsaid/b\t2",
        "4\tfailure",
        "4.1\tsaid/a\t1",
        "4.2\tOK",
        "5\tnone",
        "6\t0 keys",
        "7\t3 deleted",
    ]


@pytest.mark.parametrize(
    ("transaction", "why"),
    [
        ([], "a transaction is a JSON object"),
        ({"compare": {}}, "are lists"),
        ({"comparison": []}, "has no field 'comparison'"),
        ({"compare": [7]}, "a compare is a JSON object"),
        ({"compare": [{"key": "a", "target": "size", "to": 1}]}, "target 'size'"),
        ({"compare": [{"key": "a", "is": ">=", "to": "x"}]}, "is '>='"),
        ({"compare": [{"key": "a", "to": 7}]}, "to: "),
        ({"compare": [{"key": "a", "target": "version", "to": "x"}]}, "a whole number"),
        ({"compare": [{"to": "x"}]}, "'key' is missing"),
        ({"success": ["put"]}, "an operation is a JSON object"),
        ({"success": [{"op": "increment", "key": "a"}]}, "op 'increment'"),
        ({"success": [{"op": "put", "key": "a"}]}, "'value' is missing"),
        ({"success": [{"op": "put", "key": "", "value": "x"}]}, "the key is empty"),
        ({"success": [{"op": "put", "key": "a", "value": "x", "lease": "1"}]}, "a whole number"),
        ({"success": [{"op": "get", "key": "a", "end": "b"}]}, "has no field 'end'"),
    ],
)
def test_a_transaction_without_sense_is_refused(cluster: LocalCluster, transaction: Any, why: str) -> None:
    assert why in refused(transact(cluster, transaction), 2)


def test_a_count_is_printed_where_only_that_was_asked_for(cluster: LocalCluster) -> None:
    for name in "abc":
        ok(cluster, "put", f"counted/{name}", "1")
    done = transact(cluster, {"success": [{"op": "range", "prefix": "counted/", "count_only": True}]})
    assert (done.returncode, done.stdout) == (0, b"success\n1\t3 keys\n")


def test_no_json_and_no_file(cluster: LocalCluster) -> None:
    assert refused(invoke(cluster, "txn", stdin=b"{"), 2).startswith("stdin: not valid JSON")
    twice = b'{"success": [{"op": "put", "key": "twice", "value": "1"}], "success": []}'
    assert "appears twice" in refused(invoke(cluster, "txn", stdin=twice), 2)
    assert "No such file" in refused(invoke(cluster, "txn", "nowhere.json"), 2)


def test_the_past_can_be_read_until_it_is_compacted(cluster: LocalCluster) -> None:
    ok(cluster, "put", "past/a", "1")
    first = revision_of(cluster, "past/a")
    ok(cluster, "put", "past/a", "2")
    second = revision_of(cluster, "past/a")
    assert ok(cluster, "get", "past/a", "--revision", str(first)) == b"1\n"
    assert ok(cluster, "get", "--prefix", "past/", "--revision", str(first)) == b"past/a\t1\n"
    assert "lies in the future" in refused(invoke(cluster, "get", "past/a", "--revision", str(1 << 40)), 2)
    assert document(cluster, "compact", str(second), "--json")["compacted"] == second
    gone = refused(invoke(cluster, "get", "past/a", "--revision", str(first)), 1)
    assert f"the earliest that can be read is {second}" in gone
    assert "was compacted" in refused(invoke(cluster, "watch", "past/a", "--from-revision", str(first)), 1)
    assert b"compacted to revision " in ok(cluster, "compact")


def test_a_watch_prints_a_line_an_event(cluster: LocalCluster) -> None:
    ok(cluster, "put", "seen/a", "1")
    first = revision_of(cluster, "seen/a")
    ok(cluster, "put", "seen/b", "2")
    ok(cluster, "delete", "seen/a")
    flags = ["--prefix", "--from-revision", str(first), "--count", "3"]
    assert ok(cluster, "watch", "seen/", *flags) == b"put\tseen/a\t1\nput\tseen/b\t2\ndelete\tseen/a\n"
    lines = ok(cluster, "watch", "seen/", *flags, "--previous", "--json").splitlines()
    put, _, gone = map(json.loads, lines)
    assert put == {
        "type": "put",
        "key": "seen/a",
        "value": "1",
        "create_revision": first,
        "mod_revision": first,
        "version": 1,
        "lease": 0,
    }
    left = {"type": "delete", "key": "seen/a", "value": None, "mod_revision": first + 2, "previous": "1"}
    assert gone == left


def start(
    cluster: LocalCluster, *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "raftkv", *arguments],
        cwd=cluster.folder,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_watch_goes_on_until_it_is_interrupted(cluster: LocalCluster) -> None:
    watch = start(cluster, "watch", "live/a", "--from-revision", "0")
    assert watch.stdout

    def seen() -> bool:
        ok(cluster, "put", "live/a", "x")
        os.set_blocking(watch.stdout.fileno(), False)  # type: ignore[union-attr]
        return bool(watch.stdout.readline())  # type: ignore[union-attr]

    await_condition(seen, "an event")
    watch.send_signal(signal.SIGINT)
    assert watch.wait(DEADLINE_SECONDS) == 130
    watch.communicate()


def test_a_lease_from_grant_to_revoke(cluster: LocalCluster) -> None:
    granted = document(cluster, "lease", "grant", "60", "--json")
    lease = str(granted["id"])
    assert granted == {"id": int(lease), "ttl": 60.0}
    assert ok(cluster, "put", "leased/a", "x", "--lease", lease) == b"OK\n"
    assert document(cluster, "get", "leased/a", "--json")["lease"] == int(lease)
    shown = document(cluster, "lease", "show", lease, "--json")
    assert "there is no lease 0" in refused(invoke(cluster, "lease", "show", "0"), 1)
    assert (shown["ttl"], shown["key_count"], shown["keys"]) == (60.0, 1, ["leased/a"])
    assert 0 < shown["remaining"] <= 60
    assert f"{lease}\t60\t".encode() in ok(cluster, "lease", "list")
    alive = ok(cluster, "lease", "keep-alive", lease, "--once")
    assert alive == f"lease {lease} lives for 60 s more\n".encode()
    assert quiet(cluster.run("lease", "revoke", lease)) == b"1\n"
    assert invoke(cluster, "get", "leased/a").returncode == 1
    for command in ("show", "revoke", "keep-alive"):
        assert f"there is no lease {lease}" in refused(invoke(cluster, "lease", command, lease), 1)
    assert "no lease" in refused(invoke(cluster, "put", "x", "y", "--lease", lease), 1)
    assert "a lease lives for" in refused(invoke(cluster, "lease", "grant", "0.01"), 2)
    assert "expected a number" in refused(invoke(cluster, "lease", "grant", "nan"), 2)


def test_a_lease_ends_by_itself_and_takes_its_keys_along(cluster: LocalCluster) -> None:
    for ttl in ("0.3", "5", "60"):  # the first where nothing holds up what comes next
        lease = ok(cluster, "lease", "grant", ttl).decode().strip()
        put = invoke(cluster, "put", "leased/b", "x", "--lease", lease)
        if put.returncode == 0:
            break
        assert "no lease" in refused(put, 1)
    assert put.returncode == 0
    await_condition(lambda: invoke(cluster, "get", "leased/b").returncode == 1, "the key to go")


def test_a_command_runs_under_a_lock_and_its_exit_code_counts(cluster: LocalCluster) -> None:
    script = "import os,sys; print(int(os.environ['RAFTKV_LOCK_TOKEN']) > 0); sys.exit(7)"
    done = cluster.run("lock", "job", "--", sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (7, b"True\n"), done
    assert "cannot be run" in refused(cluster.run("lock", "job", "--", "no-such-command"), 2)
    take = f"import raftkv; raftkv.Client(['tcp://127.0.0.1:{cluster.base_port}']).delete_prefix('job/')"
    lost = refused(cluster.run("lock", "job", "--", sys.executable, "-c", take), 1)
    assert "lock job was lost meanwhile" in lost
    assert ok(cluster, "get", "--prefix", "job/") == b"", "it was given back"


def test_what_a_command_started_ends_with_the_lock(cluster: LocalCluster) -> None:
    holder = start(cluster, "lock", "family", "--", "sh", "-c", "sleep 600 & echo $!; wait; true")
    assert holder.stdout
    grandchild = int(holder.stdout.readline())
    holder.send_signal(signal.SIGTERM)
    assert holder.wait(DEADLINE_SECONDS) == 128 + signal.SIGTERM
    holder.communicate()
    await_condition(lambda: not is_alive(grandchild), "the command's own child to be gone")


def test_a_second_signal_leaves_no_command_at_work(cluster: LocalCluster) -> None:
    """A terminal that is closed may send two of them."""
    stubborn = "trap '' TERM HUP; echo $$; while :; do sleep 0.1; done"
    holder = start(cluster, "lock", "stubborn", "--", "sh", "-c", stubborn)
    assert holder.stdout
    assert holder.stderr
    command = int(holder.stdout.readline())
    holder.send_signal(signal.SIGTERM)
    assert holder.stderr.readline() == "raftkv: waiting for sh to end\n"  # the first is heard
    holder.send_signal(signal.SIGTERM)
    # The second may also meet it at its very end, when the command has been ended and all is given back.
    assert holder.wait(DEADLINE_SECONDS) in (128 + signal.SIGKILL, -signal.SIGTERM)
    assert not is_alive(command), "it went first"
    holder.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_lock_that_somebody_else_holds_is_waited_for(cluster: LocalCluster, number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever runs the tests ignores that signal, and so does what they start")
    holder = start(cluster, "lock", "busy")
    assert holder.stdout
    assert holder.stdout.readline().startswith("busy: held, token ")
    taken = invoke(cluster, "lock", "busy", "--wait", "0.2")
    assert "others had it for all of" in refused(taken, 1)
    holder.send_signal(number)
    assert holder.wait(DEADLINE_SECONDS) == 130
    holder.communicate()
    assert cluster.run("lock", "busy", "--wait", "60", "--", "true").returncode == 0


def test_an_office_is_held_seen_and_resigned(cluster: LocalCluster) -> None:
    holder = start(cluster, "elect", "office", "me", "--json")
    assert holder.stdout
    assert json.loads(holder.stdout.readline())["name"] == "office"
    listener = start(cluster, "elect", "office", "--listen")
    assert listener.stdout
    assert listener.stdout.readline() == "me\n"
    assert "not elected within" in refused(invoke(cluster, "elect", "office", "you", "--wait", "0.2"), 1)
    for process in (holder, listener):
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
        process.communicate()
    assert "either a VALUE" in refused(invoke(cluster, "elect", "office"), 2)


def test_what_the_holder_says_can_come_from_stdin(cluster: LocalCluster, tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_bytes(b"from stdin")
    with said.open("rb") as stdin:
        holder = start(cluster, "elect", "office/2", "-", stdin=stdin)
    listener = start(cluster, "elect", "office/2", "--listen")
    heard = listener.stdout
    assert heard
    await_condition(lambda: heard.readline() == "from stdin\n", "somebody to be elected")
    for process in (holder, listener):
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_SECONDS)
    assert (holder.returncode, listener.returncode) == (130, 130)


def test_the_shell_obeys_lines_and_stops_at_the_first_that_fails(cluster: LocalCluster) -> None:
    script = b"# a comment\n\nput shell/a '1 2'\nget shell/a\nhelp\nget shell/none\nput shell/b never\n"
    done = cluster.run("shell", stdin=script)
    assert done.returncode == 1
    assert done.stdout == b"OK\n1 2\n"
    assert b"commands: put get" in done.stderr
    assert invoke(cluster, "get", "shell/b").returncode == 1
    outside = cluster.run("shell", stdin=b"doctor --json\n")
    assert outside.returncode == 2
    told = b"raftkv: 'doctor' is no command of the shell; say 'raftkv doctor --json' outside of it\n"
    assert outside.stderr == told
    assert b"no command 'gets' here; did you mean 'get'?" in cluster.run("shell", stdin=b"gets a\n").stderr
    assert cluster.run("shell", stdin=b"exit\nput shell/b never\n").returncode == 0


def test_the_shell_stops_at_a_line_that_it_cannot_read(cluster: LocalCluster) -> None:
    done = cluster.run("shell", stdin=b'put shell/c 1\nput shell/d "2\nput shell/d 3\n')
    assert (done.returncode, done.stdout) == (2, b"OK\n")
    assert done.stderr == b"raftkv: line 2: No closing quotation\n"
    assert invoke(cluster, "get", "shell/d").returncode == 1


def test_completion_knows_commands_and_keys(cluster: LocalCluster) -> None:
    from raftkv.cli.shell import candidates
    from raftkv.client import Client

    ok(cluster, "put", "tab/one two", "x")
    with Client([f"tcp://127.0.0.1:{cluster.base_port}"]) as client:
        client.revision()
        assert candidates(client, "", "le") == ["lease "]
        await_condition(lambda: candidates(client, "get ", "tab/") == ["'tab/one two'"], "the key")
        assert candidates(client, "get tab/ ", "x") == []
        assert candidates(client, "status ", "x") == []


def test_a_scripted_shell_reads_nothing_but_commands_from_stdin(cluster: LocalCluster) -> None:
    """Or the rest of the script would become the value."""
    ok(cluster, "put", "shell/victim", "unharmed")
    for command in ("put shell/victim -", "cas shell/victim unharmed -", "load -", "txn"):
        done = cluster.run("shell", stdin=f"{command}\nput shell/next 1\n".encode())
        assert refused(done, 2) == "'-' cannot read stdin here: the commands come from it"
    assert ok(cluster, "get", "shell/victim") == b"unharmed\n"
    done = cluster.run("shell", stdin=b"lock shell/lock -- cat\nget shell/victim\n")
    assert (done.returncode, done.stdout) == (0, b"unharmed\n"), done


def test_a_shell_without_stdin_is_refused(cluster: LocalCluster) -> None:
    assert "stdin is closed" in refused(run_with(["shell"], cluster.folder, shell='exec "$@" <&-'), 2)


def test_a_shell_looks_again_where_its_cluster_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes come and go while it is open; where it cannot be looked, what was there before will do."""
    target = find_target("tcp://127.0.0.1:9", None, None)
    found: list[Target] = []

    def find() -> Target:
        if not found:
            raise ConfigError("a file that is just being written")
        return found[0]

    with Client(target.clients) as client:
        monkeypatch.setattr(options, "shared", options.Shared(target, find, client, 7.0))
        assert find_target(None, None, None) is target
        found.append(replace(target, clients=(*target.clients, "tcp://127.0.0.1:10")))
        assert find_target(None, None, None) is found[0]
        with options.connect(found[0], DEFAULT_TIMEOUT) as shared:
            assert shared is client
        elsewhere = find_target("tcp://127.0.0.1:11", None, None)
        with options.connect(elsewhere, DEFAULT_TIMEOUT) as other:
            assert other is not client, "whoever names another cluster means that one"
        found[0] = replace(target, source="cluster.toml")  # which lies beside what has ended
        assert find_target(None, None, None).source == target.source


def test_a_command_of_a_shell_leaves_the_signals_as_they_were(cluster: LocalCluster) -> None:
    before = [signal.getsignal(number) for number in ENDINGS]
    assert invoke(cluster, "lock", "shell/turn", "--", "true").returncode == 0
    assert [signal.getsignal(number) for number in ENDINGS] == before


def test_the_timeout_of_a_shell_is_that_of_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    target = find_target("tcp://127.0.0.1:9", None, None)
    with Client(target.clients, timeout=7.0) as client:
        monkeypatch.setattr(options, "shared", options.Shared(target, lambda: target, client, 7.0))
        for asked, given in ((DEFAULT_TIMEOUT, 7.0), (0.5, 0.5)):
            with options.connect(target, asked) as shared:
                assert (shared, client.timeout) == (client, given)
        assert client.timeout == 7.0


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"success": [{"op": "delete", "key": "a", "prefix": "b"}]}, "either a prefix, or a key"),
        ({"success": [{"op": "range", "prefix": "a", "end": "b"}]}, "either a prefix, or a key"),
        ({"success": [{"op": "range", "prefix": "a", "reverse": "no"}]}, "expected true or false"),
        ({"compare": [{"key": "a", "target": "version", "is": ["="], "to": 1}]}, "expected =, !=, < or >"),
    ],
)
def test_a_transaction_that_contradicts_itself_is_refused(
    cluster: LocalCluster, document: dict[str, object], complaint: str
) -> None:
    assert complaint in refused(invoke(cluster, "txn", stdin=json.dumps(document).encode()), 2)


def test_a_watch_of_the_past_that_reaches_nobody_gives_up(cluster: LocalCluster) -> None:
    nobody = ("--endpoints", "tcp://127.0.0.1:9", "--timeout", "0.2")
    assert invoke(cluster, "watch", "a", "--from-revision", "1", *nobody).returncode == 3
    paused = ("n1", "n2")
    for name in paused:
        ok(cluster, "chaos", "pause", name)
    try:
        refused(invoke(cluster, "watch", "a", "--from-revision", "1", "--timeout", "1"), 3)
    finally:
        for name in paused:
            ok(cluster, "chaos", "resume", name)


@pytest.mark.parametrize("command", ["load", "check", "txn"])
def test_what_has_no_end_is_refused(cluster: LocalCluster, command: str) -> None:
    assert "bytes, which is the limit" in refused(invoke(cluster, command, "/dev/zero"), 2)


def test_a_lease_is_renewed_again_after_an_outage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease_commands, "RETRY_SECONDS", 0.0)

    class Outage:
        """Nobody answers three times; later the lease has ended."""

        answers: ClassVar = [Unavailable("nobody"), OutcomeUnknown("lost"), Unavailable("nobody"), 5.0]

        def keep_alive(self, lease_id: int) -> float:
            answer: Any = self.answers.pop(0) if self.answers else LeaseNotFound(lease_id)
            if isinstance(answer, Exception):
                raise answer
            return float(answer)

    client: Any = Outage()
    assert lease_commands._renewed(client, 7) == 5.0
    assert capsys.readouterr().err == "lease 7 could not be renewed, trying on: nobody\n"
    with pytest.raises(LeaseNotFound):
        lease_commands._renewed(client, 7)
