"""The names of the parts of all shape programs: what the starter's SVR model calls the parts it decodes."""

PART_NAMES = (
    "antenna", "apron", "arches", "arm", "armrests", "back", "band", "bands", "barrel", "bars", "base",
    "bed", "benches", "bipod", "blade", "blanket", "body", "books", "boosters", "branches", "bridge",
    "bulb", "bumpers", "button", "cabin", "cabinet", "camera", "canopy", "cap", "cargo", "chimney",
    "cockpit", "coconuts", "cones", "containers", "cradle", "cranes", "cross", "cupboard", "cushion",
    "cushions", "deck", "decks", "dial", "door", "doors", "drawers", "ears", "engine", "engines",
    "exhaust", "feet", "fins", "flag", "flowers", "footrest", "foregrip", "frame", "fretboard", "fruit",
    "fuller", "funnel", "garage", "gear", "gem", "glass", "grip", "guard", "handle", "handles", "handset",
    "hatches", "head", "headboard", "headlights", "headrest", "hinge", "hub", "hull", "inside", "joint",
    "keel", "keys", "knob", "knobs", "label", "ladder", "leaves", "legs", "lid", "load", "lower body",
    "magazine", "mast", "mattress", "missiles", "motor", "neck", "nose", "oars", "panel", "pegs",
    "pick guard", "pickups", "pillar", "pillows", "pommel", "porch", "post", "posts", "pot", "propeller",
    "rack", "rockers", "roof", "sail", "saucer", "scope", "screen", "seams", "seat", "seats", "shade",
    "shelf", "shell", "shelves", "sides", "sight", "silencer", "silo", "sound hole", "soundbar", "spoiler",
    "spots", "spout", "stand", "star", "stem", "stems", "stock", "strings", "stripe", "struts", "tail",
    "tail lights", "tank", "top", "trigger guard", "trim", "trunk", "tyres", "walls", "wheels", "window",
    "window frame", "windows", "windshield", "wings",
)  # fmt: skip
"""In a fixed order: a trained namer answers by number."""
