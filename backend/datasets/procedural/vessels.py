"""Vessels: mug, bottle, vase, teapot. (The pattern to follow when adding a category.)"""

from itertools import pairwise

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape, smooth_profile

Profile = list[tuple[float, float]]


def _hollow(s: Shape, paint: Material, profile: Profile, wall: float, floor: float) -> None:
    """Cut the inside out of a lathe and line it with `paint`; the profile is that of the outside."""
    inner = [(max(r - wall, 0.02), y) for r, y in profile if y > floor]
    lining = [(max(_radius_at(profile, floor) - wall, 0.02), floor), *inner]
    s.lathe("inside", paint, [(min(r + 0.02, r + wall * 0.5), y) for r, y in lining], (0, 0, 0))
    top_radius, top = lining[-1]
    s.lathe(
        "inside",
        paint,
        [(lining[0][0], floor + 0.03), *lining[1:], (top_radius, top + 0.1)],
        (0, 0, 0),
        cut=True,
    )


def build_mug(s: Shape, d: Draw) -> None:
    """A mug: a hollow lathe with a handle; kinds differ in outline."""
    body, inside = (
        d.main("body"),
        d.other("inside", same=0.5, colors=("white", "black", "yellow", "red", "blue")),
    )
    radius = d.between(0.29, 0.38)
    height = {
        "coffee mug": d.between(0.66, 0.86),
        "tea cup": d.between(0.42, 0.52),
        "beer mug": d.between(0.9, 1.1),
        "espresso cup": d.between(0.5, 0.62),
        "travel mug": d.between(1.0, 1.25),
    }[d.kind]
    if d.kind == "tea cup":
        radius *= 1.2
        foot = radius * d.between(0.42, 0.55)
        profile = [(foot, 0), (foot, 0.05), (radius * 0.86, height * 0.4), (radius, height)]
        profile = smooth_profile(profile)
    elif d.kind == "coffee mug":
        form = d.pick("form", straight=2, tapered=1.2, rounded=1.5)
        if form == "straight":
            profile = [(radius * 0.97, 0), (radius, 0.03), (radius, height * 0.5), (radius, height)]
        elif form == "tapered":
            profile = [(radius * 0.66, 0), (radius * 0.83, height * 0.5), (radius, height)]
        else:
            profile = [
                (radius * 0.7, 0),
                (radius * 1.02, height * 0.22),
                (radius * 1.12, height * 0.5),
                (radius * 1.02, height * 0.8),
                (radius * 0.98, height),
            ]
            profile = smooth_profile(profile)
    elif d.kind == "espresso cup":
        profile = [
            (radius * 0.6, 0),
            (radius * 0.85, height * 0.2),
            (radius * 0.95, height * 0.6),
            (radius * 0.95, height),
        ]
    elif d.kind == "beer mug":
        profile = [
            (radius * 1.12, 0),
            (radius * 1.1, 0.1),
            (radius, 0.14),
            (radius * 0.98, height * 0.6),
            (radius * 0.96, height),
        ]
    else:
        profile = [(radius * 0.74, 0), (radius * 0.85, height * 0.5), (radius, height)]
    s.lathe("body", body, profile, (0, 0, 0))
    at = height * 0.52
    if d.kind == "travel mug":
        lid = d.other("lid", same=0.1, colors=("black", "white", "gray"))
        d.paints.pop("inside")
        s.cone("lid", lid, radius * 1.06, radius * 0.95, 0.12, (0, height + 0.04, 0), round=0.02)
        if d.flag("band", 0.5):
            s.cylinder("band", d.other("band", same=0.0), radius * 0.92, height * 0.3, (0, height * 0.42, 0))
    elif d.kind in ("tea cup", "espresso cup") and d.flag("saucer", 0.5):
        saucer = d.other("saucer", same=0.6)
        s.lathe(
            "saucer",
            saucer,
            [(radius * 0.9, 0), (radius * 1.75, 0.06), (radius * 1.75, 0.1), (radius * 0.8, 0.055)],
            (0, -0.05, 0),
        )
    elif d.kind != "espresso cup" and d.flag("stripe", 0.2):
        s.cylinder("stripe", d.other("stripe", same=0.0), radius * 1.04, height * 0.16, (0, height * 0.2, 0))
    if d.flag("handle", {"beer mug": 0.98, "travel mug": 0.35}.get(d.kind, 0.85)):
        handle = d.other("handle", same=0.65)
        reach = max(min(height * d.between(0.25, 0.31), 0.3), 0.13)
        near = radius * {"tea cup": 0.9, "travel mug": 0.84}.get(d.kind, 0.96)
        if d.pick("handle form", round=3, square=1) == "round":
            s.arc("handle", handle, reach, d.between(0.075, 0.1), 106, (near, at, 0), turn=(0, 0, -90))
        else:
            out, half, thick = near + reach, reach * 0.9, 0.085
            for y in (-half, half):
                s.bar("handle", handle, (near - 0.02, at + y, 0), (out, at + y, 0), thick)
            s.bar("handle", handle, (out, at - half, 0), (out, at + half, 0), thick)
    if d.kind != "travel mug":
        _hollow(s, inside, profile, 0.06, 0.07)


