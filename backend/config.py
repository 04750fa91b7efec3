"""Settings of every phase as frozen dataclasses, read from and written to plain dictionaries.

A bundle carries its own defaults (they are tuned together with the weights); a recipe carries what a
result was made with. Unknown keys are refused, so that a misspelt setting never passes silently.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self, cast, get_args, get_origin

from backend.errors import SettingError


@dataclass(frozen=True)
class Settings:
    """Base of all settings: dictionary round trip, unknown keys refused, ranges checked."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Settings from a JSON dictionary; SettingError names unknown keys and wrong types."""
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingError(
                f"Unknown {cls.__name__} keys: {', '.join(unknown)}.",
                remedy=f"Use only: {', '.join(known)}.",
            )
        return cls(**{name: _coerce(cls, known[name], value) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, ready for JSON."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; None values mean "keep"."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            bounds = f.metadata.get("bounds")
            value = getattr(self, f.name)
            if bounds and not bounds[0] <= value <= bounds[1]:
                raise SettingError(
                    f"{f.name} is {value}, outside {bounds[0]} to {bounds[1]}.",
                    remedy=f"Choose {f.name} between {bounds[0]} and {bounds[1]}.",
                )
            choices = f.metadata.get("choices")
            if choices and value not in choices:
                raise SettingError(
                    f"{f.name} is {value!r}, not one of {', '.join(choices)}.",
                    remedy=f"Choose one of {', '.join(choices)}.",
                )


def bounded(default: float | int, low: float | int, high: float | int) -> Any:
    """A number field that must lie in [low, high]."""
    return field(default=default, metadata={"bounds": (low, high)})


def one_of(default: str, *others: str) -> Any:
    """A text field that must be one of the given words."""
    return field(default=default, metadata={"choices": (default, *others)})


def _coerce(cls: type, spec: dataclasses.Field[Any], value: Any) -> Any:
    if isinstance(spec.type, type) and issubclass(spec.type, Settings) and isinstance(value, dict):
        return spec.type.from_dict(value)
    base: type = spec.type if isinstance(spec.type, type) else cast(type, get_origin(spec.type))
    fits = _is(base, value)
    if fits and base is tuple:
        kinds = get_args(spec.type)
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value)
        fits = len(kinds) == len(value) and all(map(_is, kinds, value))
    if not fits:
        named = str(spec.type) if base is tuple else base.__name__
        raise SettingError(
            f"{cls.__name__}.{spec.name} is {value!r}, not a {named}.",
            remedy=f"Give {spec.name} as a {named}.",
        )
    if base is tuple:
        return tuple(value)
    return float(value) if base is float else value


def _is(kind: type, value: Any) -> bool:
    """Whether a value read from JSON serves as a `kind`: an int is also a float, a list also a tuple.

    Settings inside a tuple come as dictionaries; the class that holds them reads them.
    """
    if isinstance(value, bool):
        return kind is bool
    serves: dict[type, tuple[type, ...]] = {float: (int, float), tuple: (list, tuple)}
    known = (dict, kind) if issubclass(kind, Settings) else serves.get(kind, (kind,))
    return isinstance(value, known)


@dataclass(frozen=True)
class RenderSettings(Settings):
    """Implicit surface rendering (method, stage 2)."""

    march_steps: int = bounded(128, 4, 1024)
    """Samples per ray between its entry into and exit from the padded cube (DVR)."""
    secant_steps: int = bounded(8, 0, 32)
    """Secant refinements of the first crossing (DVR)."""
    grid_resolution: int = bounded(32, 0, 256)
    """Cells per axis of the coarse occupancy grid that finds the surface; 0 marches every ray densely."""
    iso_logit: float = bounded(0.0, -20.0, 20.0)
    """Occupancy logit of the surface."""
    shading: str = one_of("none", "lambert")
    """none: the decoder's colour as it is (the paper). lambert: a head light, as in the starter's images."""
    normal_step: float = bounded(0.02, 1e-4, 0.1)
    """Step of the central differences for normals, in units of the cube."""


@dataclass(frozen=True)
class Stage2Settings(Settings):
    """Text guidance at test time (method, stage 2)."""

    target: str = one_of("code", "mapper")
    """What is tuned: an offset of the whitened shape code (our choice), or the mapper (the paper)."""
    steps: int = bounded(20, 0, 1000)
    views: int = bounded(10, 1, 64)
    """Views per iteration."""
    view_size: int = bounded(90, 16, 512)
    """Pixels per side of a rendered view."""
    learning_rate: float = bounded(1e-4, 0.0, 1.0)
    clip_weight: float = bounded(4.0, 0.0, 1000.0)
    background_weight: float = bounded(3.0, 0.0, 1000.0)
    drift_weight: float = bounded(0.0, 0.0, 1000.0)
    """Penalty on the mean squared whitened offset from the stage 1 code (our choice)."""
    surface_weight: float = bounded(0.0, 0.0, 1000.0)
    """Penalty on the mean squared motion of the surface from the stage 1 shape's, in cells of the rendering
    grid (our choice); fields only."""
    distance: tuple[float, float] = (1.8, 1.8)
    """Camera distance range, uniform, in units of the cube."""
    elevation_deg: tuple[float, float] = (5.0, 35.0)
    augment: bool = False
    """Random crops and flat backgrounds before CLIP (our choice)."""
    evaluation_views: int = bounded(6, 1, 64)
    """Fixed views on which every iterate is scored; the best is kept."""


@dataclass(frozen=True)
class MapperSettings(Settings):
    """How a feature becomes a shape code (method, stage 1)."""

    noise_scale: float = bounded(0.75, 0.0, 10.0)
    """Weight of the random unit vector in the mix; the feature has weight 1 - 0.75 in the reference."""
    candidates: int = bounded(8, 1, 64)
    """Codes proposed per result, the best by the ranking score is kept (generative mapper)."""
    proposals: int = bounded(0, 0, 4096)
    """Codes drawn per result, of which those that fit the feature best become the candidates; no more than
    the candidates are drawn where this is less."""
    repaints: int = bounded(0, 0, 4096)
    """Of the proposals that fit best, those whose parts are tried in the colours and materials that the
    prompt names; models without parts try none."""
    silhouette_weight: float = bounded(0.0, 0.0, 1000.0)
    """Of proposals for an image: weight of their silhouettes' overlap with the object's, beside the fit to
    the feature; 0 asks no silhouettes."""
    agreement_weight: float = bounded(0.0, 0.0, 1000.0)
    """Ranking: weight of the fit of code and feature, which is their agreement as the mapper's shape tower
    sees it, less the code's strangeness."""
    strangeness_weight: float = bounded(0.0, 0.0, 1000.0)
    """Fit: weight of the strangeness of a code to the SVR model, where there is no image; an agreement has
    weight 1."""
    uncertainty_weight: float = bounded(0.0, 0.0, 1000.0)
    """Ranking: weight of the field's uncertainty, the mean of p(1-p) over the cube."""
    pieces_weight: float = bounded(0.0, 0.0, 1000.0)
    """Ranking: weight of the number of connected pieces beyond the first."""


@dataclass(frozen=True)
class MeshSettings(Settings):
    """Field to triangle mesh."""

    resolution: int = bounded(128, 16, 512)
    """Grid cells per axis."""
    max_faces: int = bounded(0, 0, 5_000_000)
    """Face budget by quadric decimation; 0 keeps every face."""
    refine_steps: int = bounded(4, 0, 50)
    """Secant steps that move vertices onto the iso-surface."""
    speck_fraction: float = bounded(0.02, 0.0, 0.5)
    """Components below this share of the largest one's volume are removed."""
    bridge_gap: float = bounded(0.0, 0.0, 0.5)
    """Loose parts are joined by rods over gaps of at most this length; 0 leaves them loose."""


@dataclass(frozen=True)
class StylizeSettings(Settings):
    """Stylization (method, stage 3). Size, distance and elevation of its views are stage 2's."""

    steps: int = bounded(30, 0, 1000)
    views: int = bounded(3, 1, 64)
    """Views per iteration; all of them count."""
    learning_rate: float = bounded(2e-3, 0.0, 1.0)
    """Of the colour decoder's copy."""
    shape_learning_rate: float = bounded(5e-4, 0.0, 1.0)
    """Of the shape decoder's copy (shape-texture)."""
    clip_weight: float = bounded(40.0, 0.0, 1000.0)
    background_weight: float = bounded(30.0, 0.0, 1000.0)
    prior_weight: float = bounded(100.0, 0.0, 10_000.0)
    """Of the 3D prior at strength 1 (shape-texture)."""
    white_weight: float = bounded(1.0, 0.0, 1000.0)
    """Of removing what has turned white (shape-texture)."""
    look_weight: float = bounded(200.0, 0.0, 10_000.0)
    """Of holding the colours near those of the start, at strength 1 (our choice): CLIP's gradient alone goes
    where only CLIP sees a look."""
    flat_share: float = bounded(0.8, 0.0, 1.0)
    """Share of views on a random flat colour; the others are on black."""
    pool: int = bounded(24, 1, 256)
    """Views whose surface points are found once; iterations draw from them."""
    palettes: int = bounded(12, 0, 256)
    """Colour pairs tried per solid pattern before tuning (our choice); 0 starts from the old colours."""
    palette_steps: int = bounded(12, 0, 200)
    """Iterations that tune the colours of the best patterns."""
    fit_steps: int = bounded(120, 0, 1000)
    """Iterations that bring the chosen pattern into the colour decoder."""
    fit_points: int = bounded(4096, 64, 1_000_000)
    fit_learning_rate: float = bounded(1e-2, 0.0, 1.0)


@dataclass(frozen=True)
class PipelineSettings(Settings):
    """The settings of all phases of one result: a bundle's defaults, and what a recipe repeats."""

    render: RenderSettings = field(default_factory=RenderSettings)
    stage2: Stage2Settings = field(default_factory=Stage2Settings)
    mapper: MapperSettings = field(default_factory=MapperSettings)
    mesh: MeshSettings = field(default_factory=MeshSettings)
    stylize: StylizeSettings = field(default_factory=StylizeSettings)
