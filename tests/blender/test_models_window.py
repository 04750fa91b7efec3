"""The preferences of the real Blender: the list of models, and Use Full CLIP where it may not go online."""

from pathlib import Path

import numpy as np
import pytest

from tests.blender.real_program import needs_program
from tests.blender.test_window import in_the_window


@pytest.mark.blender
@needs_program
def test_models_are_listed_and_nothing_is_fetched_without_leave(tmp_path: Path) -> None:
    from PIL import Image

    seen, _ = in_the_window(tmp_path, "models_driver.py", ready=True)
    assert seen["clips"][0] == "vit-b-32" and "dvr-combined" in seen["known"]
    assert "licence is not accepted" in seen["not_accepted"]
    assert seen["online"] is False and "going online is not allowed" in seen["offline_told"]
    assert seen["chosen"] == "starter"
    for name in ("31_models", "33_full_clip"):
        picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert picture.shape == (900, 1400, 3) and np.ptp(picture) > 100