_BOTTLES: dict[str, Profile] = {
    "wine bottle": [(1, 0), (1, 0.56), (0.8, 0.64), (0.38, 0.72), (0.34, 0.93), (0.4, 0.94), (0.4, 1)],
    "water bottle": [(0.92, 0), (1, 0.04), (1, 0.62), (0.72, 0.76), (0.42, 0.84), (0.42, 1)],
    "milk bottle": [(0.95, 0), (1, 0.03), (1, 0.5), (0.6, 0.74), (0.55, 0.92), (0.66, 0.94), (0.66, 1)],
    "soda bottle": [(0.9, 0), (1, 0.06), (0.85, 0.32), (1, 0.52), (0.62, 0.72), (0.36, 0.84), (0.36, 1)],
    "flask": [
        (0.9, 0),
        (1, 0.05),
        (0.82, 0.25),
        (0.42, 0.52),
        (0.36, 0.6),
        (0.36, 0.95),
        (0.46, 0.96),
        (0.46, 1),
    ],
    "jar": [(0.9, 0), (1, 0.05), (1, 0.72), (0.9, 0.82), (0.8, 0.86), (0.8, 1)],
}
"""Outlines: radius over the largest radius, height over the height of the glass."""


def build_bottle(s: Shape, d: Draw) -> None:
    """A bottle: a lathe with a cap and a label; perfume and potion bottles have their own bodies."""
    body = d.main("body")
    if d.kind == "perfume bottle":
        cap = d.other("cap", same=0.1, patterns=("gold", "metal"), colors=("black", "white"))
        wide, tall, deep = d.between(0.5, 0.75), d.between(0.55, 0.75), d.between(0.26, 0.4)
        form = d.pick("form", square=2, round=1.5, flat_round=1)
        if form == "square":
            s.box("body", body, (wide, tall, deep), (0, tall / 2, 0), round=0.03)
        elif form == "round":
            s.ball("body", body, (wide * 1.1, tall, wide * 1.1), (0, tall / 2, 0))
            s.cylinder("body", body, wide * 0.34, 0.12, (0, 0.05, 0), round=0.02)
        else:
            s.cylinder("body", body, tall / 2, deep, (0, tall / 2, 0), axis="z", round=0.04)
            s.box("body", body, (tall * 0.6, 0.1, deep), (0, 0.04, 0), round=0.02)
        s.cylinder("neck", body, 0.09, 0.12, (0, tall + 0.02, 0))
        high = d.between(0.16, 0.28)
        if d.pick("cap", block=2, ball=1) == "ball":
            s.ball("cap", cap, (high * 1.2, high * 1.2, high * 1.2), (0, tall + 0.04 + high * 0.5, 0))
        else:
            s.cylinder("cap", cap, d.between(0.13, 0.18), high, (0, tall + 0.06 + high / 2, 0), round=0.015)
        return
    slim = {
        "wine bottle": (0.13, 0.18),
        "water bottle": (0.15, 0.22),
        "milk bottle": (0.18, 0.25),
        "soda bottle": (0.15, 0.2),
        "flask": (0.26, 0.38),
        "jar": (0.3, 0.42),
    }[d.kind]
    radius = d.between(*slim)
    height = d.between(0.62, 0.85) if d.kind == "jar" else 1.0
    lift = d.between(-0.05, 0.06)
    profile = smooth_profile(
        [(r * radius, (y + (lift if 0.3 < y < 0.8 else 0)) * height) for r, y in _BOTTLES[d.kind]]
    )
    s.lathe("body", body, profile, (0, 0, 0))
    if d.kind != "flask" and d.flag("label", 0.5):
        label = d.other("label", same=0.0)
        middle, tall = (0.3, d.between(0.2, 0.3)) if d.kind != "jar" else (0.4, 0.4)
        s.cylinder("label", label, radius * 1.04, tall * height, (0, middle * height, 0))
    mouth = profile[-1][0]
    if d.flag("cap", {"wine bottle": 0.6, "milk bottle": 0.4, "flask": 0.5}.get(d.kind, 0.85)):
        cap = d.other(
            "cap",
            same=0.15,
            colors=("black", "white", "red", "blue", "gray"),
            patterns=("gold", "metal", "wood"),
        )
        tall = {"water bottle": d.between(0.1, 0.18), "jar": 0.14}.get(d.kind, 0.09)
        if d.kind == "wine bottle":
            s.cylinder("cap", cap, mouth * 0.95, 0.08, (0, 1.03, 0), round=0.01)
            s.cylinder("cap", cap, mouth * 1.08, 0.16, (0, 0.93, 0))
        elif d.kind == "flask":
            s.cone("cap", cap, mouth * 0.7, mouth * 0.95, 0.14, (0, 1.04, 0), round=0.01)
        else:
            s.cylinder("cap", cap, mouth * 1.18, tall, (0, height + tall * 0.3, 0), round=0.015)
    else:
        s.cylinder("inside", d.fixed("inside", "black"), mouth * 0.6, 0.06, (0, height - 0.02, 0))
        s.cylinder("inside", body, mouth * 0.6, 0.1, (0, height + 0.02, 0), cut=True)
    if d.kind == "water bottle" and "cap" in d.paints and d.flag("handle", 0.3):
        s.ring("handle", cap, 0.085, 0.05, (0, height + 0.16, 0), axis="z")


