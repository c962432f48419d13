"""Pitfalls 34 and 36 to 38: what is built on the store. Leases, locks, watches, transactions."""

from __future__ import annotations

import random
from typing import Any

from raftkv.client import requests, txn
from raftkv.client.scripts import Hold, Script
from raftkv.errors import ClientError, Compacted
from raftkv.kv import Code, Op, Restoration, StateMachine
from raftkv.kv.transactions import Step
from raftkv.recipes.line import Place
from raftkv.sim.clients import SimClient
from raftkv.sim.scripts import Runner, SimLease
from raftkv.sim.tenants import Holder, Holders, Observer, check_tokens
from tests.kv.support import Client
from tests.support.world import World

TTL = 1.0
MARGIN = 0.1
"""Of the clocks, that the cluster waits for besides."""


def runner(client: SimClient) -> Runner:
    return Runner(client, 5.0, lambda _: None)


def carry_out(world: World, script: Script[Any], client: SimClient) -> Any:
    """What it gives back, or the error that it ends with."""
    ended: list[Any] = []
    runner(client).run(script, ended.append, ended.append)
    world.reach(lambda: ended, 20.0)
    if isinstance(ended[0], ClientError):
        raise ended[0]
    return ended[0]


def hold(world: World, client: SimClient, ttl: float = TTL) -> SimLease:
    """A lease that is kept alive."""

    def script() -> Script[SimLease]:
        lease: SimLease = yield Hold(ttl)
        lease.keep()
        yield requests.put("held", "v", lease.id)
        return lease

    lease = carry_out(world, script(), client)
    assert isinstance(lease, SimLease)
    return lease


def has_key(world: World) -> bool:
    leader = world.leader()
    return leader is not None and b"held" in world.node(leader).store.machine.items


def end_of(world: World, since: float) -> float:
    """How long after ``since`` the key was gone."""
    world.reach(lambda: not has_key(world) and world.leader(), 30.0)
    return world.now - since


def settled() -> tuple[World, SimClient, str]:
    world = World()
    leader = world.await_leader()
    world.run(1.0)
    return world, world.client("holder"), leader


def test_pitfall_34_a_lease_that_nobody_renews_ends_and_no_sooner_than_its_holder_knows() -> None:
    world, client, _ = settled()
    lease = hold(world, client)
    lease.abandon()
    valid_until = lease.kept.valid_until
    end_of(world, world.now)
    assert valid_until <= world.now <= valid_until + TTL * MARGIN + 0.5


def test_pitfall_34_a_lease_that_is_renewed_lives_on() -> None:
    world, client, _ = settled()
    lease = hold(world, client)
    world.run(10 * TTL)
    assert has_key(world)
    assert not lease.lost


def test_pitfall_34_no_single_clock_ends_a_lease() -> None:
    """The leader's runs ten times too fast, then a follower's."""
    for fast in (True, False):
        world, client, leader = settled()
        lease = hold(world, client, 3.0)
        lease.abandon()
        valid_until = lease.kept.valid_until
        node = leader if fast else next(name for name in world.names if name != leader)
        world.machine(node).set_clock_rate(10.0)
        while has_key(world) or not world.leader():
            world.run(0.01)
            assert world.now < 60.0
        assert world.now >= valid_until


def test_pitfall_34_a_change_of_leader_gives_every_lease_its_full_time_again() -> None:
    world, client, leader = settled()
    lease = hold(world, client)
    lease.abandon()
    world.run(0.8 * TTL)
    world.crash(leader)
    world.reach(lambda: world.leader() not in (None, leader))
    elected = world.now
    assert has_key(world)
    assert end_of(world, elected) >= TTL


