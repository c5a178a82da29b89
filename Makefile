# make demo | test | vm | lint | types | layers | unit | bench | clean
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test vm unit lint types layers format bench clean

demo: $(VENV)/.installed
	@$(BIN)/stackctl -f examples/hello/compose.yaml up -d --wait
	@echo
	@echo "It runs. Look at it:       curl http://127.0.0.1:$${HELLO_PORT:-8080}/"
	@echo "What is there:             $(BIN)/stackctl -f examples/hello/compose.yaml ps"
	@echo "Take it down again:        $(BIN)/stackctl -f examples/hello/compose.yaml down -v"

test: $(VENV)/.tested
	@$(BIN)/python -m pytest -q

# On Debian 12's kernel with cgroup version 2 alone, under emulation: VM_TESTS names other tests.
vm: $(VENV)/.tested
	@$(BIN)/python tests/vm/run.py $(VM_TESTS)

unit: $(VENV)/.tested
	@$(BIN)/python -m pytest -q tests/unit tests/golden tests/property

lint: $(VENV)/.linted
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.linted
	@$(BIN)/mypy

layers: $(VENV)/.linted
	@$(BIN)/lint-imports

# MEASURES='life-10 commands' chooses; the peer is a Docker Engine with docker-compose, where there is one.
bench: $(VENV)/.installed
	@$(BIN)/python -m benchmarks $(MEASURES)

format: $(VENV)/.linted
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "stackctl needs Python 3.11 or later; '$(PYTHON)' is older or missing (set PYTHON=/path/to/python3)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "this Python has no venv module: install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.tested: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.linted: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@ $(VENV)/.installed $(VENV)/.tested

clean:
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
