"""The shape program of telephones; their words stand in the table of `electronics`."""

import math

from backend.datasets.procedural.draw import Draw
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def same_screen(body: Material) -> float:
    """Black bodies mostly have black screens; other screens never take the colour of the body."""
    return 0.8 if body.color == "black" else 0.0


def _rounded(width: float, height: float, corner: float, steps: int = 3) -> list[tuple[float, float]]:
    """Outline of a rectangle with round corners, about the origin."""
    points = []
    for quarter, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        for i in range(steps + 1):
            angle = math.pi / 2 * (quarter + i / steps)
            points.append(
                (
                    sx * (width / 2 - corner) + corner * math.cos(angle),
                    sy * (height / 2 - corner) + corner * math.sin(angle),
                )
            )
    return points


def _keys(s: Shape, paint: Material, wide: float, top: float, rows: int, step: float, z: float) -> None:
    """Three columns of round keys on a face that looks towards +z."""
    for row in range(rows):
        for x in (-1, 0, 1):
            s.box(
                "keys",
                paint,
                (wide * 0.22, step * 0.6, 0.04),
                (x * wide * 0.29, top - step * row, z),
                round=0.015,
            )


def build_telephone(s: Shape, d: Draw) -> None:
    """A telephone of the drawn kind; the main material is that of the body."""
    body = d.main("body")
    if d.kind == "smartphone":
        wide, deep = d.between(0.46, 0.56), d.between(0.075, 0.1)
        screen = d.other(
            "screen", same=same_screen(body), colors=("black", "black", "black", "black", "blue", "white")
        )
        s.prism("body", body, _rounded(wide, 1.0, d.between(0.05, 0.11)), deep, (0, 0.5, 0), round=0.015)
        button = d.flag("home button", 0.35)
        rim = 0.1 if button else 0.035
        s.prism(
            "screen", screen, _rounded(wide - 0.075, 1.0 - 2 * rim, 0.03), 0.03, (0, 0.5, deep / 2 - 0.005)
        )
        if button:
            s.cylinder("button", d.fixed("button", "gray"), 0.034, 0.02, (0, 0.052, deep / 2), axis="z")
        number = d.count("cameras", 1, 3)
        lens = d.fixed("camera", "black")
        s.box(
            "camera",
            body,
            (0.19, 0.1 + 0.075 * (number - 1), 0.05),
            (wide * 0.2, 0.9 - 0.04 * (number - 1), -deep / 2),
            round=0.024,
        )
        for i in range(number):
            s.cylinder("camera", lens, 0.036, 0.03, (wide * 0.2, 0.9 - 0.08 * i, -deep / 2 - 0.025), axis="z")
    elif d.kind == "cell phone":
        wide, deep, tall = d.between(0.4, 0.5), d.between(0.13, 0.2), 1.0
        screen = d.other("screen", same=same_screen(body), colors=("black", "black", "green", "gray", "blue"))
        keys = d.other("keys", same=0.0, colors=("white", "black", "gray"))
        s.prism("body", body, _rounded(wide, tall, d.between(0.06, 0.17)), deep, (0, tall / 2, 0), round=0.03)
        s.box("screen", screen, (wide * 0.76, 0.3, 0.03), (0, 0.73, deep / 2), round=0.012)
        _keys(s, keys, wide, 0.45, 4, 0.105, deep / 2)
        if d.flag("antenna", 0.55):
            s.rod(
                "antenna",
                body,
                (wide * 0.33, 0.9, -deep * 0.1),
                (wide * 0.33, 1.0 + d.between(0.16, 0.34), -deep * 0.1),
                0.042,
            )
    elif d.kind == "flip phone":
        _build_flip(s, d, body)
    elif d.kind in ("desk phone", "rotary phone"):
        _build_desk_phone(s, d, body)
    else:
        wide = d.between(0.26, 0.32)
        base = d.other("base", same=0.5, colors=("black", "white", "gray"))
        keys = d.other("keys", same=0.0, colors=("white", "black", "gray"))
        screen = d.fixed("screen", "black")
        lean = (-8, 0, 0)

        def handset() -> None:
            s.prism("body", body, _rounded(wide, 0.85, 0.09), 0.14, (0, 0.425, 0), round=0.035)
            s.box("screen", screen, (wide * 0.7, 0.17, 0.03), (0, 0.62, 0.07), round=0.01)
            _keys(s, keys, wide, 0.46, 4, 0.085, 0.07)

        s.box("base", base, (d.between(0.4, 0.5), 0.13, d.between(0.36, 0.44)), (0, 0.065, 0), round=0.05)
        s.move(handset, (0, 0.08, 0.0), lean)
        if d.flag("antenna", 0.45):
            s.rod("antenna", base, (wide * 0.3, 0.8, -0.1), (wide * 0.3, 1.12, -0.16), 0.034)


