# Everything a person does with this checkout. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# 3.11, 3.12 or 3.13. With pyenv, each that is installed is found by such a name, whichever is the chosen one.
PYTHON ?= python3.11
PYTHONS ?= python3.11 python3.12 python3.13
PYENV := PYENV_VERSION=$(shell pyenv versions --bare 2>/dev/null | sort -rV | paste -sd:)
VENV := .venv
TEST_WORKERS ?= 2
BIN := $(VENV)/bin
# An environment of another Python lacks this folder and is made anew.
OWN := $(shell $(PYENV) $(PYTHON) -c 'import sys; print("python{}.{}".format(*sys.version_info))' 2>/dev/null)
LIBRARY := $(VENV)/lib/$(or $(OWN),of-no-python)
RECIPE ?= flows/recipes/demo.yaml
# torch and its libraries each start a thread for every core; the tests run in several processes.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/installed-demo ## install into .venv, then fine-tune a small model on synthetic data (minutes, on a CPU)
	$(BIN)/stsflow run flows/recipes/demo.yaml

run: $(VENV)/installed-demo ## run a recipe: make run RECIPE=path.yaml
	$(BIN)/stsflow run $(RECIPE)

up: $(VENV)/installed-demo ## start Prefect, MLflow and a worker on this machine
	$(BIN)/stsflow up

down: $(VENV)/installed-demo ## stop what `make up` started
	$(BIN)/stsflow down

test: $(VENV)/installed-test ## the default tests (some 13 minutes on 2 cores)
# Whole runs lie in folders that come first: xdist would put their files last, for they hold few tests.
	$(TEST_ENV) $(BIN)/python -m pytest -m "not slow and not gpu" -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/installed-test ## the tests that take minutes each: servers, many runs, big data
	$(TEST_ENV) $(BIN)/python -m pytest -m "slow and not gpu" --timeout=3600 -o faulthandler_timeout=7200

test-gpu: $(VENV)/installed-test ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

chaos: $(VENV)/installed-test ## kill the trainer and the flow at random moments, then compare with an undisturbed run
	$(TEST_ENV) $(BIN)/python -m pytest tests/chaos -m slow --timeout=7200 -o faulthandler_timeout=10000 -s

lint: $(VENV)/installed-test ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: ## resolve constraints.txt anew from pyproject.toml (every extra, each Python), in an environment of its own
	: > .lock-found
	for python in $(PYTHONS); do \
	  $(PYENV) $$python -m venv --clear .lock-venv; \
	  .lock-venv/bin/python -m pip install --quiet --constraint .lock-found '.[all]'; \
	  .lock-venv/bin/python -m pip freeze --all --exclude pip --exclude stsflow --exclude-editable \
	    | sed -E 's/\+[A-Za-z0-9.]+$$//; s/ @ .*//; /^(nvidia|cuda|triton)/d' | LC_ALL=C sort -fut= -k1,1 .lock-found - > .lock-both; \
	  mv .lock-both .lock-found; \
	done
	mv .lock-found constraints.txt
	rm -rf .lock-venv

picture: $(VENV)/installed-test ## draw the house in docs/design.md anew
	$(BIN)/python tests/fixtures/house.py

clean: ## remove the environment, the workspace and all caches
	rm -rf $(VENV) .stsflow .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LIBRARY):
	$(PYENV) $(PYTHON) -m venv --clear $(VENV)

$(VENV)/installed-demo: pyproject.toml constraints.txt $(LIBRARY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt $(LIBRARY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	touch $@ $(VENV)/installed-demo

.PHONY: help demo run up down test test-slow test-gpu chaos lint lock picture clean
