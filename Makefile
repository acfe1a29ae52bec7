# `make help` lists what is meant to be called.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help check demo bench test unit system crash-matrix engine-matrix engine-given settings-matrix boot-matrix input-matrix cloud-init soak \
	lint format docs lock shell clean test-browser test-fleets test-vm test-bench sbom reproducible

CACHE := $(or $(RELOCATOR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/relocator)
# One environment per lock file: a changed lock makes a new one, an unchanged one costs nothing.
VENV := $(CACHE)/venv-$(shell sha256sum requirements-test.lock | cut -c1-12)
PYTHON := $(VENV)/bin/python
# The interpreter in it is a link to an older file, so its time says nothing.
READY := $(VENV)/.ready
# Hosts mostly wait; the tests of one file share theirs.
PARALLEL := -n auto --maxprocesses=4 --dist loadfile
BENCH := $(CACHE)/venv-$(shell cat requirements-test.lock requirements-bench.lock | sha256sum | cut -c1-12)
BENCH_READY := $(BENCH)/.ready
SBOM := $(CACHE)/venv-$(shell sha256sum requirements-sbom.lock | cut -c1-12)
SBOM_READY := $(SBOM)/.ready
# Files of the checkout are imported, and nothing is written next to them.
export PYTHONPATH := $(CURDIR)
export PYTHONDONTWRITEBYTECODE := 1

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(READY) packages ## Move a real engine's data on a disposable host, and show it
	$(PYTHON) -m tests.demo

bench: $(BENCH_READY) packages ## Measure downtime, copies and memory beside other recipes (25 minutes, a quiet machine)
	$(BENCH)/bin/python -m tests.bench

test: lint packages ## Run everything: linters, unit, integration and system tests (root; half an hour)
	CI=1 $(PYTHON) -m pytest $(PARALLEL) --durations=25

check: lint ## What to run while working: linters, and the tests that need nothing (minutes, no root)
	$(PYTHON) -m pytest $(PARALLEL) tests/unit

unit: $(READY) packages ## Run what needs no host (seconds)
	$(PYTHON) -m pytest $(PARALLEL) tests/unit tests/integration

system: $(READY) packages ## Run what boots hosts
	CI=1 $(PYTHON) -m pytest $(PARALLEL) tests/system

MATRIX := tests/system/dying tests/system/moving/test_going_back.py
ENGINE := tests/system/stores tests/system/moving/test_usual_recipes.py
crash-matrix: $(READY) packages ## Every instant of a move x every death and fault on booted hosts (an hour), as a table
	CI=1 $(PYTHON) -m pytest $(MATRIX) -m "matrix or not matrix" -s | tee $(CACHE)/crash-matrix.log || failed=1; \
	printf '\n| instant | death | outcome |\n'; grep '^| ' $(CACHE)/crash-matrix.log; [ -z "$${failed:-}" ]

engine-matrix: $(READY) packages ## containerd's image store, drivers, several managers, volumes and plugins, with deaths (two hours)
	CI=1 $(PYTHON) -m pytest $(ENGINE) -m "matrix or not matrix" -s

# Without an engine only the rows are asked, which say that they are skipped.
GIVEN := tests/system/given $(if $(DOCKERD),tests/system/stores tests/system/boots/test_adoption.py \
	$(addprefix tests/system/dying/test_,crash.py rollback.py) tests/system/moving/test_going_back.py)
engine-given: $(READY) packages ## An engine that no index has, DOCKERD=/path [CONTAINERD=/path]: its own rows and the engine matrix (hours)
	RELOCATOR_DOCKERD=$(DOCKERD) RELOCATOR_CONTAINERD=$(CONTAINERD) CI=1 \
		$(PYTHON) -m pytest $(GIVEN) -m "matrix or not matrix" -s | tee $(CACHE)/engine-given.log || failed=1; \
	printf '\n| engine | units | what | outcome |\n|---|---|---|---|\n'; \
	grep '^| Docker ' $(CACHE)/engine-given.log || echo '(no engine was given)'; [ -z "$${failed:-}" ]

input-matrix: $(READY) packages ## All bad input, every way to start it, and the file systems it copies to (10 minutes)
	CI=1 $(PYTHON) -m pytest tests/system/input $(addprefix tests/system/moving/test_,hand_over.py copy.py) -m "matrix or not matrix"

boot-matrix: $(READY) packages ## Boots without the disk, in every way to mount it, and read-only hosts (10 minutes)
	CI=1 $(PYTHON) -m pytest $(addprefix tests/system/boots/test_,boot_order.py adoption.py immutable.py) \
		-m "matrix or not matrix"

test-browser: $(READY) ## Look at the page of status --html in a real browser (installs chromium)
	@tests/install-packages chromium chromium-driver fonts-dejavu-core
	CI=1 $(PYTHON) -m pytest tests/browser -m matrix

test-fleets: $(READY) packages ## The examples of docs/fleets.md on three hosts, one after the other (installs ansible-core)
	@tests/install-packages ansible-core
	CI=1 $(PYTHON) -m pytest tests/system/image/test_fleets.py -m matrix

test-vm: $(READY) packages ## Whole machines in QEMU: udev, a reboot, a power cut, SELinux enforcing (installs qemu; half an hour)
	@tests/install-packages $$(cat tests/vm/packages.txt)
	CI=1 $(PYTHON) -m pytest tests/vm -m matrix -s

test-bench: $(BENCH_READY) packages ## The benchmark itself, on tiny content (3 minutes)
	CI=1 $(BENCH)/bin/python -m pytest tests/system/image/test_bench.py -m matrix

sbom: $(SBOM_READY) packages ## Write what the image consists of to sbom.json (CycloneDX), and check it against the schema
	$(SBOM)/bin/python -m tests.sbom >sbom.json

reproducible: $(READY) packages ## Build the image twice from nothing, and compare every file of it (5 minutes)
	CI=1 $(PYTHON) -m pytest tests/system/image/test_reproducible.py -m matrix -s

cloud-init: $(READY) packages ## First boots by the real cloud-init, with the examples (10 minutes)
	CI=1 $(PYTHON) -m pytest tests/system/boots/test_cloud_init.py -m matrix

soak: $(READY) packages ## Random content, instant and death, N times (N=100 takes an hour); SEED=, SECONDS= to end early
	CI=1 $(PYTHON) -m tests.soak $(or $(N),100) $(addprefix --seed=,$(SEED)) $(addprefix --seconds=,$(SECONDS))

settings-matrix: $(READY) packages ## Move from every place that sets a data root, on every suite (30 minutes), and print the table
	CI=1 $(PYTHON) -m pytest tests/system/settings tests/system/moving/test_running.py -m "matrix or not matrix" -s

SHELL_FILES := .ci/run entrypoint/commands/printed/script.sh tests/install-packages
lint: $(READY) ## Check style, types, who imports whom, and shell scripts
	@tests/install-packages shellcheck
	shellcheck $(SHELL_FILES)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy --cache-dir=$(CACHE)/mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo

docs: $(READY) ## Write docs/findings.md from its words and from the code
	$(PYTHON) -m tests.docs

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
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group test --group bench -o requirements-bench.lock
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group sbom -o requirements-sbom.lock

clean: ## Remove what killed tests left behind, and all that is cached
	[ ! -x $(PYTHON) ] || $(PYTHON) -m tests.hosts clean --cache
	rm -rf $(CACHE)/venv-* $(CACHE)/mypy

# --- private ---------------------------------------------------------------------------------------------------------

.PHONY: packages
packages:
	@tests/install-packages $$(cat tests/hosts/packages.txt)

# A lock's time says nothing either: a fresh clone must not take away an environment that others are using.
$(READY): | requirements-test.lock
$(BENCH_READY): | requirements-bench.lock
$(SBOM_READY): | requirements-sbom.lock
$(READY) $(BENCH_READY) $(SBOM_READY):
	@python3 -c 'import ensurepip, venv' 2>/dev/null || tests/install-packages python3-venv
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $|
	touch $@
