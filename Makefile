# Every target works on a fresh machine with git, make and Python 3.10 or later (with venv); what
# else is needed goes into $(VENV), made on demand from the extras in setup.cfg.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
# How many files of tests run at once. Half of the time a test waits for somebody.
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))
# The lab: how many hosts and guests, how many of these (the last ones) have their disk on their host alone,
# and how many MiB of their memory a host sends in a second; without RATE as fast as it goes.
HOSTS ?= 2
GUESTS ?= 1
OWN ?= 0
RATE ?=
FAULTS_ARGS ?= --seed 1 --migrations 300
FLEET_FAULTS_ARGS ?= --seed 1 --evacuations 20

PYTHONS = $(PYTHON) python3.11 python3.12 python3.13 python3.10
PY = $(VENV)/bin/python
STAMP = $(VENV)/.made-from-setup.cfg

# Limits are the last resort against what hangs, many times what a step takes on two cores: a test that
# hangs is named by a limit of its own (setup.cfg). An interrupt lets pytest and the lab end what they
# started; the kill is for what ignores it.
BOUNDED = timeout --foreground --signal=INT --kill-after=60
PYTEST = -m pytest $(PYTEST_ARGS)
# A worker for each file, which shares its simulated hosts, and for the real daemons of each folder;
# tests/conftest.py says so, and puts them into order.
GROUPED = -n $(WORKERS) --dist loadscope --no-loadscope-reorder
# Each folder has daemons of its own anyway, and waits for them most of the time.
TWO_SITES = -n 2 --dist loadscope --no-loadscope-reorder
PY27_TESTS = tests/unit/test_sxp.py tests/unit/test_allow.py tests/unit/test_options.py \
    tests/unit/test_copies.py tests/unit/test_verdict.py tests/unit/test_fleet.py \
    tests/unit/test_fleet_kept.py tests/unit/test_check.py tests/unit/test_module_py27.py tests/unit/test_xm_output.py \
    tests/unit/test_progress.py tests/unit/test_guest_files.py \
    tests/unit/test_disks.py tests/unit/test_fit.py tests/unit/test_kept.py tests/unit/test_devices.py \
    tests/unit/test_boot.py tests/unit/test_block.py tests/unit/test_drbd.py \
    tests/unit/test_lifecycle.py tests/unit/test_settings.py tests/unit/test_sealed.py \
    tests/unit/test_secrets.py tests/unit/test_heard.py tests/unit/test_rpc.py tests/unit/test_look.py \
    tests/unit/test_relay.py \
    tests/unit/test_safety.py tests/unit/test_way.py tests/unit/test_away.py tests/unit/test_plan.py \
    tests/unit/test_matrix.py tests/unit/test_watch.py tests/unit/test_text.py tests/unit/test_moves.py \
    tests/unit/test_version.py \
    tests/machine/test_words.py \
    tests/sizes/test_check.py
# These run today's Python and ask a Python 2.7 what it makes of the same input.
PY27_PEER_TESTS = tests/unit/test_allow_python2.py tests/machine/test_relay_python2.py
# Those with generated examples, of which `make test` tries a few.
PROPERTIES = $(wildcard tests/unit/test_*_properties.py) tests/unit/test_settings_start.py \
    tests/unit/test_diff.py tests/unit/test_progress.py
TESTS = tests/integration tests/orchestration tests/functional tests/machine tests/unit
# What runs where the hosts' old Pythons are.
MINION_SIDE = _modules _states _utils saltext_xend
LINTS = lint-style lint-docstrings lint-reference lint-python26 lint-sls lint-yaml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo lab lab-stop check test test-unit test-functional test-daemons test-lab \
        test-sizes test-py27 test-old-minion test-docs lint $(LINTS) reference faults faults-fleet bench dist \
        clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

venv: $(STAMP) ## make the virtual environment that all other targets use

# Not through a link: whoever made what it leads to would lose it.
$(STAMP): setup.cfg tests/tools/extras.py
	@if [ -L $(VENV) ]; then \
	    echo "make: $(VENV) is a link and out of date; remove it, or name a folder: make VENV=..." >&2; \
	    exit 1; \
	fi
	@for python in $(PYTHONS); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	        found=$$python; break; \
	    fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "make: no Python 3.10 or later among: $(PYTHONS); name one: make PYTHON=..." >&2; \
	    exit 1; \
	fi; \
	echo "making $(VENV) with $$found ($$($$found --version)): 280 MB from your package index, in silence"; \
	$$found -m venv --clear $(VENV) || { \
	    echo "make: '$$found -m venv' failed; on Debian: apt-get install python3-venv" >&2; \
	    exit 1; \
	}
	@$(PY) tests/tools/extras.py tests lint > $(VENV)/requirements.txt
	@$(BOUNDED) 3600 $(PY) -m pip --disable-pip-version-check install -qq \
	    -r $(VENV)/requirements.txt
	@touch $@

demo: $(STAMP) ## the whole story on a simulated fleet, in one go
	@$(BOUNDED) 1800 $(PY) -m tests.demo

