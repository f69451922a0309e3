# noise2music: `make train` and `make test` need git, make and Python 3.11+, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := checkpoints
DEVICES = $$($(BIN)/python -c 'import torch; print(torch.cuda.device_count() or 1)')
READY := $(VENV)/.ready
OPTIONAL = $(BIN)/pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt
QUIET := >/dev/null 2>&1

.PHONY: help setup extras demo-data train sample results test test-faults soak soak-table bench gpu wheels lint format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make the environment in .venv

# A machine whose Python already has a fitting torch (with its CUDA) keeps it; else the pinned one is installed.
$(READY): setup.cfg pyproject.toml constraints.txt
	@if $(PYTHON) -c 'import sys, torch; sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6))' 2>/dev/null; \
	then $(PYTHON) -m venv --system-site-packages $(VENV) && grep -Ev '^(torch|numpy)==' constraints.txt > $(VENV)/constraints.txt; \
	else $(PYTHON) -m venv $(VENV) && cp constraints.txt $(VENV)/constraints.txt; fi
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[encodec,dev,tags]'
	@$(OPTIONAL) -e '.[media]' $(QUIET) \
	  || echo "optional, not installed: reading of m4a, wma, webm and video files (av)"
	@$(OPTIONAL) -e '.[notes]' $(QUIET) && $(BIN)/pip install --quiet --no-deps basic-pitch==0.4.0 $(QUIET) \
	  || echo "optional, not installed: the notes ruler of evaluate.py (onnxruntime, basic-pitch)"
	@$(OPTIONAL) -e '.[roundtrip]' $(QUIET) \
	  || echo "optional, not installed: the Zimtohrli rating of kinds.audio.roundtrip (zimtohrli)"
	@touch $@

extras: setup ## what the page, the Hugging Face hub and ONNX need
	@$(OPTIONAL) -e '.[listen]' $(QUIET) \
	  || echo "optional, not installed: the page of listen.py (gradio)"
	@$(OPTIONAL) -e '.[hub,onnx]' $(QUIET) \
	  || echo "optional, not installed: models of the Hugging Face hub, export.py --onnx (huggingface_hub, onnx)"

demo-data: setup ## make a demo dataset if dataset_pairs_wav/ is empty
	@{ ls dataset_pairs_wav/train/*.wav && [ ! -e dataset_pairs_wav/.prepare ]; } >/dev/null 2>&1 \
	  || $(BIN)/python prepare_dataset.py --demo --output_dir dataset_pairs_wav

train: demo-data ## train the demo on this machine's devices, then make wav files out of noise
	$(BIN)/torchrun --nproc_per_node=$(DEVICES) train_simple_ddp.py --config recipes/demo.yaml --checkpoint_dir $(RUN)
	$(BIN)/python generate.py --checkpoint $(RUN) --num 8 --duration 8 --output_dir samples --spectrogram
	@echo "Listen: samples/*.wav   Look: samples/*.png"
	@echo "Watch:  $(BIN)/tensorboard --logdir $(RUN)/tb --host 127.0.0.1"

sample: setup ## make wav files out of noise with the trained generator that comes along
	$(BIN)/python generate.py --checkpoint pretrained/demo --num 8 --duration 8 --output_dir samples --spectrogram

results: setup ## train and measure the demo beside `classic` at equal wall-clock: tables and pictures in results/
	$(BIN)/python -m bench.quality

test: extras ## run the whole test suite
	$(BIN)/python -m pytest -m 'not faults' -n auto --dist loadfile --no-loadscope-reorder

test-faults: setup ## inject faults into real runs
	$(BIN)/python -m pytest -m faults

MINUTES ?= 30
SEED ?= 1
soak: setup ## random faults against tiny runs for MINUTES=30 from SEED=1
	$(BIN)/python tests/faults/soak.py --minutes $(MINUTES) --seed $(SEED) --log results/soak/seed-$(SEED).jsonl

soak-table: setup ## put the figures of all logs of soak into docs/reliability.md
	$(BIN)/python tests/faults/soak_table.py results/soak/*.jsonl --into docs/reliability.md

bench: setup ## measure speed: ratios beside their bars, at most ten minutes on two cores
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[bench]'
	$(BIN)/python -m bench

# Where there is no network, PYTHON runs it, with what it lacks from wheels/.
gpu: ## prove and measure everything on this machine's GPUs, in under nine minutes: tables in results/gpu/
	@if [ -e $(READY) ] || { [ ! -d wheels ] && $(MAKE) --no-print-directory setup; }; \
	then $(BIN)/python -m bench.gpu $(OPTIONS); else $(PYTHON) -m bench.gpu $(OPTIONS); fi

PYTHON_VERSION ?= $$($(BIN)/python -c 'import sys; print(*sys.version_info[:2], sep=".")')
wheels: setup ## download what make gpu needs without a network: PYTHON_VERSION=3.12 HAS="scipy" ALSO="onnxruntime"
	$(BIN)/python -m bench.gpu.packages --python_version $(PYTHON_VERSION) --has $(HAS) --also $(ALSO)

lint: setup ## what CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment (data and runs stay)
	rm -rf $(VENV) *.egg-info
