"""Stage 1 of the reference, one whole evaluation: noise mix, every loss, the gradients of their sum."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from backend import losses
from backend.cameras import Cameras, sample_pixels
from backend.config import RenderSettings
from backend.mapper import RegressingMapper
from backend.rendering.implicit import trace
from tests.backend.reference import ClipStub, close, fitted_model, same_direction, tensor, weights

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def test_one_evaluation(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "stage1_losses.npz")
    model = fitted_model(reference_dir)
    model.decoder.fc_out.requires_grad_(True)
    mapper = RegressingMapper.from_public(weights(np.load(reference_dir / "iss_stage2.npz"), ""))
    codes = tensor(archive, "in/c_std").requires_grad_()
    w = losses.STAGE1_WEIGHTS

    # The mapper: CLIP stand-in, stored noise, regression of the code.
    inputs = tensor(archive, "in/inputs_u8") / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))
    features = ClipStub(reference_dir)((inputs - mean) / std)
    close(features, archive["out/clip_raw"])
    noise = functional.normalize(tensor(archive, "in/noise"), dim=-1)
    mixed = functional.normalize(0.25 * features + 0.75 * noise, dim=-1)
    close(mixed, archive["out/noised_normalised"])
    proposed = mapper(mixed)
    close(proposed, archive["out/mapper"])
    regression = w.regression * losses.regression_loss(proposed, codes)
    close(regression, archive["loss/regress2000"])

    # Rays through the stored pixels, and what the images hold there.
    pixels = tensor(archive, "in/pixels")
    cameras = Cameras(tensor(archive, "in/world_mat"), tensor(archive, "in/camera_mat")[0])
    origins, directions = cameras.rays_at(pixels)
    settings = RenderSettings(grid_resolution=0, march_steps=16)
    field = model.field(codes)
    points, depth, crossings = trace(field, origins, directions, settings)
    close(crossings.hit.float(), archive["out/mask_pred"].astype(np.float32))
    close(points, archive["out/p_world"])
    rgb = field.color(points)
    close(rgb, archive["out/rgb"])
    true_rgb = sample_pixels(tensor(archive, "in/img_u8") / 255, pixels)
    true_mask = sample_pixels(tensor(archive, "in/mask")[:, None], pixels)[..., 0] > 0
    true_depth = sample_pixels(tensor(archive, "in/depth")[:, None], pixels)[..., 0]
    both = crossings.hit & true_mask

    # Where a ray that should miss hits, the hit itself must become free, not a random point of the ray.
    free_points = torch.where(crossings.hit[..., None], points.detach(), tensor(archive, "in/p_freespace"))
    close(free_points, archive["mid/p_freespace_after_fill"])
    free_logits = field.occupancy(free_points)
    inside_logits = field.occupancy(tensor(archive, "in/p_occupancy"))
    close(free_logits, archive["out/logits_freespace"])
    close(inside_logits, archive["out/logits_occupancy"])

    normals = tensor(archive, "in/normals_surface"), tensor(archive, "in/normals_neighbour")
    terms = {
        "rgb": w.color * losses.color_loss(rgb, true_rgb, both),
        "depth": w.depth * losses.depth_loss(depth, true_depth, both),
        "normal": w.normal * losses.normal_loss(*normals, len(codes)),
        "freespace": w.freespace * losses.freespace_loss(free_logits, ~true_mask),
        "occupied": w.occupancy * losses.occupancy_loss(inside_logits, true_mask & ~crossings.hit),
        "bg30": w.background * losses.background_loss(rgb, crossings.hit),
    }
    for name, value in terms.items():
        close(value, archive[f"loss/{name}"])
    total = sum(terms.values()) + regression
    close(total, archive["loss/total"])

    total.backward()
    same_direction(model.decoder.fc_out.weight.grad, archive["grad/decoder_fc_out_weight"], 5e-3)
    same_direction(model.decoder.fc_out.bias.grad, archive["grad/decoder_fc_out_bias"])
    same_direction(mapper.generator["linear_12"].bias.grad, archive["grad/generator_linear_12_bias"])
    # The archive holds normals at neighbours, not the neighbours: our sum lacks that small gradient.
    same_direction(codes.grad, archive["grad/c_std"], 0.04)
