# Everything a developer types. `make demo` and `make test` each work from nothing but Python 3.11, make and git.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Processes the tests are spread over.
JOBS ?= 2
# How much `make prove` and its parts do.
MINUTES ?= 3
SEEDS ?= 2000
FIRST ?= 1
TRIALS ?= 500
# How much `make bench` does: rounds of each rate, runs of the full ledger, and of the worker whose memory is watched.
ROUNDS ?= 3
RUNS ?= 200000
MEMORY_RUNS ?= 1000

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The locks are complete, so nothing is resolved here: what was released since cannot change or break an install.
LOCKED := --no-deps --require-hashes
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--no-strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

LIST_DEVELOPMENT := import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["dependencies"], *project["optional-dependencies"]["dev"], sep="\n")

WITH_SERVERS := $(wildcard tests/integration tests/faults tests/browser)
# Coverage is counted from the unit tests and these. The others run the product as a whole, mostly as processes, through
# lines that were counted before, and counting costs them a third of their time.
COUNTED := $(wildcard $(addprefix tests/integration/,cli clients in_process tasks web workflows))

# Stamps: an install runs again only when what it was made from has changed.
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(RUNTIME) ## Make .venv with Cartbridge and the exact, hashed set of packages that it runs on

.PHONY: develop
develop: $(DEVELOPMENT) ## Make .venv with what tests and checks need, too

.PHONY: demo
demo: $(RUNTIME) ## Run the main job against a sandbox of the four systems: about a minute, touches nothing of yours
	@$(BIN)/cartbridge demo

# Tests that were rewritten for their asserts are kept: reading them again is a third of the unit tests' time.
unit test integration: export PYTHONDONTWRITEBYTECODE :=

.PHONY: test
test: $(DEVELOPMENT) ## Run every test: unit, then integration and faults; fails below 95 % line and branch coverage
	@$(BIN)/coverage erase
	$(BIN)/pytest tests/unit -n $(JOBS) --cov --cov-report= --cov-fail-under=0
	$(BIN)/pytest $(COUNTED) -n $(JOBS) --cov --cov-append
	$(BIN)/pytest $(filter-out tests/faults,$(WITH_SERVERS)) $(addprefix --ignore=,$(COUNTED)) -n $(JOBS)
	$(BIN)/pytest $(wildcard tests/faults) -n $(JOBS)

.PHONY: unit
unit: $(DEVELOPMENT) ## Run the unit tests alone: seconds, no sockets
	$(BIN)/pytest tests/unit -n $(JOBS)

.PHONY: integration
integration: $(DEVELOPMENT) ## Run the integration and fault tests alone, on servers they start themselves
	$(BIN)/pytest $(WITH_SERVERS) -n $(JOBS)

.PHONY: browser
browser: $(DEVELOPMENT) ## Run the browser tests alone, in Debian's chromium
	$(BIN)/pytest tests/browser

.PHONY: bench
bench: $(DEVELOPMENT) ## Measure Cartbridge beside a bare loop, Celery and DBOS: ONLY=costs,slow ROUNDS= RUNS= (of the full ledger)
	@$(BIN)/python -m benchmarks --rounds $(ROUNDS) --runs $(RUNS) --memory-runs $(MEMORY_RUNS) --plot docs/performance.svg \
		$(if $(ONLY),--only "$(ONLY)")

.PHONY: bench-pages
bench-pages: $(DEVELOPMENT) ## Measure every page and listing on a ledger of RUNS= runs in a PostgreSQL of its own
	$(BIN)/python benchmarks/pages.py --runs $(RUNS)
	$(BIN)/python benchmarks/listings.py --runs $(RUNS)

.PHONY: screenshots
screenshots: $(DEVELOPMENT) ## Take the pictures of docs/screenshots anew, by way of the browser tests
	CARTBRIDGE_SCREENSHOTS=docs/screenshots $(BIN)/pytest tests/browser/test_ways_in.py tests/browser/test_screens.py \
		-k "axe or nothing_sticks_out or pictures or menu"

.PHONY: prove
prove: $(DEVELOPMENT) ## Prove it: crash points, simulation, planted bugs, races, chaos; prints what each counted (ONLY=races)
	@$(BIN)/python -m tests.faults.prove --minutes $(MINUTES) --seeds $(SEEDS) --trials $(TRIALS) $(if $(ONLY),--only "$(ONLY)")

.PHONY: simulate
simulate: $(DEVELOPMENT) ## Play the simulation: SEEDS= how many, FIRST= the first, SEED= one alone with everything it does
	@$(BIN)/python -m tests.faults.simulation --seeds $(SEEDS) --first $(FIRST) $(if $(SEED),--replay $(SEED))

.PHONY: chaos
chaos: $(DEVELOPMENT) ## Run it all as real processes and break something every few seconds: MINUTES= SEED= JSON=
	@$(BIN)/python -m tests.faults.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json $(JSON))

.PHONY: diagrams
diagrams: $(DEVELOPMENT) ## Write the state machines, the packages and the table of reasons in docs anew from the code
	@$(BIN)/python docs/state_diagrams.py
	@$(BIN)/python docs/package_graph.py
	@$(BIN)/python docs/reasons_table.py

.PHONY: lint
lint: $(DEVELOPMENT) check-migrations ## Check format, style, types, import directions and migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/state_diagrams.py --check
	$(BIN)/python docs/package_graph.py --check
	$(BIN)/python docs/reasons_table.py --check
	$(BIN)/python .ci/audit.py

.PHONY: format
format: $(DEVELOPMENT) ## Format the code and fix what can be fixed without thought
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: check-migrations
check-migrations: $(DEVELOPMENT) ## Check that the migrations lead to exactly what the models say
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && \
	export CARTBRIDGE_DATABASE_URL="sqlite:///$$directory/ledger.db" && \
	$(BIN)/alembic upgrade head && $(BIN)/alembic check

.PHONY: lock
lock: $(DEVELOPMENT) ## Write requirements*.txt anew from pyproject.toml; UPGRADE=--upgrade takes the newest versions
	$(PIP_COMPILE) $(UPGRADE) --output-file requirements.txt pyproject.toml
	$(PIP_COMPILE) $(UPGRADE) --output-file benchmarks/peers/requirements.txt benchmarks/peers/requirements.in
	@# By way of stdin, because pip-compile drops the platform markers of what it reads in an extra.
	$(BIN)/python -c '$(LIST_DEVELOPMENT)' | \
		$(PIP_COMPILE) $(UPGRADE) --constraint requirements.txt --output-file requirements-dev.txt -

.PHONY: clean
clean: ## Remove .venv and everything the tools left behind; the ledger and the settings stay
	rm -rf $(VENV) .bench build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what Cartbridge runs on"
	@$(PIP_INSTALL) $(LOCKED) -r requirements.txt
	@$(PIP_INSTALL) --no-deps -e .
	@touch $@

$(DEVELOPMENT): requirements-dev.txt $(RUNTIME)
	@echo "Installing what tests and checks need"
	@$(PIP_INSTALL) $(LOCKED) -r requirements-dev.txt
	@touch $@
