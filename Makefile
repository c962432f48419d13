# One local entry point. Every target makes .venv if it is absent and installs again
# when pyproject.toml has changed; nothing but Python >= 3.11 and make is expected.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(VENV)/.run-installed
STAMP  := $(VENV)/.dev-installed
TESTS  ?= tests

.PHONY: up test check bench lint types architecture format clean

up: $(RUN)
	$(BIN)/raftkv up --nodes 3

# Everything CI runs.
test: lint types architecture
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

# The quick half: everything that starts no process.
check: lint types architecture
	$(BIN)/python -m pytest -n 2 -m "not cluster" $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy raftkv tests benchmarks

architecture: $(STAMP)
	$(BIN)/lint-imports --no-cache

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench-installed
	$(BIN)/python -m benchmarks.run

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(RUN): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "raftkv needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	touch $@

$(STAMP): $(RUN)
	$(INSTALL) -e '.[dev]'
	touch $@

$(VENV)/.bench-installed: $(STAMP)
	$(INSTALL) -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
