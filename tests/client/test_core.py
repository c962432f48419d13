"""``ClientCore`` without sockets: whom it asks, when it asks again, and what it says became of it."""

from __future__ import annotations

import gc
import random
from typing import Any

import msgpack
import pytest

from raftkv.client.calls import ANY_NODE, Call, Session
from raftkv.client.core import (
    BUSY_SECONDS,
    HELLO_SECONDS,
    LOOK_SECONDS,
    SILENCE_SECONDS,
    ClientCore,
)
from raftkv.client.framing import FRAME_REQUESTS_MAX
from raftkv.client.patience import DESERT_SECONDS, RESEND_SECONDS
from raftkv.client.peers import SILENT_SECONDS, Peers
from raftkv.client.watching import Watch
from raftkv.errors import (
    AccessRefused,
    ClientError,
    InvalidRequest,
    OutcomeUnknown,
    SessionExpired,
    Unavailable,
    Unreachable,
)
from raftkv.kv.commands import WAS_IN_LOG, Code, Command, Op
from raftkv.kv.limits import SESSION_WINDOW
from raftkv.wire.client import (
    FRAME_SLACK_BYTES,
    VERSION,
    Kind,
    Reply,
    Request,
    decode_requests,
    encode_responses,
)
from raftkv.wire.packing import REQUEST_BYTES_MAX, pack

N1, N2, N3 = "tcp://n1:1", "tcp://n2:1", "tcp://n3:1"
NODES = {"n1": N1, "n2": N2, "n3": N3}
TIMEOUT = 5.0


