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

# Both parts always run. One thread per worker, or the workers would wait for each other.
test: developer
	@$(VENV)/bin/python scripts/check.py; checked=$$?; \
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal && exit $$checked

starter:
	$(PYTHON) -m iss_blender.environment make --folder $(VENV) --with train
	$(BACKEND) train starter

extension:
	$(PYTHON) scripts/build_extension.py --out dist

blender:
	$(PYTHON) scripts/make_blender.py make

environment:
	$(PYTHON) -m iss_blender.environment make --folder $(VENV)

# The bpy module needs a desktop's libraries; without them its tests say what they did not check.
developer:
	$(PYTHON) -m iss_blender.environment make --folder $(VENV) --with train,dev,ray
	@$(PYTHON) -m iss_blender.environment make --folder $(VENV) --with train,dev,ray,blender \
		|| echo "NOT CHECKED: the add-on in the bpy module, which does not work here (see above)."
