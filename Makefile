# expgsql: 'make help' lists what there is to do. GNU make; longer work is in tools/.

PREFIX   ?= /opt/expgsql
OCF_ROOT ?= /usr/lib/ocf
DESTDIR  ?=
PYTHON   ?= /usr/bin/python3
NODE     ?= node1
LABS     ?= 2
MINUTES  ?= 10
SEED     ?=
ARGS     ?=

VENV = .venv/bin
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help deps venv install uninstall lint types unit simulate soak lab stories test demo lab-up lab-down lab-shell bench matrix jepsen metadata lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1\t\2/p' Makefile | expand --tabs=12

deps: ## install missing Debian packages; starts and enables no service (root)
	@tools/deps.sh

venv: ## make .venv from the locked requirements
	@tools/venv.sh

install: ## install into $(PREFIX) and $(OCF_ROOT), below DESTDIR if given (root)
	@tools/install.sh "$(DESTDIR)" "$(PREFIX)" "$(OCF_ROOT)"

uninstall: ## remove what 'make install' installed (root)
	@tools/uninstall.sh "$(DESTDIR)" "$(PREFIX)" "$(OCF_ROOT)"

lint: venv ## formatting and style
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .

types: venv ## types, strictly
	$(VENV)/mypy

unit: venv ## tests that need neither root nor a cluster; the rules have no untested branch
	$(VENV)/coverage run --rcfile=tests/coveragerc -m pytest -m "not lab and not simulation" tests
	$(VENV)/coverage report --rcfile=tests/coveragerc

simulate: venv ## every state of bounded worlds, negative controls, a minute of random runs
	$(VENV)/pytest -m simulation tests

soak: venv ## random runs for MINUTES=10, from SEED if given
	$(VENV)/python -m tests.simulation soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lab: deps venv ## tests on real clusters, LABS=2 at a time (root)
	$(VENV)/pytest -m lab -n $(LABS) --dist loadfile tests

stories: deps venv ## of those the safety stories: broken links, killed agents, lost arbiters (root)
	$(VENV)/pytest -m story -n $(LABS) --dist loadfile tests

test: deps venv ## everything that must hold (root)
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory types
	@echo "unit tests and simulation at the same time: five minutes"
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target unit simulate
	$(MAKE) --no-print-directory lab

demo: deps venv ## a three-node cluster on this machine: kill, power loss, repair, switchover (root)
	$(VENV)/python -m tests.lab.demo

lab-up: deps venv ## bring the lab's cluster up (root)
	$(VENV)/python -m tests.lab up

lab-down: venv ## take it down, whatever state it is in (root)
	$(VENV)/python -m tests.lab down

lab-shell: venv ## a shell on one of its nodes: NODE=node1 (root)
	@$(VENV)/python -m tests.lab shell $(NODE)

bench: deps venv ## write gaps and monitor costs beside those of other agents: forty minutes (root)
	$(VENV)/python -m tests.bench $(ARGS)

matrix: deps venv ## every combination of broken links and order of healing: ARGS='--both-ways' for 38 of 586 (root)
	$(VENV)/python -m tests.matrix $(ARGS)

jepsen: deps venv ## random faults with audits after each step: ARGS='--minutes 10 --seed 1' (root)
	$(VENV)/python -m tests.jepsen $(ARGS)

metadata: venv ## render metadata/expgsql.xml and the README's table of parameters
	$(VENV)/python -m expgsql_ra.metadata > metadata/expgsql.xml.new
	mv metadata/expgsql.xml.new metadata/expgsql.xml
	$(VENV)/python -m expgsql_ra.metadata --readme README.md

lock: ## renew the locked requirements
	tools/lock.sh

clean: ## remove .venv and what tools left behind
	rm -rf .venv build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache src/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
