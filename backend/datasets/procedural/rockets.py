"""Spacecraft: rocket."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def build_rocket(s: Shape, d: Draw) -> None:
    """A rocket standing upright."""
    body = d.main("body")
    if d.kind == "space shuttle":
        _shuttle(s, d, body)
        return
    toy, missile = d.kind == "toy rocket", d.kind == "missile"
    if toy:
        r = d.between(0.17, 0.25)
        d.note("build", "fat")
    else:
        slim = d.pick("build", slim=1, fat=1) == "slim"
        r = d.between(0.065, 0.08) if slim else d.between(0.11, 0.14)
    cap, fins = d.other("nose", same=0.3), d.other("fins", same=0.25)
    tip = d.pick("nose", pointed=1.5, rounded=1)
    if toy:
        neck = 0.74
        s.lathe(
            "body",
            body,
            [(r * 0.6, 0.12), (r * 0.86, 0.25), (r, 0.42), (r * 0.94, 0.58), (r * 0.72, neck)],
            (0, 0, 0),
        )
    else:
        neck = d.between(0.74, 0.82)
        s.cylinder("body", body, r, neck - 0.08, (0, (neck + 0.08) / 2, 0))
        band = d.other("stripe", same=0.3)
        s.cylinder("stripe", band, r + 0.008, 0.06, (0, neck * d.between(0.55, 0.85), 0))
    rn = r * 0.72 if toy else r
    if tip == "pointed":
        s.lathe(
            "nose",
            cap,
            [
                (rn, neck - 0.01),
                (rn * 0.74, neck + 0.1),
                (rn * 0.36, neck + 0.2),
                (0.018, 1.0 if not toy else neck + 0.28),
            ],
            (0, 0, 0),
        )
    else:
        high = max(rn * 1.2, 0.1)
        s.ball("nose", cap, (2 * rn, 2 * high, 2 * rn), (0, neck - 0.005, 0))
    s.cone(
        "engine",
        d.other("engine", same=0.1, colors=("gray", "black", "orange")),
        r * 0.75,
        r * 0.45,
        0.12,
        (0, 0.08, 0),
    )
    n = d.count("fins", 3, 4)
    reach = d.between(0.15, 0.22) if toy else d.between(0.1, 0.16)
    low = -0.02 if toy or d.rng.random() < 0.5 else 0.07
    high = d.between(0.34, 0.44) if toy else d.between(0.22, 0.32)
    inner = r * 0.55
    outline = [
        (inner, high),
        (r + reach * 0.7, high * 0.5),
        (r + reach, low),
        (r + reach * 0.65, low),
        (inner, 0.13),
    ]
    s.around(
        n,
        lambda: s.prism("fins", fins, outline, 0.06, (0, 0, 0), round=0.012),
        start_deg=90 if n == 3 else 45,
    )
    if missile and d.flag("middle fins", 0.6):
        y = d.between(0.48, 0.6)
        small = [(r * 0.5, y + 0.1), (r + 0.07, y - 0.02), (r + 0.07, y - 0.06), (r * 0.5, y - 0.06)]
        s.around(
            n,
            lambda: s.prism("fins", fins, small, 0.055, (0, 0, 0), round=0.01),
            start_deg=90 if n == 3 else 45,
        )
    if not missile and d.flag("window", 0.95 if toy else 0.4):
        y, size = (0.55, 0.075) if toy else (neck - 0.1, 0.05)
        frame = d.other("window frame", same=0.0, colors=("gray", "yellow", "white", "red"))
        s.cylinder("window frame", frame, size, 0.06, (0, y, r * 0.94 - 0.012), axis="z")
        s.cylinder(
            "window", d.fixed("window", "turquoise"), size * 0.66, 0.075, (0, y, r * 0.94 - 0.012), axis="z"
        )
    boosters = int(d.rng.choice([0, 2, 4])) if d.kind == "space rocket" else 0
    d.note("boosters", boosters)
    if boosters:
        paint = d.other("boosters", same=0.5)
        size, top = d.between(0.05, 0.065), d.between(0.42, 0.58)

        def booster() -> None:
            s.lathe(
                "boosters",
                paint,
                [(size * 0.8, 0.0), (size, 0.06), (size, top - 0.1), (size * 0.25, top)],
                (r + size * 0.75, 0, 0),
            )

        # Between the fins: three fins leave the sides free, four stand on the diagonals.
        s.around(boosters, booster)


def _shuttle(s: Shape, d: Draw, body: Material) -> None:
    """A space shuttle: a winged orbiter standing up, with or without tank and boosters."""
    r = d.between(0.085, 0.105)
    stack = d.flag("tank", 0.5)
    z = 0.2 if stack else 0.0
    top = 0.78
    s.lathe(
        "body",
        body,
        [(r * 0.85, 0.06), (r, 0.15), (r, 0.56), (r * 0.85, 0.66), (r * 0.5, 0.74), (0.02, top)],
        (0, 0, z),
    )
    wings = d.other("wings", same=0.5, colors=("black", "gray", "white", "red", "blue"))
    half = d.between(0.27, 0.34)
    s.mirror(
        lambda: s.prism(
            "wings",
            wings,
            [(0.02, 0.55), (r + 0.03, 0.42), (half, 0.16), (half, 0.08), (0.02, 0.08)],
            0.058,
            (0, 0, z - r * 0.6),
        )
    )
    tail = d.other("tail", same=0.5)
    s.prism(
        "tail",
        tail,
        [(z + r * 0.6, 0.27), (z + r + 0.16, 0.11), (z + r + 0.16, 0.04), (z + r * 0.6, 0.09)],
        0.058,
        (0, 0, 0),
        axis="x",
    )
    s.box(
        "cockpit",
        d.fixed("window", "black"),
        (r * 1.1, 0.045, r * 0.6),
        (0, 0.65, z + r * 0.52),
        round=0.01,
        turn=(-20, 0, 0),
    )
    engine = d.other("engine", same=0.0, colors=("black", "gray"))
    s.mirror(lambda: s.cone("engine", engine, 0.05, 0.03, 0.11, (r * 0.5, 0.035, z)))
    s.cone("engine", engine, 0.05, 0.03, 0.11, (0, 0.035, z + r * 0.5))
    if not stack:
        d.note("boosters", 0)
        return
    tank = d.other("tank", same=0.1, colors=("orange", "brown", "white", "red"))
    size = d.between(0.12, 0.14)
    s.lathe(
        "tank",
        tank,
        [(size * 0.7, 0.02), (size, 0.1), (size, 0.72), (size * 0.7, 0.86), (0.025, 1.0)],
        (0, 0, z - r - size + 0.03),
    )
    d.note("boosters", 2)
    paint = d.other("boosters", same=0.3, colors=("white", "gray", "red"))
    s.mirror(
        lambda: s.lathe(
            "boosters",
            paint,
            [(0.075, 0), (0.055, 0.08), (0.055, 0.72), (0.015, 0.84)],
            (size + 0.045, 0, z - r - size + 0.03),
        )
    )


CATEGORIES = {
    "rocket": Category(
        name="rocket",
        nouns=("rocket", "rocket ship", "rocketship"),
        kinds={
            "space rocket": Kind(
                ("space rocket", "rocket", "launch vehicle", "spaceship", "carrier rocket"), 2
            ),
            "toy rocket": Kind(("toy rocket", "retro rocket", "cartoon rocket", "retro spaceship"), 1.6),
            "missile": Kind(("missile", "guided missile", "military rocket"), 1.3),
            "space shuttle": Kind(("space shuttle", "shuttle", "orbiter"), 1.1),
        },
        build=build_rocket,
        phrases={
            ("build", "slim"): ("slim", "slender", "thin"),
            ("build", "fat"): ("fat", "thick", "chubby"),
            ("nose", "pointed"): ("with a pointed nose", "pointy", "with a sharp tip"),
            ("nose", "rounded"): ("with a rounded nose", "with a round tip", "blunt"),
            ("fins", 3): ("with three fins",),
            ("fins", 4): ("with four fins",),
            ("window", True): ("with a window", "with a porthole", "with a round window"),
            ("window", False): ("without windows", "windowless"),
            ("boosters", 0): ("without boosters",),
            ("boosters", 2): ("with two boosters", "with side boosters"),
            ("boosters", 4): ("with four boosters",),
            ("middle fins", True): ("with fins at the middle", "with small upper fins"),
            ("tank", True): ("with a fuel tank", "with an external tank"),
            ("tank", False): ("without a fuel tank",),
        },
        materials={"metal": 1.2},
        size=30.0,
    ),
}