_VASES: dict[str, Profile] = {
    "amphora": [
        (0.4, 0),
        (0.45, 0.04),
        (0.32, 0.1),
        (0.72, 0.34),
        (1, 0.58),
        (0.82, 0.74),
        (0.42, 0.84),
        (0.42, 0.94),
        (0.6, 1),
    ],
    "tall vase": [(0.62, 0), (0.66, 0.03), (0.95, 0.5), (1, 0.66), (0.72, 0.88), (0.84, 1)],
    "round vase": [
        (0.5, 0),
        (0.55, 0.04),
        (0.88, 0.2),
        (1, 0.44),
        (0.88, 0.68),
        (0.5, 0.86),
        (0.42, 0.9),
        (0.55, 1),
    ],
    "trumpet vase": [(0.62, 0), (0.62, 0.06), (0.32, 0.14), (0.36, 0.5), (0.6, 0.8), (1, 1)],
    "pot": [(0.68, 0), (0.8, 0.4), (0.92, 0.8), (1.02, 0.82), (1.02, 1)],
}


def build_vase(s: Shape, d: Draw) -> None:
    """A vase: a hollow lathe, or stacked or square bodies; with handles, bands, flowers."""
    body = d.main("body")
    if d.kind == "square vase":
        wide, tall = d.between(0.36, 0.6), 1.0
        top = wide * d.between(0.85, 1.25)
        outline = [(wide / 2, 0), (top / 2, tall), (-top / 2, tall), (-wide / 2, 0)]
        s.prism("body", body, outline, (wide + top) / 2, (0, 0, 0), round=0.015)
        s.box("inside", body, (top - 0.16, 0.5, (wide + top) / 2 - 0.14), (0, tall, 0), cut=True)
        mouth, rim = top / 2 - 0.08, tall - 0.25
    elif d.kind == "stacked vase":
        number, radius = d.count("tiers", 3, 6), d.between(0.22, 0.34)
        step = 0.88 / number
        second = d.other("rings", same=0.5)
        for i in range(number):
            share = 1.0 - 0.3 * abs(i - (number - 1) / 2) / number
            paint = body if i % 2 == 0 else second
            s.cone(
                "body",
                paint,
                radius * share,
                radius * share,
                step * 1.08,
                (0, step * (i + 0.5), 0),
                round=step * 0.45,
            )
        s.lathe("neck", body, [(radius * 0.5, 0.86), (radius * 0.72, 1.0)], (0, 0, 0))
        s.cylinder("inside", body, radius * 0.72 - 0.06, 0.3, (0, 1.06, 0), cut=True)
        mouth, rim, tall = radius * 0.72 - 0.06, 0.92, 1.0
    else:
        slim = {
            "amphora": (0.3, 0.38),
            "tall vase": (0.18, 0.26),
            "round vase": (0.4, 0.52),
            "trumpet vase": (0.28, 0.4),
            "pot": (0.4, 0.52),
        }[d.kind]
        radius, tall = d.between(*slim), {"round vase": 0.95, "pot": d.between(0.65, 0.85)}.get(d.kind, 1.0)
        profile = [(max(r * radius, 0.09), y * tall) for r, y in _VASES[d.kind]]
        profile = profile if d.kind == "pot" else smooth_profile(profile)
        s.lathe("body", body, profile, (0, 0, 0))
        if d.flag("band", 0.35):
            band = d.other("band", same=0.0)
            low, high = tall * 0.4, tall * 0.56
            ring = [(_radius_at(profile, y) * 1.02 + 0.008, y) for y in (low, (low + high) / 2, high)]
            s.lathe("band", band, ring, (0, 0, 0))
        mouth = profile[-1][0] - 0.06
        s.cone(
            "inside",
            body,
            max(_radius_at(profile, tall * 0.83) - 0.07, 0.05),
            mouth,
            0.24,
            (0, tall - 0.05, 0),
            cut=True,
        )
        rim = tall - 0.12
        if d.kind in ("amphora", "round vase", "tall vase") and (
            d.flag("handles", 0.85 if d.kind == "amphora" else 0.3)
        ):
            handles = d.other("handles", same=0.7)
            if d.kind == "amphora":
                at, reach = tall * 0.79, tall * 0.16
                x = radius * 0.62
            else:
                at, reach = tall * 0.62, 0.14
                x = _radius_at(profile, at) - 0.01
            s.mirror(lambda: s.arc("handles", handles, reach, 0.075, 112, (x, at, 0), turn=(0, 0, -90)))
    if d.kind in ("tall vase", "trumpet vase", "round vase", "pot", "square vase") and d.flag("flowers", 0.2):
        flowers, stems = d.other("flowers", same=0.0), d.fixed("stems", "green")
        lean = max(mouth, 0.1) + 0.06
        s.rod("stems", stems, (0, rim - 0.12, 0), (0, tall + 0.3, 0), 0.03)
        s.ball("flowers", flowers, (0.24, 0.18, 0.24), (0, tall + 0.34, 0))
        s.around(3, lambda: s.rod("stems", stems, (0, rim - 0.1, 0), (0, tall + 0.15, lean), 0.03))
        s.around(3, lambda: s.ball("flowers", flowers, (0.22, 0.18, 0.22), (0, tall + 0.18, lean)))


