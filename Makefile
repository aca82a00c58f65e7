# Short names for what a contributor does every day. CONTRIBUTING.md explains them.
# A user needs no make: the README has the commands to run and to test Athanor.

PYTHON := .venv/bin/python

.PHONY: install test check bench demo

# Create .venv, with the project in it and the tools to test and check it.
install:
	python3 -m venv .venv
	.venv/bin/pip install -q -e '.[test,check]'

# Run the whole suite and print the coverage of athanor/, the services that tests start included.
# One file or one test is quicker without: CONTRIBUTING.md shows the command.
test:
	$(PYTHON) -m pytest --cov --cov-report=term:skip-covered

# Check style, format, types and the direction of imports.
check:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(PYTHON) -m pytest -q -n0 tests/unit/test_floors.py

# Measure Athanor beside its peers and write docs/performance.md, in about 25 minutes.
# benchmarks/README.md has a quicker check, and the other benchmarks.
bench:
	$(PYTHON) -m benchmarks

# Start the service and an experiment that reports to it. Ctrl-C ends both.
demo:
	.venv/bin/athanor demo