def test_pitfall_34_a_renewal_that_is_first_in_the_log_wins_over_an_end_that_was_agreed_on() -> None:
    machine = StateMachine()
    client = Client(machine)
    lease_id, _ = client.do(Op.LEASE_GRANT, 1000).detail
    client.do(Op.PUT, b"held", b"v", lease_id)
    client.do(Op.LEASE_KEEP_ALIVE, [lease_id])
    import msgpack

    machine.advance(machine.applied_index + 1, msgpack.packb((0, None, [(lease_id, lease_id)])))
    assert machine.get(b"held")
    renewed = machine.leases.find(lease_id).renewed_index
    machine.advance(machine.applied_index + 1, msgpack.packb((0, None, [(lease_id, renewed)])))
    assert machine.get(b"held") is None
    assert client.do(Op.LEASE_KEEP_ALIVE, [lease_id]).detail == (0,)


def test_pitfall_34_more_leases_than_one_report_holds_end_with_a_node_down() -> None:
    """Each node reports the same first thousand again and again, and another node another thousand."""
    world, client, leader = settled()
    others = [name for name in world.names if name != leader]

    def many() -> Script[None]:
        ids: list[int] = []
        for _ in range(40):
            granted: int = yield requests.grant(TTL)
            ids.insert(0, granted)
        for lease_id in ids:
            yield requests.keep_alive([lease_id])

    from raftkv.actors import leases

    before, leases.REPORTED_MAX = leases.REPORTED_MAX, 10
    try:
        carry_out(world, many(), client)
        world.crash(others[0])
        # In the order of the renewals for the leader, in that of the grants for one that has just started.
        world.crash(others[1])
        world.start(others[1])
        machine = world.node(leader).store.machine
        world.reach(lambda: not len(machine.leases), 30.0)
    finally:
        leases.REPORTED_MAX = before


def test_pitfall_36_a_holder_that_slept_through_its_lease_cannot_write_under_the_guard() -> None:
    world, client, _ = settled()
    other = world.client("other")
    first, second = Place(b"lock", TTL), Place(b"lock", TTL)
    carry_out(world, first.join(), client)
    assert carry_out(world, first.await_turn(lambda _: True, None), client)
    guard, token = first.guard(), first.token
    client.freeze(5 * TTL)
    carry_out(world, second.join(), other)
    assert carry_out(world, second.await_turn(lambda _: True, None), other)
    assert second.token > token, "a fencing token grows"
    carry_out(world, iter_of(requests.txn([second.guard()], [txn.put("guarded", "new")], [])), other)
    world.run(5 * TTL)
    assert first.is_lost
    done = carry_out(world, iter_of(requests.txn([guard], [txn.put("guarded", "old")], [])), client)
    assert not done.succeeded
    entry = carry_out(world, iter_of(requests.get("guarded")), client)
    assert entry.value == b"new"


def iter_of(request: requests.Request[Any]) -> Script[Any]:
    answer = yield request
    return answer


def test_pitfall_36_one_holder_at_a_time_though_they_freeze_and_nodes_die() -> None:
    world = World(seed=5)
    world.await_leader()
    holders = Holders(lambda: world.now, world.clocks_were_true)
    world.watcher.twin.on_lease_ended = holders.on_lease_ended
    tenants = [
        Holder(world.client(f"h{number}"), random.Random(number), 0.5, 2.0, holders) for number in range(3)
    ]
    for tenant in tenants:
        tenant.begin()
    for round_number in range(4):
        world.run(5.0)
        victim = world.names[round_number % 3]
        world.crash(victim)
        world.run(2.0)
        world.start(victim)
    assert check_tokens(world.watcher.twin) > 10
    assert holders.checked > 0


def observed(world: World, observer: Observer) -> bool:
    return observer.revision == world.watcher.twin.revision


def test_pitfall_37_a_watch_survives_its_node_and_misses_nothing() -> None:
    world = World(seed=3)
    leader = world.await_leader()
    observer = Observer(world.client("o1"))
    user = world.user()
    for turn in range(4):
        for number in range(20):
            user.put(f"k{number % 5}", f"{turn}.{number}", timeout=20.0)
        leader = world.await_leader()
        world.crash(leader)
        world.run(2.0)
        world.start(leader)
    world.reach(lambda: not user.core.calls_open and observed(world, observer), 30.0)
    observer.check(world.watcher.twin)
    assert not observer.gaps
    assert len(observer.events) >= 70


