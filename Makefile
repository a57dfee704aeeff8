# Everything here sets itself up in .venv, with nothing but Python 3.11 or newer and git.
# `make` alone says what there is.

VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench format constraints clean distclean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Watch fixbug find and fix the bundled bug (no key, no Docker)
	@$(BIN)/fixbug demo

test: $(READY) ## Run the tests; those that need Docker are skipped where no engine answers
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: $(READY) ## Check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## Check types, strictly, over agent/ and sandbox/
	@$(BIN)/mypy

bench: $(READY) ## Run every benchmark in benchmarks/
	@set -e; for script in benchmarks/*.py; do \
	  [ -e "$$script" ] || { echo "benchmarks/ holds no script yet"; break; }; \
	  echo "== $$script"; $(BIN)/python "$$script"; \
	done

format: $(READY) ## Rewrite the source in the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

constraints: $(READY) ## Choose the newest versions that fit together, and write them to constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --upgrade \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file constraints.txt

clean: ## Remove builds and caches
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## Remove the environment too
	rm -rf $(VENV)

$(READY): pyproject.toml constraints.txt
	@python=; for name in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "fixbug needs Python 3.11 or newer; none of python3.13, python3.12, python3.11, python3 is one." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "$$python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$python" --version) (once; a minute or two)"; \
	"$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
