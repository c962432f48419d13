"""The load that ``raftkv bench`` makes, where it cannot."""

from __future__ import annotations

import pytest

from raftkv.client.bench import Bench
from raftkv.errors import Unreachable


def test_a_load_that_reads_ends_with_the_first_key_that_cannot_be_written() -> None:
    """Or each of ten thousand would wait out its whole time first."""
    bench = Bench(
        ["tcp://127.0.0.1:9"],
        operation="get",
        clients=2,
        total=10,
        value_size=8,
        key_space=10_000,
        timeout=0.1,
    )
    with pytest.raises(Unreachable):
        bench.run()
    assert bench._transport.core.next_id() < 10