def test_pitfall_37_a_cut_off_leader_does_not_keep_its_watchers() -> None:
    world = World(seed=4)
    leader = world.await_leader()
    observer = Observer(world.client("o1", [leader]))
    world.run(1.0)
    world.cut_off(leader)
    user = world.user()
    put = user.put("a", "1", timeout=20.0)
    world.reach(lambda: put.response, 20.0)
    world.reach(lambda: observed(world, observer), 10.0)
    observer.check(world.watcher.twin)


def test_pitfall_37_a_watch_from_a_compacted_revision_says_so_and_one_after_it_misses_no_delete() -> None:
    world, client, _ = settled()
    for request in (
        requests.put("a", "1"),
        requests.put("a", "2"),
        requests.delete("a"),
        requests.compact(2),
    ):
        carry_out(world, iter_of(request), client)
    heard: list[Any] = []
    errors: list[ClientError] = []
    from raftkv.client.watching import Watch

    late = Watch(b"a", b"b", 1, 0, lambda *_: None, errors.append)
    after = Watch(b"a", b"b", 2, 0, lambda events, _: heard.extend(events), errors.append)
    for watch in (late, after):
        client.act(lambda core, now, watch=watch: core.watches.begin(watch, now))  # type: ignore[misc]
    world.reach(lambda: errors and heard, 5.0)
    (error,) = errors
    assert isinstance(error, Compacted)
    assert error.revision == 2
    assert [(event.type, event.mod_revision) for event in heard] == [("delete", 3)]


def test_pitfall_38_a_transaction_that_reads_what_is_compacted_fails_whole_and_everywhere() -> None:
    machine = StateMachine()
    client = Client(machine)
    for value in (b"1", b"2", b"3"):
        client.put(b"a", value)
    client.do(Op.COMPACT, 2)
    other = StateMachine()
    capture, last, restoration = machine.begin_capture(), False, Restoration(other)
    while not last:
        chunk, last = capture.next_chunk()
        restoration.feed(chunk)
    read = (Step.RANGE, b"a", None, 0, False, False, False)
    for revision, code in ((1, Code.COMPACTED), (2, Code.OK), (9, Code.FUTURE_REVISION)):
        steps = [(Step.PUT, b"b", b"x", 0), (*read, revision)]
        before = machine.digest
        answers = []
        for each in (machine, other):
            again = Client(each, client_id=revision + 7)
            answers.append(again.do(Op.TXN, (), steps, ()))
        assert answers[0] == answers[1]
        assert answers[0].code == code
        assert machine.digest == other.digest
        assert (machine.digest == before) == (code != Code.OK), "all or nothing"


def test_pitfall_38_a_transaction_that_fails_half_way_leaves_nothing_behind() -> None:
    machine = StateMachine()
    client = Client(machine)
    client.put(b"a", b"1")
    before = (machine.revision, machine.digest, list(machine.items.items()), list(machine.keys))
    for last in (
        (Step.PUT, b"c", b"x", 99),
        (Step.RANGE, b"a", None, 0, False, False, False, 77),
        (Step.TXN, (), ((Step.PUT, b"d", b"x", 99),), ()),
    ):
        steps = [(Step.PUT, b"a", b"2", 0), (Step.DELETE, b"a", b""), (Step.PUT, b"b", b"x", 0), last]
        answer = client.do(Op.TXN, (), steps, ())
        assert answer.code in (Code.LEASE_NOT_FOUND, Code.FUTURE_REVISION)
        assert before == (
            machine.revision,
            machine.digest,
            list(machine.items.items()),
            list(machine.keys),
        )
        assert len(machine.history) == 1
