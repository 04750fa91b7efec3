"""Styles in the window of the real Blender: previews, looks, looking back, own meshes, the saved file."""

from pathlib import Path

import pytest

from tests.blender.real_program import bundle_for_tests, needs_program
from tests.blender.test_window import in_the_window


@pytest.mark.blender
@needs_program
def test_an_artist_styles_looks_back_and_comes_back(tmp_path: Path) -> None:
    bundle, _ = bundle_for_tests(tmp_path)
    seen, _ = in_the_window(tmp_path, "style_driver.py", ready=True, ISS_WINDOW_BUNDLE=bundle)
    assert seen["ended"] and seen["wooden_trouble"] == seen["zebra_trouble"] == "None"
    assert seen["look"] == ["a chair", "a chair (original)", True, False]
    assert seen["preview_wooden_s"] < seen["wooden_s"]
    best, first, again = seen["looked_back"]
    assert best == pytest.approx(again, abs=0.01) and best != pytest.approx(first, abs=0.01)
    assert seen["original_shown"] == [True, False]
    assert seen["own"] == ["Suzanne", "Suzanne (original)", True]
    before, after = seen["left"]
    assert before == after
    faces, fewer, color, same = seen["remeshed"][:4]
    assert fewer != faces and same == pytest.approx(color, abs=0.08)
    assert 1000 < seen["decoder_bytes"] < 1_000_000
