"""Result folders: what an earlier result left behind is not taken for the new one's."""

from pathlib import Path

import numpy as np
import pytest

from backend.mesh import TriMesh
from backend.pipeline import Result
from backend.recipe import Recipe
from backend.results import write_result


@pytest.fixture
def result() -> Result:
    corners = np.array([[0, 0, 0], [0.4, 0, 0], [0, 0.4, 0], [0, 0, 0.4]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    mesh = TriMesh(corners, faces, np.full((4, 3), 0.5, np.float32))
    code = np.zeros(4, np.float32)
    return Result(mesh, code, Recipe(prompt="a box"), (0.5,), code[None], 0, (), {}, {})


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_that_the_new_result_has_not_go(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path, files={"decoder.safetensors": b"of a style"})
    assert {"mesh.glb", "mesh.ply", "decoder.safetensors"} < _names(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    write_result(result, tmp_path, formats=("glb",))
    assert _names(tmp_path) == {"mesh.glb", "preview.png", "result.json", "notes.txt"}


def test_a_mesh_of_somebody_else_stays(result: Result, tmp_path: Path) -> None:
    (tmp_path / "mesh.ply").write_bytes(b"not of a result")
    write_result(result, tmp_path, formats=("glb",))
    assert (tmp_path / "mesh.ply").read_bytes() == b"not of a result"
