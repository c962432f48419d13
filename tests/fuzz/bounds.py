"""How much of it: bounded in the normal suite, a hundred times as much with ``RAFTKV_SOAK=1``."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

SOAKING = os.environ.get("RAFTKV_SOAK") == "1"
SOAK_FACTOR = 100

unhurried = pytest.mark.timeout(0 if SOAKING else 180)
"""A soak takes as long as it takes; otherwise what hangs is ended as in every other test."""


def examples(count: int) -> settings:
    """``count`` examples, each without a deadline: how fast the machine is says nothing about the code."""
    return settings(
        max_examples=count * (SOAK_FACTOR if SOAKING else 1),
        deadline=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )
