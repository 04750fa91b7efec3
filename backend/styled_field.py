"""A shape whose decoder stage 3 has tuned: the field of its code with copies of the decoder's tensors.

Occupancy and colour have a copy each, as the method splits the decoder in a shape decoder and a colour
decoder. A part without a copy is the original's own, bit for bit.
"""

from collections.abc import Mapping

from torch import Tensor

from backend.svr.base import Field

PARTS = ("occupancy", "color")

Tensors = dict[str, dict[str, Tensor]]
"""Part -> name -> tensor; parts that are not tuned are left out."""


class StyledField(Field):
    """One shape (B = 1) with tuned tensors."""

    def __init__(self, base: Field, tuned: Mapping[str, Mapping[str, Tensor]]) -> None:
        """base: the field of the shape code. tuned: see Tensors."""
        self.base = base
        self.tuned: Tensors = {part: dict(tensors) for part, tensors in tuned.items()}

    def occupancy(self, points: Tensor) -> Tensor:
        tuned = self.tuned.get("occupancy")
        return (
            self.base.occupancy(points) if tuned is None else self.base.evaluate("occupancy", tuned, points)
        )

    def color(self, points: Tensor) -> Tensor:
        tuned = self.tuned.get("color")
        return self.base.color(points) if tuned is None else self.base.evaluate("color", tuned, points)

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return super().occupancy_and_color(points) if self.tuned else self.base.occupancy_and_color(points)

    def __getitem__(self, index: int) -> "StyledField":
        return StyledField(self.base[index], self.tuned)

    def detach(self) -> "StyledField":
        detached = {part: {k: v.detach() for k, v in tensors.items()} for part, tensors in self.tuned.items()}
        return StyledField(self.base.detach(), detached)

    def tensors(self, part: str) -> dict[str, Tensor]:
        return dict(self.tuned[part]) if part in self.tuned else self.base.tensors(part)

    def evaluate(self, part: str, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        return self.base.evaluate(part, tensors, points)