def _build_flip(s: Shape, d: Draw, body: Material) -> None:
    wide, thick, angle = d.between(0.44, 0.56), d.between(0.085, 0.12), d.between(10, 40)
    lower = d.between(0.46, 0.56)
    screen = d.other("screen", same=same_screen(body), colors=("black", "black", "blue", "gray"))
    keys = d.other("keys", same=0.0, colors=("white", "black", "gray"))

    def bottom_half() -> None:
        s.prism("body", body, _rounded(wide, lower, 0.08), thick, (0, -lower / 2, 0), round=0.02)
        _keys(s, keys, wide, -lower * 0.28, 4, lower * 0.17, thick / 2)

    def top_half() -> None:
        s.prism("body", body, _rounded(wide, lower, 0.08), thick, (0, lower / 2, 0), round=0.02)
        s.box("screen", screen, (wide * 0.76, lower * 0.66, 0.03), (0, lower * 0.54, thick / 2), round=0.012)

    s.move(bottom_half, (0, 0, 0), (-angle, 0, 0))
    s.move(top_half, (0, 0, 0), (angle * 0.6, 0, 0))
    s.cylinder("hinge", body, thick * 0.62, wide * 0.9, (0, 0, 0), axis="x", round=0.01)
    if d.flag("antenna", 0.4):
        s.rod("antenna", body, (wide * 0.34, 0.2, 0.02), (wide * 0.34, lower + 0.16, 0.08), 0.04)


def _build_desk_phone(s: Shape, d: Draw, body: Material) -> None:
    rotary = d.kind == "rotary phone"
    wide, deep, front, back = (
        d.between(0.75, 0.95),
        d.between(0.62, 0.75),
        d.between(0.1, 0.16),
        d.between(0.34, 0.46),
    )
    handset = d.other("handset", same=0.6)
    half = deep / 2
    if rotary:
        side = [(half, 0), (half, front), (half * 0.2, back * 1.05), (-half * 0.75, back * 1.1), (-half, 0)]
        s.prism("body", body, side, wide * 0.72, (0, 0, 0), axis="x", round=0.05)
    else:
        side = [(half, 0), (half, front), (-half, back), (-half, 0)]
        s.prism("body", body, side, wide, (0, 0, 0), axis="x", round=0.03)
    slope_y = (front + back) / 2
    run = -half * 0.8 if rotary else -deep
    rise = (back * 1.05 - front) if rotary else back - front
    tilt = math.degrees(math.atan2(rise, -run))
    keys = d.other(
        "dial" if rotary else "keys", same=0.0, colors=("white", "black", "gray"), patterns=("gold",)
    )
    if rotary:
        at, number = half * 0.6, (front + back * 1.05) / 2
        s.cylinder("dial", keys, wide * 0.2, 0.07, (0, number, at), turn=(tilt, 0, 0))
        s.cylinder("dial", body, wide * 0.085, 0.1, (0, number, at), turn=(tilt, 0, 0))
        top, z, stretch = back * 1.1, -half * 0.3, wide * 0.46
        s.mirror(lambda: s.cylinder("cradle", body, 0.06, 0.14, (wide * 0.2, top + 0.02, z)))
        s.rod("handset", handset, (-stretch, top + 0.13, z), (stretch, top + 0.13, z), 0.052)
        s.mirror(lambda: s.cone("handset", handset, 0.115, 0.07, 0.15, (stretch, top + 0.07, z)))
        return

    def panel() -> None:
        x, y = wide * 0.17, 0.0
        for row in range(4):
            for column in (-1, 0, 1):
                s.box(
                    "keys",
                    keys,
                    (0.095, 0.05, 0.075),
                    (x + column * 0.13, y, -0.02 + row * 0.105),
                    round=0.012,
                )
        s.box("screen", d.fixed("screen", "black"), (0.36, 0.04, 0.11), (x, y, -0.16), round=0.01)

    s.move(panel, (0, slope_y, 0.0), (tilt, 0, 0))
    x = -wide * 0.33

    def receiver() -> None:
        s.rod("handset", handset, (x, 0.13, -half * 0.7), (x, 0.13, half * 0.7), 0.055)
        for z in (-half * 0.72, half * 0.72):
            s.box("handset", handset, (0.19, 0.16, 0.2), (x, 0.075, z), round=0.05)

    s.move(receiver, (0, slope_y, 0), (tilt, 0, 0))
