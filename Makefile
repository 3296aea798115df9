# `make help` lists what can be done here. Everything but python3 (3.11 or newer), git and make is installed into .venv.

PRD ?=
OUT ?=
ARGS ?=
PYTHON ?=
# The shell takes them from the environment, as they are: paths may have spaces and quotes.
export PYTHON PRD OUT
# Many containers set it, and each of Loom's processes would compile all of its modules anew: 3 s instead of 1.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
MANAGE := $(BIN)/python manage.py

.DEFAULT_GOAL := help
.PHONY: help install install-dev weave up test check format bench campaigns crash shots lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## make .venv and install what Loom needs
	@scripts/bootstrap

install-dev: ## the same, with what tests and checks need
	@scripts/bootstrap dev

weave: install ## turn a PRD into merged software: PRD=file OUT=folder ARGS="--budget 2 --resume"; the bundled sample without PRD
	@$(MANAGE) weave $(if $(PRD),"$$PRD") $(if $(OUT),--out "$$OUT") $(ARGS)

up: install ## run everything on this machine: http://localhost:8080
	@$(MANAGE) up $(ARGS)

test: install-dev ## run the tests: ARGS="tests/engine -k lease"
	@$(BIN)/pytest $(or $(ARGS),--numprocesses auto --dist worksteal)

check: install-dev ## lint, format, types, import contracts, migrations, docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(MANAGE) makemigrations --check --dry-run
	@$(BIN)/python -m scripts.check_docs

format: install-dev ## format the code and repair what ruff can repair
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install ## measure turns, dispatch, steps, waits, sessions; prints JSON: ARGS="--check --only turns"
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: install-dev ## hold the API against its schema with many generated requests: ARGS="1000" of each operation
	@LOOM_FUZZ=$(or $(ARGS),500) $(BIN)/pytest tests/api/test_schema.py --numprocesses auto -q

crash: install ## attack running work and audit what is left; prints JSON: ARGS="--kills 500 --database postgres --seed 7"
	@$(BIN)/python -m tests.crash.campaign $(ARGS)

campaigns: install-dev ## what Loom withstands, as JSON: ARGS="edits --scale 0.2"
	@$(BIN)/python -m tests.campaigns $(ARGS)

shots: install-dev ## take screenshots of every page into shots/: ARGS="board bead" for some
	@$(BIN)/python -m tests.browser.shots $(ARGS)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock: install ## write the lock files anew from requirements*.in
	@$(LOCK) requirements-uv.in -o requirements-uv.txt
	@$(LOCK) requirements.in -o requirements.txt
	@$(LOCK) requirements-dev.in -o requirements-dev.txt
	@$(LOCK) requirements-bench.in -o requirements-bench.txt

clean: ## remove .venv and caches; Loom's own data in .loom stays
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.git/*' -type d -prune -exec rm -rf {} +
