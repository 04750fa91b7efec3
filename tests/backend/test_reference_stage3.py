"""Stage 3 of the reference, one iteration of each variant: CLIP input, losses, decoder gradients."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.cameras import Cameras, camera_matrix
from backend.losses import background_loss, clip_loss, prior_loss, white_removal_loss
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

STEPS = 16
DRAWN = ("camera", "distance", "branch", "channel", "value")


def _draws(archive: np.lib.npyio.NpzFile) -> list[dict[str, float]]:
    """What was drawn for each view, by name; channel and value only where the branch is coloured."""
    views: list[dict[str, float]] = []
    for name, value in zip(archive["in/draw_names"], archive["in/draw_values"], strict=True):
        if name == "camera":
            views.append({})
        views[-1][DRAWN[len(views[-1])]] = float(value)
    return views


def _setup(archive: np.lib.npyio.NpzFile, folder: Path) -> tuple[Tensor, Cameras, dict[str, float]]:
    """Shape code, camera of the last view (the only one that counts) and its draws."""
    mapper = RegressingMapper.from_public(weights(np.load(folder / "iss_stage2.npz"), ""))
    with torch.no_grad():
        code = mapper(functional.normalize(tensor(archive, "in/text_feature_stage2"), dim=-1))
    last = _draws(archive)[-1]
    world = tensor(archive, "in/world_mat_files")[int(last["camera"])][None]
    return code, Cameras(world, camera_matrix()).moved(1 + last["distance"]), last


def _clip_input(rgb: Tensor, mask: Tensor, size: int, flat_background: Tensor) -> Tensor:
    """The normalised image times a mask whose background is a flat colour [3]."""
    factors = torch.where(mask[..., None], torch.ones(3), flat_background)
    resized = functional.interpolate(
        factors.reshape(-1, size, size, 3).permute(0, 3, 1, 2), size=224, mode="nearest"
    )
    return clip_image(rgb, size) * resized


def test_texture(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "stage3_texture.npz")
    code, camera, last = _setup(archive, reference_dir)
    size = int(archive["in/size"])
    model = fitted_model(reference_dir)
    # The colour decoder is a copy of which output rows 1 to 3 count; the shape decoder is frozen, so surface
    # points are constants.
    stored_mask = tensor(archive, "out/mask_last")
    with torch.no_grad():
        mask, points, _ = whole_image(model.field(code), camera, size, STEPS, stored_mask)
    assert int((mask != stored_mask).sum()) <= 2
    model.decoder.requires_grad_(True)
    rgb = model.field(code).color(points)
    same = (mask == stored_mask)[..., None]
    close(rgb * same, tensor(archive, "out/rgb_last") * same, 1e-4)

    background = torch.zeros(3)
    if last["branch"] > 0.2:
        background = torch.full((3,), last["value"])
        background[int(last["channel"])] = 1
    image = _clip_input(rgb, mask, size, background)
    close(image[0], archive["out/clip_input_last"], 1e-4)

    style = tensor(archive, "in/text_feature_style")
    clip_term = 40 * clip_loss(ClipStub(reference_dir)(image), style)
    background_term = 30 * background_loss(rgb, mask)
    close(clip_term, archive["loss/clip_x40_last_view"])
    close(background_term, archive["loss/bg_x30_last_view"], 1e-3)
    close(clip_term + background_term, archive["loss/total"])
    (clip_term + background_term).backward()
    same_direction(model.decoder.fc_out.weight.grad[1:], archive["grad/fc_out_weight"])
    same_direction(model.decoder.fc_out.bias.grad[1:], archive["grad/fc_out_bias"])
    same_direction(model.decoder.fc_p.weight.grad, archive["grad/fc_p_weight"])
    assert model.decoder.fc_out.weight.grad[0].abs().max() == 0


def test_shape_and_texture(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "stage3_shape_texture.npz")
    code, camera, last = _setup(archive, reference_dir)
    size = int(archive["in/size"])
    model, original = fitted_model(reference_dir), fitted_model(reference_dir)
    with torch.no_grad():
        model.decoder.fc_out.weight.copy_(tensor(archive, "in/student_fc_out_weight"))
        model.decoder.fc_out.bias.copy_(tensor(archive, "in/student_fc_out_bias"))
    model.decoder.requires_grad_(True)
    field = model.field(code)
    stored_mask = tensor(archive, "out/mask_last")
    mask, points, rgb = whole_image(field, camera, size, STEPS, stored_mask)
    assert int((mask != stored_mask).sum()) <= 2
    same = (mask == stored_mask)[..., None]
    close(rgb * same, tensor(archive, "out/rgb_last") * same, 1e-4)
    close(points * same, tensor(archive, "out/p_world") * same, 1e-4)

    background = torch.zeros(3)
    if last["branch"] > 0.2:
        background[int(last["channel"])] = 1
    image = _clip_input(rgb, mask, size, background)
    close(image[0], archive["out/clip_input_last"], 1e-4)

    logits, original_raw = field.occupancy(points), original.field(code).raw(points)
    same = same[..., 0]
    close(logits * same, tensor(archive, "out/logits") * same, 1e-4)
    close(original_raw[..., 0] * same, tensor(archive, "out/logits_std") * same, 1e-4)
    clip_term = 40 * clip_loss(ClipStub(reference_dir)(image), tensor(archive, "in/text_feature_style"))
    prior = 100 * prior_loss(logits, original_raw[..., 0])
    close(clip_term, archive["loss/clip_x40_last_view"])
    close(prior, archive["loss/prior_x100"], 1e-4)
    # The reference reads the four raw outputs of the first white point only.
    first_white = int((rgb[0].sum(-1) > 2.8).nonzero()[0, 0])
    white = original_raw[0, first_white].mean()
    close(white, archive["loss/white_logit_mean"], 1e-4)
    close(clip_term + prior + white, archive["loss/total"], 1e-4)
    (clip_term + prior + white).backward()
    same_direction(model.decoder.fc_out.weight.grad, archive["grad/fc_out_weight"])
    same_direction(model.decoder.fc_out.bias.grad, archive["grad/fc_out_bias"])
    same_direction(model.decoder.fc_p.weight.grad, archive["grad/fc_p_weight"])


def test_white_removal_is_the_intended_mean(reference_dir: Path) -> None:
    archive = np.load(reference_dir / "stage3_shape_texture.npz")
    rgb, original = tensor(archive, "out/rgb_last"), tensor(archive, "out/logits_std")
    white = rgb.numpy().sum(-1) > 2.8
    assert white.any()
    close(white_removal_loss(original, rgb), float(original.numpy()[white].mean()))
