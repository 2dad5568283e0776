# dicomnn: everything runs in .venv, which `make` builds itself (git, make and python3-venv are enough).
#
#   make            build .venv and install dicomnn into it
#   make demo       the five-minute start: studies in over C-STORE, smaller, and back bit for bit
#                   (KEEP=1 leaves the node running and prints its addresses)
#   make test       ruff, mypy, import-linter, pytest
#   make peers      tests against DCMTK, dicom3tools, Orthanc (Debian: dcmtk dicom3tools orthanc)
#   make slow       the long tests
#   make bench      ours beside JPEG-LS, JPEG XL, JPEG 2000 and HTJ2K: FOLDER=... OUT=... BENCH='--most 2'
#   make bench-lossy  the lossy tier beside JPEG 2000 and JPEG XL: curves, BD-rates; FOLDER=... OUT=...
#   make wheel-test build the wheel and use it in an empty environment
#   make lint types layers unit     the four parts of `make test`, one at a time
#   make clean      remove .venv, caches and build products

SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := install
.PHONY: install demo bench bench-lossy test lint types layers unit peers slow wheel-test clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
KEEP ?=
FOLDER ?= sample_data
OUT ?= runs/bench
BENCH ?=
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -q

# ---------------------------------------------------------------- installing, once per change of setup.cfg
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "dicomnn needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing dicomnn into $(VENV) (some 300 MB the first time, a few minutes)"
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "installing the test tools into $(VENV)"
	@$(PIP) install --quiet --editable '.[test,bench,train]'
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed
	@$(PIP) install --quiet --editable '.[bench]'
	@touch $@

# The kernels of the codec are compiled once and cached; without this the first user of each would wait.
$(VENV)/compiled: $(VENV)/installed $(wildcard dicomnn/codec/*.py dicomnn/codec/contenders/*.py)
	@echo "compiling the coding loop (half a minute, once)"
	@$(BIN)/python -m dicomnn.warm
	@touch $@

install: $(VENV)/compiled
	@echo "dicomnn is in $(BIN)/dicomnn; next: make demo"

# ---------------------------------------------------------------- the five-minute start
demo: $(VENV)/compiled
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

# ---------------------------------------------------------------- measuring (docs/benchmark.md)
bench: $(VENV)/compiled $(VENV)/installed-bench
	@$(BIN)/dicomnn bench $(FOLDER) --json $(OUT)/bench.json --efforts fast,default,max --bounded 1,2,4,8 --neighbours \
	  $(BENCH)

bench-lossy: $(VENV)/compiled $(VENV)/installed-bench
	@$(BIN)/dicomnn bench $(FOLDER) --lossy --json $(OUT)/bench-lossy.json $(BENCH)

# ---------------------------------------------------------------- tests
lint: $(VENV)/installed-test
	@$(BIN)/ruff check --quiet . && echo "ruff: clean"

types: $(VENV)/installed-test
	@$(BIN)/mypy

layers: $(VENV)/installed-test
	@out=$$($(BIN)/lint-imports 2>&1) || { echo "$$out"; exit 1; }; echo "$$out" | tail -n 1

unit: $(VENV)/installed-test $(VENV)/compiled
	@$(PYTEST) -m "not peers and not slow" -n $(JOBS) --dist loadfile

test: lint types layers unit

peers: $(VENV)/installed-test $(VENV)/compiled
	@$(PYTEST) -m peers tests/peers

slow: $(VENV)/installed-test $(VENV)/compiled
	@$(PYTEST) -m slow

wheel-test: $(VENV)/installed-test
	@$(BIN)/python tests/packaging/wheel_check.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
