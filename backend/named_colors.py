"""The named colours and materials: what "red" and "wooden" mean to captions, models, judges and styles."""

Rgb = tuple[float, float, float]

COLORS: dict[str, Rgb] = {
    "red": (0.80, 0.09, 0.10),
    "orange": (0.95, 0.48, 0.06),
    "yellow": (0.95, 0.83, 0.10),
    "green": (0.12, 0.56, 0.18),
    "blue": (0.10, 0.22, 0.78),
    "purple": (0.45, 0.12, 0.62),
    "pink": (0.96, 0.52, 0.70),
    "brown": (0.42, 0.24, 0.11),
    "black": (0.06, 0.06, 0.07),
    "white": (0.93, 0.93, 0.92),
    "gray": (0.50, 0.50, 0.52),
    "turquoise": (0.15, 0.75, 0.76),
    "beige": (0.86, 0.77, 0.60),
}
"""Display-referred sRGB of the named colours; a drawn colour strays a little from these."""

TINTS: dict[str, tuple[list[Rgb], list[Rgb]]] = {
    "wood": ([(0.60, 0.38, 0.20), (0.45, 0.26, 0.13), (0.74, 0.54, 0.33)], [(0.40, 0.22, 0.10)]),
    "metal": ([(0.62, 0.64, 0.68), (0.50, 0.52, 0.56)], [(0.80, 0.82, 0.85)]),
    "gold": ([(0.86, 0.66, 0.16)], [(1.0, 0.88, 0.42)]),
    "marble": ([(0.92, 0.91, 0.90), (0.80, 0.82, 0.84)], [(0.52, 0.53, 0.56)]),
    "glass": ([(0.70, 0.87, 0.91), (0.62, 0.80, 0.88)], [(0.92, 0.98, 0.99)]),
    "leather": ([(0.36, 0.18, 0.09), (0.16, 0.11, 0.09), (0.55, 0.30, 0.14)], [(0.24, 0.12, 0.07)]),
    "concrete": ([(0.62, 0.62, 0.60)], [(0.48, 0.48, 0.47)]),
    "brick": ([(0.66, 0.25, 0.17)], [(0.82, 0.78, 0.72)]),
    "rust": ([(0.58, 0.29, 0.12)], [(0.32, 0.20, 0.16)]),
    "leaf": ([(0.20, 0.50, 0.14)], [(0.45, 0.70, 0.22)]),
    "zebra": ([(0.95, 0.95, 0.94)], [(0.05, 0.05, 0.05)]),
    "flame": ([(0.93, 0.22, 0.04)], [(1.0, 0.86, 0.16)]),
    "ice": ([(0.78, 0.92, 0.98)], [(0.50, 0.76, 0.94)]),
}
"""Main colours and second colours of the materials that have their own."""


def partner(name: str) -> Rgb:
    """The second colour of a pattern in a named colour: white, or black where white would not show."""
    return COLORS["black" if name in ("white", "beige", "yellow") else "white"]
