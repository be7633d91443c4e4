# Everything that one does with a checkout. `make help` lists the targets.
# State: .venv (Python), target (Rust; CARGO_TARGET_DIR moves it), node_modules. All may be deleted at any time.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# The C libraries that two crates bundle are built with cmake, which pip puts into the virtual environment.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.NOTPARALLEL:

STAMPS := .venv/stamps
PINS := requirements/constraints.txt pyproject.toml scripts/venv.sh scripts/requirements.py
RUST_SOURCES := $(shell find rust/src -name '*.rs') Cargo.toml Cargo.lock pyproject.toml
PYTEST ?= python -m pytest

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# --- what a user does ----------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(STAMPS)/extension ## Set up, build, and start the gateway with its built-in test phone
	exec trunkline demo

.PHONY: test
test: test-rust test-python ## Set up everything for tests and run every test

.PHONY: check
check: check-python check-rust check-web ## Run every gate: formatting, lints, types, import contracts, licences

# --- tests ---------------------------------------------------------------------------------------------------------

.PHONY: test-rust
test-rust: $(STAMPS)/build-tools $(STAMPS)/rust-peers ## The media plane's own tests
	cargo test --locked

.PHONY: test-python
test-python: $(STAMPS)/test $(STAMPS)/extension $(STAMPS)/peers $(STAMPS)/npm-e2e ## Signalling, boundary and end-to-end tests
	$(PYTEST)

.PHONY: test-e2e
test-e2e: $(STAMPS)/test $(STAMPS)/extension $(STAMPS)/peers $(STAMPS)/npm-e2e ## Real peers only
	$(PYTEST) tests/e2e

# `make fuzz FUZZ_CASES=10000000` is a night's work; each failure prints the smallest bytes that show it.
FUZZ_CASES ?= 100000
.PHONY: fuzz
fuzz: $(STAMPS)/build-tools ## Run the bodies of the fuzz targets on random and likely bytes for long (`make test` runs 256 cases of each)
	PROPTEST_CASES=$(FUZZ_CASES) cargo test --locked --release --test media fuzzing

# --- gates ---------------------------------------------------------------------------------------------------------

.PHONY: check-python
check-python: $(STAMPS)/check $(STAMPS)/test $(STAMPS)/extension
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python -m mypy.stubtest trunkline._media

.PHONY: check-rust
check-rust: $(STAMPS)/check
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features python -- -D warnings
	cargo-deny --locked check --hide-inclusion-graph licenses bans sources

.PHONY: check-web
check-web: $(STAMPS)/npm-root
	npm run --silent check

.PHONY: advisories
advisories: $(STAMPS)/check ## Ask the advisory database about our crates (needs the network)
	cargo-deny --locked check advisories

# --- speed ---------------------------------------------------------------------------------------------------------

# `make bench BENCH="--only rtp --repeats 1"` measures a part.
BENCH ?=
RUN_BENCH = PYTHONPATH=. python -m benches.peers --generator $${CARGO_TARGET_DIR:-target}/release/examples/generator

.PHONY: bench
bench: $(STAMPS)/extension ## Measure Trunkline alone: CPU a packet, added latency, memory a call (benches/README.md)
	cargo build --locked --release --example generator
	$(RUN_BENCH) --relay none trunkline $(BENCH)

.PHONY: bench-calls
bench-calls: $(STAMPS)/extension $(STAMPS)/bench $(STAMPS)/peers ## Measure call set-up: calls a second, delay, memory, beside sippy and sipmessage
	PYTHONPATH=. python -m benches.call_setup --out benches/results/calls $(BENCH)

.PHONY: bench-peers
bench-peers: $(STAMPS)/extension $(STAMPS)/bench-peers ## Measure Trunkline beside rtpengine, Janus and a bare forwarder
	cargo build --locked --release --example generator
	$(RUN_BENCH) $(BENCH)

.PHONY: bench-jitter
bench-jitter: ## Replay jitter traces through our jitter buffer and through the crate neteq (TRACES=files for other ones)
	cd benches/neteq
	CARGO_TARGET_DIR=$${CARGO_TARGET_DIR:-$(CURDIR)/target} cargo run --locked --quiet -- \
		$(abspath $(or $(TRACES),$(wildcard tests/vectors/jitter/*.trace)))

.PHONY: bench-codecs
bench-codecs: $(STAMPS)/build-tools $(STAMPS)/rust-peers $(STAMPS)/runtime ## Measure codecs, concealment, sample rates and transcoded calls, beside other libraries
	cargo bench --locked --bench codecs --no-run
	PYTHONPATH=python:. python -m benches.codecs --out benches/results/codecs $(BENCH)

.PHONY: bench-srtp
bench-srtp: $(STAMPS)/build-tools $(STAMPS)/rust-peers ## Measure what protection costs a packet, beside libsrtp
	cargo bench --locked --bench srtp

# --- set-up --------------------------------------------------------------------------------------------------------

.PHONY: format
format: $(STAMPS)/check ## Format all sources
	ruff format .
	ruff check --fix .
	cargo fmt

.PHONY: lock
lock: ## Resolve the Python dependencies anew and write the pins
	scripts/lock.sh

.PHONY: clean
clean: ## Remove everything that was built or installed here
	rm -rf .venv target node_modules tests/e2e/npm/node_modules tests/.artifacts python/trunkline/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/%: $(PINS)
	scripts/venv.sh $*
	touch $@

$(STAMPS)/build-tools: $(PINS)
	scripts/venv.sh build
	touch $@

$(STAMPS)/extension: $(STAMPS)/build-tools $(STAMPS)/runtime $(RUST_SOURCES)
	maturin develop --release --locked
	touch $@

$(STAMPS)/peers: scripts/peers.sh $(STAMPS)/runtime
	scripts/peers.sh e2e
	touch $@

$(STAMPS)/rust-peers: scripts/peers.sh $(STAMPS)/runtime
	scripts/peers.sh rust
	touch $@

$(STAMPS)/bench-peers: scripts/peers.sh $(STAMPS)/runtime
	scripts/peers.sh bench
	touch $@

$(STAMPS)/npm-root: package-lock.json scripts/npm.sh $(STAMPS)/runtime
	scripts/npm.sh .
	touch $@

$(STAMPS)/npm-e2e: tests/e2e/npm/package-lock.json scripts/npm.sh $(STAMPS)/runtime
	scripts/npm.sh tests/e2e/npm
	touch $@