class Talk:
    """A core, a clock, and what was sent to whom."""

    def __init__(self, *endpoints: str) -> None:
        self.core = ClientCore(endpoints or (N1, N2, N3), random.Random(1))
        self.session = self.core.new_session()
        self.now = 100.0
        self.frames: list[tuple[str, bytes]] = []
        self.done: list[Call] = []

    def put(
        self, key: bytes = b"k", value: bytes = b"v", timeout: float = TIMEOUT, session: Session | None = None
    ) -> Call:
        fields = (Op.PUT, key, value)
        return self._submit(Call(fields, self.now + timeout, self.done.append, session or self.session))

    def get(self, stale: bool = False, target: str | None = None, timeout: float = TIMEOUT) -> Call:
        fields = (Kind.GET, b"k", 0, stale)
        return self._submit(Call(fields, self.now + timeout, self.done.append, None, target))

    def _submit(self, call: Call) -> Call:
        self.core.submit(call, self.now)
        return call

    def sent(self) -> dict[str, list[Request]]:
        """The requests that left since the last look, hellos apart, by endpoint."""
        self.frames = self.core.take_frames()
        found: dict[str, list[Request]] = {}
        for endpoint, frame in self.frames:
            requests = decode_requests(frame)[1]
            kept = [request for request in requests if request[1] != Kind.HELLO]
            if kept:
                found.setdefault(endpoint, []).extend(kept)
        return found

    def greeted(self) -> set[str]:
        """Whom a HELLO went to since the last look."""
        self.frames = self.core.take_frames()
        return {
            endpoint
            for endpoint, frame in self.frames
            if any(request[1] == Kind.HELLO for request in decode_requests(frame)[1])
        }

    def hello(
        self,
        node: str,
        leader: str | None,
        term: int = 1,
        cluster: str = "c",
        applied: int = 7,
        nodes: dict[str, str] = NODES,
    ) -> None:
        rows = tuple((name, endpoint, endpoint + "1", endpoint + "2") for name, endpoint in nodes.items())
        role = "leader" if node == leader else "follower"
        self.reply(NODES[node], (0, Code.OK, 0, (cluster, node, role, term, leader, applied, rows)))

    def reply(self, endpoint: str, *replies: Reply) -> None:
        self.core.on_frame(endpoint, encode_responses(replies), self.now)

    def answer(self, endpoint: str, call: Call, code: Code, detail: Any = None) -> None:
        self.reply(endpoint, (call.request_id, code, 9, detail))

    def wait(self, seconds: float, step: float = 0.01) -> None:
        """Let time pass as a shell would, in which nothing arrives."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.core.on_time(self.now)

    def led_by(self, leader: str, term: int = 1) -> Talk:
        """Past discovery."""
        warm_up = self.get()
        self.hello(leader, leader, term)
        self.answer(NODES[leader], warm_up, Code.OK)
        self.sent()
        self.done.clear()
        return self


def command_of(request: Request) -> Command:
    return Command.decode(request[4])


def names(request: Request) -> tuple[int, int]:
    """(client id, sequence) of a write."""
    assert request[1] == Kind.WRITE
    return request[2], request[3]


# -- finding the leader


def test_it_asks_everybody_and_then_only_the_leader() -> None:
    talk = Talk()
    call = talk.put()
    assert talk.greeted() == {N1, N2, N3}
    talk.hello("n1", leader="n2")
    assert set(talk.sent()) == {N2}
    talk.answer(N2, call, Code.OK)
    assert talk.done == [call]
    assert call.error is None
    assert call.response is not None
    assert call.response.revision == 9
    talk.put()
    assert set(talk.sent()) == {N2}, "no new round of questions"


def test_one_endpoint_is_enough_to_learn_of_all() -> None:
    talk = Talk(N3)
    talk.put()
    assert talk.greeted() == {N3}
    talk.hello("n3", leader="n1")
    assert set(talk.sent()) == {N1}


def test_while_nobody_leads_it_asks_again_and_again_but_not_more_often() -> None:
    talk = Talk()
    talk.put()
    assert talk.greeted() == {N1, N2, N3}
    rounds = 0
    for _ in range(100):
        talk.hello("n1", leader=None)
        talk.wait(0.01)
        rounds += bool(talk.greeted())
    assert rounds == pytest.approx(1.0 / HELLO_SECONDS, abs=2)
    talk.hello("n1", leader="n1", term=2)
    assert set(talk.sent()) == {N1}


def test_who_names_the_leader_of_an_older_term_is_not_believed() -> None:
    talk = Talk()
    talk.put()
    talk.hello("n2", leader="n2", term=5)
    assert set(talk.sent()) == {N2}
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n3", leader="n1", term=4)
    assert talk.sent() == {}
    talk.hello("n3", leader="n3", term=6)
    assert set(talk.sent()) == {N3}


def test_a_cluster_made_anew_is_believed_though_its_terms_begin_again() -> None:
    """Under the same name and at one of the old endpoints. Who said otherwise is gone for good."""
    talk = Talk().led_by("n2", term=9)
    for node in NODES:
        talk.hello(node, leader="n2", term=9)
    talk.wait(SILENT_SECONDS)
    call = talk.get()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n1", leader="n1", term=2, nodes={"n1": N1})
    assert set(talk.sent()) == {N1}
    talk.answer(N1, call, Code.OK)
    assert talk.done == [call]


# -- refusals


def test_no_leader_waits_for_one_and_the_request_did_not_happen() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    (first,) = talk.sent()[N1]
    talk.answer(N1, call, Code.NO_LEADER)
    assert talk.done == []
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n2", leader="n2", term=2)
    (again,) = talk.sent()[N2]
    assert names(again) == names(first)
    talk.answer(N2, call, Code.NO_LEADER)
    talk.wait(TIMEOUT)
    assert type(call.error) is Unavailable
    assert "no leader" in str(call.error)


@pytest.mark.parametrize(("code", "why"), [(Code.BUSY, "overloaded"), (Code.NO_SPACE, "NOSPACE")])
def test_a_refused_request_comes_again_after_a_moment(code: Code, why: str) -> None:
    talk = Talk().led_by("n1")
    call = talk.put(timeout=1.0)
    first = talk.sent()[N1]
    talk.answer(N1, call, code)
    assert talk.sent() == {}, "not at once: that would only add to the load"
    talk.wait(2 * BUSY_SECONDS)
    talk.hello("n1", "n1")  # a full disk is asked about first: see below
    assert talk.sent()[N1] == first
    talk.answer(N1, call, code)
    while not talk.done:
        talk.wait(0.001)
        talk.hello("n1", "n1")
        if talk.sent():
            talk.answer(N1, call, code)
    assert type(call.error) is Unavailable
    assert why in str(call.error)


def test_a_node_with_a_full_disk_that_leads_no_more_is_not_clung_to() -> None:
    """It answers, so it is never silent; but another one leads by now. Found by 'raftkv sim --seed 2730'."""
    talk = Talk().led_by("n1")
    call = talk.put(timeout=5.0)
    talk.sent()
    talk.answer(N1, call, Code.NO_SPACE)
    talk.wait(2 * BUSY_SECONDS)
    assert N2 in talk.greeted()
    talk.hello("n2", "n2", term=2)
    assert N2 in talk.sent()


def test_leader_changed_is_asked_again_under_the_same_name_and_stays_uncertain() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    (first,) = talk.sent()[N1]
    talk.answer(N1, call, Code.LEADER_CHANGED)
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n3", leader="n3", term=2)
    (again,) = talk.sent()[N3]
    assert again == first
    talk.answer(N3, call, Code.NO_LEADER)
    talk.wait(TIMEOUT)
    assert type(call.error) is OutcomeUnknown, "the first try may be in somebody's log"


@pytest.mark.parametrize(("detail", "outcome"), [(None, Unavailable), (WAS_IN_LOG, OutcomeUnknown)])
def test_what_the_log_refused_may_be_in_it_a_second_time(
    detail: str | None, outcome: type[ClientError]
) -> None:
    """A follower hands it on, and a link may duplicate that; what a node refuses goes nowhere."""
    talk = Talk().led_by("n1")
    call = talk.put(timeout=BUSY_SECONDS / 4)
    talk.answer(N1, call, Code.BUSY, detail)
    talk.wait(BUSY_SECONDS / 4)
    assert type(call.error) is outcome


def test_a_compare_that_failed_is_an_answer() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.answer(N1, call, Code.COMPARE_FAILED, (b"x", 1, 1, 1))
    assert call.error is None
    assert call.response is not None
    assert call.response.code == Code.COMPARE_FAILED


def test_invalid_is_final() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.answer(N1, call, Code.INVALID, "the key is empty")
    assert type(call.error) is InvalidRequest
    assert str(call.error) == "the key is empty"


def test_an_expired_session_did_not_happen_unless_an_earlier_try_might_have() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.answer(N1, call, Code.SESSION_EXPIRED)
    assert type(call.error) is SessionExpired
    tried = talk.put()
    talk.answer(N1, tried, Code.LEADER_CHANGED)
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n2", leader="n2", term=2)
    talk.answer(N2, tried, Code.SESSION_EXPIRED)
    assert type(tried.error) is OutcomeUnknown


def test_a_refusal_of_an_earlier_try_changes_nothing() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    talk.answer(N1, call, Code.BUSY)
    talk.answer(N1, call, Code.LEADER_CHANGED)
    assert not call.uncertain
    talk.wait(2 * BUSY_SECONDS)
    assert len(talk.sent()[N1]) == 1
    talk.answer(N1, call, Code.OK)
    talk.answer(N1, call, Code.INVALID, "late")
    assert (call.error, len(talk.done)) == (None, 1)


# -- silence


def test_a_silent_leader_is_left_for_the_one_that_the_others_name() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.put(b"a"), talk.put(b"b"), talk.get()]
    first = talk.sent()[N1]
    talk.wait(SILENCE_SECONDS - 0.02)
    assert talk.greeted() == set()
    talk.wait(0.04)
    assert talk.greeted() == {N1, N2, N3}
    talk.hello("n2", leader="n2", term=2)
    moved = talk.sent()
    assert moved == {N2: first}, "the same (client id, sequence): applied once however often it is sent"
    for call in calls:
        talk.answer(N2, call, Code.OK)
    assert [call.error for call in calls] == [None] * 3


def test_a_leader_that_only_rests_is_not_left() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n2", leader="n1")
    assert talk.sent() == {}, "the others name the same one: it is slow, not gone"
    talk.answer(N1, call, Code.OK)
    assert call.error is None


def test_a_leader_that_only_we_cannot_reach_is_asked_through_another_node() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    first = talk.sent()[N1]
    talk.wait(DESERT_SECONDS + 0.05)
    talk.hello("n2", leader="n1")
    assert talk.sent() == {N2: first}
    talk.answer(N2, call, Code.OK)
    assert call.error is None


def test_an_answer_of_the_node_that_was_left_counts() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n2", leader="n2", term=2)
    assert set(talk.sent()) == {N2}
    talk.answer(N1, call, Code.OK)
    assert call.error is None
    talk.answer(N2, call, Code.OK)
    assert talk.done == [call]


def test_an_open_request_is_sent_again_after_a_while() -> None:
    """A follower may have lost it on its way to the leader, while other answers keep coming."""
    talk = Talk().led_by("n1")
    call = talk.put()
    (first,) = talk.sent()[N1]
    copies = []
    end = talk.now + RESEND_SECONDS + 0.1
    while talk.now < end:
        talk.wait(0.1)
        talk.reply(N1)  # something is heard, though not of this one
        copies += talk.sent().get(N1, [])
    assert copies == [first]
    assert call.uncertain


# -- the three outcomes at the deadline


def test_an_open_write_is_unknown_at_the_deadline() -> None:
    talk = Talk().led_by("n1")
    call = talk.put(timeout=0.1)
    talk.sent()
    talk.wait(0.2)
    assert type(call.error) is OutcomeUnknown
    assert talk.core.calls_open == 0
    talk.answer(N1, call, Code.OK)
    assert talk.done == [call], "an answer that comes too late changes nothing"


def test_a_greeting_names_no_cluster_so_that_a_node_of_another_one_answers_it() -> None:
    talk = Talk().led_by("n1")
    talk.put()
    talk.core.greet(talk.now)
    named = [
        (decode_requests(frame)[0], [request[1] for request in decode_requests(frame)[1]])
        for endpoint, frame in talk.core.take_frames()
        if endpoint == N1
    ]
    assert named == [(None, [Kind.HELLO]), ("c", [Kind.WRITE])]


def watched(talk: Talk) -> list[ClientError]:
    """What ends a watch."""
    errors: list[ClientError] = []
    talk.core.watches.begin(Watch(b"k", b"l", 0, 0, lambda *_: None, errors.append), talk.now)
    return errors


def test_whoever_watches_is_told_that_another_cluster_has_taken_the_place_of_theirs() -> None:
    talk = Talk().led_by("n1")
    errors = watched(talk)
    for _ in range(30):
        talk.hello("n1", "n1")
        talk.hello("n2", "n2", cluster="restored")
        talk.hello("n3", "n2", cluster="restored")
        talk.wait(0.1)
    assert errors == [], "ours is heard"
    for _ in range(60):
        talk.hello("n3", "n2", cluster="restored")
        talk.wait(0.1)
    assert errors == [], "one of three: it may have taken the port of a node of ours that is down"
    talk.hello("n2", "n2", cluster="restored")
    assert [str(error) for error in errors] == [
        f"{N2} is of cluster 'restored', and this client was made for 'c'"
    ]
    write = talk.put(timeout=0.5)
    talk.wait(0.6)
    assert type(write.error) is OutcomeUnknown, "it was sent to where ours led"
    assert str(write.error).endswith("this client was made for 'c'")


def test_a_client_that_stood_still_hears_its_own_nodes_before_it_believes_strangers() -> None:
    talk = Talk(N1)
    talk.hello("n1", "n2")  # which names the others; its port is somebody else's later
    talk.hello("n2", "n2")
    errors = watched(talk)
    for _ in range(3):
        talk.now += 60.0  # as after SIGSTOP: what was said meanwhile is read in any order
        talk.hello("n1", "n2", cluster="other")
        talk.hello("n1", "n2", cluster="other")
        assert errors == []
        talk.now += SILENT_SECONDS / 2
    talk.hello("n2", "n2")
    talk.now += SILENT_SECONDS + 1.0
    talk.hello("n1", "n2", cluster="other")
    assert errors == []
    talk.now += SILENT_SECONDS - 0.1
    talk.hello("n1", "n2", cluster="other")
    assert errors == []
    talk.now += 0.2
    talk.hello("n1", "n2", cluster="other")
    assert len(errors) == 1, "by now ours would have been heard"


def test_a_stranger_in_the_leaders_place_is_left_as_if_nobody_were_there() -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.sent()
    for _ in range(10):
        talk.wait(0.1)
        talk.hello("n1", "n1", cluster="other")  # the first to answer, each time
        talk.hello("n2", "n2", term=2)
    assert [request[0] for request in talk.sent().get(N2, [])] == [call.request_id]
    talk.answer(N2, call, Code.OK)
    assert call.error is None


def test_what_a_stranger_was_is_forgotten_once_one_of_ours_is_back_there() -> None:
    talk = Talk().led_by("n1")
    talk.hello("n2", "n2", cluster="other")
    talk.hello("n2", "n1")
    write = talk.put(timeout=0.5)
    talk.sent()
    talk.wait(0.6)
    assert "other" not in str(write.error)


def test_a_write_that_was_never_sent_did_not_happen() -> None:
    talk = Talk()
    call = talk.put(timeout=0.3)
    talk.wait(0.4)
    assert type(call.error) is Unreachable
    assert str(call.error) == f"no node answered in time: nothing happened; asked {N1}, {N2}, {N3}"


def test_where_every_node_refuses_the_connection_nobody_is_waited_for() -> None:
    talk = Talk()
    write, read = talk.put(timeout=5.0), talk.get(timeout=5.0)
    for endpoint in (N1, N2):
        talk.core.on_refused(endpoint, "it wants a key", talk.now)
    assert talk.done == [], "the third may let us in"
    talk.core.on_refused(N3, "it wants a key", talk.now)
    for call in (write, read):
        assert type(call.error) is AccessRefused
        assert str(call.error) == f"{N1} refuses the connection: it wants a key; nothing happened"


def test_what_one_node_refused_is_told_when_the_others_say_nothing_at_all() -> None:
    talk = Talk()
    call = talk.get(timeout=1.0)
    talk.core.on_refused(N2, "it wants a key", talk.now)
    talk.wait(1.1)
    assert type(call.error) is AccessRefused
    assert N2 in str(call.error)


def test_a_node_that_refuses_is_passed_by_for_one_that_does_not() -> None:
    talk = Talk()
    call = talk.get()
    talk.core.on_refused(N2, "it is not on its list", talk.now)
    talk.hello("n1", "n1")
    talk.answer(N1, call, Code.OK)
    assert (talk.done, call.error) == ([call], None)


def test_a_write_that_may_have_arrived_is_not_said_to_have_been_refused() -> None:
    talk = Talk().led_by("n1")
    call = talk.put(timeout=1.0)
    talk.sent()
    for endpoint in (N1, N2, N3):
        talk.core.on_refused(endpoint, "not on its list", talk.now)
    assert talk.done == []
    talk.wait(1.1)
    assert type(call.error) is OutcomeUnknown


def test_a_node_that_has_refused_counts_anew_once_it_answers() -> None:
    talk = Talk()
    first = talk.get(timeout=5.0)
    for endpoint in (N1, N2, N3):
        talk.core.on_refused(endpoint, "not on its list", talk.now)
    assert type(first.error) is AccessRefused
    second = talk.get()
    assert talk.greeted() == {N1, N2, N3}, "it is asked again: the list may be another one by now"
    talk.hello("n1", "n1")
    talk.answer(N1, second, Code.OK)
    assert second.error is None


def test_of_many_endpoints_that_nobody_answers_at_a_few_are_named() -> None:
    peers = Peers(f"tcp://127.0.0.1:{port}" for port in range(1, 41))
    assert peers.asked() == "asked tcp://127.0.0.1:1, tcp://127.0.0.1:2, tcp://127.0.0.1:3 and 37 more"


def test_whoever_was_heard_once_is_not_unreachable() -> None:
    """The cluster is where it was looked for; that it says nothing now is another thing."""
    talk = Talk().led_by("n1")
    talk.wait(10)
    call = talk.get(timeout=0.3)
    talk.wait(0.4)
    assert type(call.error) is Unavailable


@pytest.mark.parametrize(
    ("leader", "why"), [(None, "the cluster has no leader in time"), ("n2", "no node answered in time")]
)
def test_that_nobody_leads_is_another_thing_than_that_nobody_answers(leader: str | None, why: str) -> None:
    talk = Talk()
    call = talk.get(timeout=0.3)
    talk.hello("n1", leader)  # and n2, who may lead, says nothing
    talk.wait(0.4)
    assert str(call.error) == f"{why}: nothing happened"


def test_an_open_read_did_not_happen_at_the_deadline() -> None:
    talk = Talk().led_by("n1")
    call = talk.get(timeout=0.1)
    talk.wait(0.2)
    assert type(call.error) is Unavailable


def test_abandon_ends_everything_with_what_is_known() -> None:
    talk = Talk().led_by("n1")
    write, read = talk.put(), talk.get()
    talk.core.abandon("the client is closed")
    assert type(write.error) is OutcomeUnknown
    assert type(read.error) is Unavailable
    assert talk.core.calls_open == 0


def test_no_outcome_is_told_twice_whatever_comes_when() -> None:
    """Random talk of random nodes, late and in any order."""
    rng = random.Random(7)
    codes = [*Code]
    for _ in range(200):
        talk = Talk()
        calls = [talk.put(timeout=rng.uniform(0.1, 2)) for _ in range(5)]
        calls += [talk.get(stale, ANY_NODE if stale else None, 1.0) for stale in (True, False)]
        for _ in range(60):
            talk.wait(rng.uniform(0, 0.1))
            node = rng.choice([*NODES])
            if rng.random() < 0.4:
                talk.hello(node, rng.choice([*NODES, None]), rng.randrange(1, 4))
            else:
                talk.answer(NODES[node], rng.choice(calls), rng.choice(codes), None)
            talk.sent()
        talk.wait(2)
        assert sorted(call.request_id for call in talk.done) == [call.request_id for call in calls]
        assert all((call.error is None) != (call.response is None) for call in calls)
        assert talk.core.calls_open == 0
        assert talk.session.waiting == set()


# -- what is no answer


def test_a_node_of_another_cluster_is_ignored() -> None:
    talk = Talk().led_by("n1")
    talk.put()
    talk.sent()
    talk.wait(SILENCE_SECONDS + 0.05)
    talk.hello("n2", leader="n2", term=9, cluster="another")
    assert talk.sent() == {}
    assert talk.core.cluster == "c"
    assert all(hello.cluster == "c" for hello in talk.core.hellos.values())


def test_requests_name_the_cluster_once_it_is_known() -> None:
    talk = Talk()
    talk.put()
    assert {decode_requests(frame)[0] for _, frame in talk.core.take_frames()} == {None}
    talk.hello("n1", leader="n1")
    assert {decode_requests(frame)[0] for _, frame in talk.core.take_frames()} == {"c"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"garbage",
        bytes(100),
        b"\x93" * 5000,
        pack(5),
        pack([VERSION]),
        pack([VERSION + 1, []]),
        pack([VERSION, {}]),
        pack([VERSION, [5]]),
        pack([VERSION, [[1, 0]]]),
        pack([VERSION, [[1, 0, 0, None, 5]]]),
        pack([VERSION, [[0, 0, 0, None]]]),
        pack([VERSION, [[0, 0, 0, ["c", "n1"]]]]),
        pack([VERSION, [[999, 0, 0, None]]]),
    ],
    ids=lambda data: data[:12].hex(),
)
def test_garbage_is_like_silence(data: bytes) -> None:
    talk = Talk().led_by("n1")
    call = talk.put()
    talk.core.on_frame(N1, data, talk.now)
    talk.core.on_frame("tcp://nobody:1", data, talk.now)
    assert talk.done == []
    talk.answer(N1, call, Code.OK)
    assert call.error is None


@pytest.mark.parametrize(
    "row",
    [
        [{}, 0, 0, None],
        [0, 0, 0, "seven77"],
        [0, 0, 0, ["c", "n1", "leader", 1, "n1", 0, 5]],
        [0, 0, 0, ["c", "n1", "leader", 1, "n1", 0, [["n1", "x"]]]],
        [0, 0, 0, ["c", "n1", "leader", "one", "n1", 0, []]],
        [0, 0, 0, [{}, "n1", "leader", 1, "n1", 0, []]],
        [0, 0, 0, ["c", "n1", "leader", 1, {"a": 1}, 0, []]],
    ],
    ids=["id-map", "text", "nodes-number", "short-node", "term-text", "cluster-map", "leader-map"],
)
def test_garbage_within_a_response_is_like_silence(row: list[Any]) -> None:
    """An exception here ends the client's thread, and every operation then waits for ever."""
    talk = Talk()
    call = talk.put()
    talk.core.on_frame(N1, pack([VERSION, [row]]), talk.now)
    talk.wait(0.2)
    talk.hello("n2", leader="n2", term=2)
    assert set(talk.sent()) == {N2}
    talk.answer(N2, call, Code.OK)
    assert call.error is None


