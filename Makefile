# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests that live on the clock run one at a time, after the others.
REAL_TIME := lsl or audio or paced

.PHONY: demo test faults lint clean

demo: $(VENV)/.demo
	$(BIN)/seegvox demo $(DEMO_ARGS)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest -n 2 -m "not ($(REAL_TIME) or faults)" $(PYTEST_ARGS)
	$(BIN)/python -m pytest -m "($(REAL_TIME)) and not faults" $(PYTEST_ARGS)

# Everything that can go wrong around the live service, for real: minutes; as root, all of it.
faults: $(VENV)/.test
	$(BIN)/python -m pytest tests/faults $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.demo: $(VENV)/.base
	$(BIN)/python -m pip install --quiet -e '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
