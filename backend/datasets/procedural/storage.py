"""Storage furniture: cabinet (closed), bookshelf (open). Longest side about 1."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.legs import LEG_PHRASES, accent, four_legs, leg_form
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape

_SEAM = 0.026
"""Width of the dark joint between two fronts."""


def _fronts(
    s: Shape,
    d: Draw,
    paint: Material,
    name: str,
    columns: int,
    rows: int,
    box: tuple[float, float, float, float],
    z: float,
    *,
    handle: str = "knob",
) -> None:
    """A grid of doors or drawers over (left, bottom, right, top), standing out from a dark panel at z."""
    left, bottom, right, top = box
    middle = ((left + right) / 2, (bottom + top) / 2)
    s.box(
        "seams",
        d.fixed("seams", "gray" if paint.color == "black" else "black"),
        (right - left - 0.005, top - bottom - 0.005, 0.04),
        (*middle, z - 0.012),
        round=0,
    )
    wide, high = (right - left) / columns, (top - bottom) / rows
    metal = d.other(
        "handles",
        same=0.05,
        colors=("white",) if paint.color == "black" else ("black", "white"),
        patterns=("metal", "gold"),
    )
    for i in range(columns):
        for k in range(rows):
            x, y = left + (i + 0.5) * wide, bottom + (k + 0.5) * high
            s.box(name, paint, (wide - _SEAM, high - _SEAM, 0.05), (x, y, z + 0.005), round=0.008)
            if handle == "none":
                continue
            if name == "drawers":
                size = (min(0.2, wide * 0.4), 0.04, 0.05) if handle == "bar" else (0.055, 0.055, 0.05)
                s.box("handles", metal, size, (x, y, z + 0.045), round=0.02)
            else:
                inwards = 1 if (columns > 1 and i % 2 == 0) or columns == 1 else -1
                size = (0.042, min(0.26, high * 0.4), 0.05) if handle == "bar" else (0.055, 0.055, 0.05)
                s.box("handles", metal, size, (x + inwards * (wide / 2 - 0.065), y, z + 0.045), round=0.02)


def _foot(s: Shape, d: Draw, width: float, depth: float, probability: float) -> float:
    """Legs, a plinth or nothing under the body; returns the height of its underside."""
    if d.flag("legs", probability):
        long = d.pick("legs", little=1.4, long=1) == "long"
        foot = d.between(0.12, 0.15 if width > 0.95 else 0.24) if long else d.between(0.06, 0.1)
        four_legs(
            s, accent(d, same=0.25), leg_form(d), width / 2 - 0.05, depth / 2 - 0.045, foot + 0.02, 0.065
        )
        return foot
    return 0.0


def build_cabinet(s: Shape, d: Draw) -> None:
    """A closed box on feet, its front divided into doors and drawers."""
    body = d.main("body")
    width, depth, height = {
        "cupboard": (d.between(0.5, 0.72), d.between(0.28, 0.38), d.between(0.78, 0.98)),
        "wardrobe": (d.between(0.55, 0.85), d.between(0.3, 0.4), d.between(0.95, 1.05)),
        "chest of drawers": (d.between(0.55, 0.85), d.between(0.32, 0.42), d.between(0.6, 0.9)),
        "sideboard": (d.between(0.98, 1.15), d.between(0.28, 0.36), d.between(0.34, 0.44)),
        "nightstand": (d.between(0.6, 0.76), d.between(0.48, 0.6), d.between(0.64, 0.88)),
        "display cabinet": (d.between(0.5, 0.7), d.between(0.26, 0.34), d.between(0.92, 1.02)),
        "filing cabinet": (d.between(0.38, 0.48), d.between(0.42, 0.55), d.between(0.7, 1.0)),
    }[d.kind]
    chances = {"cupboard": 0.5, "wardrobe": 0.35, "sideboard": 0.75, "filing cabinet": 0.0}
    foot = _foot(s, d, width, depth, chances.get(d.kind, 0.55))
    if d.kind == "sideboard":
        d.note("length", "long")
    s.box("body", body, (width, height - foot, depth), (0, (height + foot) / 2, 0), round=0.01)
    if d.kind in ("cupboard", "wardrobe", "chest of drawers", "sideboard", "nightstand"):
        crown = d.pick("cornice", none=1.6, flat=1, arched=0.5 if d.kind in ("cupboard", "wardrobe") else 0.0)
        if crown == "flat":
            s.box(
                "top",
                d.other("top", same=0.6, patterns=("wood", "marble"), colors=("white", "black")),
                (width + 0.06, 0.055, depth + 0.05),
                (0, height + 0.01, 0.005),
                round=0.01,
            )
        elif crown == "arched":
            rise = d.between(0.07, 0.13)
            outline = [
                (width / 2, -0.03),
                (width / 2, 0.0),
                (width * 0.3, rise * 0.8),
                (0, rise),
                (-width * 0.3, rise * 0.8),
                (-width / 2, 0.0),
                (-width / 2, -0.03),
            ]
            s.prism("top", body, outline, depth, (0, height, 0), round=0.01)
    front, edge = depth / 2, 0.035
    low, high, half = foot + edge, height - edge, width / 2 - edge
    if d.kind == "filing cabinet":
        handle = "bar"
        d.note("handles", handle)
    else:
        handle = d.pick("handles", knob=1, bar=1, none=0.25)
    doors = d.other("doors", same=0.8, patterns=("wood",), colors=("white", "black", "gray"))
    drawers = d.other("drawers", same=0.8, patterns=("wood",), colors=("white", "black", "gray"))

    def note_drawers(count: int) -> None:
        d.note("drawers", True)
        d.note("drawer count", count)

    if d.kind == "cupboard":
        count = 2 if d.rng.random() < 0.75 else 1
        d.note("door count", count)
        if d.flag("drawers", 0.4):
            split = low + (high - low) * d.between(0.7, 0.76)
            _fronts(s, d, drawers, "drawers", count, 1, (-half, split, half, high), front, handle=handle)
            note_drawers(count)
        else:
            split = high
        _fronts(s, d, doors, "doors", count, 1, (-half, low, half, split), front, handle=handle)
    elif d.kind == "wardrobe":
        count = 3 if width > 0.74 and d.rng.random() < 0.5 else 2
        d.note("door count", count)
        if d.flag("drawers", 0.4):
            split = low + (high - low) * d.between(0.2, 0.28)
            _fronts(s, d, drawers, "drawers", count, 1, (-half, low, half, split), front, handle=handle)
            note_drawers(count)
        else:
            split = low
        _fronts(s, d, doors, "doors", count, 1, (-half, split, half, high), front, handle=handle)
    elif d.kind == "chest of drawers":
        rows, columns = 3 + int(d.rng.random() < 0.5), 1 + int(width > 0.7 and d.rng.random() < 0.45)
        note_drawers(rows * columns)
        _fronts(s, d, drawers, "drawers", columns, rows, (-half, low, half, high), front, handle=handle)
    elif d.kind == "sideboard":
        layout = d.pick("layout", doors=1.2, drawers_in_the_middle=1, drawers_on_one_side=0.8)
        third = half / 3
        if layout == "doors":
            count = d.count("door count", 3, 4)
            _fronts(s, d, doors, "doors", count, 1, (-half, low, half, high), front, handle=handle)
        elif layout == "drawers in the middle":
            d.note("door count", 2)
            note_drawers(2)
            _fronts(s, d, doors, "doors", 1, 1, (-half, low, -third, high), front, handle=handle)
            _fronts(s, d, doors, "doors", 1, 1, (third, low, half, high), front, handle=handle)
            _fronts(s, d, drawers, "drawers", 1, 2, (-third, low, third, high), front, handle=handle)
        else:
            d.note("door count", 2)
            note_drawers(3 if high - low > 0.3 else 2)
            _fronts(s, d, doors, "doors", 2, 1, (-half, low, third, high), front, handle=handle)
            _fronts(
                s,
                d,
                drawers,
                "drawers",
                1,
                d.facts["drawer count"],
                (third, low, half, high),
                front,
                handle=handle,
            )
    elif d.kind == "nightstand":
        if d.flag("open shelf", 0.5):
            split = low + (high - low) * d.between(0.42, 0.55)
            s.box(
                "shelf",
                body,
                (width - 0.14, split - low - 0.02, depth),
                (0, (low + split) / 2 + 0.01, 0.08),
                cut=True,
                round=0,
            )
            note_drawers(1)
            _fronts(s, d, drawers, "drawers", 1, 1, (-half, split + 0.04, half, high), front, handle=handle)
        else:
            note_drawers(2 + int(d.rng.random() < 0.35))
            _fronts(
                s,
                d,
                drawers,
                "drawers",
                1,
                d.facts["drawer count"],
                (-half, low, half, high),
                front,
                handle=handle,
            )
    elif d.kind == "display cabinet":
        d.note("glass doors", True)
        d.note("door count", 2)
        split = low + (high - low) * d.between(0.3, 0.42)
        glass = d.other("glass", same=0.0, patterns=("glass",))
        _fronts(s, d, doors, "doors", 2, 1, (-half, low, half, split), front, handle=handle)
        _fronts(s, d, body, "doors", 2, 1, (-half, split, half, high), front, handle="none")
        pane = half / 2
        s.mirror(
            lambda: s.box(
                "glass",
                glass,
                (half - 0.13, high - split - 0.13, 0.05),
                (pane, (split + high) / 2, front + 0.012),
            )
        )
    else:
        note_drawers(d.count("drawer count", 2, 4))
        _fronts(
            s,
            d,
            drawers,
            "drawers",
            1,
            d.facts["drawer count"],
            (-half, low, half, high),
            front,
            handle=handle,
        )
        if d.flag("wheels", 0.4):
            wheels = d.fixed("wheels", "black")
            for z in (depth / 2 - 0.07, 0.07 - depth / 2):
                s.mirror(
                    lambda z=z: s.cylinder(
                        "wheels", wheels, 0.045, 0.06, (width / 2 - 0.07, -0.015, z), axis="x"
                    )
                )


def _books(s: Shape, d: Draw, left: float, right: float, y: float, room: float, depth: float) -> None:
    """One block of books on a shelf: three spines of different heights, or a lying pile."""
    colors = ("red", "blue", "green", "white", "black", "orange", "beige", "turquoise", "brown")
    x, limit = left, right - 0.06
    for _ in range(3):
        wide = max(0.06, (right - left) * d.between(0.16, 0.36))
        if x + wide > limit or d.rng.random() < 0.12:
            break
        tall = room * d.between(0.6, 0.9)
        paint = d.fixed("books", str(d.rng.choice(colors)))
        s.box(
            "books",
            paint,
            (wide, tall + 0.02, depth * 0.72),
            (x + wide / 2, y + tall / 2 - 0.01, -depth * 0.04),
            round=0.006,
        )
        x += wide


def _grid(
    s: Shape,
    d: Draw,
    paint: Material,
    width: float,
    depth: float,
    low: float,
    top: float,
    rows: int,
    columns: int,
    books: float,
) -> None:
    """Sides, shelves and uprights of an open case between heights `low` and `top`; books by chance."""
    board = 0.055
    s.mirror(
        lambda: s.box(
            "sides",
            paint,
            (board, top - low, depth),
            (width / 2 - board / 2, (top + low) / 2, 0),
            round=0.006,
        )
    )
    step = (top - low - board) / rows
    for i in range(rows + 1):
        s.box("shelves", paint, (width, board, depth), (0, low + board / 2 + i * step, 0), round=0.006)
    cell = (width - board) / columns
    for i in range(1, columns):
        s.box(
            "shelves",
            paint,
            (board, top - low, depth),
            (i * cell - (width - board) / 2, (top + low) / 2, 0),
            round=0.006,
        )
    for i in range(rows):
        for k in range(columns):
            if d.rng.random() < books:
                left = k * cell - width / 2 + board
                _books(s, d, left, left + cell - board, low + board + i * step, step - board, depth)


def build_bookshelf(s: Shape, d: Draw) -> None:
    """An open case of shelves, with books or empty."""
    paint = d.main("shelves")
    books = d.between(0.7, 1.0) if d.flag("books", 0.6) else 0.0
    depth = d.between(0.22, 0.32)
    if d.kind == "ladder shelf":
        _ladder(s, d, paint, books)
        return
    width, height, rows, columns = {
        "bookcase": (d.between(0.46, 0.66), d.between(0.92, 1.02), int(d.rng.integers(3, 6)), 1),
        "low bookshelf": (d.between(0.85, 1.05), d.between(0.45, 0.6), 2, int(d.rng.integers(1, 4))),
        "cube shelf": (d.between(0.85, 1.0), d.between(0.85, 1.0), 3, 3),
        "wide bookshelf": (d.between(0.85, 1.02), d.between(0.8, 1.0), int(d.rng.integers(3, 5)), 2),
        "cabinet bookcase": (d.between(0.5, 0.68), d.between(0.95, 1.02), int(d.rng.integers(2, 4)), 1),
        "narrow bookshelf": (d.between(0.28, 0.36), d.between(0.95, 1.05), int(d.rng.integers(4, 6)), 1),
    }[d.kind]
    if d.kind == "cube shelf":
        size = int(d.rng.integers(2, 5))
        rows = columns = min(size, 4)
        height = width
        d.note("square", True)
    d.note("shelf count", rows)
    low = 0.0
    if d.kind in ("low bookshelf", "cabinet bookcase", "wide bookshelf") and d.flag("legs", 0.5):
        low = d.between(0.08, 0.16)
        four_legs(s, accent(d, same=0.2), leg_form(d), width / 2 - 0.05, depth / 2 - 0.04, low + 0.02, 0.065)
    bottom = low
    if d.kind == "cabinet bookcase":
        low += d.between(0.28, 0.38)
        d.note("doors", True)
        wide = depth + d.between(0.0, 0.08)
        doors = d.other("doors", same=0.6, patterns=("wood",), colors=("white", "black", "gray"))
        s.box(
            "cupboard",
            paint,
            (width + 0.03, low - bottom + 0.03, wide),
            (0, (low + bottom) / 2 + 0.015, 0),
            round=0.01,
        )
        half = width / 2 - 0.02
        _fronts(
            s,
            d,
            doors,
            "doors",
            2,
            1,
            (-half, bottom + 0.03, half, low - 0.005),
            wide / 2,
            handle=d.pick("handles", knob=1, bar=1),
        )
    closed = d.flag("back panel", 0.65)
    if closed:
        back = d.other("back panel", same=0.7, colors=("white", "black", "beige"), patterns=("wood",))
        s.box(
            "back",
            back,
            (width - 0.02, height - low - 0.02, 0.05),
            (0, (height + low) / 2, -depth / 2 + 0.025),
            round=0,
        )
    _grid(s, d, paint, width, depth, low, height, rows, columns, books)


def _ladder(s: Shape, d: Draw, paint: Material, books: float) -> None:
    """Shelves that grow deeper downwards between two slanting rails."""
    frame = d.other("frame", same=0.5, colors=("black", "white"), patterns=("metal", "wood"))
    width, height, reach = d.between(0.5, 0.66), d.between(0.92, 1.0), d.between(0.4, 0.48)
    rows = d.count("shelf count", 3, 4)
    d.note("back panel", False)

    def rail() -> None:
        s.bar("frame", frame, (width / 2, 0.03, reach), (width / 2, height, 0.05), 0.062)
        s.bar("frame", frame, (width / 2, 0.03, 0.0), (width / 2, height, 0.0), 0.062)

    s.mirror(rail)
    for i in range(rows):
        y = 0.12 + i * (height - 0.2) / (rows - 0.4)
        deep = reach + (0.05 - reach) * y / height + 0.04
        s.box("shelves", paint, (width + 0.02, 0.055, deep), (0, y, deep / 2 - 0.02), round=0.008)
        if d.rng.random() < books:
            _books(s, d, -width / 2 + 0.05, width / 2 - 0.04, y + 0.027, 0.2, 0.16)


CATEGORIES = {
    "cabinet": Category(
        name="cabinet",
        nouns=("cabinet",),
        kinds={
            "cupboard": Kind(("cupboard", "cabinet", "kitchen cabinet"), 2),
            "wardrobe": Kind(("wardrobe", "closet", "armoire"), 1.7),
            "chest of drawers": Kind(("chest of drawers", "dresser", "drawer cabinet"), 1.7),
            "sideboard": Kind(("sideboard", "long cabinet", "tv cabinet", "credenza"), 1.8),
            "nightstand": Kind(("nightstand", "bedside table", "bedside cabinet", "night table"), 1.2),
            "display cabinet": Kind(("display cabinet", "glass cabinet", "china cabinet"), 1),
            "filing cabinet": Kind(("filing cabinet", "file cabinet", "office cabinet"), 0.9),
        },
        build=build_cabinet,
        phrases={
            **LEG_PHRASES,
            ("drawers", True): ("with drawers",),
            ("drawers", False): ("without drawers",),
            ("drawer count", 1): ("with one drawer", "with a single drawer"),
            ("drawer count", 2): ("with two drawers",),
            ("drawer count", 3): ("with three drawers",),
            ("drawer count", 4): ("with four drawers",),
            ("drawer count", 6): ("with six drawers",),
            ("drawer count", 8): ("with eight drawers",),
            ("door count", 1): ("with one door", "with a single door"),
            ("door count", 2): ("with two doors", "with double doors"),
            ("door count", 3): ("with three doors",),
            ("door count", 4): ("with four doors",),
            ("glass doors", True): ("with glass doors", "with glass"),
            ("handles", "knob"): ("with knobs", "with round handles"),
            ("handles", "bar"): ("with long handles", "with bar handles"),
            ("handles", "none"): ("without handles", "handleless"),
            ("length", "long"): ("long", "wide"),
            ("cornice", "flat"): ("with an overhanging top",),
            ("cornice", "arched"): ("with an arched top", "with a curved top"),
            ("open shelf", True): ("with an open shelf",),
            ("layout", "drawers in the middle"): ("with drawers in the middle",),
            ("layout", "drawers on one side"): ("with drawers on one side",),
        },
        materials={"wood": 3, "metal": 0.9},
        size=1.1,
    ),
    "bookshelf": Category(
        name="bookshelf",
        nouns=("bookshelf", "bookcase", "shelf", "shelves"),
        kinds={
            "bookcase": Kind(("bookcase", "tall bookshelf", "bookshelf"), 2.5),
            "low bookshelf": Kind(("low bookshelf", "low shelf", "low bookcase"), 1.2),
            "cube shelf": Kind(("cube shelf", "cube bookcase", "square bookshelf"), 1.2),
            "wide bookshelf": Kind(("wide bookshelf", "large bookcase", "library shelf"), 1.2),
            "ladder shelf": Kind(("ladder shelf", "leaning shelf", "ladder bookshelf"), 1),
            "cabinet bookcase": Kind(("bookcase with doors", "hutch", "bookcase with a cupboard"), 1),
            "narrow bookshelf": Kind(("narrow bookshelf", "slim bookcase", "shelf tower"), 0.9),
        },
        build=build_bookshelf,
        phrases={
            **LEG_PHRASES,
            ("books", True): ("with books", "filled with books", "with books on the shelves"),
            ("books", False): ("without books", "empty"),
            ("back panel", True): ("with a back panel", "with a closed back"),
            ("back panel", False): ("with an open back", "without a back panel"),
            ("shelf count", 2): ("with two shelves", "with two levels"),
            ("shelf count", 3): ("with three shelves", "with three levels"),
            ("shelf count", 4): ("with four shelves", "with four levels"),
            ("shelf count", 5): ("with five shelves", "with five levels"),
            ("doors", True): ("with doors", "with doors at the bottom"),
        },
        materials={"wood": 3, "metal": 0.8},
        size=1.6,
    ),
}
