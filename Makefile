# Everything a newcomer needs: Python 3.11+ and make. No root, nothing installed beforehand.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_FOLDER ?= data
# Two of pytest's processes, each file of tests in one of them, in the order of folders: the long ones come first.
BESIDE_EACH_OTHER := -n 2 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Keep the tools' own usage statistics and update checks off.
export DO_NOT_TRACK := 1
export DAGSTER_DISABLE_TELEMETRY := yes

.DEFAULT_GOAL := help
.PHONY: help run test test-full lint real faults spark bench docs serve clean fuzz

help: ## Print these lines
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "parkledger needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what it needs to run (once, about 90 seconds)"
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@PARKLEDGER_HOME=$(HOME_FOLDER) $(BIN)/python -m orchestration.prepare
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "Installing what its tests need (once, about a minute)"
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# The extra `spark`: what DuckDB meters by default, metered by Spark. Java 17 is not in it.
$(VENV)/.spark: requirements-spark.lock $(VENV)/.run
	@echo "Installing Spark (once, about a minute)"
	$(BIN)/pip install --quiet --require-hashes -r requirements-spark.lock
	@touch $@

# The extra `object-store`, and a server with S3's protocol on which it is tested.
$(VENV)/.object-store: requirements-object-store.lock requirements-object-store-server.lock $(VENV)/.run
	@echo "Installing a client and a server of object stores (once, about ten seconds)"
	$(BIN)/pip install --quiet --require-hashes -r requirements-object-store.lock
	$(BIN)/pip install --quiet --require-hashes -r requirements-object-store-server.lock
	@touch $@

# The bench's peers pin older libraries than ours: an environment of their own.
.bench/venv/.done: requirements-bench.lock | $(BIN)/python
	@echo "Installing the peers of the bench (once, about a minute)"
	$(PYTHON) -m venv .bench/venv
	.bench/venv/bin/pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

run: $(VENV)/.run ## Simulate what is missing, land, build the ledgers, derive credit loss, check and publish
	$(BIN)/parkledger --home $(HOME_FOLDER) run

serve: $(VENV)/.run ## Dagster's web server and daemon on this home, at http://localhost:3000
	$(BIN)/parkledger --home $(HOME_FOLDER) serve

test: $(VENV)/.dev $(VENV)/.spark ## Fast tests: rules, identities, dbt unit tests, the product end to end, real files
	@bash tests/install_browser.sh
	@bash tests/install_java.sh
	$(BIN)/pytest -m "not slow" $(BESIDE_EACH_OTHER)

test-full: $(VENV)/.dev $(VENV)/.spark $(VENV)/.object-store ## All tests, the heavy ones too
	@bash tests/install_browser.sh
	@bash tests/install_java.sh
	-@$(MAKE) --silent .faults/atheris/.done
	$(BIN)/pytest $(BESIDE_EACH_OTHER)

real: $(VENV)/.dev ## Run the whole job over a home of real files (PARKLEDGER_REAL_DATA) and print their facts beside those found
	@bash tests/install_browser.sh
	CI=true $(BIN)/pytest tests/real

faults: $(VENV)/.dev ## Break it on purpose (SECTIONS="crashes damage", SHARE=0.1): print what was injected, survived, lost, doubled, wrong; keep it under .faults/, with KEEP=yes for the documentation too
	-@$(MAKE) --silent .faults/atheris/.done
	$(BIN)/python -m tests.faults $(SECTIONS) --share $(or $(SHARE),1)

# The fuzzer is a library for some Pythons on Linux alone: it stands beside the environment, and where it is missing, what needs it says so.
.faults/atheris/.done: requirements-fuzz.lock | $(BIN)/python
	$(BIN)/pip install --quiet --require-hashes -r requirements-fuzz.lock --target .faults/atheris
	@touch $@

fuzz: $(VENV)/.dev .faults/atheris/.done ## Fuzz a reader by coverage (READER=nem12, parquet, zip, yaml, reference …; SECONDS=60)
	PYTHONPATH=.faults/atheris $(BIN)/python tests/faults/fuzz.py $(or $(READER),nem12) --seconds $(or $(SECONDS),60)

lint: $(VENV)/.dev ## ruff, mypy --strict, import rules, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint dbt_project/models dbt_project/tests dbt_project/analyses

spark: $(VENV)/.spark ## Install what `parkledger run --engine spark` needs, beside Java 17

bench: $(VENV)/.dev $(VENV)/.spark .bench/venv/.done ## All performance goals in one table (SIZE=small or seed); a missed goal shows its profile
	@bash tests/install_java.sh
	$(BIN)/python -m tests.benchmarks

docs: $(VENV)/.dev ## Build the documentation site into dbt_project/site
	$(BIN)/python -m orchestration.docs

clean: ## Remove what runs have made in this home; terms and reference data stay
	rm -rf $(HOME_FOLDER)/{published,reports,quarantine,dagster,.parkledger,warehouse.duckdb,warehouse.duckdb.wal} dbt_project/{target,logs,site}
	find $(HOME_FOLDER)/lake -mindepth 1 -maxdepth 1 ! -name journal -exec rm -rf {} + 2>/dev/null || true
	$(if $(filter data,$(HOME_FOLDER)),rm -rf data/lake data/closes,@echo "Kept: $(HOME_FOLDER)/lake/journal and closes, which nothing could make again")
	find $(HOME_FOLDER)/landing -mindepth 1 -name 'simulated-*' -delete 2>/dev/null || true
