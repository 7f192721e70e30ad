# make demo: see it work. make dev: leave it running. Both need Python 3.11 and nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP := python -m pip install --quiet --disable-pip-version-check

demo dev: .venv/installed
	@$(BIN)/qgjob $@

test: .venv/installed
	$(BIN)/pytest -n 4

# The tests of the SQL functions as databases at work see them: on an older PostgreSQL, with fresh statistics.
test-older: .venv/installed
	QGJOB_TEST_POSTGRES=16 QGJOB_TEST_ANALYZED=1 $(BIN)/pytest -n 4

# With the real AppWright and Appium: some 300 MB of npm packages, installed once. One by one, so that it says its numbers.
test-appwright: .venv/installed appwright-packages
	$(BIN)/pytest -m appwright

appwright-packages:
	@cd tests/appwright-samples && cmp -s package.json node_modules/.package.json || { \
		npm install --loglevel=error && cp package.json node_modules/.package.json; }

# Some 25 minutes on a quiet machine. OPTIONS="--quick" for minutes, "--only drain" for one row.
bench: .venv/installed
	$(BIN)/$(PIP) --require-hashes -r tests/bench/requirements.txt
	cd tests && ../$(BIN)/python -m bench $(OPTIONS)

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# Everything in pyproject.toml, pinned with hashes, for every platform. Newer versions: make requirements UPGRADE=--upgrade
requirements: .venv/installed
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.txt $(UPGRADE)
	@# The same versions of everything that both name, so that one environment can hold both.
	$(BIN)/uv pip compile --group bench --constraints requirements.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet \
		--output-file tests/bench/requirements.txt $(UPGRADE)

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
		"qgjob needs Python 3.11 or newer; $(PYTHON) is " + v + ". Name another: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP) --require-hashes -r requirements.txt
	@# The build backend looks for its program on PATH, and the environment is not activated.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: demo dev test test-older test-appwright appwright-packages bench lint requirements
