# make demo   install what running needs into .venv and run the demo on the miniature world; SERVE=1 leaves its pages running
# make test   install the dev extras too and run the test suite; says first what it needs of the system
# make lint   formatting, types, import contracts
# make dist   wheel and sdist in dist/; make test-dist  the suite against the installed wheel
# make bench-crawlers  throughput of sweeps, bytes of triage, hostile headers
# make bench  LikenessBench, the stopping rule, the fleet and the start of the program; make bench-faces  the face index; figures go to benchmarks/RESULTS.md
# make bench-retrosearch  one person more over what was drawn before; make bench-scale  every list and sum in homes of 1,000 to 100,000 cases
# make bench-gate  the upload gate under load; make bench-captures  captured images a second
# make bench-faults  fault day: what is lost by kills, full disks, wrong keys and clocks; make bench-all  all of them in one sitting
# make bench-evade  LikenessBench-Evade: files that hide whom they show, and how many are found
# make bench-gpu  seconds per checkpoint on a GPU; make bench-reports  seconds and bytes of a report

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: demo test lint dist test-dist bench bench-retrosearch bench-scale bench-evade bench-gpu bench-crawlers bench-faces bench-reports bench-gate bench-captures bench-faults bench-all install
demo: $(VENV)/runtime
	$(BIN)/portrait-scanner demo $(if $(SERVE),--serve)

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

dist: install
	$(BIN)/python -m build --outdir dist .

# The suite against the installed wheel, in an environment of its own: what a package leaves out shows here.
test-dist: dist
	rm -rf .dist && $(PYTHON) -m venv .dist/venv
	.dist/venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  ./third_party/opencv-python "$$(ls dist/*.whl)[dev]"
	cp -r tests benchmarks docs third_party README.md CHANGELOG.md CONTRIBUTING.md Makefile constraints.txt pyproject.toml .dist/
	cd .dist && venv/bin/python -m pytest -n 2 --dist loadfile

# The adapters are trained once, about an hour on two cores, and kept in .bench/.
bench: install
	$(BIN)/python -m benchmarks.likeness.build held-out
	$(BIN)/python -m benchmarks.likeness.run held-out
	$(BIN)/python -m benchmarks.sequential
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.start_up

# Trains twenty more adapters, and needs those of `make bench`; about an hour on two cores.
bench-evade: install
	$(BIN)/python -m benchmarks.likeness.build held-out
	$(BIN)/python -m benchmarks.evasion.run held-out

bench-gpu: install
	$(BIN)/python -m benchmarks.gpu

bench-crawlers: install
	$(BIN)/python -m benchmarks.crawlers.throughput
	$(BIN)/python -m benchmarks.crawlers.header_bytes
	$(BIN)/python -m benchmarks.crawlers.header_fuzz

bench-gate: install
	$(BIN)/python -m benchmarks.gate

bench-reports: install
	$(BIN)/python -m benchmarks.reports

# About half an hour on two cores: persons are drawn and read once, then kept in .training/.
bench-faces: install
	$(BIN)/python -m benchmarks.face_index.embedding
	$(BIN)/python -m benchmarks.face_index.gallery
	$(BIN)/python -m benchmarks.face_index.start_up
	$(BIN)/python -m benchmarks.face_index.calibration
	$(BIN)/python -m benchmarks.face_index.templates
	$(BIN)/python -m benchmarks.face_index.mixtures
	$(BIN)/python -m benchmarks.minor_names
	$(BIN)/python -m benchmarks.face_index.broken_images
	$(BIN)/python -m benchmarks.face_index.enrolment_kill

bench-retrosearch: install
	$(BIN)/python -m benchmarks.retrosearch
	$(BIN)/python -m benchmarks.kept_faces
	$(BIN)/python -m benchmarks.gate_retrosearch
	$(BIN)/python -m benchmarks.draw_once

bench-scale: install
	$(BIN)/python -m benchmarks.scale

bench-captures: install
	$(BIN)/python -m benchmarks.captures

bench-faults: install
	$(BIN)/python -m benchmarks.fault_day

bench-all: bench bench-evade bench-retrosearch bench-faces bench-crawlers bench-gate bench-reports bench-captures bench-faults

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# OpenCV without windows, in place of the build that InsightFace requires; third_party/opencv-python
# says why. A build with windows that is already installed goes first: both write the same files.
OPENCV = $(BIN)/python -m pip uninstall -qq --yes opencv-python && $(PIP) ./third_party/opencv-python

install: $(VENV)/installed

# What running needs: wheels from pip alone. No compiler, no root, and no package manager of the system.
$(VENV)/runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@echo "Installing what running needs into $(VENV): about 2 GB, a few minutes. It is done once."
	$(PYTHON) -m venv $(VENV)
	$(OPENCV)
	$(PIP) -e .
	@touch $@

# What tests, lint and benchmarks need besides; says what that is before anything is installed.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory needs
	@$(MAKE) --no-print-directory $(VENV)/runtime
	$(PIP) -e '.[dev]'
	@touch $@

.PHONY: needs
needs:
	@missing=$$($(PYTHON) tests/needs.py) && exit 0; \
	if [ -z "$$missing" ]; then exit 1; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing them with apt-get"; \
	  apt-get update -q && apt-get install -q -y --no-install-recommends $$missing; \
	else \
	  echo "Nothing was installed. Let root install these, then run make again: apt-get install $$missing"; exit 1; \
	fi
