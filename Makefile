# Everything a newcomer needs. The environment is made by iss_blender/environment.py, the same code that the
# Blender panel uses; PYTHON only has to be 3.11 to 3.13.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PROMPT ?= a red chair with a high back
SEED ?= 1
BACKEND = $(VENV)/bin/python -m backend

.PHONY: demo test starter extension blender environment developer

demo: environment
	$(BACKEND) generate "$(PROMPT)" --out out/demo --seed $(SEED)
	@echo "The results are in out/demo: mesh.glb, mesh.ply, preview.png, result.json."

# One thread per worker, or the workers would wait for each other.
test: developer
	$(VENV)/bin/python scripts/check.py
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal

starter: environment
	$(PYTHON) -m iss_blender.environment make --folder $(VENV) --with train
	$(BACKEND) train starter

extension:
	$(PYTHON) scripts/build_extension.py --out dist

blender:
	$(PYTHON) scripts/make_blender.py make

environment:
	$(PYTHON) -m iss_blender.environment make --folder $(VENV)

developer:
	$(PYTHON) -m iss_blender.environment make --folder $(VENV) --with train,dev,blender