lab: $(STAMP) ## hosts and guests left running to play with: HOSTS=4 GUESTS=6 OWN=1 RATE=20
	@$(BOUNDED) 1800 $(PY) -m tests.demo --lab '$(HOSTS)' '$(GUESTS)' '$(OWN)' '$(RATE)'

lab-stop: $(STAMP) ## end the fleet that `make lab` left running
	@$(BOUNDED) 600 $(PY) -m tests.demo --stop

check: $(STAMP) ## unit tests and lint, while one works
	@$(BOUNDED) 1800 $(PY) $(PYTEST) -q -n $(shell nproc) --dist worksteal tests/unit
	@$(MAKE) --no-print-directory lint

test: $(STAMP) ## all tests of the product and of the fault campaign
	@$(BOUNDED) 7200 $(PY) $(PYTEST) $(GROUPED) $(TESTS)

test-unit: $(STAMP) ## pure code: no process, no network
	@$(BOUNDED) 3600 $(PY) $(PYTEST) tests/unit

test-functional: $(STAMP) ## modules and states in Salt's loader, and the installed package
	@$(BOUNDED) 7200 $(PY) $(PYTEST) $(GROUPED) tests/functional

test-daemons: $(STAMP) ## what a real master and minions take long for
	@$(BOUNDED) 7200 $(PY) $(PYTEST) $(TWO_SITES) --daemons -m slow_daemons tests/orchestration tests/integration

test-lab: $(STAMP) ## the simulated hosts themselves, against what real ones did
	@$(BOUNDED) 7200 $(PY) $(PYTEST) $(GROUPED) tests/simulator

test-docs: $(STAMP) ## every command of the documentation, and what it prints, on simulated hosts
	@$(BOUNDED) 3600 $(PY) -m tests.docs

test-sizes: $(STAMP) ## files that are far too big or too deep, and many more generated examples
	@$(BOUNDED) 7200 $(PY) $(PYTEST) -n $(WORKERS) --dist load --hypothesis-profile=thorough \
	    tests/sizes $(PROPERTIES)

test-py27: $(STAMP) ## pure code, reading and writing of the module, under Python 2.7
	@$(BOUNDED) 3600 $(PY) tests/tools/python27.py $(PY27_TESTS)
	@if [ -x .py27/bin/python2.7 ]; then \
	    PATH="$(CURDIR)/.py27/bin:$$PATH" $(BOUNDED) 1800 $(PY) $(PYTEST) $(PY27_PEER_TESTS); \
	fi

test-old-minion: $(STAMP) ## hosts with minions of Salt 3000.9 and 2016.11.10, which are fetched for it
	@$(BOUNDED) 3600 $(PY) -m tests.tools.old_salts $(PY) $(PYTEST) $(GROUPED) tests/old_minion

lint: $(LINTS) ## style, docstrings, Python 2.6 compatibility, SLS and YAML files

lint-style: $(STAMP)
	$(VENV)/bin/ruff check .

lint-docstrings: $(STAMP)
	$(PY) tests/tools/check_docstrings.py _modules _states _runners

lint-reference: $(STAMP)
	$(PY) tests/tools/reference.py --check

# Python 2 refuses a file with such a byte unless its first lines name an encoding.
lint-python26: $(STAMP)
	@if LC_ALL=C grep -nP '[^\x00-\x7F]' -r --include='*.py' $(MINION_SIDE); then \
	    echo "the lines above have bytes outside ASCII: write them as escapes" >&2; exit 1; \
	fi
	$(VENV)/bin/vermin --violations --no-tips -t=2.6- -t=3.0- $(MINION_SIDE)

lint-sls: $(STAMP)
	find salt -name '*.sls' -o -name '*.jinja' | xargs -r $(VENV)/bin/salt-lint -c .salt-lint

# Not the SLS files: they are Jinja first, which salt-lint reads and yamllint does not.
lint-yaml: $(STAMP)
	find . -path './.*/*' -prune -o \( -name '*.yaml' -o -name pillar.example -o -name '.*-lint' \
	    -o -name .yamllint \) -print | xargs $(VENV)/bin/yamllint --strict

reference: $(STAMP) ## write docs/reference.md, out of the docstrings and the SLS
	@$(PY) tests/tools/reference.py

faults: $(STAMP) ## a campaign of disturbed migrations, with safety copies and without, compared with the truth
	@$(BOUNDED) 7200 $(PY) -m tests.faults $(FAULTS_ARGS)

faults-fleet: $(STAMP) ## hosts that are emptied and filled again under faults, compared with the truth
	@$(BOUNDED) 7200 $(PY) -m tests.faults $(FLEET_FAULTS_ARGS)

bench: $(STAMP) ## how long things take
	@$(BOUNDED) 3600 $(PY) -m tests.bench

dist: $(STAMP) ## the source distribution and the wheel, into dist
	@$(BOUNDED) 600 $(PY) tests/tools/dist.py dist

clean: ## remove what make, pip and the tests left in the tree
	rm -rf $(VENV) .py27 build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
