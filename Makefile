# make demo: trains on the built-in phantom.   make test: lint and all tests.
# Each creates a virtual environment first; a second call reuses it unless a requirements file has changed.
PYTHON ?= python3
VENV ?= .venv

.PHONY: demo test duration clean

demo: $(VENV)/demo-ready
	$(VENV)/bin/python train.py --demo --epochs 10

test: duration $(VENV)/test-ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	# one process per core, one thread each
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n logical --dist worksteal

duration:
	@echo "make test: about eight minutes on two cores; the first call installs PyTorch and the peers' libraries before"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than Python 3.11: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo-ready: requirements.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/test-ready: requirements.txt requirements-dev.txt requirements-app.txt requirements-clinical.txt requirements-export.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV)
