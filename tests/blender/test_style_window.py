"""Styles in the window of the real Blender: previews, looks, looking back, own meshes, the saved file."""

from pathlib import Path

import numpy as np
import pytest

from tests.blender.real_program import bundle_for_tests, needs_program
from tests.blender.test_window import in_the_window


def share_of_extremes(picture: Path, view: list[int]) -> float:
    """How much of the middle of a 3D view, its grey ground aside, is nearly black or nearly white."""
    from PIL import Image

    x, y, width, height = view
    grey = np.asarray(Image.open(picture).convert("L"))
    top = len(grey) - y - height
    middle = grey[top + height // 4 : top + 3 * height // 4, x + width // 3 : x + 2 * width // 3]
    extreme = ((middle < 45) | (middle > 140)).sum()
    return float(extreme / (extreme + ((middle >= 75) & (middle < 130)).sum()))


@pytest.mark.blender
@needs_program
def test_an_artist_styles_looks_back_and_comes_back(tmp_path: Path) -> None:
    bundle, starter = bundle_for_tests(tmp_path)
    seen, _ = in_the_window(tmp_path, "style_driver.py", ready=True, ISS_WINDOW_BUNDLE=bundle)
    assert seen["ended"] and seen["wooden_trouble"] == seen["zebra_trouble"] == "None"
    assert seen["look"] == ["a chair", "a chair (original)", True, False]
    assert seen["preview_wooden_s"] < seen["wooden_s"]
    best, first, again = seen["looked_back"]
    assert best == pytest.approx(again, abs=0.01) and best != pytest.approx(first, abs=0.01)
    assert seen["original_shown"] == [True, False]
    assert seen["own"] == ["Suzanne", "Suzanne (original)", True]
    assert seen["solid_shows"] == "TEXTURE"
    if starter:  # as colours of its 507 vertices the stripes were 0.47, as a picture 0.73
        assert share_of_extremes(tmp_path / "8_zebra_solid.png", seen["view"]) > 0.6
    before, after = seen["left"]
    assert before == after
    faces, fewer, color, same = seen["remeshed"][:4]
    assert fewer != faces and same == pytest.approx(color, abs=0.08)
    assert 1000 < seen["decoder_bytes"] < 1_000_000
