"""Vessels: mug. (The pattern to follow when adding a category: words first, then the program.)"""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.shape import Shape


def build_mug(s: Shape, d: Draw) -> None:
    """A mug: a hollow lathe with a handle; kinds differ in outline."""
    body, inside = d.main("body"), d.other("inside", same=0.6, colors=("white", "black"))
    radius = d.between(0.28, 0.36)
    height = {"coffee mug": d.between(0.7, 0.85), "tea cup": d.between(0.42, 0.5), "beer mug": d.between(0.95, 1.1)}[d.kind]
    foot = radius * (d.between(0.55, 0.7) if d.kind == "tea cup" else d.between(0.85, 1.0))
    s.lathe("body", body, [(foot, 0), (radius * 0.97, height * 0.5), (radius, height)], (0, 0, 0))
    s.lathe("inside", inside, [(foot - 0.06, 0.08), (radius - 0.07, height * 0.5), (radius - 0.06, height + 0.05)],
            (0, 0, 0), cut=True)  # fmt: skip
    if d.flag("handle", 0.85):
        handle = d.other("handle", same=0.7)
        s.arc("handle", handle, height * 0.26, 0.075, 115, (radius * 0.95, height * 0.5, 0), turn=(0, 0, -90))


CATEGORIES = {
    "mug": Category(
        name="mug",
        nouns=("mug", "cup"),
        kinds={
            "coffee mug": Kind(("coffee mug", "mug"), 3),
            "tea cup": Kind(("tea cup", "teacup"), 1.5),
            "beer mug": Kind(("beer mug", "tankard", "stein"), 1),
        },
        build=build_mug,
        phrases={
            ("handle", True): ("with a handle",),
            ("handle", False): ("without a handle", "handleless"),
        },
        materials={"glass": 0.4, "metal": 0.4},
        size=0.1,
    ),
}
