"""Pictures of meshes for people: a turntable strip, and labelled contact sheets of many results.

White background, anti-aliased, softly lit, every shape framed to fill its picture; uint8 [H, W, 3].
"""

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.cameras import FOCAL, look_at
from backend.errors import SettingError
from backend.mesh import TriMesh
from backend.output_file import write_file
from backend.rendering.raster import render_mesh

Picture = NDArray[np.uint8]

FIRST_AZIMUTH_DEG, ELEVATION_DEG = 30.0, 20.0
"""The strip starts with a three-quarter view from the front, slightly from above."""
SUPERSAMPLE = 2
FRAME = 1.04
"""Margin around the bounding sphere."""
LABEL_WIDTH, GAP, FONT_SIZE = 200, 6, 15
INK, PAPER = (40, 40, 40), (255, 255, 255)


def turntable_strip(mesh: TriMesh, views: int = 6, size: int = 256) -> Picture:
    """Views [size, views * size, 3] side by side, turning by 360 / views degrees from the front's right.

    SettingError for fewer than one view or 8 pixels, MeshError for a mesh without vertices.
    """
    return np.concatenate(turntable_views(mesh, views, size), axis=1)


def turntable_views(mesh: TriMesh, views: int = 6, size: int = 256) -> list[Picture]:
    """The pictures [size, size, 3] of a turntable strip, one by one."""
    if views < 1 or size < 8:
        raise SettingError(
            f"A turntable of {views} views of {size} pixels cannot be drawn.",
            remedy="Ask for at least 1 view of at least 8 pixels.",
        )
    centred, distance = _framed(mesh)
    azimuths = [FIRST_AZIMUTH_DEG + 360.0 * view / views for view in range(views)]
    rgb, _ = render_mesh(centred, look_at(azimuths, ELEVATION_DEG, distance), size, supersample=SUPERSAMPLE)
    return list(np.round(rgb.cpu().numpy() * 255).astype(np.uint8))


def contact_sheet(rows: Sequence[tuple[str, Sequence[Picture]]], columns: Sequence[str] = ()) -> Picture:
    """A sheet with one labelled row of pictures per entry, and column headings when given.

    Pictures may differ in size; cells take the largest. SettingError when there is nothing to show.
    """
    from PIL import Image, ImageDraw, ImageFont

    pictures = [picture for _, row in rows for picture in row]
    if not pictures:
        raise SettingError("A contact sheet needs at least one picture.", remedy="Give rows with pictures.")
    cell_height = max(p.shape[0] for p in pictures)
    cell_width = max(p.shape[1] for p in pictures)
    count = max(len(row) for _, row in rows)
    top = 2 * GAP + FONT_SIZE if columns else GAP
    width = LABEL_WIDTH + count * (cell_width + GAP) + GAP
    sheet = Image.new("RGB", (width, top + len(rows) * (cell_height + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    for number, heading in enumerate(columns[:count]):
        left = LABEL_WIDTH + GAP + number * (cell_width + GAP)
        draw.text((left + cell_width / 2, GAP), heading, INK, font, anchor="ma")
    for number, (label, row) in enumerate(rows):
        y = top + number * (cell_height + GAP)
        lines = textwrap.wrap(label, width=LABEL_WIDTH * 2 // FONT_SIZE)[: cell_height // (FONT_SIZE + 4)]
        middle = (GAP, y + cell_height / 2)
        draw.multiline_text(middle, "\n".join(lines), INK, font, anchor="lm", spacing=4)
        for place, picture in enumerate(row):
            x = LABEL_WIDTH + GAP + place * (cell_width + GAP)
            sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (x, y))
    return np.asarray(sheet)


def save_png(picture: Picture, path: Path) -> None:
    """Write a picture whole or not at all; OutputError when the place cannot be written."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, format="PNG")
    write_file(path, stream.getvalue())


def _framed(mesh: TriMesh) -> tuple[TriMesh, float]:
    """The mesh with its box's centre at the origin, and the camera distance at which it fills the picture."""
    middle = mesh.bounds.mean(axis=0)
    centred = TriMesh(mesh.vertices - middle, mesh.faces, mesh.colors)
    radius = float(np.linalg.norm(centred.vertices, axis=1).max())
    # A sphere touches the picture's border when its tangent cone has the lens's half angle, atan(1 / FOCAL).
    return centred, max(radius, 1e-3) * FRAME / math.sin(math.atan(1 / FOCAL))
