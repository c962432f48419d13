"""The examples in docstrings, run as they stand."""

from __future__ import annotations

import doctest
import importlib

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("recipes")]


@pytest.mark.parametrize("name", ["raftkv.testing", "raftkv.client.txn", "raftkv.kv.ranges"])
def test_the_examples_of_a_module_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), raise_on_error=True)
    assert result.attempted > 0
    assert result.failed == 0