# -- reads that any node may answer


def test_a_stale_read_goes_to_whoever_answers_first() -> None:
    talk = Talk()
    call = talk.get(stale=True, target=ANY_NODE)
    assert talk.greeted() == {N1, N2, N3}
    talk.hello("n3", leader=None)
    assert set(talk.sent()) == {N3}
    talk.answer(N3, call, Code.OK)
    assert call.error is None


def test_a_read_pinned_to_a_node_goes_there_and_nowhere_else() -> None:
    talk = Talk().led_by("n1")
    call = talk.get(target=N3, timeout=2.0)
    assert set(talk.sent()) == {N3}
    talk.wait(1.0)
    talk.hello("n1", leader="n1")
    assert set(talk.sent()) <= {N3}
    talk.wait(1.1)
    assert set(talk.sent()) <= {N3}
    assert type(call.error) is Unavailable


# -- frames


def test_many_small_requests_travel_together() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.put(b"%d" % number) for number in range(FRAME_REQUESTS_MAX + 1)]
    sent = talk.sent()[N1]
    assert [request[0] for request in sent] == [call.request_id for call in calls]
    assert [len(decode_requests(frame)[1]) for _, frame in talk.frames] == [FRAME_REQUESTS_MAX, 1]


def test_a_frame_is_never_larger_than_a_node_takes() -> None:
    talk = Talk().led_by("n1")
    rng = random.Random(3)
    sizes = [1 << 20, 1 << 20, *(rng.randrange(1 << 18) for _ in range(40)), 1 << 20]
    for size in sizes:
        talk.put(value=bytes(size))
    sent = talk.sent()[N1]
    assert [len(command_of(request).arguments[1]) for request in sent] == sizes
    assert max(len(frame) for _, frame in talk.frames) <= REQUEST_BYTES_MAX + FRAME_SLACK_BYTES
    assert len(talk.frames) < len(sizes), "small ones share a frame"


