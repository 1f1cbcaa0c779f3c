# Everything a newcomer needs. Each target makes the environment first if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= conf/demo.yaml
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_EXPERIMENT_NAME ?= quantgod
export MLFLOW_LOGGING_LEVEL ?= WARNING

.PHONY: help demo forecast page test proofs check bench soak mutants power ui serve clean again

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/run  ## From simulated archives to a served model, in minutes
	mlflow run . -e main --run-name main --env-manager local -P config=$(CONFIG)

forecast: $(VENV)/run  ## Forecasts of candles, simulated ones by default: minutes
	python -m steps.forecast --config $(if $(filter command,$(origin CONFIG)),$(CONFIG),conf/forecast_demo.yaml)

page: $(VENV)/run  ## A live session on the simulated exchange, and the page that manages it
	@echo "live session: its log is live.log"
	@python -m steps.live --config $(CONFIG) --exchange simulated >> live.log 2>&1 & \
	trap "kill $$! 2>/dev/null; wait" EXIT INT TERM; \
	python -m steps.manage --config $(CONFIG) --exchange simulated --new-token

test: $(VENV)/dev  ## Run the tests but for those of `make proofs`
	OMP_NUM_THREADS=1 pytest -n 2 --dist worksteal -q -m "not long"

proofs: $(VENV)/dev  ## The long tests: kills, live sessions, clusters, whole ways of further networks, further cases
	OMP_NUM_THREADS=1 pytest -n 2 --dist worksteal -q -m long

check: $(VENV)/dev  ## Style, types and walls
	ruff format --check .
	ruff check .
	mypy
	lint-imports

bench: $(VENV)/dev $(VENV)-bench/done  ## Speed and memory, as ratios to a floor or a peer
	python -m bench

soak: $(VENV)/dev  ## The live path for long: faults, kills, a day at full speed
	python -m bench.soak

mutants: $(VENV)/dev  ## Small faults put into the core, and which of them the tests notice
	python -m bench.test_map
	python -m bench.mutants --results mutants.jsonl

power: $(VENV)/dev  ## Whether gates and leak audit let luck and look-aheads through, and skill not
	python -m steps.power
	python -m steps.power --intervals 1000
	python -m steps.forecast_power
	python -m bench.peeks

ui: $(VENV)/run  ## Compare runs in the browser
	python -m steps.ui --config $(CONFIG)

serve: $(VENV)/run  ## Serve the Production model of CONFIG (or MODEL=name@alias) on loopback
	python -m steps.serve --config $(CONFIG) $(if $(MODEL),--model $(MODEL))

clean:  ## Remove caches, never data or runs
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The commands of a moved environment still name its old place, so that it is made again.
MOVED := $(shell [ ! -f $(VENV)/place ] || [ "$$(cat $(VENV)/place)" = "$(CURDIR)" ] || echo --clear)

$(VENV)/run: requirements.txt $(if $(MOVED),again)
	rm -f $(VENV)/run $(VENV)/dev $(VENV)/place
	$(PYTHON) -m venv $(MOVED) $(VENV)
	@echo "installing requirements.txt into $(VENV): minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	echo "$(CURDIR)" > $(VENV)/place
	touch $@

again:

$(VENV)/dev: $(VENV)/run requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)-bench/done: requirements-bench.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@
