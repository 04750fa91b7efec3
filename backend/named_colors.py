"""The named colours: what "red" means to captions, judges and styles alike."""

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


def partner(name: str) -> Rgb:
    """The second colour of a pattern in a named colour: white, or black where white would not show."""
    return COLORS["black" if name in ("white", "beige", "yellow") else "white"]
