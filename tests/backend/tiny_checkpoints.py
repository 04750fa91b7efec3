"""Makes tiny checkpoints in the layouts of the public ones, whose shapes are known in advance.

IM-NET holds the octahedron |x| + |y| + |z| < 0.3, SS3D a rounded cube, DVR the tiny bundle's octahedron.
GET3D's weights are random: it always has a surface.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.get3d_mapper import Get3dMapper
from backend.mapper import RegressingMapper
from backend.svr.base import SvrModel
from backend.svr.get3d import Get3dModel
from backend.svr.imnet import ImnetModel
from backend.svr.ss3d import DENSITY_SURFACE, OMEGA, Ss3dModel
from tests.backend.tiny_bundle import tiny_svr

FEATURES = 16
"""Of the tiny bundle's CLIP."""
RADIUS = 0.3


def tiny_imnet() -> ImnetModel:
    """value = 0.5 + 0.98 * (RADIUS - |x| - |y| - |z|) while inside [0, 1]."""
    model = ImnetModel(code_size=4, encoder_width=1, widths=(7,)).eval()
    first, second = (model.generator.get_submodule(f"linear_{i}") for i in (1, 2))
    with torch.no_grad():
        for parameter in (*first.parameters(), *second.parameters()):
            parameter.zero_()
        for axis in range(3):
            first.weight[2 * axis, axis], first.weight[2 * axis + 1, axis] = 1.0, -1.0
        first.weight[6, 3] = 0.05  # the code's first number moves the surface
        first.bias[6] = 1.0
        second.weight[0, :6], second.weight[0, 6] = -1.0, 1.0
        second.bias[0] = 0.5 + 0.98 * RADIUS - 1.0
    return model


def tiny_ss3d() -> Ss3dModel:
    """density = 3 + 10 * (sum of sin(cos(0.9 * 2 pi x) / 2) over the axes - 1), for the zero code."""
    model = Ss3dModel(width=4, layers=1).eval()
    waves, modulated, last = model.decoder.net
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
        waves.linear.weight[:3] = torch.eye(3) * 0.9 * 2 * math.pi / OMEGA
        waves.linear.bias[:3] = math.pi / 2 / OMEGA
        modulated.linear.weight[:3, :3] = torch.eye(3) * 0.5 / OMEGA
        last.weight[3, :3] = 10.0
        last.bias[3] = DENSITY_SURFACE - 10.0
        last.weight[0] = 1.0
    return model


def tiny_get3d() -> Get3dModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Get3dModel((4, 4), grid_cells=12).eval()


def tiny_mapper(kind: str) -> RegressingMapper | Get3dMapper:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if kind == "get3d":
            return Get3dMapper(FEATURES, 8, 8, 512)
        return RegressingMapper([FEATURES, {"dvr": 4, "imnet": 4, "ss3d": 8}[kind]])


MODELS = {"dvr": tiny_svr, "imnet": tiny_imnet, "ss3d": tiny_ss3d, "get3d": tiny_get3d}


def public_layout(kind: str, model: SvrModel) -> dict:
    """What the publishers' programs hand to torch.save."""
    weights: dict[str, Tensor] = {
        k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()
    }
    if kind == "get3d":
        return {"G": {}, "G_ema": weights, "D": {}}
    if kind == "dvr":
        state = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
        counts = {"epoch_it": 2, "it": 20000, "loss_val_best": np.float64(-1.5)}
        return {"model": weights, "optimizer": state, **counts}
    return weights


def write_checkpoint(folder: Path, kind: str) -> tuple[Path, Path]:
    """The model's file, and the mapper's file in its own."""
    folder.mkdir(parents=True, exist_ok=True)
    model, mapper = folder / f"{kind}.pt", folder / f"{kind}-mapper.pt"
    torch.save(public_layout(kind, MODELS[kind]()), model)
    torch.save(tiny_mapper(kind).state_dict(), mapper)
    return model, mapper
