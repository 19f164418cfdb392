"""Adapters are loaded completely or not at all, and the pipeline is restored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scanner.adapters.cuda_graphs import record
from scanner.adapters.merging import Change, MergedAdapter
from scanner.adapters.reading import _sent
from scanner.adapters.targets import networks_of
from scanner.errors import BaseModelMissing, NotScannable, UnfaithfulLoad
from scanner.miniature.world import ADAPTERS, load_world
from scanner.records import Question
from scanner.sampling.base_models import choose_base_model, load_pipeline
from scanner.sampling.image_check import NothingUnsafe
from scanner.sampling.plans import PlanBasis, plan_samples
from scanner.sampling.sampler import Sampler
from scanner.triage.header import triage_file

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"
PLANS = plan_samples(PlanBasis("ab" * 32), "screening", [Question("ohwx person")], 2)


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
    [
        file
        for file in load_world().files
        if file.group in ("registered", "stranger", "style", "object")
    ],
    ids=lambda file: file.file,
)
def test_every_shipped_adapter_goes_in_whole(miniature_sampler: Sampler, file: object) -> None:
    path = file.path  # type: ignore[attr-defined]
    triage = triage_file(path)
    assert triage.family == "Miniature"
    with miniature_sampler.adapter(path, triage.kind) as loaded:
        pairs = len([name for name in load_file(path) if "lora_A" in name or "lora_down" in name])
        assert loaded.changes.module_count == pairs


def test_numbers_that_are_not_finite_are_refused(
    miniature_sampler: Sampler, changed: Callable[..., Path]
) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = next(iter(tensors))
        return {**tensors, name: torch.full_like(tensors[name], float("nan"))}

    assert "NaN" in refused(miniature_sampler, changed(spoil))


def test_tensors_that_lead_nowhere_are_refused(
    miniature_sampler: Sampler, changed: Callable[..., Path]
) -> None:
    path = changed(
        lambda tensors: {
            name.replace("down_blocks", "elsewhere"): tensor for name, tensor in tensors.items()
        }
    )
    assert refused(miniature_sampler, path)


def test_a_missing_half_is_refused(
    miniature_sampler: Sampler, changed: Callable[..., Path]
) -> None:
    path = changed(
        lambda tensors: {
            name: tensor
            for name, tensor in tensors.items()
            if "lora_B" not in name or "mid_block" in name
        }
    )
    assert refused(miniature_sampler, path)


def test_an_adapter_of_another_family_is_refused(
    miniature_sampler: Sampler, make_lora: Callable[..., Path]
) -> None:
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


def test_a_missing_base_model_says_how_to_bring_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for location in ("nobody/no-such-model", str(tmp_path)):
        base = replace(choose_base_model("SD1", None), location=location)
        with pytest.raises(BaseModelMissing, match="--base-model"):
            load_pipeline(base, tmp_path / "cache", "cpu")


def test_a_family_without_a_base_model_is_named() -> None:
    with pytest.raises(NotScannable, match="family not supported: Anima"):
        choose_base_model("Anima", None)


def test_weights_that_must_stay_in_their_place_give_the_same_images(
    miniature_sampler: Sampler,
) -> None:
    """A GPU's recorded kernels address weights by memory; images must not depend on that."""
    with miniature_sampler.adapter(PERSON, "locon"):
        expected = (
            pictures(miniature_sampler, with_adapter=True),
            pictures(miniature_sampler, with_adapter=False),
        )
    pipeline = load_pipeline(miniature_sampler.base, Path(), "cpu")
    before = (
        [parameter.data_ptr() for parameter in pipeline.unet.parameters()],
        pipeline.unet.state_dict(),
    )
    originals = {name: tensor.clone() for name, tensor in before[1].items()}
    for network in networks_of(pipeline).values():
        record(network)
    sampler = Sampler(miniature_sampler.base, Path(), "cpu", NothingUnsafe(), pipeline=pipeline)
    with sampler.adapter(PERSON, "locon"):
        made = pictures(sampler, with_adapter=True), pictures(sampler, with_adapter=False)
    np.testing.assert_array_equal(made, expected)
    assert [parameter.data_ptr() for parameter in pipeline.unet.parameters()] == before[0]
    assert all(
        torch.equal(tensor, originals[name]) for name, tensor in pipeline.unet.state_dict().items()
    )


def test_kernels_that_cannot_be_recorded_are_launched_one_by_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory for a graph")

    layer = torch.nn.Linear(4, 4)
    given = torch.ones(1, 4)
    with torch.no_grad():
        expected = layer(given)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr("scanner.adapters.cuda_graphs._Recorded._record", no_memory)
        record(layer)
        assert all(torch.equal(layer(given), expected) for _ in range(3))
    assert caplog.text.count("cannot be recorded") == 1


def test_a_file_sent_whole_is_read_as_it_is_tensor_by_tensor(tmp_path: Path) -> None:
    """safetensors itself writes wide numbers first; another writer's may begin at an odd byte."""
    tensors = {
        "bytes": torch.arange(7, dtype=torch.uint8),
        "alpha": torch.tensor(3.0),
        "half": torch.randn(3, 5).half(),
        "quarter": torch.randn(2, 2).to(torch.float8_e4m3fn),
        "none": torch.zeros(0, 4),
    }
    types = {
        torch.uint8: "U8",
        torch.float32: "F32",
        torch.float16: "F16",
        torch.float8_e4m3fn: "F8_E4M3",
    }
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = bytes(tensor.flatten().view(torch.uint8).tolist()) if tensor.numel() else b""
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {
            "dtype": types[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": offsets,
        }
        data += raw
    written = json.dumps(header).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(written).to_bytes(8, "little") + written + data)
    with safe_open(path, "pt") as file:
        sent = _sent(file, path, "cpu")
    assert sent.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (sent[name].dtype, sent[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(sent[name].float(), tensor.float())


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

    assert (
        share((before.float() + delta).to(torch.bfloat16)) < 0.7
    )  # what rounding to the nearest leaves
    assert share(merged()) == pytest.approx(1.0, abs=0.1)
    assert torch.equal(merged(), merged())
    assert torch.equal(layer.weight, before)
