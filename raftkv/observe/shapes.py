"""Which directed links a partition of a shape cuts. Pure: names in, links of (sender, to) out, in an order
that follows from that of the names alone, as a simulation draws from these lists."""

from __future__ import annotations

from collections.abc import Sequence

Link = tuple[str, str]
"""(sender, to)"""


def one_way(left: Sequence[str], right: Sequence[str]) -> list[Link]:
    """All links from ``left`` to ``right``: what ``left`` says is not heard there."""
    return [(a, b) for a in left for b in right]


def between(left: Sequence[str], right: Sequence[str]) -> list[Link]:
    """All links from one side to the other, both ways."""
    return one_way(left, right) + [(b, a) for a in left for b in right]


def isolate(node: str, names: Sequence[str]) -> list[Link]:
    """All links from and to ``node``."""
    return between([node], [name for name in names if name != node])


def partition(sides: Sequence[Sequence[str]]) -> list[Link]:
    """All links between nodes of different sides."""
    return [link for side in sides for other in sides if other is not side for link in one_way(side, other)]


def bridge(middle: str, names: Sequence[str]) -> list[Link]:
    """Two halves of the others, in the order of ``names``, that share ``middle`` only. With fewer than three
    nodes there are no two halves, and nothing is cut."""
    others = [name for name in names if name != middle]
    half = len(others) // 2
    return between(others[:half], others[half:])


def ring(names: Sequence[str]) -> list[Link]:
    """Each node hears only the next and the one before: with five or more nobody hears a majority, and with
    three or fewer nothing is cut."""
    count = len(names)
    return [
        (names[a], names[b])
        for a in range(count)
        for b in range(count)
        if a != b and (a - b) % count not in (1, count - 1)
    ]
