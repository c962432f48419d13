"""Which links each shape of a partition cuts."""

from __future__ import annotations

import pytest

from raftkv.observe import shapes

NAMES = ["n1", "n2", "n3", "n4", "n5"]


def heard(names: list[str], cut: list[shapes.Link]) -> dict[str, str]:
    """Whom each node hears, by the last character of their names."""
    return {
        name: "".join(other[-1] for other in names if other != name and (other, name) not in cut)
        for name in names
    }


def test_isolate_leaves_one_alone_and_the_others_together() -> None:
    found = heard(NAMES, shapes.isolate("n2", NAMES))
    assert found == {"n1": "345", "n2": "", "n3": "145", "n4": "135", "n5": "134"}
    assert shapes.isolate("n1", ["n1"]) == []


def test_partition_cuts_between_all_sides() -> None:
    found = heard(NAMES, shapes.partition([["n1", "n2"], ["n3", "n4"], ["n5"]]))
    assert found == {"n1": "2", "n2": "1", "n3": "4", "n4": "3", "n5": ""}
    assert shapes.partition([NAMES]) == []


def test_one_way_is_heard_on_the_way_back() -> None:
    cut = shapes.one_way(["n1"], ["n2", "n3"])
    assert heard(["n1", "n2", "n3"], cut) == {"n1": "23", "n2": "3", "n3": "2"}
    assert set(shapes.between(["n1"], ["n2", "n3"])) == {*cut, ("n2", "n1"), ("n3", "n1")}


def test_a_bridge_joins_two_halves() -> None:
    found = heard(NAMES, shapes.bridge("n3", NAMES))
    assert found == {"n1": "23", "n2": "13", "n3": "1245", "n4": "35", "n5": "34"}
    assert heard(NAMES[:3], shapes.bridge("n1", NAMES[:3])) == {"n1": "23", "n2": "1", "n3": "1"}
    assert shapes.bridge("n1", NAMES[:2]) == []


@pytest.mark.parametrize("count", [4, 5, 9])
def test_in_a_ring_each_hears_two(count: int) -> None:
    names = [f"n{number}" for number in range(1, count + 1)]
    found = heard(names, shapes.ring(names))
    assert {len(others) for others in found.values()} == {2}
    assert found["n1"] == f"2{count}"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_ring_of_three_cuts_nothing(count: int) -> None:
    assert shapes.ring(NAMES[:count]) == []


@pytest.mark.parametrize("cut", [shapes.isolate("n2", NAMES), shapes.bridge("n2", NAMES), shapes.ring(NAMES)])
def test_no_link_is_cut_twice_or_to_itself(cut: list[shapes.Link]) -> None:
    assert len(set(cut)) == len(cut)
    assert all(sender != to for sender, to in cut)
