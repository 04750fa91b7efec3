"""Evening out a code space: the model computes the same, and every direction becomes visible."""

from pathlib import Path

import torch

from backend.svr.triplane import TriplaneSvr
from backend.training.code_space import EVENED, even_checkpoint
from backend.training.loop import LoopSettings, run_loop


def _tiny() -> TriplaneSvr:
    torch.manual_seed(0)
    return TriplaneSvr(code_size=6, image_size=16, width=8, widths=(12, 12), geometry_channels=4,
                       color_channels=2, hidden=8)  # fmt: skip


def test_evened_model_computes_the_same(tmp_path: Path) -> None:
    model = _tiny()
    images, points = torch.rand(40, 3, 16, 16), torch.rand(40, 20, 3) - 0.5
    with torch.no_grad():
        model.encoder.fc.weight *= torch.tensor([1e5, 1e4, 3e3, 1e3, 300, 100])[:, None]

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        field = model.field(model.encode(images))
        return {"x": field.occupancy(points).square().mean(), "y": field.color(points).mean()}

    settings = LoopSettings(steps=2, learning_rate=1e-5, average=0.5)
    list(run_loop("svr", model, loss, settings, tmp_path))
    with torch.no_grad():
        codes = model.encode(images)
        before = model.occupancy(points, codes)
    writers, readers = model.code_layers()
    names = [name for name, _ in model.named_parameters()]
    even_checkpoint(tmp_path / "svr.pt", codes, writers=writers, readers=readers, parameters=names)
    state = torch.load(tmp_path / "svr.pt", weights_only=True)
    assert state[EVENED]
    model.load_state_dict(state["averaged"])
    with torch.no_grad():
        evened = model.encode(images)
        after = model.occupancy(points, evened)
    assert torch.allclose(before, after, atol=1e-3)
    wide = torch.linalg.svdvals(codes - codes.mean(0))
    even = torch.linalg.svdvals(evened - evened.mean(0))
    expected = (wide / wide[0]) ** 0.25
    assert torch.allclose(even / even[0], expected, rtol=0.02), "deviations became their fourth root"
    forgotten = {names[i] for i in range(len(names)) if i not in state["optimizer"]["state"]}
    assert forgotten == {f"{layer}.{kind}" for layer in (*writers, *readers) for kind in ("weight", "bias")}
    list(run_loop("svr", model, loss, settings.replace(steps=3), tmp_path))


def test_loop_pauses_and_keeps_its_schedule(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    settings = LoopSettings(steps=40, warmup=0, learning_rate=0.1)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"x": model.weight.square().sum()}

    assert [s.step for s in run_loop("x", model, loss, settings, tmp_path, until=20)] == [20]
    assert torch.load(tmp_path / "x.pt", weights_only=True)["step"] == 20
    assert [s.step for s in run_loop("x", model, loss, settings, tmp_path)] == [40]
