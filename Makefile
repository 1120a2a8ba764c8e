# Needs cargo and python3 (3.11 or newer, with venv); everything else is installed into
# environments under .venv and build.

PYTHON ?= python3
VENV := .venv
TOOLS := build/tools
DEMO := build/demo
TORCH := build/torch
WHEELS := build/wheels
# Before the environments: an interpreter that is too old fails in ways that do not say so.
NEW_ENVIRONMENT := $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("python3 must be 3.11 or newer; name one with make PYTHON=...")' && $(PYTHON) -m venv --clear

# The interpreter that was chosen is also the one that PyO3 asks for its version.
ifneq ($(PYTHON),python3)
export PYO3_PYTHON := $(PYTHON)
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test simulation test-simulation mutants corruption crash faults soak processes bench fuzz pairs venv wheel build lint test-rust test-python test-torch docs fmt clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1|/' | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

demo: wheel $(DEMO)/.made ## a real pipeline cold, warm and after edits
	$(DEMO)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/*.whl
	$(DEMO)/bin/python tools/demo.py

test: lint test-rust docs test-python test-simulation ## every check and every test

lint: venv ## formatting, clippy, house rules, types
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(PYTHON) tools/lint.py
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

# The Python crate is an extension module, which a Rust test cannot link; its tests are in Python.
test-rust: ## the tests of the crates, and the examples in their documentation
	cargo test --locked --workspace --exclude thrifty-python

docs: ## the documentation of the crates; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

test-python: build ## the tests of the Python package, and the examples in its documentation
	$(VENV)/bin/pytest
	$(VENV)/bin/pytest --doctest-modules --collect-in-virtualenv --ignore-glob='*/thrifty/_torch.py' --pyargs thrifty

# torch from the registry is linked with CUDA; the stand-ins let it load where that is not installed.
test-torch: wheel $(TORCH)/.made ## the tests of values of torch, in an environment of their own
	$(TORCH)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/*.whl
	$(TORCH)/bin/python tools/torch_stand_ins.py $(TORCH) $(TORCH)/stand-ins
	LD_LIBRARY_PATH=$(TORCH)/stand-ins $(TORCH)/bin/pytest python/tests/test_torch.py

# After the wheel: what both are made of is built once.
test-simulation: ## 20,000 seeds of the simulated protocol, and that rare states were reached
	cargo run --locked --release --quiet -p thrifty-simulation -- --seeds 20000 --marks 20

corruption: ## every bit of a catalog and of blobs flipped, one after the other
	cargo run --locked --release --quiet -p thrifty-corruption

crash: ## processes killed at named moments, two hundred times each, and at every call
	cargo run --locked --release --quiet -p thrifty-faults -- crash

faults: ## every call of every job fails in every way; every job on a disk that fills up; losses of power
	cargo run --locked --release --quiet -p thrifty-faults -- errors
	cargo run --locked --release --quiet -p thrifty-faults -- full
	cargo run --locked --release --quiet -p thrifty-faults -- power

simulation: ## a million seeds of the simulated protocol
	cargo run --locked --release --quiet -p thrifty-simulation -- --seeds 1000000 --marks 1000

mutants: ## deliberate bugs, each of which the simulation or a test must find
	$(PYTHON) tools/mutants.py

SOAK_SECONDS ?= 60

soak: build ## sixteen processes on one cache for a minute, with collections and kills; SOAK_SECONDS=10800 for three hours
	$(VENV)/bin/python python/tests/soak.py --seconds $(SOAK_SECONDS)

processes: build ## forks, herds, kills, suspensions, interrupts and exits, often: an hour or two
	$(VENV)/bin/python python/tests/processes/campaign.py

pairs: build ## a million generated pairs of values that must agree, or differ
	$(VENV)/bin/python python/tests/generated_pairs.py

bench: wheel ## the benchmark beside its peers; writes docs/benchmarks.md
	$(PYTHON) benches/run.py --wheel $(WHEELS)/*.whl

FUZZ_SECONDS ?= 600
FUZZ := build/fuzz

fuzz: build $(TOOLS)/.cargo-fuzz $(FUZZ)/.made ## the fuzzers, ten minutes each; FUZZ_SECONDS=60 for less
	$(FUZZ)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/*.whl
	for target in encoding source; do \
	  mkdir -p build/corpus/$$target && PATH="$(CURDIR)/$(TOOLS)/cargo/bin:$$PATH" cargo +nightly fuzz run --fuzz-dir fuzz \
	    --target-dir build/fuzz-target $$target build/corpus/$$target python/thrifty crates/source/tests/samples -- \
	    -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -timeout=20 || exit 1; \
	done
	mkdir -p build/corpus/walker
	$(FUZZ)/bin/python fuzz/walker.py -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -timeout=20 build/corpus/walker

$(TOOLS)/.cargo-fuzz: $(TOOLS)/.made
	cargo install cargo-fuzz --version 0.13.2 --locked --quiet --root $(TOOLS)/cargo
	touch $@

venv: $(VENV)/.made ## the environment for development

build: wheel venv ## the wheel, installed into the environment for development
	$(VENV)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/*.whl

# One release build serves the tests, the demo and the benchmark.
wheel: $(TOOLS)/.made ## the release wheel
	rm -rf $(WHEELS)
	$(TOOLS)/bin/maturin build --release --locked --out $(WHEELS) --interpreter $(TOOLS)/bin/python

$(VENV)/.made: requirements-dev.txt examples/flights/requirements.txt
$(TOOLS)/.made: requirements-build.txt
$(DEMO)/.made: examples/flights/requirements.txt
$(TORCH)/.made: requirements-torch.txt

$(TORCH)/.made:
	$(NEW_ENVIRONMENT) $(TORCH)
	$(TORCH)/bin/python -m pip install --quiet --no-deps --requirement $<
	touch $@
$(FUZZ)/.made: fuzz/requirements.txt

%/.made:
	$(NEW_ENVIRONMENT) $*
	$*/bin/python -m pip install --quiet --requirement $<
	touch $@

fmt: venv ## formats everything
	cargo fmt
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix --quiet

clean: ## removes everything that was built or installed
	cargo clean
	rm -rf $(VENV) build
