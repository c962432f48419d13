"""Disks: a slow one, full ones, and all power lost at once."""

from __future__ import annotations

import threading

from raftkv.cluster.scenarios.model import Scenario
from raftkv.cluster.scenarios.stage import FAULT_SECONDS, Judgement, Stage
from raftkv.cluster.scenarios.views import describe
from raftkv.errors import ClientError, ScenarioFailed
from raftkv.kv import prefix_end
from raftkv.observe import DiskFault

SLOW_MS = 100.0
"""Of each write: far below an election timeout."""
HUNG_MS = 1500.0
"""Far above one."""
REFUSED_SECONDS = 1.5
"""For a request that cannot be served."""
WRITES_BEFORE = 50
WRITES_MAX = 20_000


def slow_disk(stage: Stage) -> None:
    old = stage.leader()
    rest = stage.others(old.name)
    stage.say(f"Make every write to the disk of the leader {old.name} {SLOW_MS:g} ms slower.")
    stage.did(stage.chaos.disk(old.name, DiskFault(slow_ms=SLOW_MS), FAULT_SECONDS))
    stage.ask(
        "The leader's disk is slow, those of the others are not. Do clients have to wait for it?",
        ("yes, the leader must have it first", "no, a majority of others suffices"),
        1,
        "the leader sends an entry to the others while it writes it itself, and counts like any other",
    )
    stage.check(
        "entries are committed that the leader's own disk does not have yet",
        lambda: _ahead_of_disk(stage, old.name),
    )
    stage.say(f"Now the disk hangs: {HUNG_MS:g} ms a write, longer than an election timeout.")
    stage.did(stage.chaos.disk(old.name, DiskFault(slow_ms=HUNG_MS), FAULT_SECONDS))
    stage.check(
        f"{old.name} has given up its office by itself", lambda: _deposed_while_writing(stage, old.name, rest)
    )
    new = stage.leader(among=rest)
    stage.assure("another node leads", new.name != old.name, describe([new]))
    revision = stage.put("slow-disk", "by the new leader")
    stage.assure("clients are served meanwhile", True, f"a write at revision {revision}")
    stage.say("Heal the disk.")
    stage.did(stage.chaos.disk(old.name, DiskFault(), None))
    stage.await_whole()
    stage.check_equal()


def _ahead_of_disk(stage: Stage, leader: str) -> Judgement:
    stage.put("slow-disk", "acknowledged")
    view = stage.view(leader)
    found = f"commit index {view.commit_index}, durable on {leader}: {view.persisted_index}"
    return view.leads and view.persisted_index < view.commit_index, found


def _deposed_while_writing(stage: Stage, old: str, rest: list[str]) -> Judgement:
    stage.put("slow-disk", "while it hangs")
    view = stage.view(old)
    return not view.leads and any(other.leads for other in stage.views(rest).values()), describe([view])


def disk_full(stage: Stage) -> None:
    stage.put("disk-full", "before")
    stage.check_equal()
    leader = stage.leader().name
    stage.say(f"Let every node's disk be full, that of the leader {leader} last.")
    for name in (*stage.others(leader), leader):
        stage.did(stage.chaos.disk(name, DiskFault(full=True), FAULT_SECONDS))
    stage.ask(
        "A client writes. What do the nodes do?",
        ("stop, as after any disk error", "acknowledge, and write it later", "refuse, and wait for space"),
        2,
        "that a write found no space changed nothing on disk, so it may safely be tried again",
    )
    for number in range(2):
        _write_refused(stage, number)
    stage.check("an alarm says why", lambda: _alarmed(stage))
    for name in stage.names:
        entry = stage.stale(name, "disk-full")
        value = entry.value if entry else None
        stage.assure(f"{name} lives, and serves stale reads", value == b"before", f"{value!r}")
    read = stage.get("disk-full")
    stage.assure(f"the leader {leader} serves fresh ones", read == "before", f"{read!r}")
    stage.say("Make room again.")
    stage.did(stage.chaos.heal().command)
    stage.await_whole()
    stage.check("no alarm is left", lambda: _calm(stage))
    stage.put("disk-full", "after")
    value_now = stage.get("disk-full")
    stage.assure("writes are served again", value_now == "after", f"{value_now!r}")
    stage.check_equal()


