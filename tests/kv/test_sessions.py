"""Exactly once: retries, windows, and clients that were forgotten."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.kv import Answer, Code, Command, KeyValue, Op, SessionLimits, StateMachine
from raftkv.kv.commands import WAS_IN_LOG
from raftkv.kv.limits import SESSION_IDLE_MS, SESSION_WINDOW, SESSIONS_MAX
from raftkv.kv.sessions import Session
from tests.kv.support import Client, contents, copied


@pytest.fixture
def machine() -> StateMachine:
    return StateMachine()


@pytest.fixture
def client(machine: StateMachine) -> Client:
    return Client(machine)


def few_sessions(machine: StateMachine, limit: int = 2) -> None:
    machine.sessions.limits = SessionLimits(sessions_max=limit)


# -- retries


def test_a_retry_returns_the_first_answer_and_changes_nothing(machine: StateMachine, client: Client) -> None:
    first = client.send(1, 0, Op.PUT, b"a", b"1")
    client.send(2, 0, Op.PUT, b"a", b"2")
    before = machine.revision, machine.digest, contents(machine)
    assert client.send(1, 0, Op.PUT, b"a", b"1") == first == Answer(Code.OK, 1)
    assert (machine.revision, machine.digest, contents(machine)) == before


def test_a_retry_of_a_failed_compare_fails_again_although_it_would_hold_now(
    machine: StateMachine, client: Client
) -> None:
    first = client.send(1, 0, Op.COMPARE_AND_SET, b"a", b"x", b"y")
    client.send(2, 0, Op.PUT, b"a", b"x")
    assert client.send(1, 0, Op.COMPARE_AND_SET, b"a", b"x", b"y") == first
    assert first == Answer(Code.COMPARE_FAILED, 0, None)
    assert machine.get(b"a") == KeyValue(b"x", 1, 1, 1)


def test_a_retry_of_a_delete_answers_one_again(client: Client) -> None:
    client.send(1, 0, Op.PUT, b"a", b"1")
    first = client.send(2, 0, Op.DELETE, b"a")
    assert client.send(2, 0, Op.DELETE, b"a") == first == Answer(Code.OK, 2, 1)


def test_a_retry_moves_the_applied_index(machine: StateMachine, client: Client) -> None:
    client.send(1, 0, Op.PUT, b"a", b"1")
    client.send(1, 0, Op.PUT, b"a", b"1")
    assert machine.applied_index == 2


def test_clients_do_not_share_sequences(machine: StateMachine) -> None:
    for client_id in (1, 2, 3):
        assert Client(machine, client_id).send(1, 0, Op.PUT, b"a", b"%d" % client_id).revision == client_id


# -- the window


def test_sequences_may_arrive_in_any_order_within_the_window(machine: StateMachine, client: Client) -> None:
    order = [5, 1, SESSION_WINDOW - 1, 3, 2, 4]
    answers = {sequence: client.send(sequence, 0, Op.PUT, b"%d" % sequence, b"") for sequence in order}
    assert [answers[sequence].revision for sequence in order] == [1, 2, 3, 4, 5, 6]
    for sequence, answer in answers.items():
        assert client.send(sequence, 0, Op.PUT, b"%d" % sequence, b"") == answer
    assert len(machine) == 6


def test_a_sequence_beyond_the_window_is_refused_until_the_floor_rises(
    machine: StateMachine, client: Client
) -> None:
    answer = client.send(SESSION_WINDOW, 0, Op.PUT, b"a", b"1")
    assert answer == Answer(Code.BUSY, 0, WAS_IN_LOG), "later, not never: the client may ask again"
    assert client.send(SESSION_WINDOW, 1, Op.PUT, b"a", b"1") == Answer(Code.OK, 1)


def test_answers_below_the_floor_are_dropped_and_strays_below_it_not_applied(
    machine: StateMachine, client: Client
) -> None:
    for sequence in range(1, 6):
        client.send(sequence, 1, Op.PUT, b"a", b"%d" % sequence)
    client.send(6, 4, Op.PUT, b"a", b"6")
    before = machine.revision, machine.digest
    for stray in (1, 2, 3):
        assert client.send(stray, 1, Op.PUT, b"a", b"stray").code == Code.INVALID
    assert client.send(4, 1, Op.PUT, b"a", b"4") == Answer(Code.OK, 4)
    assert (machine.revision, machine.digest) == before


def test_a_floor_never_falls(client: Client) -> None:
    client.send(10, 10, Op.PUT, b"a", b"1")
    assert client.send(9, 0, Op.PUT, b"a", b"2").code == Code.INVALID
    assert client.send(10 + SESSION_WINDOW, 0, Op.PUT, b"a", b"2").code == Code.BUSY


def test_a_floor_above_its_own_sequence_is_refused(machine: StateMachine, client: Client) -> None:
    assert client.send(3, 4, Op.PUT, b"a", b"1").code == Code.INVALID
    assert machine.revision == 0


@pytest.mark.parametrize("answers", [0, 1, 100])
def test_a_floor_that_jumps_as_far_as_numbers_go_costs_nothing(
    machine: StateMachine, client: Client, answers: int
) -> None:
    """A loop over the gap would take centuries: to end at all is the test."""
    for sequence in range(1, answers + 1):
        client.send(sequence, 0, Op.PUT, b"a", b"")
    for far in (2**40, 2**62, 2**64 - SESSION_WINDOW):
        assert client.send(far, far, Op.PUT, b"a", b"").code == Code.OK
    assert client.send(1, 0, Op.PUT, b"a", b"").code == Code.INVALID


def test_what_one_client_makes_a_node_remember_is_bounded(machine: StateMachine, client: Client) -> None:
    for sequence in range(3 * SESSION_WINDOW):
        client.send(sequence, max(0, sequence - 1000), Op.DELETE, b"a")
    client.send(10 * SESSION_WINDOW, 0, Op.DELETE, b"a")
    session = machine.sessions.enter(client.client_id, 0, machine.applied_index + 1)
    assert session is not None
    assert len(session.answers) == 1001
    for sequence in range(3 * SESSION_WINDOW, 9 * SESSION_WINDOW):
        client.send(sequence, 0, Op.DELETE, b"a")
    assert len(session.answers) <= SESSION_WINDOW


# -- forgotten clients


def test_the_client_idle_for_longest_is_forgotten_first(machine: StateMachine) -> None:
    few_sessions(machine)
    one, two, three = (Client(machine, client_id, born=0) for client_id in (1, 2, 3))
    one.send(1, 0, Op.PUT, b"a", b"1")
    two.send(1, 0, Op.PUT, b"a", b"2")
    one.send(1, 0, Op.PUT, b"a", b"1")  # a retry is activity too
    assert three.send(1, 0, Op.PUT, b"a", b"3").code == Code.OK
    assert len(machine.sessions) == 2
    assert one.send(1, 0, Op.PUT, b"a", b"1") == Answer(Code.OK, 1)
    assert two.send(1, 0, Op.PUT, b"a", b"2").code == Code.SESSION_EXPIRED


def test_a_retry_of_a_forgotten_client_is_refused_and_not_applied(machine: StateMachine) -> None:
    few_sessions(machine)
    forgotten = Client(machine, 1)
    forgotten.send(1, 0, Op.PUT, b"a", b"1")
    for client_id in (2, 3):
        Client(machine, client_id).send(1, 0, Op.PUT, b"a", b"newer")
    before = machine.revision, machine.digest, contents(machine)
    for sequence in (1, 2):
        assert forgotten.send(sequence, 0, Op.PUT, b"a", b"1") == Answer(Code.SESSION_EXPIRED, 3)
    assert (machine.revision, machine.digest, contents(machine)) == before


def test_a_refused_client_takes_nobodys_place(machine: StateMachine) -> None:
    few_sessions(machine)
    clients = [Client(machine, client_id, born=0) for client_id in (1, 2, 3)]
    for client in clients:
        client.send(1, 0, Op.PUT, b"a", b"")
    for _ in range(5):
        assert clients[0].send(2, 0, Op.PUT, b"a", b"").code == Code.SESSION_EXPIRED
    for client in clients[1:]:
        assert client.send(2, 0, Op.PUT, b"a", b"").code == Code.OK


def test_a_client_born_after_the_last_forgetting_is_new(machine: StateMachine) -> None:
    few_sessions(machine)
    for client_id in (1, 2, 3, 4):
        assert Client(machine, client_id).send(1, 0, Op.PUT, b"a", b"").code == Code.OK
    horizon = machine.sessions.horizon
    assert horizon == 2
    assert Client(machine, 5, born=horizon - 1).send(1, 0, Op.PUT, b"a", b"").code == Code.SESSION_EXPIRED
    assert Client(machine, 6, born=horizon).send(1, 0, Op.PUT, b"a", b"").code == Code.OK


def test_the_horizon_never_falls(machine: StateMachine) -> None:
    few_sessions(machine)
    horizons = []
    for client_id in range(1, 20):
        Client(machine, client_id).send(1, 0, Op.PUT, b"a", b"")
        horizons.append(machine.sessions.horizon)
    assert horizons == sorted(horizons)


def test_whoever_was_ever_forgotten_stays_refused_for_good(machine: StateMachine) -> None:
    """Over many clients with retries in between: no command is ever applied twice."""
    few_sessions(machine, 3)
    clients = []
    for client_id in range(1, 40):
        client = Client(machine, client_id)
        assert client.send(1, 0, Op.PUT, b"%d" % client_id, b"").code == Code.OK
        clients.append(client)
        for old in clients[-7::2]:
            old.send(1, 0, Op.PUT, b"%d" % old.client_id, b"")
    assert [item.version for _, item in contents(machine)] == [1] * 39


@pytest.mark.parametrize("ahead", [0, 1, 2**40])
def test_a_client_born_at_or_after_its_own_command_is_refused(machine: StateMachine, ahead: int) -> None:
    machine.skip(10)
    client = Client(machine, born=11 + ahead)
    assert client.send(1, 0, Op.PUT, b"a", b"1").code == Code.SESSION_EXPIRED
    assert (machine.revision, len(machine.sessions)) == (0, 0)


def test_a_known_client_is_not_asked_for_its_birth_again(machine: StateMachine) -> None:
    Client(machine, 1, born=0).send(1, 0, Op.PUT, b"a", b"1")
    assert Client(machine, 1, born=2**40).send(2, 0, Op.PUT, b"a", b"2").code == Code.OK


def test_as_many_clients_are_remembered_as_the_limit_says(machine: StateMachine) -> None:
    for client_id in range(1, SESSIONS_MAX + 1):
        machine.apply(client_id, Command(client_id, 0, 1, 0, Op.DELETE, (b"a",)).encode())
    assert len(machine.sessions) == SESSIONS_MAX
    assert machine.sessions.horizon == 0
    machine.apply(SESSIONS_MAX + 1, Command(SESSIONS_MAX + 1, 0, 1, 0, Op.DELETE, (b"a",)).encode())
    assert len(machine.sessions) == SESSIONS_MAX
    assert machine.sessions.horizon == 1


# -- log time


def pass_time(machine: StateMachine, milliseconds: object) -> None:
    machine.advance(machine.applied_index + 1, msgpack.packb((milliseconds, None, ())))


def test_a_client_idle_for_too_long_is_forgotten_and_told_so(machine: StateMachine) -> None:
    idle, busy = Client(machine, 1), Client(machine, 2, born=0)
    idle.put(b"a", b"1")
    for _ in range(4):
        busy.put(b"b", b"")
        pass_time(machine, SESSION_IDLE_MS // 4)
    assert len(machine.sessions) == 2  # to the millisecond: not yet
    pass_time(machine, 1)
    assert len(machine.sessions) == 1
    before = machine.revision, machine.digest, contents(machine)
    assert idle.send(1, 1, Op.PUT, b"a", b"1").code == Code.SESSION_EXPIRED
    assert idle.put(b"a", b"2").code == Code.SESSION_EXPIRED
    assert (machine.revision, machine.digest, contents(machine)) == before
    assert busy.put(b"b", b"").code == Code.OK
    assert Client(machine, 3).put(b"a", b"2").code == Code.OK


def test_time_alone_forgets_nobody_before_it_is_due(machine: StateMachine, client: Client) -> None:
    first = client.send(1, 1, Op.PUT, b"a", b"1")
    for _ in range(10):
        pass_time(machine, SESSION_IDLE_MS // 10)
    assert client.send(1, 1, Op.PUT, b"a", b"1") == first


@pytest.mark.parametrize("nonsense", [0, -1, 2**50, 1.5, None, True, "1000", [1000]])
def test_a_clock_entry_that_makes_no_sense_changes_nothing(
    machine: StateMachine, client: Client, nonsense: object
) -> None:
    client.put(b"a", b"1")
    pass_time(machine, nonsense)
    assert (machine.sessions.now_ms, len(machine.sessions), machine.applied_index) == (0, 1, 2)
    machine.advance(3, b"\xc1")
    assert (machine.sessions.now_ms, machine.applied_index) == (0, 3)


# -- answers that wait


def test_a_client_that_fetches_nothing_is_told_to_wait_and_changes_nothing(machine: StateMachine) -> None:
    """Whichever operations its answers come from: what it holds of them is bounded in bytes."""
    machine.sessions.limits = SessionLimits(answers_bytes_max=1900)
    client = Client(machine)
    client.put(b"a", b"v" * 900)
    lease = client.do(Op.LEASE_GRANT, 10_000).detail[0]
    first = client.sequence + 1
    for sequence in (first, first + 1):
        assert client.send(sequence, first, Op.COMPARE_AND_SET, b"a", b"x", b"y").code == Code.COMPARE_FAILED
    before = contents(machine), machine.revision, machine.digest
    renewed = machine.leases.get(lease)
    for command in (
        (Op.COMPARE_AND_SET, b"a", b"x", b"y"),
        (Op.LEASE_KEEP_ALIVE, (lease,) * 30),
        (Op.TXN, (), ((1, b"new", b"z", 0),), ()),
    ):
        assert client.send(first + 2, first, *command) == Answer(Code.BUSY, machine.revision, WAS_IN_LOG)
        assert (contents(machine), machine.revision, machine.digest) == before
        assert machine.leases.get(lease) == renewed
    assert client.send(first + 2, first, Op.COMPARE_AND_SET, b"a", b"v" * 900, b"y").code == Code.OK
    assert client.send(first + 3, first + 2, Op.TXN, (), ((1, b"new", b"z", 0),), ()).code == Code.OK


def test_the_answer_that_all_others_wait_for_always_finds_room(machine: StateMachine) -> None:
    """Or none of them could ever be taken: the floor is the lowest that has no answer yet."""
    machine.sessions.limits = SessionLimits(answers_bytes_max=1900)
    client = Client(machine)
    client.put(b"a", b"v" * 900)
    failing = (Op.COMPARE_AND_SET, b"a", b"x", b"y")
    lowest = client.sequence + 1
    codes = {
        sequence: client.send(sequence, lowest, *failing).code for sequence in range(lowest + 7, lowest, -1)
    }
    assert sorted(codes.values()) == [Code.COMPARE_FAILED] * 2 + [Code.BUSY] * 5
    while codes:
        assert client.send(lowest, lowest, *failing).code == Code.COMPARE_FAILED
        codes[lowest] = Code.COMPARE_FAILED
        while codes.get(lowest) == Code.COMPARE_FAILED:
            del codes[lowest]
            lowest += 1


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from([None, 0, 7, b"1234", (b"x", (1, 2))])), max_size=30
    )
)
def test_a_session_weighs_what_its_answers_weigh(steps: list[tuple[int, object]]) -> None:
    """However they came and went: a node that has them from a snapshot must come to the same."""
    session = Session()
    sequence = 0
    for jump, detail in steps:
        if jump and session.floor + jump > session.floor:
            session.raise_floor(session.floor + jump // 2 + 1)
        sequence = max(sequence + 1, session.floor)
        session.keep(sequence, Answer(Code.OK, 1, detail))
        found = session.weight
        session.weigh()
        assert found == session.weight


def test_what_all_clients_hold_together_is_bounded(machine: StateMachine) -> None:
    """In a snapshot each answer is a copy: a thousand ids that somebody invents, each with one of 256 KiB,
    would fill every node's disk, and its memory when it starts again."""
    machine.sessions.limits = SessionLimits(answers_total_bytes_max=5000)
    Client(machine).put(b"a", b"v" * 900)
    failing = (Op.COMPARE_AND_SET, b"a", b"x", b"y")
    clients = []
    for number in range(2, 12):
        clients.append(Client(machine, client_id=number))
        assert clients[-1].send(1, 0, *failing).code == Code.COMPARE_FAILED
    assert 4000 < machine.sessions.weight <= 5000
    codes = [client.send(1, 0, *failing).code for client in clients]
    assert codes == [Code.SESSION_EXPIRED] * 5 + [Code.COMPARE_FAILED] * 5
    assert copied(machine).sessions.weight == machine.sessions.weight
    for client in clients[5:]:
        assert client.send(2, 2, Op.PUT, b"b", b"").code == Code.OK
    assert machine.sessions.weight == 0


def test_one_client_alone_is_not_forgotten_for_what_it_holds(machine: StateMachine, client: Client) -> None:
    machine.sessions.limits = SessionLimits(answers_total_bytes_max=500)
    client.put(b"a", b"v" * 900)
    assert client.do(Op.COMPARE_AND_SET, b"a", b"x", b"y").code == Code.COMPARE_FAILED
    assert client.put(b"a", b"w").code == Code.OK