# -- sessions


def test_sequences_count_and_the_floor_is_the_oldest_that_waits() -> None:
    talk = Talk().led_by("n1")
    first, second, third = (talk.put() for _ in range(3))
    commands = [command_of(request) for request in talk.sent()[N1]]
    assert [command.sequence for command in commands] == [1, 2, 3]
    assert [command.floor for command in commands] == [1, 1, 1]
    assert {command.client_id for command in commands} == {talk.session.client_id}
    assert {command.born for command in commands} == {7}, "an applied index it was told of"
    talk.answer(N1, second, Code.OK)
    talk.put()
    assert command_of(talk.sent()[N1][0]).floor == 1
    talk.answer(N1, first, Code.OK)
    talk.put()
    assert command_of(talk.sent()[N1][0]).floor == third.sequence


def test_each_session_counts_for_itself() -> None:
    talk = Talk().led_by("n1")
    other = talk.core.new_session()
    talk.put()
    talk.put(session=other)
    one, two = (names(request) for request in talk.sent()[N1])
    assert one[0] != two[0]
    assert one[1] == two[1] == 1


def test_a_retry_is_byte_for_byte_the_first_try() -> None:
    """Its floor too: a floor that has moved past it would have its answer forgotten."""
    talk = Talk().led_by("n1")
    first, second = talk.put(b"a"), talk.put(b"b")
    tries = talk.sent()[N1]
    talk.answer(N1, first, Code.OK)
    talk.answer(N1, second, Code.LEADER_CHANGED)
    talk.wait(HELLO_SECONDS * 2)
    talk.hello("n2", leader="n2", term=2)
    assert talk.sent()[N2] == [tries[1]]


