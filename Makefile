# Every target installs what it needs first. A new machine needs Python 3.11 to 3.14, and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

SDK_PYTHON ?= python3.12
OLD_DUCKDB_PYTHON ?= $(PYTHON)

# make bench CASE=pull BASE=<commit>
CASE ?=
BASE ?=
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready
BENCH_FOLDER := .bench
BASE_FOLDER := $(if $(BASE),$(BENCH_FOLDER)/base-$(BASE))
BASE_READY := $(if $(BASE),$(BASE_FOLDER)/.venv/.ready)

DISTRIBUTED_VENV := .venv-distributed
DISTRIBUTED_READY := $(DISTRIBUTED_VENV)/.ready
# Each program with its package of Debian: only what is missing is installed, since Debian's npm conflicts with other builds of Node
DISTRIBUTED_PROGRAMS := /usr/lib/postgresql/*/bin/initdb:postgresql redis-server:redis-server bwrap:bubblewrap node:nodejs npm:npm
AZURITE_VERSION := 3.37.0
AZURITE_READY := .azurite/.ready-$(AZURITE_VERSION)

# Each process of the tests would compile the package and the tests again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-full e2e distributed distributed-full distributed-setup distributed-services bench bench-quick ui lint docs sdk old-duckdb readers lifelines lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv with the locked dependencies, the development tools and the package

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "lms_pipeline needs Python 3.11 to 3.14: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "Setting up .venv (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)  ## run the whole pipeline on a local Truto: accounts, days, completion rates
	@$(BIN)/lms-pipeline demo

PARALLEL := -n $$($(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)') --dist loadfile --no-loadscope-reorder

test: $(READY)  ## run all tests except those in a browser
	@$(BIN)/pytest $(PARALLEL)

test-full: $(READY)  ## run the same tests with all their repetitions, as LMS_TEST_FULL=1 does
	@LMS_TEST_FULL=1 $(BIN)/pytest $(PARALLEL)

e2e: $(READY)  ## run the tests in a real browser: Debian's chromium
	@$(BIN)/pytest -m browser lms_pipeline_tests/browser

DISTRIBUTED_TESTS = $(DISTRIBUTED_VENV)/bin/pytest -m distributed $(PARALLEL) lms_pipeline_tests/distributed \
	lms_pipeline_tests/storage lms_pipeline_tests/commands/test_state.py

distributed: distributed-setup  ## run the tests of several machines: Kubernetes, Celery, buckets, PostgreSQL
	@$(DISTRIBUTED_TESTS)

distributed-full: distributed-setup  ## run them with all the kills, polls and pulls of the acceptance, in an hour
	@LMS_TEST_FULL=1 $(DISTRIBUTED_TESTS)

distributed-setup: distributed-services $(DISTRIBUTED_READY) $(AZURITE_READY)

distributed-services:  # as root it installs what is missing; else the tests that need it fail, and say so
	@packages=$$(for program in $(DISTRIBUTED_PROGRAMS); do \
			command -v $${program%:*} >/dev/null || echo $${program#*:}; \
		done); \
		[ -z "$$packages" ] || [ "$$(id -u)" != 0 ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $$packages >/dev/null; }

$(AZURITE_READY): | distributed-services
	@echo "Setting up .azurite with Azurite $(AZURITE_VERSION) (half a minute, once)"
	@rm -rf .azurite
	@npm install --prefix .azurite --no-save --no-audit --no-fund --loglevel=error azurite@$(AZURITE_VERSION) >/dev/null \
		&& touch $@ || echo "Azurite can't be installed: its tests fail."

$(DISTRIBUTED_READY): requirements-dev.lock requirements-distributed.lock lms_pipeline_tests/distributed/services.txt pyproject.toml
	@echo "Setting up $(DISTRIBUTED_VENV) with the extra \`distributed\` (about a minute, once)"
	@$(PYTHON) -m venv --clear $(DISTRIBUTED_VENV)
	@$(DISTRIBUTED_VENV)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock -r requirements-distributed.lock
	@$(DISTRIBUTED_VENV)/bin/pip install -q --disable-pip-version-check --only-binary :all: -r lms_pipeline_tests/distributed/services.txt
	@$(DISTRIBUTED_VENV)/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(DISTRIBUTED_READY)

BENCH = $(BIN)/python -m benchmarks $(CASE) --folder $(BENCH_FOLDER) --rivals $(BENCH_VENV) $(if $(BASE),--base $(BASE_FOLDER))

bench: $(READY) $(BENCH_READY) $(BASE_READY)  ## run all benchmarks, in 90 minutes on two idle cores; CASE=pull runs one, BASE=COMMIT compares with a commit
	@$(BENCH)

bench-quick: $(READY) $(BENCH_READY) $(BASE_READY)  ## run the cases that compare sides, with small accounts, in 5 minutes
	@$(BENCH) --scale quick

$(BENCH_READY): benchmarks/rivals.txt
	@echo "Setting up $(BENCH_VENV) with the libraries that the benchmarks compare with (about a minute, once)"
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/pip install -q --disable-pip-version-check --only-binary :all: -r benchmarks/rivals.txt
	@touch $(BENCH_READY)

$(BENCH_FOLDER)/base-%/.venv/.ready:
	@echo "Setting up commit $* in $(BENCH_FOLDER)/base-$* (about a minute, once)"
	@git worktree prune
	@test -d $(BENCH_FOLDER)/base-$* || git worktree add --quiet --detach $(BENCH_FOLDER)/base-$* $*
	@$(MAKE) --no-print-directory -C $(BENCH_FOLDER)/base-$* setup BASE= CASE=

ui: $(READY)  ## start Dagster's web UI on the same data, on http://127.0.0.1:3000
	@$(BIN)/lms-pipeline ui

lint: $(READY)  ## check format, lint, types, the import order of packages, and that Dagster loads the definitions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/dg check defs

docs: $(READY)  ## write docs/tables.md from the schema
	@$(BIN)/python -m lms_pipeline.tables.catalog > docs/tables.md

sdk:  ## create .venv-sdk with Truto's own SDK, for its test (needs Python 3.12 or later)
	@$(SDK_PYTHON) -m venv --clear .venv-sdk
	@.venv-sdk/bin/pip install -q --disable-pip-version-check truto-python-sdk==0.1.6

old-duckdb:  ## create .venv-duckdb with the oldest DuckDB that reads the warehouse, for its test (Python 3.11 or 3.12)
	@$(OLD_DUCKDB_PYTHON) -m venv --clear .venv-duckdb
	@.venv-duckdb/bin/pip install -q --disable-pip-version-check --only-binary :all: duckdb==1.0.0

readers:  ## create .venv-readers with DuckDB's httpfs and polars, for the tests of other programs that read a bucket
	@$(PYTHON) -m venv --clear .venv-readers
	@.venv-readers/bin/pip install -q --disable-pip-version-check --only-binary :all: duckdb==1.5.5 duckdb-extension-httpfs==1.5.5 polars==2.1.0

lifelines:  ## create .venv-lifelines with lifelines, whose estimate of S a test compares with ours: it needs pandas 2
	@$(PYTHON) -m venv --clear .venv-lifelines
	@.venv-lifelines/bin/pip install -q --disable-pip-version-check --only-binary :all: --no-binary autograd-gamma lifelines==0.30.3 "pandas<3"

LOCK := uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --no-emit-index-url \
	--python-version 3.11 pyproject.toml

lock:  ## resolve requirements.lock, requirements-dev.lock and requirements-distributed.lock again (needs uv)
	$(LOCK) --output-file requirements.lock
	$(LOCK) --group dev --output-file requirements-dev.lock
	$(LOCK) --extra distributed --constraints requirements-dev.lock --output-file requirements-distributed.lock

clean:  ## remove .venv and caches; data/ stays
	rm -rf $(VENV) .venv-sdk .venv-duckdb .venv-lifelines .venv-readers $(DISTRIBUTED_VENV) .azurite $(BENCH_VENV) $(BENCH_FOLDER) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist e2e-output
	@git worktree prune 2>/dev/null || true  # those of `make bench BASE=...`
