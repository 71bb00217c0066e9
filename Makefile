# make demo    everything from nothing, a verification and a veto, then stop      make serve   the same, and stay up
# make test    everything the tests need, and the tests                           make venv    only the environment

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready

ifneq ($(wildcard ../shared),)
export FACEGATE_MIRROR ?= $(abspath ../shared)
endif

.DEFAULT_GOAL := help
.PHONY: help venv demo serve test lint lock accuracy soak recovery fuzz clean

help:
	@sed -n '1,2s/^# //p' Makefile

venv: $(READY)

$(READY): requirements.lock pyproject.toml client/pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else "FaceGate needs Python 3.10, 3.11 or 3.12, and $(PYTHON) is %d.%d: run make PYTHON=/path/to/python3.11" % v)'
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable client --editable .
	@touch $(READY)

demo: $(READY)
	$(RUN) -m facegate.demo

serve: $(READY)
	$(VENV)/bin/facegate serve

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

test: lint
	$(RUN) -m pytest

accuracy: $(READY)
	$(RUN) -m benchmarks.accuracy

soak: $(READY)
	$(RUN) -m benchmarks.soak

recovery: $(READY)
	$(RUN) -m benchmarks.recovery

# As many seconds for each target; new inputs go to build/fuzz.
SECONDS ?= 60

fuzz: $(READY)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tests/fuzz/requirements.txt
	$(RUN) -m tests.fuzz.seeds build/fuzz
	$(RUN) -m tests.fuzz.fuzz_decode build/fuzz/decode tests/fuzz/corpus/decode -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/decode-
	$(RUN) -m tests.fuzz.fuzz_request build/fuzz/request tests/fuzz/corpus/request -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/request-

# The lock from pyproject.toml, for every Python and platform that is supported, with hashes. Needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --upgrade --all-extras client/pyproject.toml pyproject.toml --no-emit-package facegate-client --no-emit-package facegate \
		--output-file requirements.lock

clean:
	rm -rf $(VENV) build