def _radius_at(profile: Profile, height: float) -> float:
    """Radius of a lathe's outside at a height."""
    for (r0, y0), (r1, y1) in pairwise(profile):
        if y0 <= height <= y1 and y1 > y0:
            return r0 + (r1 - r0) * (height - y0) / (y1 - y0)
    return profile[-1][0]


def build_teapot(s: Shape, d: Draw) -> None:
    """A teapot or kettle: a round body with spout, handle and lid."""
    body, lid = d.main("body"), d.other("lid", same=0.6)
    handle = d.other("handle", same=0.45, colors=("black", "white", "brown"), patterns=("wood", "gold"))
    wide = d.between(0.34, 0.42)
    tall = {
        "round teapot": d.between(0.52, 0.66),
        "tall coffee pot": d.between(0.85, 1.0),
        "kettle": d.between(0.5, 0.62),
        "square teapot": d.between(0.5, 0.64),
    }[d.kind]
    mouth = wide * 0.6
    if d.kind == "round teapot":
        s.ball("body", body, (2 * wide, tall, 2 * wide), (0, tall / 2 + 0.03, 0))
        s.cylinder("body", body, wide * 0.55, 0.1, (0, 0.05, 0), round=0.01)
    elif d.kind == "tall coffee pot":
        wide *= 0.75
        s.lathe("body", body, [(wide * 1.05, 0), (wide, tall * 0.3), (wide * 0.7, tall)], (0, 0, 0))
        mouth = wide * 0.72
    elif d.kind == "kettle":
        s.lathe(
            "body",
            body,
            [(wide * 1.05, 0), (wide * 1.1, 0.06), (wide * 0.95, tall * 0.6), (wide * 0.55, tall)],
            (0, 0, 0),
        )
    else:
        s.box("body", body, (1.7 * wide, tall, 1.5 * wide), (0, tall / 2, 0), round=0.07)
    s.lathe("lid", lid, [(mouth, 0), (mouth, 0.05), (mouth * 0.6, 0.12), (0.05, 0.14)], (0, tall - 0.03, 0))
    s.ball("knob", handle, (0.13, 0.12, 0.13), (0, tall + 0.14, 0))
    side = wide * (0.82 if d.kind != "tall coffee pot" else 0.8)
    s.rod("spout", body, (-side * 0.8, tall * 0.35, 0), (-side - 0.14, tall * 0.6, 0), 0.085, end_radius=0.06)
    s.rod("spout", body, (-side - 0.14, tall * 0.6, 0), (-side - 0.24, tall * 0.9, 0), 0.06, end_radius=0.045)
    form = "top" if d.kind == "kettle" else d.pick("handle", side=3, top=1)
    if form == "top":
        d.note("handle", "top")
        s.arc("handle", handle, wide * 0.8, 0.075, 100, (0, tall * 0.9, 0))
    else:
        s.arc(
            "handle",
            handle,
            tall * (0.3 if d.kind == "tall coffee pot" else 0.34),
            0.08,
            115,
            (side, tall * 0.52, 0),
            turn=(0, 0, -90),
        )


