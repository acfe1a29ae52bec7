# `make help` lists what is meant to be called.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test unit system crash-matrix lint format lock shell clean

CACHE := $(or $(RELOCATOR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/relocator)
# One environment per lock file: a changed lock makes a new one, an unchanged one costs nothing.
VENV := $(CACHE)/venv-$(shell sha256sum requirements-test.lock | cut -c1-12)
PYTHON := $(VENV)/bin/python
# The interpreter in it is a link to an older file, so its time says nothing.
READY := $(VENV)/.ready
# Files of the checkout are imported, and nothing is written next to them.
export PYTHONPATH := $(CURDIR)
export PYTHONDONTWRITEBYTECODE := 1

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(READY) packages ## Move a real engine's data on a disposable host, and show it
	$(PYTHON) -m tests.demo

test: lint packages ## Run everything: linters, unit, integration and system tests (root; 15 minutes)
	CI=1 $(PYTHON) -m pytest

unit: $(READY) ## Run what needs no host (seconds)
	$(PYTHON) -m pytest tests/unit tests/integration

system: $(READY) packages ## Run what boots hosts
	CI=1 $(PYTHON) -m pytest tests/system

crash-matrix: $(READY) packages ## Kill the program at every trace point on booted hosts (10 minutes), and print the table
	CI=1 $(PYTHON) -m pytest tests/system/test_crash.py -m "matrix or not matrix" -s

lint: $(READY) ## Check style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy --cache-dir=$(CACHE)/mypy

format: $(READY) ## Put the code into its form
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

shell: $(READY) packages ## Boot a disposable host with the image and give a shell in it
	$(PYTHON) -m tests.hosts shell --disk 4G:ext4

lock: $(READY) ## Write the lock files anew from pyproject.toml
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml -o requirements.lock
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group test -o requirements-test.lock

clean: ## Remove what killed tests left behind, and all that is cached
	[ ! -x $(PYTHON) ] || $(PYTHON) -m tests.hosts clean --cache
	rm -rf $(CACHE)/venv-* $(CACHE)/mypy

# --- private ---------------------------------------------------------------------------------------------------------

.PHONY: packages
packages:
	@tests/install-packages $$(cat tests/hosts/packages.txt)

$(READY): requirements-test.lock
	@python3 -c 'import ensurepip, venv' 2>/dev/null || tests/install-packages python3-venv
	rm -rf $(VENV)
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	touch $@