def _write_refused(stage: Stage, number: int) -> None:
    with stage.connect(stage.endpoints, REFUSED_SECONDS) as client:
        try:
            client.put(stage.key(f"refused/{number}"), "no room")
        except ClientError as error:
            stage.assure("a write is not acknowledged", True, str(error))
        else:
            raise ScenarioFailed("a write is not acknowledged", "it was")


def _alarmed(stage: Stage) -> Judgement:
    found = [name for name, view in stage.views().items() if "NOSPACE" in view.alarms]
    return bool(found), f"NOSPACE on {', '.join(found) or 'none'}"


def _calm(stage: Stage) -> Judgement:
    views = stage.views()
    found = [name for name, view in views.items() if view.alarms]
    return len(views) == len(stage.names) and not found, f"alarms on {', '.join(found) or 'no node'}"


def power_loss(stage: Stage) -> None:
    stage.require_launcher("kills processes")
    stage.say("A client writes one key after the other, and notes which of them were acknowledged.")
    acknowledged: list[int] = []
    stop = threading.Event()
    writer = threading.Thread(target=_write_on, args=(stage, acknowledged, stop), name="writer", daemon=True)
    writer.start()
    try:
        stage.wait("some writes", lambda: len(acknowledged) >= WRITES_BEFORE or None)
        stage.say(
            f"Kill all {len(stage.names)} nodes with SIGKILL while it writes on, as near to that as is safe."
        )
        for name in stage.names:
            stage.did(stage.chaos.kill(name, FAULT_SECONDS))
    finally:
        stop.set()
        writer.join()
    stage.ask(
        f"{len(acknowledged):,} writes were acknowledged. How many are there after a restart?",
        ("all of them", "all but those of the last moment", "that depends"),
        0,
        "nothing is acknowledged before a majority of nodes has it on disk, synced",
    )
    for name in stage.names:
        stage.did(stage.chaos.restart(name))
    stage.await_whole()
    start = stage.key("power/").encode()
    try:
        there = {int(entry.value) for entry in stage.client.range(start, prefix_end(start))}
    except ClientError as error:
        raise ScenarioFailed("the keys can be read", str(error)) from None
    missing = sorted(set(acknowledged) - there)
    extra = len(there - set(acknowledged))
    stage.assure(
        "every acknowledged write is there",
        not missing,
        f"{len(missing)} of {len(acknowledged):,} missing, {extra} more whose answer was lost",
    )
    stage.check_equal()


def _write_on(stage: Stage, acknowledged: list[int], stop: threading.Event) -> None:
    with stage.connect(stage.endpoints, REFUSED_SECONDS) as client:
        for number in range(WRITES_MAX):
            if stop.is_set():
                return
            try:
                client.put(stage.key(f"power/{number:06}"), str(number))
            except ClientError:
                continue  # it may be there or not
            acknowledged.append(number)


SLOW_DISK = Scenario(
    "slow-disk",
    "A slow disk under the leader",
    "thesis §10.2.1",
    "Entries are committed before the leader's own slow disk has them. When the disk hangs, the leader gives "
    "up its office.",
    3,
    slow_disk,
)
DISK_FULL = Scenario(
    "disk-full",
    "Full disks",
    "thesis §3.8",
    "No node has space left: writes are refused, reads are served, nobody ends. When there is space again, "
    "all goes on.",
    3,
    disk_full,
)
POWER_LOSS = Scenario(
    "power-loss",
    "Total loss of power",
    "§5.1",
    "All nodes are killed at the same moment while a client writes. After a restart every acknowledged write "
    "is there.",
    3,
    power_loss,
)
