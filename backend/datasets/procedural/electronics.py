"""Electronics: display, loudspeaker, and the words of telephone. Screens and cones look towards +z."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape
from backend.datasets.procedural.telephones import build_telephone, same_screen

_SCREENS = ("black", "black", "black", "blue", "gray", "white")


def _stand(s: Shape, d: Draw, paint: Material, width: float, bottom: float) -> None:
    """A foot with a neck up to the panel, whose lower edge is at height `bottom`."""
    feet = 1.6 if d.kind == "television" else 0.25
    form = d.pick("base", round=2, square=2, two_feet=feet, u_shaped=0.8)
    deep = d.between(0.24, 0.36)
    if form == "two feet":
        at = width * d.between(0.26, 0.36)
        s.mirror(lambda: s.bar("stand", paint, (at, bottom + 0.06, 0), (at, 0.03, deep * 0.5), 0.06))
        s.mirror(lambda: s.bar("stand", paint, (at, bottom + 0.06, 0), (at, 0.03, -deep * 0.5), 0.06))
        return
    wide = d.between(0.08, 0.16)
    s.box("stand", paint, (wide, bottom + 0.2, 0.07), (0, bottom / 2 + 0.1, -0.03))
    if form == "round":
        s.cone("base", paint, deep * 0.62, deep * 0.56, 0.06, (0, 0.03, -0.01))
    elif form == "square":
        s.box("base", paint, (deep * 1.25, 0.06, deep), (0, 0.03, 0), round=0.012)
    else:
        half = deep * 0.65
        s.mirror(lambda: s.bar("base", paint, (half, 0.03, deep * 0.45), (half * 0.7, 0.03, -0.06), 0.06))
        s.bar("base", paint, (-half * 0.8, 0.03, -0.05), (half * 0.8, 0.03, -0.05), 0.07)


def _flat_panel(
    s: Shape,
    body: Material,
    screen: Material,
    width: float,
    height: float,
    bottom: float,
    rim: float,
    chin: float,
) -> None:
    """A flat screen in its frame, lower edge at `bottom`; the lower rim is `chin` wider."""
    middle = bottom + height / 2
    s.box("frame", body, (width, height, 0.075), (0, middle, 0), round=0.015)
    s.box("frame", body, (width * 0.5, height * 0.5, 0.07), (0, middle, -0.05), round=0.02)
    s.box(
        "screen",
        screen,
        (width - 2 * rim, height - 2 * rim - chin, 0.03),
        (0, middle + chin / 2, 0.028),
        round=0.004,
    )


def _curved_panel(
    s: Shape, body: Material, screen: Material, width: float, height: float, bottom: float, bend: float
) -> None:
    def slab(name: str, paint: Material, half: float, tall: float, front: float, back: float) -> None:
        xs = [half * (i / 4 - 1) for i in range(9)]
        curve = [bend * (x / (width / 2)) ** 2 for x in xs]
        outline = [(x, z + front) for x, z in zip(xs, curve, strict=True)]
        outline += [(x, z + back) for x, z in reversed(list(zip(xs, curve, strict=True)))]
        s.prism(name, paint, outline, tall, (0, bottom + height / 2, 0), axis="y")

    slab("frame", body, width / 2, height, 0.035, -0.045)
    slab("screen", screen, width / 2 - 0.045, height - 0.1, 0.043, 0.01)


def build_display(s: Shape, d: Draw) -> None:
    """A screen with its stand; the main material is that of the frame."""
    body = d.main("frame")
    screen = d.other("screen", same=same_screen(body), colors=_SCREENS)
    if d.kind in ("crt television", "crt monitor"):
        _build_crt(s, d, body, screen)
        return
    stand = d.other("stand", same=0.5, colors=("black", "gray", "white"), patterns=("metal", "wood"))
    if d.kind == "computer monitor":
        wide = d.between(0.82, 1.0)
        tall, bottom = wide * d.between(0.56, 0.78), d.between(0.14, 0.26)
        _flat_panel(s, body, screen, wide, tall, bottom, d.between(0.04, 0.06), d.between(0, 0.03))
        _stand(s, d, stand, wide, bottom)
    elif d.kind == "television":
        tall, bottom = d.between(0.54, 0.62), d.between(0.07, 0.14)
        _flat_panel(s, body, screen, 1.0, tall, bottom, d.between(0.035, 0.055), 0)
        _stand(s, d, stand, 1.0, bottom)
        if d.flag("soundbar", 0.2):
            s.box(
                "soundbar",
                d.other("soundbar", same=0.5, colors=("black", "gray")),
                (0.7, 0.07, 0.09),
                (0, bottom + 0.0, 0.06),
                round=0.03,
            )
    elif d.kind == "curved monitor":
        tall, bottom = d.between(0.38, 0.5), d.between(0.14, 0.22)
        _curved_panel(s, body, screen, 1.0, tall, bottom, d.between(0.1, 0.2))
        _stand(s, d, stand, 1.0, bottom)
    elif d.kind == "all in one computer":
        wide = d.between(0.85, 1.0)
        tall, bottom = wide * d.between(0.6, 0.72), d.between(0.16, 0.24)
        _flat_panel(s, body, screen, wide, tall, bottom, 0.04, d.between(0.09, 0.14))
        s.bar("stand", stand, (0, bottom + 0.16, -0.06), (0, 0.06, -0.15), 0.1)
        s.bar("stand", stand, (-0.08, bottom + 0.16, -0.06), (-0.08, 0.06, -0.15), 0.1)
        s.bar("stand", stand, (0.08, bottom + 0.16, -0.06), (0.08, 0.06, -0.15), 0.1)
        s.box("base", stand, (d.between(0.3, 0.4), 0.055, 0.36), (0, 0.0275, -0.02), round=0.012)
    else:
        tall, wide, bottom = d.between(0.72, 0.85), d.between(0.44, 0.54), d.between(0.12, 0.2)
        _flat_panel(s, body, screen, wide, tall, bottom, d.between(0.035, 0.05), 0)
        _stand(s, d, stand, wide, bottom)


def _build_crt(s: Shape, d: Draw, body: Material, screen: Material) -> None:
    wide = d.between(0.85, 1.0)
    tall, deep = wide * d.between(0.72, 0.85), d.between(0.5, 0.7)
    television = d.kind == "crt television"
    bottom = 0.0
    if television and d.flag("legs", 0.45):
        bottom = d.between(0.14, 0.28)
        legs = d.other("legs", same=0.3, colors=("black", "brown"), patterns=("wood", "metal"))
        for z in (-0.14, 0.14):
            s.mirror(
                lambda z=z: s.rod(
                    "legs",
                    legs,
                    (wide * 0.32, bottom + 0.03, z),
                    (wide * 0.4, 0.04, z * 1.6),
                    0.042,
                    end_radius=0.034,
                )
            )
    elif not television:
        stand = d.other("stand", same=0.6, colors=("gray", "white", "black"))
        bottom = 0.12
        s.cone("stand", stand, 0.3, 0.2, 0.14, (0, 0.07, 0))
    middle = bottom + tall / 2
    s.box("frame", body, (wide, tall, 0.3), (0, middle, 0.1), round=0.035)
    inset = 0.72
    s.box(
        "back",
        body,
        (wide * inset, tall * inset, deep * 0.5),
        (0, middle - 0.02, -deep * 0.5 + 0.12),
        round=0.05,
    )
    s.box("back", body, (wide * 0.87, tall * 0.87, deep * 0.4), (0, middle, -0.1), round=0.05)
    knobs = television and d.flag("knobs", 0.6)
    glass = wide * (0.66 if knobs else 0.82)
    x = -wide * 0.09 if knobs else 0.0
    s.box("screen", screen, (glass, tall * 0.78, 0.07), (x, middle, 0.235), round=0.034)
    if knobs:
        paint = d.other("knobs", same=0.0, colors=("black", "white", "gray"), patterns=("gold", "metal"))
        for y in (0.24, 0.02):
            s.cylinder(
                "knobs", paint, 0.055, 0.07, (wide * 0.38, middle + tall * y, 0.26), axis="z", round=0.01
            )
        s.box(
            "knobs", paint, (0.11, tall * 0.2, 0.03), (wide * 0.38, middle - tall * 0.24, 0.25), round=0.005
        )
    if television and d.flag("antenna", 0.5):
        antenna = d.other("antenna", same=0.1, colors=("black", "gray"), patterns=("metal",))
        top = bottom + tall
        reach, high = d.between(0.2, 0.32), d.between(0.26, 0.38)
        s.ball("antenna", antenna, (0.22, 0.14, 0.22), (0, top, 0.05))
        s.mirror(lambda: s.rod("antenna", antenna, (0.02, top, 0.05), (reach, top + high, 0.05), 0.033))


def _cone(s: Shape, paint: Material, radius: float, x: float, y: float, z: float) -> None:
    """A round speaker cone on a face at depth z: raised ring, sunken cone, dust cap."""
    s.cylinder("cones", paint, radius, 0.06, (x, y, z), axis="z", round=0.01)
    s.lathe("cones", paint, [(radius * 0.3, -0.03), (radius * 0.82, 0.05)], (x, y, z), axis="z", cut=True)
    s.ball("cones", paint, (radius * 0.75, radius * 0.75, 0.1), (x, y, z - 0.01))


def build_loudspeaker(s: Shape, d: Draw) -> None:
    """A loudspeaker with round cones on its front; the main material is that of the cabinet."""
    body = d.main("cabinet")
    cones = d.other(
        "cones",
        same=0.0,
        colors=("black", "black", "gray", "white", "red", "yellow"),
        patterns=("gold", "metal"),
    )
    if d.kind == "tower speaker":
        wide, deep, number = d.between(0.27, 0.36), d.between(0.26, 0.36), d.count("cones", 2, 4)
        low = 0.0
        if d.flag("feet", 0.5):
            low = 0.055
            s.box(
                "feet",
                d.other("feet", same=0.2, colors=("black", "gray")),
                (wide + 0.09, 0.06, deep + 0.09),
                (0, 0.03, 0),
            )
        s.box("cabinet", body, (wide, 1.0, deep), (0, low + 0.5, 0), round=0.012)
        step = min(0.96 / number, wide)
        for i in range(number):
            radius = (0.42 if i or number < 3 else 0.3) * min(step, wide)
            _cone(s, cones, radius, 0, low + 0.97 - step * (i + 0.5), deep / 2)
    elif d.kind == "bookshelf speaker":
        wide, tall, deep = d.between(0.56, 0.72), 1.0, d.between(0.42, 0.62)
        s.box("cabinet", body, (wide, tall, deep), (0, tall / 2, 0), round=d.between(0.01, 0.06))
        d.note("cones", 2)
        _cone(s, cones, wide * 0.38, 0, 0.34, deep / 2)
        _cone(s, cones, wide * d.between(0.19, 0.24), 0, 0.78, deep / 2)
    elif d.kind == "cylindrical speaker":
        radius, tall = d.between(0.24, 0.36), 1.0
        bands = d.other(
            "bands", same=0.2, colors=("black", "white", "gray"), patterns=("metal", "gold", "wood")
        )
        s.cylinder("cabinet", body, radius, tall, (0, tall / 2, 0), round=0.02)
        s.cylinder("bands", bands, radius * 1.06, 0.09, (0, 0.045, 0), round=0.01)
        s.cylinder("bands", bands, radius * 1.06, 0.08, (0, tall - 0.02, 0), round=0.02)
        number = d.count("cones", 0, 2)
        if number == 0:
            d.paints.pop("cones")
        for i in range(number):
            y = tall * (0.5 if number == 1 else 0.33 + 0.36 * i)
            s.cylinder("cones", cones, radius * 0.56, 0.1, (0, y, radius - 0.02), axis="z")
            _cone(s, cones, radius * 0.56, 0, y, radius + 0.02)
    elif d.kind == "bluetooth speaker":
        radius, long = d.between(0.17, 0.26), d.between(0.6, 1.0)
        s.cylinder("cabinet", body, radius, long * 0.8, (0, radius, 0), axis="x", round=0.03)
        s.mirror(
            lambda: s.cylinder(
                "cones", cones, radius * 0.86, 0.12, (long * 0.4 + 0.03, radius, 0), axis="x", round=0.02
            )
        )
        d.note("cones", 2)
        s.box("feet", body, (long * 0.5, 0.09, radius * 1.1), (0, 0.045, 0))
        if d.flag("handle", 0.4):
            handle = d.other("handle", same=0.3, colors=("black", "gray", "white"))
            s.mirror(
                lambda: s.rod(
                    "handle", handle, (long * 0.3, 1.6 * radius, 0), (long * 0.3, 2 * radius + 0.1, 0), 0.034
                )
            )
            s.rod(
                "handle", handle, (-long * 0.3, 2 * radius + 0.1, 0), (long * 0.3, 2 * radius + 0.1, 0), 0.036
            )
    elif d.kind == "speaker on a stand":
        wide, tall, deep = d.between(0.34, 0.44), d.between(0.46, 0.54), d.between(0.3, 0.4)
        stand = d.other("stand", same=0.2, colors=("black", "gray", "white"), patterns=("metal", "wood"))
        low = d.between(0.42, 0.56)
        s.box("cabinet", body, (wide, tall, deep), (0, low + tall / 2, 0), round=0.015)
        d.note("cones", 2)
        _cone(s, cones, wide * 0.37, 0, low + tall * 0.34, deep / 2)
        _cone(s, cones, wide * 0.2, 0, low + tall * 0.79, deep / 2)
        if d.pick("stand", pole=1, tripod=1) == "pole":
            s.cylinder("stand", stand, 0.042, low + 0.02, (0, low / 2, 0))
            s.box("stand", stand, (wide * 0.95, 0.06, deep), (0, 0.03, 0), round=0.012)
        else:
            s.cylinder("stand", stand, 0.042, low * 0.6, (0, low * 0.72, 0))
            s.around(3, lambda: s.rod("stand", stand, (0, low * 0.5, 0), (0, 0.034, 0.27), 0.034))
    else:
        size = 1.0
        base = d.other("base", same=0.4, colors=("black", "white", "gray"), patterns=("wood", "metal"))
        s.ball("cabinet", body, (size, size, size), (0, 0.55, 0))
        s.cylinder("base", base, 0.3, 0.16, (0, 0.08, 0), round=0.02)
        d.note("cones", 1)
        s.cylinder("cones", cones, d.between(0.26, 0.34), 0.2, (0, 0.55, 0.36), axis="z")
        _cone(s, cones, 0.27, 0, 0.55, 0.46)


CATEGORIES = {
    "display": Category(
        name="display",
        nouns=("display", "monitor", "screen"),
        kinds={
            "computer monitor": Kind(
                ("computer monitor", "desktop monitor", "pc monitor", "flat screen monitor"), 2.5
            ),
            "television": Kind(("TV", "television", "flat screen TV", "TV monitor", "flat television"), 2),
            "curved monitor": Kind(
                ("curved monitor", "ultrawide monitor", "curved display", "wide curved screen"), 1.2
            ),
            "crt television": Kind(
                ("old television", "retro TV", "CRT television", "vintage television", "tube TV"), 1.5
            ),
            "crt monitor": Kind(("CRT monitor", "old computer monitor", "retro computer monitor"), 1),
            "all in one computer": Kind(("all in one computer", "imac", "desktop computer"), 1.2),
            "vertical monitor": Kind(("vertical monitor", "portrait monitor", "upright display"), 0.7),
        },
        build=build_display,
        phrases={
            ("base", "round"): ("with a round base", "with round base", "with a circular base"),
            ("base", "square"): ("with a square base", "with square base", "with a rectangular base"),
            ("base", "two feet"): ("with two feet", "on two legs"),
            ("base", "u shaped"): ("with a u shaped base",),
            ("soundbar", True): ("with a soundbar",),
            ("legs", True): ("with legs", "on four legs"),
            ("legs", False): ("without legs",),
            ("knobs", True): ("with knobs", "with dials"),
            ("knobs", False): ("without knobs",),
            ("antenna", True): ("with an antenna", "with rabbit ears", "with two antennas"),
            ("antenna", False): ("without an antenna",),
        },
        materials={"metal": 0.6, "wood": 0.5},
        size=0.5,
    ),
    "telephone": Category(
        name="telephone",
        nouns=("telephone", "phone"),
        kinds={
            "smartphone": Kind(
                ("smartphone", "iphone", "mobile phone", "touchscreen phone", "android phone"), 2.5
            ),
            "cell phone": Kind(
                ("cell phone", "feature phone", "mobile phone with keys", "old mobile phone", "nokia"), 2
            ),
            "flip phone": Kind(("flip phone", "clamshell phone", "folding phone"), 1.3),
            "desk phone": Kind(("desk phone", "office phone", "landline phone", "desk telephone"), 1.5),
            "rotary phone": Kind(
                ("rotary phone", "old telephone", "vintage telephone", "dial telephone"), 1.5
            ),
            "cordless phone": Kind(("cordless phone", "cordless telephone", "wireless handset"), 1),
        },
        build=build_telephone,
        phrases={
            ("home button", True): ("with a home button", "with a button"),
            ("home button", False): ("without a home button", "with a full screen"),
            ("cameras", 1): ("with one camera", "with a single camera"),
            ("cameras", 2): ("with two cameras", "with a dual camera"),
            ("cameras", 3): ("with three cameras", "with a triple camera"),
            ("antenna", True): ("with an antenna",),
            ("antenna", False): ("without an antenna",),
        },
        materials={"metal": 0.6, "gold": 0.3},
        size=0.15,
    ),
    "loudspeaker": Category(
        name="loudspeaker",
        nouns=("loudspeaker", "speaker"),
        kinds={
            "tower speaker": Kind(
                ("tower speaker", "columnar loudspeaker", "column speaker", "floor standing speaker"), 2.2
            ),
            "bookshelf speaker": Kind(
                ("bookshelf speaker", "box speaker", "studio monitor speaker", "hifi speaker"), 2
            ),
            "cylindrical speaker": Kind(
                ("cylindrical loudspeaker", "cylindrical speaker", "cylinder speaker", "smart speaker"), 1.4
            ),
            "bluetooth speaker": Kind(
                ("bluetooth speaker", "portable speaker", "wireless speaker", "pill speaker"), 1.3
            ),
            "speaker on a stand": Kind(
                (
                    "speaker on a stand",
                    "studio speaker on a stand",
                    "loudspeaker on a stand",
                    "stage speaker",
                ),
                1.3,
            ),
            "spherical speaker": Kind(("spherical speaker", "ball speaker", "round speaker"), 0.8),
        },
        build=build_loudspeaker,
        phrases={
            ("cones", 0): ("without visible cones",),
            ("cones", 1): ("with one cone", "with a single driver"),
            ("cones", 2): ("with two cones", "with two drivers"),
            ("cones", 3): ("with three cones", "with three drivers"),
            ("cones", 4): ("with four cones", "with four drivers"),
            ("feet", True): ("with a foot plate", "with a plinth"),
            ("feet", False): ("without feet",),
            ("handle", True): ("with a handle", "with a carrying handle"),
            ("handle", False): ("without a handle",),
            ("stand", "pole"): ("with a single pole stand",),
            ("stand", "tripod"): ("with a tripod stand", "on a tripod"),
        },
        materials={"wood": 1.8, "metal": 1.2},
        size=0.6,
    ),
}
