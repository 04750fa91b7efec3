"""DVR: ResNet-18 encoder and ResNet-FC decoder, with the public parameter names.

The SVR model of the paper's main results ("Differentiable Volumetric Rendering", CVPR 2020, as ISS uses it).
State dict keys are those of the public checkpoints: encoder.features.*, encoder.fc.*, decoder.fc_p, fc_c.{i},
blocks.{i}.fc_{0,1}, fc_out. Width, number of blocks and code size are free.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torchvision.models import resnet18

from backend.errors import CheckpointError
from backend.svr.base import Field, SvrModel, SvrSpec
from backend.weights import load_strictly

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class DvrEncoder(nn.Module):
    """Image to shape code: ResNet-18 without its classifier, then one linear layer."""

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.features = resnet18(weights=None)
        self.features.fc = nn.Identity()
        self.fc = nn.Linear(512, code_size)

    def forward(self, images: Tensor) -> Tensor:
        """Codes [B, C] of images [B, 3, H, W] in [0, 1]; 224 x 224 in the published models."""
        mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
        std = images.new_tensor(IMAGENET_STD)[:, None, None]
        codes: Tensor = self.fc(self.features((images - mean) / std))
        return codes


class ResidualBlock(nn.Module):
    """x + fc_1(relu(fc_0(relu(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc_0 = nn.Linear(width, width)
        self.fc_1 = nn.Linear(width, width)
        # A fresh block starts as the identity, as in DVR.
        nn.init.zeros_(self.fc_1.weight)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.fc_1(functional.relu(self.fc_0(functional.relu(x))))
        return x + change


class DvrDecoder(nn.Module):
    """Point and code to four numbers: occupancy logit and three colour logits."""

    def __init__(self, code_size: int, width: int, blocks: int) -> None:
        super().__init__()
        self.fc_p = nn.Linear(3, width)
        self.fc_c = nn.ModuleList(nn.Linear(code_size, width) for _ in range(blocks))
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.fc_out = nn.Linear(width, 4)

    def code_terms(self, codes: Tensor) -> list[Tensor]:
        """What the codes [B, C] add before each block, [B, 1, width] each; independent of the points."""
        return [fc(codes)[:, None] for fc in self.fc_c]

    def forward(self, points: Tensor, code_terms: list[Tensor]) -> Tensor:
        """Raw outputs [B, P, 4] at points [B, P, 3]."""
        x = self.fc_p(points)
        for term, block in zip(code_terms, self.blocks, strict=True):
            x = block(x + term)
        raw: Tensor = self.fc_out(functional.relu(x))
        return raw


class DvrField(Field):
    """The shapes of a batch of codes; fc_c(codes) was computed once."""

    def __init__(self, decoder: DvrDecoder, code_terms: list[Tensor], *, detached: bool = False) -> None:
        self._decoder = decoder
        self._code_terms = code_terms
        self._detached = detached

    def occupancy(self, points: Tensor) -> Tensor:
        return self.raw(points)[..., 0]

    def color(self, points: Tensor) -> Tensor:
        return self.raw(points)[..., 1:].sigmoid()

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.raw(points)
        return raw[..., 0], raw[..., 1:].sigmoid()

    def raw(self, points: Tensor) -> Tensor:
        """Occupancy logit and colour logits [B, P, 4] at points [B, P, 3]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._detached):
            raw: Tensor = self._decoder(points, self._code_terms)
        return raw

    def __getitem__(self, index: int) -> "DvrField":
        terms = [term[index][None] for term in self._code_terms]
        return DvrField(self._decoder, terms, detached=self._detached)

    def detach(self) -> "DvrField":
        return DvrField(self._decoder, [term.detach() for term in self._code_terms], detached=True)

    def tensors(self, part: str) -> dict[str, Tensor]:
        # fc_c has done its work: what the code adds takes its place.
        weights = {k: v for k, v in self._decoder.named_parameters() if not k.startswith("fc_c.")}
        row = slice(0, 1) if part == "occupancy" else slice(1, 4)
        weights["fc_out.weight"], weights["fc_out.bias"] = (
            weights["fc_out.weight"][row], weights["fc_out.bias"][row]
        )  # fmt: skip
        return weights | {f"code_terms.{i}": term for i, term in enumerate(self._code_terms)}

    def evaluate(self, part: str, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        terms = [tensors[f"code_terms.{i}"] for i in range(len(self._code_terms))]
        weights = {k: v for k, v in tensors.items() if not k.startswith("code_terms.")}
        raw = functional_call(self._decoder, weights, (points, terms))
        return raw[..., 0] if part == "occupancy" else raw.sigmoid()


class DvrModel(SvrModel):
    """DVR as an SVR model."""

    def __init__(
        self, code_size: int = 256, width: int = 512, blocks: int = 5, *, image_size: int = 224
    ) -> None:
        super().__init__()
        self.spec = SvrSpec(kind="dvr", code_size=code_size, image_size=image_size)
        self.encoder = DvrEncoder(code_size)
        self.decoder = DvrDecoder(code_size, width, blocks)

    def encode(self, images: Tensor) -> Tensor:
        codes: Tensor = self.encoder(images)
        return codes

    def field(self, codes: Tensor) -> DvrField:
        return DvrField(self.decoder, self.decoder.code_terms(codes))

    def architecture(self) -> dict[str, Any]:
        return {
            "code_size": self.spec.code_size,
            "width": self.decoder.fc_p.out_features,
            "blocks": len(self.decoder.blocks),
            "image_size": self.spec.image_size,
        }

    @classmethod
    def from_public(cls, weights: Mapping[str, Tensor]) -> "DvrModel":
        """A model from the encoder.* and decoder.* tensors of a public DVR or ISS checkpoint, in evaluation
        mode.

        Sizes are read from the tensors. Other prefixes are ignored here (an ISS checkpoint also holds
        generator.* and clip_model.*); within encoder.* and decoder.* every key must fit, else
        CheckpointError names the keys.
        """
        ours = {k: v for k, v in weights.items() if k.startswith(("encoder.", "decoder."))}
        blocks = sum(k.startswith("decoder.fc_c.") and k.endswith(".weight") for k in ours)
        for key in ("decoder.fc_p.weight", "encoder.fc.weight"):
            if key not in ours or ours[key].ndim != 2:
                raise CheckpointError(
                    f"{key} is missing or no matrix; these are not the weights of a DVR model.",
                    remedy="Give a DVR or ISS checkpoint: its model part has encoder.* and decoder.*.",
                )
        model = cls(ours["encoder.fc.weight"].shape[0], ours["decoder.fc_p.weight"].shape[0], blocks)
        load_strictly(model, ours)
        return model.eval()