CATEGORIES = {
    "mug": Category(
        name="mug",
        nouns=("mug", "cup"),
        kinds={
            "coffee mug": Kind(("coffee mug", "mug"), 3),
            "tea cup": Kind(("tea cup", "teacup"), 1.5),
            "beer mug": Kind(("beer mug", "tankard", "stein"), 1),
            "espresso cup": Kind(("espresso cup", "small coffee cup"), 0.8),
            "travel mug": Kind(("travel mug", "coffee cup to go", "tumbler"), 0.8),
        },
        build=build_mug,
        phrases={
            ("handle", True): ("with a handle",),
            ("handle", False): ("without a handle", "handleless"),
            ("handle form", "round"): ("with a round handle",),
            ("handle form", "square"): ("with a square handle", "with an angular handle"),
            ("form", "straight"): ("straight", "cylindrical"),
            ("form", "tapered"): ("tapered",),
            ("form", "rounded"): ("rounded", "bulbous"),
            ("saucer", True): ("with a saucer", "on a saucer"),
            ("saucer", False): ("without a saucer",),
            ("stripe", True): ("with a stripe",),
            ("band", True): ("with a band", "with a sleeve"),
        },
        materials={"glass": 0.4, "metal": 0.4},
        size=0.1,
    ),
    "bottle": Category(
        name="bottle",
        nouns=("bottle",),
        kinds={
            "wine bottle": Kind(("wine bottle", "bottle of wine", "champagne bottle"), 2),
            "water bottle": Kind(("water bottle", "sports bottle", "drinking bottle"), 1.5),
            "milk bottle": Kind(("milk bottle", "bottle of milk"), 1.2),
            "soda bottle": Kind(("soda bottle", "cola bottle", "lemonade bottle"), 1.2),
            "perfume bottle": Kind(("perfume bottle", "bottle of perfume", "perfume flacon"), 1.2),
            "flask": Kind(("flask", "potion bottle", "laboratory flask", "carafe"), 1.2),
            "jar": Kind(("jar", "jam jar", "storage jar"), 1.2),
        },
        build=build_bottle,
        phrases={
            ("label", True): ("with a label",),
            ("label", False): ("without a label",),
            ("cap", True): ("with a cap", "with a lid", "closed"),
            ("cap", False): ("without a cap", "open"),
            ("cap", "ball"): ("with a ball shaped stopper",),
            ("cap", "block"): ("with a cylindrical cap",),
            ("form", "square"): ("square", "rectangular"),
            ("form", "round"): ("round", "spherical"),
            ("form", "flat round"): ("disc shaped",),
            ("handle", True): ("with a ring on top",),
        },
        materials={"glass": 2.5, "metal": 0.4},
        size=0.3,
    ),
    "vase": Category(
        name="vase",
        nouns=("vase", "urn"),
        kinds={
            "amphora": Kind(("amphora", "greek vase", "antique vase"), 1.4),
            "tall vase": Kind(("tall vase", "slim vase", "floor vase"), 1.4),
            "round vase": Kind(("round vase", "bulbous vase", "ball vase"), 1.4),
            "trumpet vase": Kind(("trumpet vase", "flared vase", "fluted vase"), 1.1),
            "stacked vase": Kind(("stacked vase", "ribbed vase", "twisted vase"), 1.1),
            "square vase": Kind(("square vase", "angular vase", "box vase"), 0.9),
            "pot": Kind(("plant pot", "flower pot", "planter"), 1),
        },
        build=build_vase,
        phrases={
            ("handles", True): ("with handles", "with two handles"),
            ("handles", False): ("without handles",),
            ("band", True): ("with a band", "with a painted band"),
            ("flowers", True): ("with flowers", "with a bouquet"),
            ("flowers", False): ("without flowers", "empty"),
            ("tiers", 3): ("with three tiers",),
            ("tiers", 4): ("with four tiers",),
            ("tiers", 5): ("with five tiers",),
        },
        materials={"glass": 0.7, "marble": 0.6, "gold": 0.3},
        size=0.4,
    ),
    "teapot": Category(
        name="teapot",
        nouns=("teapot",),
        kinds={
            "round teapot": Kind(("round teapot", "teapot", "tea pot"), 2.5),
            "tall coffee pot": Kind(("coffee pot", "tall teapot"), 1.2),
            "kettle": Kind(("kettle", "tea kettle"), 1.2),
            "square teapot": Kind(("square teapot", "boxy teapot"), 0.8),
        },
        build=build_teapot,
        phrases={
            ("handle", "side"): ("with a side handle",),
            ("handle", "top"): ("with a top handle", "with a handle over the lid"),
        },
        materials={"metal": 1.0, "glass": 0.3},
        size=0.2,
    ),
}
