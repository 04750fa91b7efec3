"""Stage 2 of the reference, one whole iteration: images, CLIP input, losses, gradients of the mapper."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from backend.cameras import Cameras
from backend.losses import background_loss, clip_loss
from backend.mapper import RegressingMapper
from tests.backend.reference import (
    ClipStub,
    clip_image,
    close,
    fitted_model,
    same_direction,
    tensor,
    weights,
    whole_image,
)


def test_one_iteration(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "iss_stage2.npz")
    size, steps = int(archive["in/size"]), int(archive["in/march_steps"])
    mapper = RegressingMapper.from_public(weights(archive, ""))
    feature = functional.normalize(tensor(archive, "in/text_feature_raw"), dim=-1)
    code = mapper(feature)
    close(code, archive["out/text_latent"])

    cameras = Cameras(tensor(archive, "in/world_mat_files"), tensor(archive, "in/camera_mat")[0]).moved(1.5)
    field = fitted_model(reference_dir).field(code)
    mask, _, rgb = whole_image(field, cameras, size, steps, tensor(archive, "out/mask"))
    assert int((mask != tensor(archive, "out/mask")).sum()) <= 3
    same = (mask == tensor(archive, "out/mask"))[..., None]
    close(rgb * same, tensor(archive, "out/rgb") * same, 1e-4)

    images = clip_image(rgb, size)
    close(images[0], archive["out/clip_input_view0"], 1e-4)
    close(images[1, :, ::4, ::4], archive["out/clip_input_view1_every4"], 1e-4)
    seen = ClipStub(reference_dir)(images)
    close(seen, archive["out/clip_features"], 1e-4)

    clip_losses = torch.stack([4 * clip_loss(view[None], feature) for view in seen])
    background = torch.stack([3 * background_loss(v, m) for v, m in zip(rgb, mask, strict=True)])
    close(clip_losses, archive["loss/clip_x4_per_view"])
    close(background, archive["loss/bg_x3_per_view"], 1e-4)
    total = clip_losses.sum() + background.sum()
    close(total, archive["loss/total"])

    total.backward()
    layers = mapper.generator
    same_direction(layers["linear_12"].bias.grad, archive["grad/linear_12_bias"])
    same_direction(layers["linear_12"].weight.grad.sum(1), archive["grad/linear_12_weight_rowsum"])
    same_direction(layers["linear_6"].bias.grad, archive["grad/linear_6_bias"])
    same_direction(layers["linear_1"].bias.grad, archive["grad/linear_1_bias"])
    close(layers["linear_1"].weight.grad.norm(), archive["grad/linear_1_weight_norm"], 1e-3)
