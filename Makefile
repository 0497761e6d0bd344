# `make` alone lists what there is. Each target installs what it needs first (scripts/setup says what, and asks).
# Demo, test and lint share one profile and one target folder, so that a clone builds once.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test bench fmt lint deny

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## Build, then rehearse the miners on loopback and show what scored what
	@scripts/setup demo
	cargo build --locked -p adit
	ADIT_PYTHON=$${ADIT_PYTHON:-$$(ls $(TARGET)/oip-venv/bin/python 2>/dev/null)} $(TARGET)/debug/adit demo

# The tests' Python, with the wheels of scripts/requirements-test.txt.
test: export ADIT_TEST_PYTHON := $(TARGET)/test-venv/bin/python
# Bittensor's SDK apart, as it brings much of its own.
test: export ADIT_TEST_SDK_PYTHON := $(TARGET)/sdk-venv/bin/python
test: export ADIT_TEST_CHUTES := $(TARGET)/chutes-venv/bin/chutes
# What serves models over the Open Inference Protocol.
test: export ADIT_TEST_OIP_PYTHON := $(TARGET)/oip-venv/bin/python
test: export ADIT_TEST_PM2 := $(TARGET)/pm2/node_modules/.bin/pm2
test: ## Run the whole suite (ADIT_CI=1: a test that would be skipped fails)
	@scripts/setup test
	cargo test --locked --workspace --doc
	@if cargo nextest --version >/dev/null 2>&1; then \
		echo 'cargo nextest run --locked --workspace'; \
		scripts/with-docker-engine cargo nextest run --locked --workspace; \
	else \
		echo 'cargo test --locked --workspace --lib --bins --tests'; \
		scripts/with-docker-engine cargo test --locked --workspace --lib --bins --tests; \
	fi

bench: ## Compare with the peer, then run each crate's benches (two quiet cores, some minutes)
	@scripts/setup bench
	PEER_PYTHON=$(TARGET)/peer-venv/bin/python cargo bench --locked -p adit --bench against_peer
	SDK_PYTHON=$(TARGET)/sdk-venv/bin/python cargo bench --locked -p adit --bench metagraph
	PEER_PYTHON=$(TARGET)/peer-venv/bin/python cargo bench --locked -p adit --bench c2pa
	PEER_PYTHON=$(TARGET)/peer-venv/bin/python cargo bench --locked -p adit --bench generator
	PM2=$(TARGET)/pm2/node_modules/.bin/pm2 cargo bench --locked -p adit --bench background
	PEER_PYTHON=$(TARGET)/peer-venv/bin/python cargo bench --locked -p adit --bench chute_slug
	cargo bench --locked -p adit --bench journal
	cargo bench --locked -p adit --bench long_clips
	cargo bench --locked -p adit --bench page
	PEER_PYTHON=$(TARGET)/peer-venv/bin/python cargo bench --locked --workspace --exclude adit --bench '*'

fmt: ## Format the code
	cargo fmt --all

lint: ## Check the format and run clippy; warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

deny: ## Check licences, sources and doubled dependencies (needs cargo-deny)
	cargo deny check bans licenses sources
