"""Options of the whole test run."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# One commit gets one verdict: examples that differ by the run are for 'make explore'.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", derandomize=False, print_blob=True)
settings.load_profile("same")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what is to run in the background, and every process of a test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what the golden transcripts show now into tests/golden/*.txt",
    )
