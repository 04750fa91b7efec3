"""Contact sheets of what the shape programs make."""

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.views import render, world_matrix


def contact_sheet(names: list[str], *, columns: int = 12, size: int = 128, seed: int = 0) -> PilImage.Image:
    """One labelled row of random shapes per category, seen from the front left above."""
    label_height = 14
    sheet = PilImage.new("RGB", (columns * size, len(names) * (size + label_height)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        rng = np.random.default_rng([seed, list(CATEGORIES).index(name)])
        top = row * (size + label_height)
        for column in range(columns):
            sample = make(name, rng)
            azimuth = float(rng.uniform(-60, 60))
            image = render(sample.shape, world_matrix(azimuth, 22, 1.55), size * 2)
            pixels = PilImage.fromarray((image.rgb * 255).astype(np.uint8)).resize((size, size), PilImage.BOX)
            sheet.paste(pixels, (column * size, top + label_height))
            pen.text((column * size + 2, top + 1), f"{sample.draw.kind}"[:20], fill="black")
    return sheet