@pytest.mark.parametrize("code", [Code.NO_LEADER, Code.NO_SPACE, Code.BUSY, Code.LEADER_CHANGED])
def test_a_late_refusal_of_a_node_that_was_left_changes_nothing(code: Code) -> None:
    """As a partition that heals delivers them: the leader that was found since stays the one to ask."""
    talk = Talk().led_by("n1")
    call = talk.put(b"a")
    talk.wait(SILENCE_SECONDS)
    talk.hello("n2", "n2", term=2)
    assert set(talk.sent()) >= {N2}
    talk.answer(N1, call, code)
    other = talk.put(b"b")
    assert {endpoint: len(requests) for endpoint, requests in talk.sent().items()} == {N2: 1}
    talk.wait(RESEND_SECONDS)
    talk.answer(N2, call, Code.OK)
    talk.answer(N2, other, Code.OK)
    assert talk.done == [call, other]
    assert call.response is not None


def test_a_call_that_is_over_leaves_nothing_behind() -> None:
    """A busy client would hold on to everything it has asked within a timeout."""
    talk = Talk().led_by("n1")
    before = _calls_in_memory()
    for _ in range(1_000):
        talk.answer(N1, talk.put(timeout=3600), Code.OK)
        talk.core.take_frames()
        assert not talk.done.pop().error
    assert talk.core.calls_open == 0
    assert _calls_in_memory() == before


