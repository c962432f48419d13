"""Scripted moments of a cluster, for snapshot tests and for looking at."""

from __future__ import annotations

from collections.abc import Sequence

from raftkv.observe import LinkFault
from raftkv.tui.model import State, initial, reduce_all
from raftkv.tui.ports import FeedItem
from tests.tui.fakes import START, event, leader_snapshot, peer_snapshot, process, snapshot

NAMES = ("n1", "n2", "n3")
FIVE = ("n1", "n2", "n3", "n4", "n5")
NINE = tuple(f"n{number}" for number in range(1, 10))
BLOCK = LinkFault(block=True)
SLOW = LinkFault(drop=0.05, delay_ms=100, jitter_ms=20)


def state_of(*items: FeedItem, names: tuple[str, ...] = NAMES) -> State:
    return reduce_all(initial(names), items)


def healthy(names: Sequence[str] = NAMES, leader: str = "n2") -> list[FeedItem]:
    """A leader in term 7, everyone else in step."""
    items: list[FeedItem] = [process(name) for name in names]
    items += [
        leader_snapshot(name, names)
        if name == leader
        else snapshot(name, names, leader=leader, voted_for=leader)
        for name in names
    ]
    return items


def busy(names: Sequence[str] = NAMES) -> list[FeedItem]:
    """Forty seconds of ``healthy`` under load, so that rates and sparklines have something to show."""
    items: list[FeedItem] = []
    writes = dict.fromkeys(names, 0)
    for half in range(80):
        wave = 1 + half % 7 + (half * half) % 5
        for number, name in enumerate(names):
            leads = number == 1
            writes[name] += (3500 if leads else 40) + 130 * wave * (4 if leads else 1)
            make = leader_snapshot if leads else snapshot
            moment = START - 40 + half / 2
            last = 602 + 5 * half
            sync = 1.0 + wave * 0.3 + number
            items.append(
                make(name, names, time=moment, last_index=last, writes_total=writes[name], sync_ms_p99=sync)
            )
    return items


def election() -> list[FeedItem]:
    """n2 leads term 7 but its way to n3 is blocked; n3 came back with two entries of term 6 that
    never committed, and campaigns in term 8."""
    at = START - 2
    return [
        *busy(),
        *(process(name) for name in NAMES),
        event(1, "n2", "RoleChanged", at - 38.2, role="leader", term=7, reason="election-won"),
        event(1, "n1", "LeaderChanged", at - 38.1, term=7, leader_id="n2"),
        event(
            2,
            "n2",
            "LinkFaultSet",
            at - 7.4,
            to="n3",
            block=True,
            drop=0.0,
            delay_ms=0.0,
            jitter_ms=0.0,
            seconds=30.0,
        ),
        event(
            1,
            "n3",
            "LinkFaultSet",
            at - 4.1,
            to="n2",
            block=False,
            drop=0.05,
            delay_ms=100.0,
            jitter_ms=20.0,
            seconds=30.0,
        ),
        event(
            2,
            "n3",
            "AppendRejected",
            at - 0.9,
            term=7,
            leader="n2",
            prev_log_index=1036,
            conflict_term=6,
            conflict_index=1037,
        ),
        event(3, "n3", "RoleChanged", at - 0.4, role="pre_candidate", term=7, reason="election-timeout"),
        event(
            2,
            "n1",
            "VoteAnswered",
            at - 0.398,
            term=7,
            candidate="n3",
            granted=False,
            pre=True,
            reason="leader-alive",
        ),
        event(6, "n3", "RoleChanged", at + 0.1, role="candidate", term=8, reason="pre-vote-won"),
        event(
            7, "n3", "VoteReceived", at + 0.2, term=8, voter="n3", granted=True, pre=False, votes=1, needed=2
        ),
        snapshot(
            "n1",
            leader="n2",
            voted_for="n2",
            election_elapsed=9,
            commit_index=1041,
            applied_index=1041,
            terms=(6,) * 24 + (7,) * 6,
            pid=4201,
            writes_total=41_300,
            event_sequence=2,
            time=START,
        ),
        leader_snapshot(
            "n2",
            terms=(6,) * 24 + (7,) * 8,
            last_index=1044,
            commit_index=1042,
            pid=4202,
            event_sequence=2,
            peers=(peer_snapshot("n1", 1043), peer_snapshot("n3", 1036, state="probe", active=False)),
            faults={"n3": (BLOCK, 21.4)},
            writes_total=529_200,
            time=START,
            sync_ms_p99=1.9,
        ),
        snapshot(
            "n3",
            role="candidate",
            term=8,
            voted_for="n3",
            votes=1,
            election_elapsed=31,
            last_index=1038,
            commit_index=1030,
            applied_index=1030,
            terms=(6,) * 26,
            faults={"n2": (SLOW, 24.0)},
            pid=4203,
            writes_total=41_260,
            event_sequence=7,
            time=START,
        ),
    ]
