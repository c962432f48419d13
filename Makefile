# One local entry point. Every target makes .venv if it is absent and installs again
# when pyproject.toml has changed; nothing but Python >= 3.11 and make is expected.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(VENV)/.run-installed
STAMP  := $(VENV)/.dev-installed
COMPILED := .venv-compiled
PYTHON_MEASURED ?= $(BIN)/python
TESTS  ?= tests
SEEDS  ?= 5000
TORTURE_SECONDS ?= 600
FUZZ_SECONDS    ?= 60
ROUNDS ?= 20

# The tests start a thousand processes; none of them should have to compile raftkv again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: up test check compiled bench soak mutants explore fuzz screenshots lint types architecture format clean

up: $(RUN)
	$(BIN)/raftkv up --nodes 3

# Everything CI runs.
test: lint types architecture
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(TESTS)

# The quick half: everything that starts no process.
check: lint types architecture
	$(BIN)/python -m pytest -n 3 -m "not cluster" $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy raftkv tests examples benchmarks

architecture: $(STAMP)
	$(BIN)/lint-imports --no-cache

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: export RAFTKV_PYTHON = $(abspath $(PYTHON_MEASURED))
bench: $(VENV)/.bench-installed
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.snapshots
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.dashboard

# The same source with its inner packages compiled to C, in an environment of its own: some minutes of a C
# compiler for a fifth more writes a second with many clients, and a third more reads.
# 'make bench PYTHON_MEASURED=.venv-compiled/bin/python' measures it.
compiled: $(COMPILED)/.installed
	$(COMPILED)/bin/raftkv --version

# The pictures of README and docs, of a real cluster that is really broken.
screenshots: $(VENV)/.bench-installed
	$(BIN)/python -m benchmarks.screenshots

# Hours, not minutes: what docs/reliability.md reports.
soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak --seeds $(SEEDS) --torture-seconds $(TORTURE_SECONDS)

# Plants bugs one at a time and shows the first layer of the tests that notices each; without --first, all of them.
mutants: $(STAMP)
	$(BIN)/python -m tests.mutants --first --jobs 2

# The properties with examples that nobody has drawn before, and the simulated worlds of the tests with other seeds;
# 'make test' draws the same ones each time.
explore: $(STAMP)
	for round in $$(seq $(ROUNDS)); do \
	  RAFTKV_SEEDS_ON=$$((100 * round)) $(BIN)/python -m pytest -q -n 3 $$(grep -rl --include='test_*.py' support.world tests) || exit 1; \
	  $(BIN)/python -m pytest -q -n 3 --hypothesis-profile new $$(grep -rl --include='test_*.py' hypothesis tests) || exit 1; \
	done

fuzz: $(VENV)/.fuzz-installed
	$(BIN)/python -m tests.fuzz.run_atheris --seconds $(FUZZ_SECONDS)

INSTALL := -m pip install --quiet --disable-pip-version-check

$(RUN): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "raftkv needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) -e .
	touch $@

$(STAMP): $(RUN)
	$(BIN)/python $(INSTALL) -e '.[dev]'
	touch $@

$(VENV)/.bench-installed: $(STAMP)
	$(BIN)/python $(INSTALL) -e '.[bench]'
	touch $@

$(VENV)/.fuzz-installed: $(STAMP)
	$(BIN)/python $(INSTALL) -e '.[fuzz]'
	touch $@

# From a copy: the extensions are built beside their sources, where they would hide later changes.
$(COMPILED)/.installed: pyproject.toml $(shell find raftkv -name '*.py')
	test -x $(COMPILED)/bin/python || $(PYTHON) -m venv $(COMPILED)
	rm -rf $(COMPILED)/source
	mkdir $(COMPILED)/source
	cp -r raftkv pyproject.toml README.md LICENSE $(COMPILED)/source
	HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(COMPILED)/bin/python $(INSTALL) --force-reinstall $(COMPILED)/source
	rm -rf $(COMPILED)/source
	touch $@

clean:
	rm -rf $(VENV) $(COMPILED) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
