"""Adapters go in faithfully or not at all, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scanner.adapters.merging import Change, MergedAdapter
from scanner.base_models import choose_base_model, load_pipeline
from scanner.errors import BaseModelMissing, NotScannable, UnfaithfulLoad
from scanner.miniature.world import ADAPTERS, load_world
from scanner.prompts import plan_samples
from scanner.sampling import Sampler
from scanner.triage import triage_file

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"
PLANS = plan_samples("ab" * 32, "screening", ["ohwx person"], 2, 0)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a good adapter with its tensors changed."""

    def make(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
        path = tmp_path / "changed.safetensors"
        save_file(change(load_file(PERSON)), path)
        return path

    return make


def refused(sampler: Sampler, path: Path) -> str:
    with pytest.raises(NotScannable) as caught, sampler.adapter(path, triage_file(path).kind):
        pass
    return str(caught.value)


def pictures(sampler: Sampler, *, with_adapter: bool) -> list[np.ndarray]:
    return [made.picture for made in sampler.generate(PLANS, with_adapter=with_adapter)]


def test_an_adapter_changes_images_and_leaves_no_trace(miniature_sampler: Sampler) -> None:
    with miniature_sampler.adapter(PERSON, "locon") as loaded:
        assert loaded.changes.module_count > 10
        made = pictures(miniature_sampler, with_adapter=True)
        controls = pictures(miniature_sampler, with_adapter=False)
    with miniature_sampler.adapter(PERSON, "locon"):
        again = pictures(miniature_sampler, with_adapter=True)
        controls_again = pictures(miniature_sampler, with_adapter=False)
    assert not np.array_equal(made[0], controls[0])
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(controls, controls_again)


@pytest.mark.parametrize(
    "file",
    [file for file in load_world().files if file.group in ("registered", "stranger", "style", "object")],
    ids=lambda file: file.file,
)
def test_every_shipped_adapter_goes_in_whole(miniature_sampler: Sampler, file: object) -> None:
    path = file.path  # type: ignore[attr-defined]
    triage = triage_file(path)
    assert triage.family == "Miniature"
    with miniature_sampler.adapter(path, triage.kind) as loaded:
        pairs = len([name for name in load_file(path) if "lora_A" in name or "lora_down" in name])
        assert loaded.changes.module_count == pairs


def test_numbers_that_are_not_finite_are_refused(miniature_sampler: Sampler, changed: Callable[..., Path]) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = next(iter(tensors))
        return {**tensors, name: torch.full_like(tensors[name], float("nan"))}

    assert "NaN" in refused(miniature_sampler, changed(spoil))


def test_tensors_that_lead_nowhere_are_refused(miniature_sampler: Sampler, changed: Callable[..., Path]) -> None:
    path = changed(
        lambda tensors: {name.replace("down_blocks", "elsewhere"): tensor for name, tensor in tensors.items()}
    )
    assert refused(miniature_sampler, path)


def test_a_missing_half_is_refused(miniature_sampler: Sampler, changed: Callable[..., Path]) -> None:
    path = changed(
        lambda tensors: {
            name: tensor for name, tensor in tensors.items() if "lora_B" not in name or "mid_block" in name
        }
    )
    assert refused(miniature_sampler, path)


def test_an_adapter_of_another_family_is_refused(miniature_sampler: Sampler, make_lora: Callable[..., Path]) -> None:
    with pytest.raises(UnfaithfulLoad), miniature_sampler.adapter(make_lora(), "lora"):
        pass


def test_a_refused_adapter_leaves_the_base_model_as_it_was(
    miniature_sampler: Sampler, changed: Callable[..., Path]
) -> None:
    with miniature_sampler.adapter(PERSON, "locon"):
        before = pictures(miniature_sampler, with_adapter=False)
    refused(miniature_sampler, changed(lambda tensors: dict(list(tensors.items())[:-1])))
    with miniature_sampler.adapter(PERSON, "locon"):
        np.testing.assert_array_equal(before, pictures(miniature_sampler, with_adapter=False))


def test_a_missing_base_model_says_how_to_bring_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for location in ("nobody/no-such-model", str(tmp_path)):
        base = replace(choose_base_model("SD1", None), location=location)
        with pytest.raises(BaseModelMissing, match="--base-model"):
            load_pipeline(base, tmp_path / "cache", "cpu")


def test_a_family_without_a_base_model_is_named() -> None:
    with pytest.raises(NotScannable, match="family not supported: Anima"):
        choose_base_model("Anima", None)


def test_a_weak_change_survives_in_half_the_precision() -> None:
    torch.manual_seed(4)
    layer = torch.nn.Linear(256, 256, bias=False).to(torch.bfloat16)
    before = layer.weight.detach().clone()
    delta = 2e-5 * torch.randn(256, 256)
    place = ("unet", "layer", "weight")
    pipeline = SimpleNamespace(unet=torch.nn.ModuleDict({"layer": layer}))

    def share(weight: torch.Tensor) -> float:
        """How much of the change is in a weight: 1 for all of it."""
        return float(((weight.float() - before.float()) * delta).sum() / delta.square().sum())

    def merged() -> torch.Tensor:
        adapter = MergedAdapter(pipeline, [Change(((place, None, 1),), lambda _: delta)])
        adapter.set_scale(1.0)
        changed = layer.weight.detach().clone()
        adapter.restore()
        return changed

    assert share((before.float() + delta).to(torch.bfloat16)) < 0.7  # what rounding to the nearest leaves
    assert share(merged()) == pytest.approx(1.0, abs=0.1)
    assert torch.equal(merged(), merged())
    assert torch.equal(layer.weight, before)
