# make run    install what is needed and run the product on this machine
# make test   install what the tests need and run them all
# make help   all of it

SHELL := /bin/bash
PY := .venv/bin/python
RUN_STAMP := .venv/.installed-run
TEST_STAMP := .venv/.installed-test
INPUTS := pyproject.toml constraints.txt local/install.sh

.DEFAULT_GOAL := help
.PHONY: help run demo test unit test-cluster check format crds kind-up kind-down bench soak scale clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(RUN_STAMP)  ## run the product on this machine (ARGS="--host 0.0.0.0" for options; ARGS=--help lists them)
	@exec .venv/bin/transponder local $(ARGS)

demo: $(TEST_STAMP)  ## publish, transpond, mute, insert a sound; writes demo-output/ (ARGS="--rtmp-url URL" for your server)
	@PYTHONPATH=tests exec $(PY) -m demo $(ARGS)

test: $(TEST_STAMP) check  ## run every check and every test but those of test-cluster
	@$(PY) -m pytest $(ARGS)

unit: $(TEST_STAMP)  ## only the tests that need no other program
	@$(PY) -m pytest -m "not integration and not cluster" $(ARGS)

# What takes minutes the first time is done before the tests, whose time is limited. Where it cannot be done, they skip.
test-cluster: $(TEST_STAMP)  ## tests on a real Kubernetes: of KUBECONFIG, else kind, else one made here (needs root, Go)
	@PYTHONPATH=tests $(PY) -m cluster prepare || echo "test-cluster: going on without it"
	@$(PY) -m pytest -m cluster $(ARGS)

check: $(TEST_STAMP)  ## formatting, lint, types, import rules
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo --no-cache

format: $(TEST_STAMP)  ## format the code
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

crds: $(RUN_STAMP)  ## write crds/*.yaml anew from the models, and what the chart makes of them and of its values
	@$(PY) -m transponder_crd --out crds
	@$(PY) charts/generate.py

kind-up:  ## a cluster by kind (Docker), the images, the chart; prints the addresses
	@charts/kind.sh up

kind-down:  ## remove that cluster
	@charts/kind.sh down

bench: $(TEST_STAMP)  ## measure CPU, latency, skew and start of one relay (ARGS="-n 5 --seconds 60")
	@PYTHONPATH=tests exec $(PY) -m bench $(ARGS)

soak: $(TEST_STAMP)  ## publishers and destinations come and go for 20 minutes; nothing may be left (ARGS="--minutes 5")
	@PYTHONPATH=tests exec $(PY) -m soak $(ARGS)

scale: $(TEST_STAMP)  ## 1,000 transponders on a real API server: time, writes, memory of the operator (ARGS="-n 200")
	@PYTHONPATH=tests exec $(PY) -m scale $(ARGS)

clean:  ## remove what make installed and wrote
	rm -rf .venv demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(RUN_STAMP): $(INPUTS)
	@local/install.sh run
	@touch $@

$(TEST_STAMP): $(INPUTS)
	@local/install.sh test
	@touch $(RUN_STAMP) $@
