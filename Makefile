# `make quickstart` installs everything into .venv and runs a small study; `make test` is what continuous integration runs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STUDY := $(BIN)/study
LOWEST := .venv-lowest

# Two test processes; all tests of a file go to the same one, so that a file's cluster or server starts once.
PYTEST_ARGS ?= -n 2 --dist loadfile
BENCH_ARGS ?=
FAULTS_ARGS ?= --kills 100 --minutes 120
LOCK_ARGS ?=

# Two processes that each start a thread per core would only wait for each other.
test test-slow test-slurm test-nodes fuzz faults test-lowest coverage: export OMP_NUM_THREADS ?= 1
# Where this is set, as in some containers, every process of a study would compile torch and Ray anew: 20 s each.
unexport PYTHONDONTWRITEBYTECODE
# Nothing here reports to anybody.
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: help venv quickstart test test-slow test-slurm test-nodes fuzz faults test-lowest coverage lint bench readme rooms holdout docs lock clean

help:
	@echo 'make quickstart  install, run studies/quickstart.yaml, print its leaderboard'
	@echo 'make venv        install into $(VENV) what requirements.lock names'
	@echo 'make test        lint, types and tests'
	@echo 'make test-slow   the long tests: processes killed at many moments, a real cluster'
	@echo 'make fuzz        6,000 mutated study files and overrides (part of make test-slow)'
	@echo 'make faults      100 random kills of a study, compared with an undisturbed run (FAULTS_ARGS are passed on)'
	@echo 'make test-slurm jobs in a Slurm cluster on this machine (Debian: slurmctld slurmd slurm-client munge)'
	@echo 'make test-nodes  a cluster that loses a node every 20 s, twice; prints figures (part of make test-slow)'
	@echo 'make test-lowest the tests with the lowest version that pyproject.toml allows of every dependency'
	@echo 'make coverage    the tests, and how many lines and branches they reach'
	@echo 'make lint        ruff, mypy and the contracts on imports between rooms'
	@echo 'make bench       the benchmarks (BENCH_ARGS are passed on)'
	@echo 'make readme      renew what documents say of the methods: tables, pages, the study of all methods'
	@echo 'make rooms       draw the rooms in docs/architecture.md and list the files in the README'
	@echo 'make holdout     renew the tables of class sizes in docs/protocol.md'
	@echo 'make docs        build the site of the documentation into build/site; warnings are errors'
	@echo 'make lock        resolve requirements.lock again (LOCK_ARGS=--upgrade for newer versions)'
	@echo 'make clean       remove caches; runs/ and the environments stay'

venv: $(STAMP)

# uv installs in a third of pip's time; where it cannot be had, pip does the same from the same file.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Try: make $@ PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python -m pip install --quiet uv || echo 'uv cannot be had; going on with pip'
	@if $(BIN)/uv --version > /dev/null 2>&1; \
	    then install=($(BIN)/uv pip install --python $(BIN)/python); \
	    else install=($(BIN)/python -m pip install); \
	fi; \
	set -x; \
	"$${install[@]}" --requirement requirements.lock; \
	"$${install[@]}" --no-deps --no-build-isolation --editable .
	touch $@

# A second `make quickstart` finds the study there and goes on with it, which for a finished study does nothing.
quickstart: $(STAMP)
	@if $(STUDY) status quickstart > /dev/null 2>&1; \
	    then $(STUDY) resume quickstart && $(STUDY) show quickstart; \
	    else $(STUDY) run studies/quickstart.yaml; \
	fi

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache

test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

fuzz: $(STAMP)
	$(BIN)/python -m pytest -m slow tests/study/spec/test_fuzzed_study_files.py

# STUDY_NODES_TRIALS and STUDY_NODES_EVERY (seconds) change its length.
test-nodes: $(STAMP)
	$(BIN)/python -m pytest -s -m slow tests/faults/test_lost_nodes.py

# The results add up in runs/random-kills.json over calls with other seeds: FAULTS_ARGS='--kills 40 --seed 2'.
faults: $(STAMP)
	$(BIN)/python -m tests.faults.random_kills $(FAULTS_ARGS)

# One process: the tests share the cluster and its processors.
test-slurm: $(STAMP)
	$(BIN)/python -m pytest -m slurm tests/study/slurm

# The processes that tests start are measured too; pyproject.toml says of what.
coverage: $(STAMP)
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

# An environment of its own, renewed when pyproject.toml changes. Only uv can choose the lowest versions.
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest $(PYTEST_ARGS)

$(LOWEST)/.installed: pyproject.toml | $(STAMP)
	$(BIN)/uv --version > /dev/null || { echo 'uv is needed: $(BIN)/python -m pip install uv'; exit 1; }
	test -x $(LOWEST)/bin/python || $(BIN)/python -m venv $(LOWEST)
	$(BIN)/uv pip compile pyproject.toml --all-extras --resolution lowest-direct --python $(LOWEST)/bin/python \
	    --quiet --no-emit-index-url --no-emit-find-links --output-file $(LOWEST)/requirements.txt
	$(BIN)/uv pip install --python $(LOWEST)/bin/python --requirement $(LOWEST)/requirements.txt
	$(BIN)/uv pip install --python $(LOWEST)/bin/python --no-deps --no-build-isolation --editable .
	touch $@

bench: $(STAMP)
	$(BIN)/python -m benchmarks.training_loop $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.sweep_overhead $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.m2m_translation $(BENCH_ARGS)

readme: $(STAMP)
	$(BIN)/python -m study.report.method_documents

rooms: $(STAMP)
	$(BIN)/python docs/draw_rooms.py --write

holdout: $(STAMP)
	$(BIN)/python docs/holdout_table.py

# No index address and no path of this machine may end up in the file.
docs: $(STAMP)
	$(BIN)/python docs/build_site.py

lock: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 $(LOCK_ARGS) \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	    --quiet --output-file requirements.lock

clean:
	rm -rf .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .coverage* build *.egg-info
	find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
