# Everything from nothing. `make run` ends serving; `make test` ends with the test suite.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run sync test test-long fuzz docs lint bench clients lock clean

run: .venv/.runtime
	@$(BIN)/assay up $(FILES)

# Delivers what has changed to the system at SYNC_URL; RETRY_DEAD=1 sends dead letters again.
sync: .venv/.runtime
	@$(BIN)/assay sync $(if $(RETRY_DEAD),--retry-dead)

# The peers of `make bench` too: a test rehearses it. A process for each core, each with a PostgreSQL of
# its own; the tests of a file stay together, since they share what is dear to make.
test: .venv/.bench
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations=25

# What is made of the project: the kept OpenAPI document, and the lists in docs/; tests compare them.
docs: .venv/.development
	@$(BIN)/python -m tests.contract
	$(BIN)/python -m tests.api.reference

# All of it, with the tests that take minutes: HISTORIES=1000, SECONDS=300, SEED=1.
test-long: .venv/.bench
	@$(BIN)/python -m pytest -m "long or not long"

# A coverage-guided fuzzer on the readers, a process for each kind of file: SECONDS=3600.
fuzz: .venv/.bench
	@$(BIN)/python -m tests.fuzz.readers csv $(or $(SECONDS),3600) &
	trap "kill $$! 2> /dev/null || true" EXIT
	$(BIN)/python -m tests.fuzz.readers xlsx $(or $(SECONDS),3600)
	wait $$!

lint: .venv/.development
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --disable-progress-bar --processes 0 dbt_project

bench: .venv/.bench
	@$(BIN)/python -m bench --rows $(or $(ROWS),1000000)

# One folder, three sets of packages; each is locked with hashes.
.venv/.runtime: requirements.lock pyproject.toml
	@$(call install,requirements.lock)

.venv/.development: requirements-dev.lock pyproject.toml
	@$(call install,requirements-dev.lock)
	touch .venv/.runtime

.venv/.bench: requirements-bench.lock pyproject.toml
	@$(call install,requirements-bench.lock)
	touch .venv/.runtime .venv/.development

define install
python=$(BIN)/python
test -x $$python || python=$(PYTHON)
$$python -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Assay needs Python 3.11 or later, and this is Python %d.%d: name another one, make PYTHON=python3.11 (after make clean, where .venv is of the older one)." % sys.version_info[:2])'
test -x $(BIN)/python || $(PYTHON) -m venv .venv
$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
touch $@
endef

# Generators of clients, in a folder of their own: what they need is older than what we do.
clients: .venv/.clients

.venv/.clients: requirements-clients.lock .venv/.development
	@test -x .venv/clients/bin/python || $(PYTHON) -m venv .venv/clients
	.venv/clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-clients.lock
	touch $@

# The locks name no index host, so that they serve behind any mirror.
lock:
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	compile() { $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-strip-extras --custom-compile-command "make lock" "$$@"; }
	compile pyproject.toml -o requirements.lock
	compile pyproject.toml --extra dev --extra chem -c requirements.lock -o requirements-dev.lock
	compile pyproject.toml --extra dev --extra chem --extra bench -c requirements-dev.lock -o requirements-bench.lock
	compile requirements-clients.in -o requirements-clients.lock

clean:
	@test ! -x $(BIN)/assay || $(BIN)/assay db stop
	rm -rf .venv target logs .assay
