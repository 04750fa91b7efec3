"""Legs, casters, pedestals and armrests shared by the furniture families."""

from backend.datasets.procedural.draw import Draw
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape

LEG_PHRASES: dict[tuple[str, object], tuple[str, ...]] = {
    ("leg form", "square"): ("with square legs", "with straight square legs"),
    ("leg form", "cylindrical"): ("with cylindrical legs", "with round legs"),
    ("leg form", "tapered"): ("with tapered legs", "with conical legs"),
    ("leg form", "splayed"): ("with splayed legs", "with slanted legs", "with angled legs"),
    ("legs", True): ("with legs", "on legs"),
    ("legs", False): ("without legs", "legless"),
    ("legs", "little"): ("with little legs", "with short legs", "on small feet"),
    ("legs", "long"): ("with long legs", "with tall legs", "on high legs"),
    ("leg count", 1): ("with a single leg", "single legged", "single leg", "with one leg"),
    ("leg count", 3): ("with three legs", "three legged"),
    ("leg count", 4): ("with four legs", "four legged"),
    ("wheels", True): ("with wheels", "on wheels", "with casters"),
    ("wheels", False): ("without wheels",),
}
"""Words for the facts that the functions here and their callers remember."""


def accent(d: Draw, part: str = "legs", same: float = 0.3) -> Material:
    """Material of a second part: the main one, wood, metal or black, or now and then any colour."""
    if d.rng.random() < 0.5:
        return d.other(part, same=same, colors=("black",), patterns=("wood", "metal"))
    return d.other(part, same=same)


def leg_form(d: Draw) -> str:
    """Draws the form of the legs, remembered as "leg form"."""
    return d.pick("leg form", square=1, cylindrical=1, tapered=0.8, splayed=0.8)


def leg(s: Shape, material: Material, form: str, x: float, z: float, top: float, thickness: float) -> None:
    """One leg from the ground to height `top` at (x, z); splayed legs lean away from the middle."""
    if form == "square":
        s.box("legs", material, (thickness, top, thickness), (x, top / 2, z), round=0.006)
    elif form == "cylindrical":
        s.cylinder("legs", material, thickness * 0.58, top, (x, top / 2, z))
    elif form == "tapered":
        s.cone("legs", material, thickness * 0.45, thickness * 0.85, top, (x, top / 2, z))
    else:
        radius, out = thickness * 0.48, min(0.22 * top, 0.11)
        foot = (
            x + (out if x > 0 else -out if x < 0 else 0),
            radius,
            z + (out if z > 0 else -out if z < 0 else 0),
        )
        s.rod("legs", material, foot, (x, top - thickness * 0.55, z), radius, end_radius=thickness * 0.6)


def four_legs(
    s: Shape, material: Material, form: str, x: float, z: float, top: float, thickness: float
) -> None:
    """Four legs at (+-x, +-z); splayed ones are drawn in at the top so that they stand about there."""
    if form == "splayed":
        x, z = x - min(0.15 * top, 0.08), z - min(0.15 * top, 0.08)
    for side in (z, -z):
        s.mirror(lambda side=side: leg(s, material, form, x, side, top, thickness))


def star_base(s: Shape, d: Draw, arms: int, reach: float, top: float) -> None:
    """A swivel base: a post up to `top` and `arms` spokes that end in wheels of their own colour."""
    legs = d.other("legs", same=0.15, colors=("black", "gray", "white"), patterns=("metal",))
    wheels = d.other("wheels", same=0.1, colors=("black", "black", "gray", "white", "red"))
    d.note("wheels", True)

    def spoke() -> None:
        s.rod("legs", legs, (0, 0.13, 0), (0, 0.10, reach), 0.036, end_radius=0.03)
        s.cylinder("wheels", wheels, 0.052, 0.065, (0, 0.052, reach), axis="x", round=0.015)

    s.around(arms, spoke, start_deg=180)
    s.cylinder("legs", legs, 0.04, top - 0.1, (0, (top + 0.1) / 2, 0))


def pedestal(s: Shape, d: Draw, top: float, reach: float, *, material: Material | None = None) -> None:
    """A single leg on a plate; the plate is round or square, remembered as "base"."""
    legs = material or accent(d)
    d.note("leg count", 1)
    thickness = d.between(0.035, 0.06)
    shape = d.pick("base", round=1, square=0.5, cone=0.5)
    if shape == "round":
        s.cylinder("base", legs, reach, 0.065, (0, 0.0325, 0), round=0.015)
    elif shape == "square":
        s.box("base", legs, (reach * 1.8, 0.065, reach * 1.8), (0, 0.0325, 0))
    else:
        s.lathe(
            "base",
            legs,
            [(reach, 0), (reach * 0.95, 0.05), (thickness * 1.4, 0.14), (thickness, 0.3 * top)],
            (0, 0, 0),
        )
    s.cylinder("legs", legs, thickness, top, (0, top / 2, 0))


def armrests(s: Shape, m: Material, half: float, seat: float, front: float, back: float, rise: float) -> None:
    """A pair of armrests: a bar from the back forwards, on a post that stands beside the seat."""

    def one() -> None:
        s.box(
            "armrests", m, (0.065, 0.055, front - back), (half, seat + rise, (front + back) / 2), round=0.02
        )
        s.box(
            "armrests", m, (0.055, rise + 0.06, 0.055), (half - 0.005, seat + rise / 2 - 0.03, front - 0.06)
        )

    s.mirror(one)
