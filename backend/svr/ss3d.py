"""SS3D: a ResNet-34 encoder, and a SIREN decoder whose layers the code modulates (FiLM).

"Pre-train, Self-train, Distill: A simple recipe for Supersizing 3D Reconstruction" (CVPR 2022), trained on
real photographs. Public parameter names: encoder.features.*, encoder.fc.{0,3}.*, decoder.net.{i}.linear.*,
decoder.net.{last}.*. The decoder gives a colour and a raw density per point; `ss3d_input.py` prepares
photographs with masks, `ss3d_volume.py` renders the density as a volume, as in its training.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torchvision.models import resnet34

from backend.errors import CheckpointError
from backend.svr.base import Field, SvrModel, SvrSpec
from backend.weights import load_strictly

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
OMEGA = 30.0
"""Factor inside the sine of every SIREN layer."""
DENSITY_SURFACE = 3.0
"""Raw density on the surface that SS3D extracts."""
IMAGE_SIZE = 224


class ResidualLinear(nn.Module):
    """x + linear2(leaky(linear1(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear2(functional.leaky_relu(self.linear1(x)))


class Ss3dEncoder(nn.Module):
    """Image to code: ResNet-34 without its classifier, then a small head."""

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.features = resnet34(weights=None)
        self.features.fc = nn.Identity()
        # Only layers 0 and 3 have weights; their numbers are those of the public keys.
        self.fc = nn.Sequential(
            nn.Linear(512, code_size),
            nn.LayerNorm(code_size, elementwise_affine=False),
            nn.LeakyReLU(),
            ResidualLinear(code_size),
            nn.LeakyReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Codes [B, C] of images [B, 3, 224, 224] in [0, 1] on black."""
        mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
        std = images.new_tensor(IMAGENET_STD)[:, None, None]
        return self.fc(self.features((images - mean) / std))


class SineLayer(nn.Module):
    """sin(frequency * 30 (W x + b) + shift)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor, frequency: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> Tensor:
        return torch.sin(frequency * (OMEGA * self.linear(x)) + shift)


class Ss3dDecoder(nn.Module):
    """Point to three colour logits and a raw density; all sine layers but the first are modulated."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        sines = [SineLayer(3, width), *(SineLayer(width, width) for _ in range(layers))]
        self.net = nn.ModuleList([*sines, nn.Linear(width, 4)])

    def modulations(self, codes: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Frequencies and shifts [B, 1, width] per modulated layer of codes [B, 2 * layers * width]."""
        frequencies, shifts = codes[:, None].chunk(2, dim=-1)
        layers = len(self.net) - 2
        return list((frequencies + 1).chunk(layers, dim=-1)), list(shifts.chunk(layers, dim=-1))

    def forward(self, points: Tensor, frequencies: list[Tensor], shifts: list[Tensor]) -> Tensor:
        """Raw outputs [B, P, 4] at points [B, P, 3]."""
        first, *modulated, last = self.net
        x = first(points)
        for layer, frequency, shift in zip(modulated, frequencies, shifts, strict=True):
            x = layer(x, frequency, shift)
        return last(x)


class Ss3dField(Field):
    """The shapes of a batch of codes."""

    def __init__(
        self, decoder: Ss3dDecoder, modulations: tuple[list[Tensor], list[Tensor]], *, detached: bool = False
    ) -> None:
        self._decoder = decoder
        self._modulations = modulations
        self._detached = detached

    def raw(self, points: Tensor) -> Tensor:
        """Colour logits and raw density [B, P, 4] at points [B, P, 3]."""
        if self._detached:
            with torch.no_grad():
                return self._decoder(points, *self._modulations)
        return self._decoder(points, *self._modulations)

    def occupancy(self, points: Tensor) -> Tensor:
        # The surface lies at a density, not at an even chance: shifted so that it is at logit 0.
        return self.raw(points)[..., 3] - DENSITY_SURFACE

    def color(self, points: Tensor) -> Tensor:
        return self.raw(points)[..., :3].sigmoid()

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.raw(points)
        return raw[..., 3] - DENSITY_SURFACE, raw[..., :3].sigmoid()

    def __getitem__(self, index: int) -> "Ss3dField":
        frequencies, shifts = ([t[index][None] for t in part] for part in self._modulations)
        return Ss3dField(self._decoder, (frequencies, shifts), detached=self._detached)

    def detach(self) -> "Ss3dField":
        frequencies, shifts = ([t.detach() for t in part] for part in self._modulations)
        return Ss3dField(self._decoder, (frequencies, shifts), detached=True)

    def tensors(self, part: str) -> dict[str, Tensor]:
        frequencies, shifts = self._modulations
        terms = {f"frequencies.{i}": t for i, t in enumerate(frequencies)}
        terms |= {f"shifts.{i}": t for i, t in enumerate(shifts)}
        return dict(self._decoder.named_parameters()) | terms

    def evaluate(self, part: str, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        frequencies, shifts = (
            [tensors[f"{name}.{i}"] for i in range(len(own))]
            for name, own in zip(("frequencies", "shifts"), self._modulations, strict=True)
        )
        weights = {k: v for k, v in tensors.items() if k.startswith("net.")}
        raw = functional_call(self._decoder, weights, (points, frequencies, shifts))
        return raw[..., 3] - DENSITY_SURFACE if part == "occupancy" else raw[..., :3].sigmoid()


class Ss3dModel(SvrModel):
    """SS3D as an SVR model."""

    def __init__(self, width: int = 256, layers: int = 5) -> None:
        """width: of the decoder; layers: modulated ones. The code holds a frequency and a shift for each."""
        super().__init__()
        self.spec = SvrSpec("ss3d", 2 * layers * width, IMAGE_SIZE, background=0.0)
        self.encoder = Ss3dEncoder(self.spec.code_size)
        self.decoder = Ss3dDecoder(width, layers)
        self._architecture = {"width": width, "layers": layers}

    def encode(self, images: Tensor) -> Tensor:
        """Codes [B, C] of images [B, 3, H, W] in [0, 1] on black, resized to 224 here; best from
        `prepare_image`.
        """
        if images.shape[-2:] != (IMAGE_SIZE, IMAGE_SIZE):
            size = (IMAGE_SIZE, IMAGE_SIZE)
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        return self.encoder(images)

    def field(self, codes: Tensor) -> Ss3dField:
        return Ss3dField(self.decoder, self.decoder.modulations(codes))

    def architecture(self) -> dict[str, Any]:
        return dict(self._architecture)

    @classmethod
    def from_public(cls, weights: Mapping[str, Tensor]) -> "Ss3dModel":
        """A model from the encoder.* and decoder.* tensors of a public checkpoint, in evaluation mode.

        Sizes are read from the tensors; every key must fit, else CheckpointError names the keys.
        """
        first = weights.get("decoder.net.0.linear.weight")
        if first is None or first.ndim != 2:
            raise CheckpointError(
                "decoder.net.0.linear.weight is missing or no matrix; these are not the weights of SS3D.",
                remedy="Give an SS3D checkpoint: it has encoder.* and decoder.net.*.",
            )
        sines = sum(k.startswith("decoder.net.") and k.endswith(".linear.weight") for k in weights)
        model = cls(first.shape[0], max(sines - 1, 1))
        load_strictly(model, weights)
        return model.eval()
