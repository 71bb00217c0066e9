# make demo    everything from nothing, a verification and a veto, then stop      make serve   the same, and stay up
# make test    everything the tests need, and the tests                           make venv    only the environment
# make system  the tests that take more than 20 s each
# make bench   what this machine serves and why it is no more, an hour            make bench-check    whether that has changed
# make tensorrt-rtx    TensorRT for RTX, to build engines without a GPU           make gpu-proof    what this machine's GPU does

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
RTX := $(VENV)/tensorrt-rtx

ifneq ($(wildcard ../shared),)
export FACEGATE_MIRROR ?= $(abspath ../shared)
endif

.DEFAULT_GOAL := help
.PHONY: help venv tensorrt-rtx demo serve test system lint lock protos bench bench-check accuracy precision gpu-proof soak recovery fuzz clean

help:
	@sed -n '1,5s/^# //p' Makefile

venv: $(READY)

$(READY): requirements.lock pyproject.toml client/pyproject.toml ensemble/pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else "FaceGate needs Python 3.10, 3.11 or 3.12, and $(PYTHON) is %d.%d: run make PYTHON=/path/to/python3.11" % v)'
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable client --editable ensemble --editable .
	@touch $(READY)

# TensorRT for RTX, about 100 MB: its parser and builder need no GPU.
tensorrt-rtx: $(RTX)

$(RTX): $(READY) requirements-rtx.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements-rtx.lock
	@touch $(RTX)

demo: $(READY)
	$(RUN) -m facegate.cli.demo

serve: $(READY)
	$(VENV)/bin/facegate serve

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo

test: lint $(RTX)
	$(RUN) -m pytest

# The tests that take more than 20 s each.
system: $(RTX)
	$(RUN) -m pytest -m system

bench: $(READY)
	$(RUN) -m benchmarks all

bench-check: $(READY)
	$(RUN) -m benchmarks check

accuracy: $(READY)
	$(RUN) -m benchmarks.accuracy

precision: $(RTX)
	$(RUN) -m benchmarks.precision

gpu-proof: $(READY)
	$(RUN) -m benchmarks.gpu.proof

soak: $(READY)
	$(RUN) -m benchmarks.soak

recovery: $(READY)
	$(RUN) -m benchmarks.recovery

# The Python of the .proto files, which is kept in git.
protos: $(READY)
	$(RUN) -m grpc_tools.protoc -I client -I $$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		--python_out=client --pyi_out=client --grpc_python_out=client client/facegate_client/service/face_service.proto
	$(RUN) -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. facegate/gateway/localai/backend.proto

# As many seconds for each target; new inputs go to build/fuzz.
SECONDS ?= 60

fuzz: $(READY)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tests/fuzz/requirements.txt
	$(RUN) -m tests.fuzz.seeds build/fuzz
	$(RUN) -m tests.fuzz.fuzz_decode build/fuzz/decode tests/fuzz/corpus/decode -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/decode-
	$(RUN) -m tests.fuzz.fuzz_request build/fuzz/request tests/fuzz/corpus/request -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/request-

# The locks of the container's Python, 3.12.
UV_312 := uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade

OURS := --no-emit-package facegate-client --no-emit-package facegate-ensemble --no-emit-package facegate

# The lock from pyproject.toml, for every Python and platform that is supported, with hashes. Needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --upgrade --all-extras client/pyproject.toml ensemble/pyproject.toml pyproject.toml $(OURS) \
		--output-file requirements.lock
	echo tensorrt-rtx-cu13 | uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --upgrade - --output-file requirements-rtx.lock
	$(UV_312) --extra serve --extra gateway --constraint requirements.lock --override deploy/overrides.txt pyproject.toml deploy/requirements.in \
		$(OURS) --output-file deploy/requirements.lock
	$(UV_312) --constraint requirements.lock deploy/pycuda-tools.in --output-file deploy/pycuda-tools.lock
	echo pycuda | $(UV_312) --no-deps - --output-file deploy/pycuda.lock
	for v in 11.2.1.2 10.15.1.29; do printf 'tensorrt-cu13==%s\ntensorrt-cu13-bindings==%s\n' $$v $$v | \
		$(UV_312) --no-deps - --output-file deploy/tensorrt-$$v.lock; done

clean:
	rm -rf $(VENV) build
