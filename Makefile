# qgsd: `make` alone lists what can be done.
PORT ?= 8080
PYTHON ?= /usr/bin/python3
BIN := .venv/bin

.PHONY: help setup run test screenshots test-trixie test-bookworm test-newcomer test-rival lint chaos fuzz soak network bench bench-quick docs format clean test-package test-image lock audit release

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: .venv/.ready ## install what is missing: QGIS, the virtual environment, qgsd in it

.venv/.ready: pyproject.toml setup.py qgsd/png/compact.c requirements/run.txt scripts/setup
	@PYTHON=$(PYTHON) scripts/setup
	@touch $@

run: .venv/.ready ## serve the bundled example on PORT (8080)
	@exec $(BIN)/qgsd demo --port $(PORT)

lint: .venv/.ready ## style, types and the walls between the packages
	@scripts/lint

test: .venv/.ready ## lint, then the whole test suite
	@scripts/setup-test
	@scripts/lint
	@$(BIN)/pytest

test-trixie: ## the same on a fresh Debian 13 in build/trixie; as root
	@scripts/test-debian trixie

test-bookworm: ## and on a fresh Debian 12
	@scripts/test-debian bookworm

test-newcomer: .venv/.ready ## a newcomer's path, timed on fresh Debians: clone, `make run`, the map in a browser; as root
	@scripts/test-newcomer

screenshots: .venv/.ready ## renew the pictures in docs/images from what the tests see
	@scripts/setup-test
	@$(BIN)/pytest tests/integration/test_looks.py
	@$(BIN)/python -m tests.pictures

chaos: .venv/.ready ## the chaos suite in its long form, about a quarter of an hour
	@scripts/setup-test
	@CHAOS_SECONDS=$${CHAOS_SECONDS:-60} $(BIN)/pytest tests/chaos

fuzz: .venv/.ready ## 100,000 damaged requests, commands, messages and texts; about a quarter of an hour
	@scripts/setup-test
	@FUZZ_REQUESTS=$${FUZZ_REQUESTS:-100000} FUZZ_MESSAGES=$${FUZZ_MESSAGES:-100000} FUZZ_TEXTS=$${FUZZ_TEXTS:-100000} \
	  $(BIN)/pytest -s tests/fuzz tests/integration/test_cluster_key.py -k "fuzz or nonsense or whatever"

soak: .venv/.ready ## steady load with faults for SOAK_SECONDS (1800): nothing may grow
	@scripts/setup-test
	@SOAK_SECONDS=$${SOAK_SECONDS:-1800} $(BIN)/pytest tests/soak

network: .venv/.ready ## a proxy and three hosts with bad cables, ten minutes; as root
	@scripts/setup-test
	@NETWORK_SECONDS=$${NETWORK_SECONDS:-60} $(BIN)/pytest tests/network

bench: .venv/.ready ## side by side with FastCGI and py-qgis-server, about a quarter of an hour
	@scripts/setup-bench
	@$(BIN)/python -m bench --json .bench/last.json --chart .bench/last.svg

bench-quick: .venv/.ready ## the same in three minutes: one short round
	@scripts/setup-bench
	@$(BIN)/python -m bench --quick

test-rival: .venv/.ready ## the same requests to py-qgis-server and to qgsd: the same answers?
	@scripts/setup-test
	@QGSD_RIVAL=$$(scripts/setup-rival) $(BIN)/pytest -s tests/rival

docs: .venv/.ready ## the documentation as a site, in build/site
	@$(BIN)/python -c 'import mkdocs' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "build/site/index.html"

test-package: ## sdist, wheel and Debian package, built, installed and started on a fresh Debian 13; as root
	@scripts/test-package

test-image: ## the container's image, built and tried without Docker; as root
	@scripts/test-image

lock: ## pin what is installed; `scripts/lock --upgrade` for the newest of everything
	@scripts/lock

audit: ## are there known vulnerabilities in what is pinned?
	@scripts/audit

release: ## sdist, wheel, bill of materials and sums in dist/
	@scripts/release

format: .venv/.ready ## put all code into the common form
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

clean: ## remove what setup and tests have made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
