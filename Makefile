# What a developer types. Everything is installed into .venv, from the locks, by the first target that needs it.

PYTHON ?= python3
BIN := .venv/bin
CODE := $(wildcard cdcd connectors deploy benchmarks tests)

.DEFAULT_GOAL := help
.PHONY: help venv servers test lint demo bench bench-peers failures matrix matrix-pairs matrix-15 matrix-mariadb \
	matrix-docker soak lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: .venv/.installed ## the virtual environment, from requirements-dev.lock

.venv/.installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv || { sh tests/servers/debian.sh python && $(PYTHON) -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

servers: venv ## what the tests' servers are made of
	$(BIN)/python -m tests.servers.fetch

test: lint servers ## lint, then all tests but the soak, three files at a time: most of their time is waiting
	$(BIN)/python -m pytest -n 3 --dist loadfile || { echo "again, alone: what failed beside others"; \
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

lint: venv ## ruff and mypy
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)

demo: venv ## two servers, a load and a pipeline between them, to look at
	$(BIN)/python -m deploy.demo

bench: bench-peers ## the measured ratios
	$(BIN)/python -m benchmarks

bench-peers: venv ## what they are measured against that no package of ours brings
	$(BIN)/python -m benchmarks.peers.debezium
	$(BIN)/python -m benchmarks.peers.pgloader

failures: venv ## each failure of tests/failures.txt, and what the tests that provoke it say
	$(BIN)/python -m tests.failures

matrix: matrix-pairs matrix-15 matrix-mariadb matrix-docker ## on all other versions of the servers that can be had

matrix-pairs: venv
	CDCD_MATRIX=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/contract tests/pairs \
	tests/crash/test_stream_kills.py tests/crash/test_load_kills.py

matrix-15: venv
	CDCD_HERE=15 $(BIN)/python -m pytest -n 2 --dist loadfile tests/met tests/postgres tests/traps tests/crash \
	tests/operations tests/pages

matrix-mariadb: venv
	CDCD_MARIADB=11 $(BIN)/python -m pytest -n 2 --dist loadfile -k mariadb tests/mysql tests/contract tests/pairs

matrix-docker: venv
	$(BIN)/python -m tests.servers.mysql_container

soak: venv ## the long tests
	$(BIN)/python -m pytest -m soak tests

lock: ## resolve the dependencies again
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv
	build/lock/bin/uv pip compile $(LOCK) -o requirements.lock
	build/lock/bin/uv pip compile $(LOCK) --extra dev -o requirements-dev.lock

LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links pyproject.toml

clean: ## everything that was made here
	rm -rf .venv build dist results *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
