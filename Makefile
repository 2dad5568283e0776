# dicomnn: everything runs in .venv, which `make` builds itself (git, make and python3-venv are enough).
#
#   make            build .venv and install dicomnn into it
#   make demo       the five-minute start: studies in over C-STORE, smaller, and back bit for bit
#                   (KEEP=1 leaves the node running and prints its addresses)
#   make test       ruff, mypy, import-linter, pytest
#   make peers      tests against DCMTK, dicom3tools, Orthanc, dicomweb-client, OHIF, and
#                   the pages in Chromium (Debian: dcmtk dicom3tools orthanc orthanc-dicomweb chromium)
#   make ohif       fetch the built OHIF viewer from npm into build/ohif, for `make peers` (Debian: npm)
#   make slow       the long tests
#   make load       a node under mixed load for ten minutes: SECONDS_OF_LOAD=600 OUT=...
#   make bench      ours beside JPEG-LS, JPEG XL, JPEG 2000 and HTJ2K: FOLDER=... OUT=... BENCH='--most 2'
#   make screenshots  every page at 1280 and 1920 pixels into build/screenshots, two of them into docs/ (chromium)
#   make bench-web  our DICOMweb beside Orthanc's: BENCH='--rounds 3'
#   make bench-node our node beside Orthanc (Debian: orthanc orthanc-python dcmtk): OUT=... BENCH='--only find'
#   make seed       the paper that dicomnn started from, reproduced and measured: docs/seed.md (SEED_DATA=... MINUTES=10)
#   make bench-lossy  the lossy tier beside JPEG 2000, JPEG XL, JPEG-LS and JPEG: curves, BD-rates, tiles; FOLDER=... OUT=...
#   make bench-lossy-speed     its speed against OpenJPEG, equal bytes, both cores: BENCH='--rounds 5'
#   make bench-lossy-promises  every promise on every frame that may be coded with loss, measured again
#   make lossy-picture  README's picture of a made CT: original, ours at ratio 5, difference
#   make wheel-test build the wheel and use it in an empty environment
#   make lint types layers unit     the four parts of `make test`, one at a time
#   make clean      remove .venv, caches and build products

SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := install
.PHONY: install demo bench bench-web bench-node bench-lossy bench-lossy-speed bench-lossy-promises lossy-picture \
  load seed test lint types layers unit peers ohif screenshots slow wheel-test clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
KEEP ?=
FOLDER ?= sample_data
OUT ?= runs/bench
BENCH ?=
SECONDS_OF_LOAD ?= 600
SEED_DATA ?= ../shared/data/train
SEED_RUN ?= runs/seed
MINUTES ?= 10
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
$(VENV)/compiled: $(VENV)/installed $(wildcard dicomnn/codec/*.py dicomnn/codec/contenders/*.py dicomnn/codec/lossy/*.py)
	@echo "compiling the coding loops (a minute, once)"
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

bench-web: $(VENV)/compiled
	@$(BIN)/python -m benchmarks.web $(BENCH)

load: $(VENV)/compiled
	@$(BIN)/python -m benchmarks.mixed_load --seconds $(SECONDS_OF_LOAD) --json $(OUT)/load.json

bench-node: $(VENV)/compiled
	@PYTHONPATH=. $(BIN)/python benchmarks/node_beside_orthanc.py --json $(OUT)/node.json $(BENCH)
	@PYTHONPATH=. $(BIN)/python benchmarks/orthanc_storage.py $(FOLDER) --json $(OUT)/orthanc_storage.json

seed: $(VENV)/compiled $(VENV)/installed-bench
	@$(BIN)/dicomnn seed $(SEED_DATA) --run $(SEED_RUN) --minutes $(MINUTES) --page docs/seed.md \
	  --show sample_data/ct_thorax/ct_04.dcm --shown-as 'A made CT slice of `sample_data/` (no person).'

bench-lossy: $(VENV)/compiled $(VENV)/installed-bench
	@$(BIN)/dicomnn bench $(FOLDER) --lossy --json $(OUT)/bench-lossy.json $(BENCH)

bench-lossy-speed: $(VENV)/compiled $(VENV)/installed-bench
	@$(BIN)/dicomnn bench $(FOLDER) --lossy --speed --json $(OUT)/lossy-speed.json $(BENCH)

bench-lossy-promises: $(VENV)/compiled $(VENV)/installed-bench
	@$(BIN)/dicomnn bench $(FOLDER) --lossy --promises --json $(OUT)/lossy-promises.json $(BENCH)

lossy-picture: $(VENV)/compiled $(VENV)/installed-bench
	@PYTHONPATH=. $(BIN)/python benchmarks/lossy_picture.py

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

screenshots: $(VENV)/installed-test $(VENV)/compiled
	@$(BIN)/python -m tests.web_app.screenshots build/screenshots docs

OHIF := 3.13.2
ohif: build/ohif/package/dist/index.html
build/ohif/package/dist/index.html:
	@echo "fetching OHIF $(OHIF) (50 MB; MIT licence)"
	@mkdir -p build/ohif
	@cd build/ohif && npm pack --silent @ohif/app@$(OHIF) >/dev/null && tar xzf ohif-app-$(OHIF).tgz && touch package/dist/index.html

slow: $(VENV)/installed-test $(VENV)/compiled
	@$(PYTEST) -m slow

wheel-test: $(VENV)/installed-test
	@$(BIN)/python tests/packaging/wheel_check.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
