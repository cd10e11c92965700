# make run   the gateway on its demo provider: no keys, no network
# make test  everything: builds the wheel, installs it, runs all tests against it
# make test-browser  the dashboard in a real browser (Debian's chromium, fetched where there is none)
# make soak  ten minutes between failing providers and misbehaving clients; SOAK_SECONDS=60 make soak for one
# make bench how fast it is (docs/performance.md); make bench-peers: beside nginx, TensorZero and LiteLLM
# make docs  docs/configuration.md and the JSON Schema, anew from lmgw/config/schema.py
# Needed: make, and Python 3.11 or newer with its venv module (Debian: python3-venv).

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Folders count too: their times change when a file in them goes.
SOURCES := setup.cfg pyproject.toml MANIFEST.in $(wildcard README.md) \
	$(shell find lmgw twisted_plugins ! -path '*/__pycache__*' ! -name dropin.cache)

.PHONY: bars bench bench-peers run soak test test-browser lint docs wheel sdist lock clean

run: $(VENV)/.installed
	$(BIN)/twistd -n --pidfile= lmgw --demo

test: $(VENV)/.test
	$(BIN)/pytest

# Not part of test: it wants a browser of 300 MB. What it saw is in build/screenshots.
test-browser: $(VENV)/.test
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
	$(BIN)/pytest tests/browser

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is written from the configuration's schema; a test holds the committed files to it.
docs: $(VENV)/.installed
	$(BIN)/python -m lmgw.config.document > docs/configuration.md
	$(BIN)/python -m lmgw.config.jsonschema > etc/lm-gateway/config.schema.json

# Start, idle memory, memory behind a stalled reader, how soon a disconnect is passed on.
bars: $(VENV)/.installed
	$(BIN)/python benchmarks/bars.py

# Reloaded every ten seconds; nothing may be left over, and memory must be flat. `make test` runs it for less than a minute.
soak: $(VENV)/.installed
	$(BIN)/python tests/soak/run.py

# How fast it is, with everything on. BENCH=--quick for a first look; docs/performance.md says what it needs.
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py $(BENCH)

# The same with nginx (from Debian, if it is missing), TensorZero and LiteLLM (from PyPI) in the same run.
bench-peers: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py --peers --install $(BENCH)

wheel: dist/.wheel

sdist: $(VENV)/.build
	rm -rf dist/*.tar.gz *.egg-info
	$(BIN)/python -c 'from setuptools import build_meta; print("dist/" + build_meta.build_sdist("dist"))' | tail -n 1

# Resolves setup.cfg's bounds anew, in a virtual environment of its own.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip --quiet --disable-pip-version-check install '.[test,lint,tokens]' 'setuptools>=77,<85' 'wheel>=0.45,<1'
	{ head -n 1 constraints.txt; build/lock/bin/pip freeze --all --exclude pip --exclude lmgw; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# Each file below stands for a step that is done.

$(VENV)/.build: constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(None if sys.version_info >= (3, 11) else \
		f"lmgw needs Python 3.11 or newer and this one is {v}; name another: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt setuptools wheel
	@touch $@

dist/.wheel: $(SOURCES) | $(VENV)/.build
	rm -rf build/lib build/bdist.* dist/*.whl *.egg-info
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@touch $@

$(VENV)/.installed: dist/.wheel $(VENV)/.build
	$(PIP) uninstall --yes lmgw 2>/dev/null
	$(PIP) install --constraint constraints.txt dist/*.whl
	@touch $@

$(VENV)/.test $(VENV)/.lint: $(VENV)/.%: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt "$$(echo dist/*.whl)[$*]"
	@touch $@