def _calls_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, Call) for thing in gc.get_objects())


def test_each_call_ends_when_its_own_time_is_up() -> None:
    rng = random.Random(4)
    talk = Talk().led_by("n1")
    due: dict[int, float] = {}
    for _ in range(300):
        if rng.random() < 0.5:
            call = talk.put(timeout=rng.uniform(0.005, 0.5))
            due[call.request_id] = call.deadline
        talk.wait(0.01)
        assert all(due.pop(call.request_id) <= talk.now for call in talk.done)
        assert all(deadline > talk.now - 0.001 for deadline in due.values())
        assert talk.core.next_timer(talk.now) <= min(due.values(), default=talk.now + 1) + 0.001
        talk.done.clear()


def test_a_cluster_of_another_version_is_named_as_the_reason() -> None:
    talk = Talk()
    call = talk.get()
    talk.core.on_frame(N2, msgpack.packb([7, [], "and more"]), talk.now)
    talk.wait(TIMEOUT)
    assert type(call.error) is Unavailable
    assert f"{N2} speaks client protocol version 7; this side speaks version 1" in str(call.error)
    assert "install the same version of raftkv" in str(call.error)


def test_many_calls_whose_time_is_up_at_different_moments_are_not_looked_at_for_each() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.get(timeout=0.1 + number * 1e-6) for number in range(1000)]
    talk.now = calls[0].deadline
    talk.core.on_time(talk.now)
    assert talk.done == calls[:1]
    assert talk.core.next_timer(talk.now) >= talk.now + 999 * LOOK_SECONDS
    talk.now = talk.core.next_timer(talk.now)
    talk.core.on_time(talk.now)
    assert len(talk.done) >= 999


