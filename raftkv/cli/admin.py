"""transfer, alarm, doctor: what an operator does to a cluster that works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.options import DEFAULT_TIMEOUT, Config, Data, Endpoints, Json, Timeout, find_whole_cluster
from raftkv.cli.output import Exit, emit, emit_json, fail, note
from raftkv.errors import ConfigError, OutcomeUnknown, RaftkvError, Unavailable, Unreachable, no_node

if TYPE_CHECKING:
    from raftkv.cluster.discovery import Target

POLL_SECONDS = 0.02
LEFT_SECONDS_MIN = 0.05
"""For the last step, where those before took almost all of --timeout."""


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.command()(transfer)
    group = typer.Typer(
        help="What nodes complain of: a full disk, states that differ.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("list")(list_alarms)
    group.command("clear")(clear_alarms)
    app.add_typer(group, name="alarm")


def transfer(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Who is to lead.", show_default=False)],
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Move leadership to NODE. Exit 1 when another node leads afterwards.

    Clients notice a pause of some milliseconds. A node that is down or too slow does not take over, and
    the leader goes on after the shortest election timeout.
    """
    from raftkv.cluster.control import ControlClient, snapshots
    from raftkv.observe import leader_of

    target = find_whole_cluster(endpoints, config, data, timeout)
    assert target.controls is not None
    if node not in target.controls:
        raise ConfigError(no_node(node, target.controls))
    deadline = time.monotonic() + timeout
    asked, refused, may_happen = None, "", False
    with ControlClient(target.key) as client:
        while True:
            left = deadline - time.monotonic()
            views = snapshots(client, target.controls, max(0.01, min(1.0, left)))
            leader = leader_of(views.values())
            if leader and leader.name == node:
                if json:
                    emit_json({"leader": node, "term": leader.term})
                else:
                    emit(f"{node} leads, term {leader.term}")
                return
            if leader and not leader.transferee and leader.name == asked:
                late = f"{node} did not take over in time, and may yet where it is only slow"
                fail(f"{refused or late}; {leader.name} goes on leading")
                raise typer.Exit(Exit.NO)
            if left <= 0 and may_happen:
                raise OutcomeUnknown(f"{node} does not lead after {timeout:g} s; it was told to, and may yet")
            if left <= 0:
                raise Unavailable(
                    f"{node} does not lead within {timeout:g} s; nobody that answers does, or it is too slow"
                )
            if leader and not leader.transferee:
                may_happen = True
                try:
                    client.ask(target.controls[leader.name], "transfer", left, to=node)
                    asked = leader.name
                except Unavailable:
                    pass  # the request may be lost, or its answer: look again
                except RaftkvError as error:  # for good, unless it has stopped leading meanwhile
                    asked, refused, may_happen = leader.name, str(error), False
            time.sleep(POLL_SECONDS)


def list_alarms(
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Print every node's alarms, a line each. Nothing when there are none.

    NOSPACE: the disk is full and the node takes no writes; it ends by itself when space returns.
    CORRUPT: the node's state is another than a peer's at the same entry of the log, or a leader has another
    entry than the one that is committed here. Which of them is right, only people can tell: compare with a
    third node, and restore the one that is wrong.
    """
    found, silent = _alarms(find_whole_cluster(endpoints, config, data, timeout), timeout)
    if json:
        emit_json({"alarms": [{"node": node, "alarm": alarm} for node, alarm in found], "silent": silent})
    else:
        for node, alarm in found:
            emit(f"{node}\t{alarm}")
    if silent:
        raise Unavailable(f"{', '.join(silent)} did not answer: what alarms are there is not known")


def clear_alarms(
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Take back CORRUPT on all nodes. It comes back if states still differ. NOSPACE cannot be cleared."""
    from raftkv.cluster.control import ControlClient

    deadline = time.monotonic() + timeout
    target = find_whole_cluster(endpoints, config, data, timeout)
    before, _ = _alarms(target, timeout)
    assert target.controls is not None
    left = max(LEFT_SECONDS_MIN, deadline - time.monotonic())
    with ControlClient(target.key) as client:
        answers = client.ask_all(list(target.controls.values()), "clear_alarms", left)
    silent = [name for name, endpoint in target.controls.items() if answers[endpoint] is None]
    cleared = [f"{alarm} of {node}" for node, alarm in before if alarm == "CORRUPT" and node not in silent]
    note(f"cleared {', '.join(cleared)}" if cleared else "nothing to clear")
    if silent:  # and may have been cleared, if it was only slow
        raise OutcomeUnknown(f"{', '.join(silent)} did not answer")


def _alarms(target: Target, timeout: float) -> tuple[list[tuple[str, str]], list[str]]:
    """(node, alarm) of those that answer, and the names of the others."""
    from raftkv.cluster.control import ControlClient, snapshots

    assert target.controls is not None
    with ControlClient(target.key) as client:
        views = snapshots(client, target.controls, min(timeout, 1.0))
    if not any(views.values()):
        raise Unreachable("no node answers")
    alarms = [(name, alarm) for name, view in views.items() if view for alarm in view.alarms]
    return alarms, [name for name, view in views.items() if view is None]


def doctor(
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Look a cluster over, from its ports to its disks. Exit 1 if anything is bad.

    Compares the nodes' states as well. The disks are looked at where this machine's data is known: with
    --data, --config, or in ./.raftkv.
    """
    from raftkv.cluster.doctor import Verdict, examine

    target = find_whole_cluster(endpoints, config, data, timeout)
    findings = []
    for finding in examine(target, min(timeout, 1.0), target.data):
        findings.append(finding)
        if not json:
            emit(f"{finding.verdict:<8} {finding.what}")
    bad = [finding for finding in findings if finding.verdict is Verdict.BAD]
    if json:
        found = [{"verdict": str(finding.verdict), "what": finding.what} for finding in findings]
        emit_json({"healthy": not bad, "findings": found})
    if bad:
        raise typer.Exit(Exit.NO)
