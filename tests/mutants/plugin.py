"""Plants one mutant for a whole pytest session: ``RAFTKV_MUTANT=name pytest -p tests.mutants.plugin``."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from tests.mutants.mutants import BY_NAME

VARIABLE = "RAFTKV_MUTANT"
"""Names the mutant; unset or empty, nothing is planted."""

_planted = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    # Before any test module is imported: what those do while they are imported meets the bug too.
    name = os.environ.get(VARIABLE)
    if name:
        _planted.enter_context(BY_NAME[name].plant())


def pytest_unconfigure(config: pytest.Config) -> None:
    _planted.close()