def test_whoever_asks_again_at_once_when_time_is_up_does_not_keep_the_others_waiting() -> None:
    """Nor does it go round in that look for ever, though its time is up from the beginning."""
    talk = Talk().led_by("n1")
    tries: list[Call] = []

    def again(call: Call) -> None:
        tries.append(call)
        talk.core.submit(Call(call.fields, call.deadline, again), talk.now)

    fields = (Kind.GET, b"k", 0, False)
    talk.core.submit(Call(fields, talk.now + 0.1, again), talk.now)
    other = talk.get(timeout=0.1)
    talk.now = other.deadline
    talk.core.on_time(talk.now)
    assert (len(tries), talk.done) == (1, [other])
    talk.wait(0.01)
    assert len(tries) > 1, "the next look ends it as well"


def test_what_waits_behind_the_window_is_not_gone_through_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand writes may be asked for at once: only those that are next are looked at."""
    talk = Talk().led_by("n1")
    calls = [talk.put() for _ in range(SESSION_WINDOW + 1000)]
    sent: list[Request] = []
    while frame := talk.sent():
        sent += frame[N1]
    assert len(sent) == SESSION_WINDOW
    for number in range(10):
        talk.answer(N1, calls[number], Code.OK)
    dispatched: list[Call] = []
    dispatch = talk.core._dispatch

    def look(call: Call, now: float) -> None:
        dispatched.append(call)
        dispatch(call, now)

    monkeypatch.setattr(talk.core, "_dispatch", look)
    talk.core.on_time(talk.now)
    talk.core.on_time(talk.now)
    assert dispatched == calls[SESSION_WINDOW : SESSION_WINDOW + 10]


def test_a_write_that_ended_while_it_waited_for_its_turn_is_not_sent_any_more() -> None:
    talk = Talk().led_by("n1")
    calls = [talk.put() for _ in range(SESSION_WINDOW)]
    late = talk.put(timeout=0.01)
    while talk.sent():
        pass
    talk.wait(0.02)
    assert type(late.error) is Unavailable
    for call in calls:
        talk.answer(N1, call, Code.OK)
    talk.core.on_time(talk.now)
    assert talk.sent() == {}
