# Needs make, Python >= 3.11 and its pip; everything else is fetched into .venv and var/.
#   make run     the whole product with a simulated city      make test    all tests (ARGS="-k ledger")
#   make check   what CI runs besides the tests               make format  rewrite the code in our style
#   make roads   the optional road engine (docs/dispatch.md)

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$python && exit; \
	done; echo python3)
BIN := .venv/bin
WORKERS ?= 3
ARGS ?=
# A busy machine may make a handful of tests late; each is shown with its failure at the end, and is to be mended.
SECOND_GO ?= --reruns 1 --max-suite-reruns 5 --rerun-show-tracebacks
# For tools that load the settings but never talk to the engines.
NO_ENGINES := DATABASE_URL=postgresql://127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1/0
OPENAPI := docs/openapi.yaml

.PHONY: record-migrations rating-oracle soak-ledger fuzz-ocpp run test lint types check format docs bench fuzz openapi clean python roads runtime development
.DEFAULT_GOAL := run
# The images of containers often set this; it would have each of our processes compile 3,000 modules anew, 3 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

run: runtime
	@exec $(BIN)/python -m fleetcharge.embedded.run

test: development
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(SECOND_GO) $(ARGS)

lint: development
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python $(BIN)/lint-imports

types: development
	@$(NO_ENGINES) $(BIN)/python -m mypy

check: lint types
	@$(NO_ENGINES) $(BIN)/python manage.py check --fail-level WARNING
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@mkdir -p var && $(NO_ENGINES) $(BIN)/python manage.py spectacular --validate --fail-on-warn --file var/openapi.yaml
	@diff -u $(OPENAPI) var/openapi.yaml || (echo "$(OPENAPI) is not what the code says: run 'make openapi' and commit it"; exit 1)
	@echo "All checks passed"

openapi: development
	@$(NO_ENGINES) $(BIN)/python manage.py spectacular --validate --file $(OPENAPI)

# After a new migration: an empty database gets what is recorded in two seconds, the rest at Django's own pace.
record-migrations: development
	@DJANGO_SETTINGS_MODULE=fleetcharge.settings $(BIN)/python -m fleetcharge.embedded.first_migrations

format: development
	@$(BIN)/python -m ruff check --fix --quiet . || true
	@$(BIN)/python -m ruff format .

docs: development
	@$(BIN)/python -m pytest -q tests/docs

bench: development
	@$(BIN)/python -m bench $(ARGS)

# Holds, captures and their kin over eight connections, 100,000 of them; the books are looked at in between.
soak-ledger: development
	@LEDGER_INTERLEAVINGS=100000 $(BIN)/python -m pytest billing/tests/test_interleavings.py -q -k soak

# The API against data nobody thought of, longer than `make test` does.
fuzz: development
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-50} $(BIN)/python -m pytest -q tests/contract/test_schemathesis.py

# 100,000 frames that chargers might say, whole and broken, at our OCPP sockets (some ten minutes).
fuzz-ocpp: development
	@OCPP_FUZZ_FRAMES=$${FRAMES:-100000} $(BIN)/python -m pytest -q ocpp_bridge/tests/test_fuzz.py

# Prices beside an exact oracle, as many as the goal says (some ten minutes).
rating-oracle: development
	@ORACLE_SESSIONS=$${SESSIONS:-100000} $(BIN)/python -m pytest -q billing/tests/test_rating_oracle.py

# Also throws away the demo's data.
clean:
	@[ ! -e var/run.lock ] || $(PYTHON) -c 'import fcntl; fcntl.flock(open("var/run.lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)' \
		2>/dev/null || (echo "FleetCharge is running; stop it first"; exit 1)
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

runtime: python
	@$(PYTHON) fleetcharge/embedded/install.py requirements.txt

roads: python
	@$(PYTHON) fleetcharge/embedded/install.py requirements-roads.txt

development: python
	@$(PYTHON) fleetcharge/embedded/install.py requirements-dev.txt

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "FleetCharge needs Python 3.11 or newer; '$(PYTHON)' is older or missing."; \
		echo "Choose another one: make run PYTHON=/path/to/python3.12"; exit 1; }
