"""Reading and writing the format: what is taken, and that every error names file and line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftkv.errors import HistoryError
from raftkv.history import Op, Operation, Recorder, Result, check_history, read_history, to_json_line
from raftkv.history.operations import show_key, text_of
from tests.history.building import append, cas, delete, get, put

GOOD: dict[str, Any] = {
    "client": 3,
    "op": "cas",
    "key": "a",
    "value": 2,
    "expected": 1,
    "result": "ok",
    "output": True,
    "call_ns": 10,
    "return_ns": 20,
}
OPS = "put, get, cas, delete, append"
VALUES = 'a string, an integer, true, false, null or {"base64": …}'


def line(**changes: Any) -> str:
    """GOOD with changes; a field that is ... is left out."""
    return json.dumps({name: value for name, value in {**GOOD, **changes}.items() if value is not ...})


def test_a_good_line() -> None:
    assert read_history([line(), "", "  \n"], "h") == [
        Operation(3, Op.CAS, "a", 2, 1, Result.OK, True, 10, 20)
    ]


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (line(op="gte"), f'"op" must be one of {OPS}, not "gte"'),
        (line(op=["get"]), f'"op" must be one of {OPS}, not a list'),
        (line(op="x" * 500), f'"op" must be one of {OPS}, not "{"x" * 59}…'),
        (line(result="maybe"), '"result" must be one of ok, fail, unknown, not "maybe"'),
        (line(call_ns=1.5), '"call_ns" must be an integer, not 1.5'),
        (line(call_ns=True), '"call_ns" must be an integer, not true'),
        (line(call_ns=-1), '"call_ns" must not be negative: -1'),
        (line(return_ns=9), '"return_ns" 9 is before "call_ns" 10'),
        (line(result="fail", return_ns=9), '"return_ns" 9 is before "call_ns" 10'),
        (line(return_ns=None), '"return_ns" must be an integer, not null'),
        (line(client="c1"), '"client" must be an integer, not "c1"'),
        (line(key=7), '"key" must be a string, not 7'),
        (line(key=None), '"key" must be a string, not null'),
        (line(value=[1]), f'"value" must be {VALUES}, not a list'),
        (line(value={"base65": ""}), f'"value" must be {VALUES}, not an object'),
        (line(expected=0.5), f'"expected" must be {VALUES}, not a fraction'),
        (line(value={"base64": "%"}), '"value" is no base64: "%"'),
        (line(value="\ud800"), '"value" holds half a surrogate pair, which no UTF-8 can spell'),
        (line(output=1), '"output" of a cas must be true or false, not 1'),
        (line(op="append", value=1), '"value" of an append must be a string, not 1'),
        *((line(**{name: ...}), f'"{name}" is missing') for name in GOOD),
        (line(op="get", output=...), '"output" is missing'),
        ('{"client": NaN}', "not JSON: NaN"),
        ('{"client": 1', "not JSON: Expecting ',' delimiter at column 13"),
        ('{"client":\n', "not JSON: Expecting value at column 11"),
        ('{"client": "\t"}', "not JSON: Invalid control character at column 13"),
        ('{"client": 1, "client": 1}', '"client" stands there twice'),
        ('{"client": 1' + "0" * 5_000 + "}", "an integer of 5,001 digits, which no recorder writes"),
        (line(return_ns=1 << 63), f'"return_ns" must be at most {(1 << 63) - 1}, not {1 << 63}'),
        (line(result="unknown", return_ns="x"), '"return_ns" must be an integer, not "x"'),
        ("[]", "a record is a JSON object, not a list"),
        ("null", "a record is a JSON object, not null"),
        ("[" * 100_000, "not a record: nested too deep"),
        (b'{"client": \xff}', "this line is not UTF-8"),
    ],
)
def test_errors_name_file_and_line(bad: str | bytes, cause: str) -> None:
    with pytest.raises(HistoryError) as caught:
        read_history([line(), "", bad, line()], "runs/h.jsonl")
    assert str(caught.value) == f"runs/h.jsonl:3: {cause}"


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert read_history(["\ufeff" + line()], "h") == read_history([line()], "h")


def test_an_integer_too_long_to_read_is_an_error_too() -> None:
    with pytest.raises(HistoryError, match=r"^h:1: "):
        read_history(['{"client": ' + "9" * 10_000 + "}"], "h")


def test_what_may_be_absent() -> None:
    (failed,) = read_history([line(result="fail", return_ns=..., output=...)], "h")
    assert (failed.return_ns, failed.output) == (None, None)
    (unknown,) = read_history([line(result="unknown", output=...)], "h")
    assert unknown.return_ns is None, "when an unknown operation gave up says nothing about its effect"
    (got,) = read_history([line(op="get", value=..., expected=..., output=None, node="n1")], "h")
    assert (got.op, got.output) == (Op.GET, None)
    (deleted,) = read_history([line(op="delete", value=..., expected=..., output=...)], "h")
    assert deleted.value is None


def test_bytes_that_spell_a_string_are_that_string() -> None:
    (plain, raw) = read_history([line(value={"base64": "w6k="}), line(value={"base64": "/w=="})], "h")
    assert (plain.value, raw.value) == ("é", b"\xff")


values = st.none() | st.booleans() | st.integers() | st.text() | st.binary().map(text_of)
texts = st.text() | st.binary().map(text_of)
times = st.integers(0, 10**18)


@given(
    st.builds(put, values, times, st.none())
    | st.builds(get, values, st.just(0), times)
    | st.builds(cas, values, values, st.just(0), times, done=st.booleans())
    | st.builds(delete, times, st.none())
    | st.builds(append, texts, st.just(0), times)
)
def test_what_is_written_reads_back(operation: Operation) -> None:
    text = to_json_line(operation)
    assert "\n" not in text
    (back,) = read_history([text.encode()], "h")
    assert to_json_line(back) == text
    assert back.result is Result.UNKNOWN or back == operation


def test_the_recorder_keeps_what_it_was_told() -> None:
    recorder = Recorder()
    first = recorder.invoke(1, Op.PUT, "a", value="x", now_ns=5)
    second = recorder.invoke(2, Op.GET, "a", now_ns=6)
    third = recorder.invoke(3, Op.CAS, "a", value="y", expected="x", now_ns=7)
    recorder.complete(second, Result.OK, "x", now_ns=8)
    recorder.complete(third, Result.UNKNOWN, now_ns=9)
    assert len(recorder) == 3
    assert [operation.result for operation in recorder.operations()] == [
        *(Result.UNKNOWN, Result.OK, Result.UNKNOWN),
    ]
    recorder.complete(first, Result.FAIL, now_ns=10)
    assert read_history(recorder.lines(), "h") == recorder.operations()
    verdict = check_history(recorder.operations())
    assert verdict.describe() == "NOT linearizable: key a", "the put failed, yet its value was read"


def test_the_recorder_is_bounded_and_says_so() -> None:
    recorder = Recorder(recorded_max=1)
    recorder.invoke(1, Op.GET, "a", now_ns=0)
    with pytest.raises(HistoryError, match="bound of 1 operations"):
        recorder.invoke(1, Op.GET, "a", now_ns=1)


def test_keys_in_a_line() -> None:
    assert [show_key(key) for key in ("r", "a b", "a\nb", "", b"\xff")] == [
        *("r", "a b", '"a\\nb"', '""', '{"base64": "/w=="}'),
    ]
