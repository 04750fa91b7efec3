"""The interface of a single-view-reconstruction (SVR) model.

The pipeline needs from an SVR model: an image encoder, a shape code, and either a field (occupancy and
colour at points: implicit models) or ready views and meshes (explicit models such as GET3D). What differs
between models is stated as data in `SvrSpec`. No SVR model knows CLIP or another SVR model.

The pipeline asks `spec.explicit`: where it is false, views and meshes are made from `field`
(rendering/implicit.py, meshing.py); where it is true, the model is an `ExplicitSvrModel` and its own `render`
and `extract_mesh` are called. Training asks `spec.has_encoder`: where it is false, pairs of image and code
come from `sample_codes` and `render`.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from backend.errors import SettingError

if TYPE_CHECKING:
    from backend.cameras import Cameras
    from backend.config import MeshSettings
    from backend.mesh import TriMesh
    from backend.paint_words import Paintwork
    from backend.rendering.implicit import Views


@dataclass(frozen=True)
class SvrSpec:
    """What differs between SVR models, as data."""

    kind: str
    """Name in the table of models: parts, triplane, dvr, imnet, ss3d, get3d."""
    code_size: int
    """Numbers in a shape code."""
    image_size: int
    """Pixels per side of the square image that `encode` takes."""
    iso_logit: float = 0.0
    """Value of `occupancy` on the surface; greater is inside."""
    has_color: bool = True
    explicit: bool = False
    """True where the model offers `render` and `extract_mesh` instead of a field."""
    has_encoder: bool = True
    """False where the model makes shapes from noise and reads no images."""
    reads_parts: bool = False
    """Whether codes can be had of tables of parts (parts_layout.py), which are surer than those of images."""
    background: float = 1.0
    """Grey behind the object in the images that `encode` takes: 1 is white, 0 black."""
    up_axis: str = "y"
    bound: float = 0.5
    """Half side of the cube that holds the shape."""


class Field(ABC):
    """The shapes of a batch of codes, ready to be asked at points; per-code work was done once.

    Points are [B, P, 3] in SVR space. Differentiable in the codes, the model's parameters and the points.
    """

    @abstractmethod
    def occupancy(self, points: Tensor) -> Tensor:
        """Occupancy logits [B, P]; greater than the spec's iso_logit is inside."""

    @abstractmethod
    def color(self, points: Tensor) -> Tensor:
        """Display-referred sRGB [B, P, 3] in [0, 1]."""

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Both at the same points; models whose decoder gives them together override this and ask it once."""
        return self.occupancy(points), self.color(points)

    @abstractmethod
    def __getitem__(self, index: int) -> "Field":
        """The field of one shape of the batch, with B = 1."""

    @abstractmethod
    def detach(self) -> "Field":
        """The same field cut from the graph, for evaluations without gradients."""

    def tensors(self, part: str) -> dict[str, Tensor]:
        """All that the occupancy or the colour of this one shape (B = 1) is computed from, by name.

        part: "occupancy" or "color". Stage 3 tunes copies of these; SettingError where a model has no split.
        """
        raise SettingError(
            "This kind of model cannot be stylized by its decoder.",
            remedy="Stylize its mesh instead: colours only, on any mesh.",
        )

    def evaluate(self, part: str, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        """As `occupancy` or `color` at points [1, P, 3], computed from given tensors in place of its own."""
        raise NotImplementedError


class SvrModel(nn.Module, ABC):
    """An SVR model with a field (implicit models)."""

    spec: SvrSpec
    names: tuple[str, ...] = ()
    """What a model calls parts of shapes; none where it knows no parts."""
    byte_weights: tuple[str, ...] = ()
    """Beginnings of the names of weights that bundles keep in eight bits."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Shape codes [B, C] of images [B, 3, H, W] in [0, 1]."""

    def camera_of(self, image: Tensor) -> "Cameras | None":
        """The camera that an image [1, 3, H, W] was probably taken with; None where a model cannot tell."""
        return None

    def encode_parts(self, tables: Tensor) -> Tensor:
        """Shape codes [B, C] of tables of parts [B, SLOTS, COLUMNS]; only where `spec.reads_parts`."""
        raise NotImplementedError

    def repainted(self, code: Tensor, work: "Paintwork") -> Tensor:
        """Codes [N, C] of the shape of a code [C] that show all the named coats of paint, each on other
        parts, and that of the whole on most of it; none where a model knows no parts, or the shape has too
        few."""
        return code.new_zeros(0, len(code))

    def lacking_parts(self, code: Tensor, work: "Paintwork") -> list[str]:
        """Parts that a coat is said of and of which the shape of a code [C] has nothing, or nothing that no
        other coat is said of; none where a model does not name its parts."""
        return []

    def stretched(self, code: Tensor, factors: Tensor) -> Tensor:
        """A code [C] of the shape of a code [C], as much longer along x, y and z as factors [3] say; the same
        code where a model knows no parts."""
        return code

    def strangeness(self, codes: Tensor) -> Tensor:
        """How far [B], root mean square over the entries, codes [B, C] are from what the model itself would
        write of the shapes that they mean; zeros where a model cannot tell."""
        return codes.new_zeros(len(codes))

    @abstractmethod
    def field(self, codes: Tensor) -> Field:
        """The field of codes [B, C]."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Constructor arguments, for bundle.json."""

    def occupancy(self, points: Tensor, codes: Tensor) -> Tensor:
        """Logits [B, P] at points [B, P, 3] of codes [B, C]."""
        return self.field(codes).occupancy(points)

    def color(self, points: Tensor, codes: Tensor) -> Tensor:
        """sRGB [B, P, 3] in [0, 1] at points [B, P, 3] of codes [B, C]."""
        return self.field(codes).color(points)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class ExplicitSvrModel(SvrModel):
    """An SVR model that gives meshes and views of meshes instead of a field."""

    def field(self, codes: Tensor) -> Field:
        raise SettingError(
            f"A {self.spec.kind} model has no field.", remedy="Ask it for `render` and `extract_mesh`."
        )

    @abstractmethod
    def render(self, codes: Tensor, cameras: "Cameras", size: int) -> "Views":
        """Views of one shape, codes [1, C], as `render_views` gives them; differentiable in the code."""

    @abstractmethod
    def extract_mesh(self, codes: Tensor, settings: "MeshSettings") -> "Generator[float, None, TriMesh]":
        """Yields the fraction done and returns the mesh of one shape, codes [1, C]."""

    @abstractmethod
    def sample_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """Codes [count, C] of random shapes as the model was trained to make them."""
