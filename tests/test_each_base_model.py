"""A file whose tensors fit several models is drawn on each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from crawlers.hubs.folder import listing_of
from reports.reasons.reason import parse_reasons
from scanner.errors import BaseModelMissing
from scanner.miniature.world import ADAPTERS
from scanner.sampling.base_models import BaseModel, Declared
from scanner.sampling.sampler import Sampler
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.requests import MOST_BASE_MODELS
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.session import ScanSession
from scanner.scanning.worker_answer import SamplerSource
from scanner.settings import Settings
from scanner.triage.header import triage_file
from tests.conftest import NOON, task_of
from tests.opening import open_session

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"
STRANGER = ADAPTERS / "dvx_actor.safetensors"
STYLE = ADAPTERS / "sepia_style.safetensors"


@dataclass(frozen=True, slots=True)
class SeveralBases:
    """The miniature base model under several names: "Other" draws noise, "Absent" is away."""

    source: Any

    def base_for(self, family: str, declared: Declared) -> BaseModel:
        return replace(self.source.base_for("Miniature", declared), family=family)

    def open_sampler(self, base: BaseModel) -> Sampler:
        if base.family == "Absent":
            raise BaseModelMissing("Absent is not here")
        opened: Sampler = self.source.open_sampler(base)
        if base.family == "Other":
            torch.manual_seed(1)
            for parameter in opened._pipeline.unet.up_blocks.parameters():
                parameter.data = 0.05 * torch.randn(parameter.shape)
        return opened


@pytest.fixture(scope="module")
def several(identifier: CheckpointIdentifier) -> CheckpointIdentifier:
    source: SamplerSource = SeveralBases(identifier.source)
    return CheckpointIdentifier(
        source, identifier.pack, identifier.reader, identifier.snapshot, identifier.policy
    )


def request_for(path: Path, families: Iterable[str]) -> SamplingRequest:
    return replace(task_of(path), alternatives=tuple((name, Declared()) for name in families))


@pytest.mark.parametrize("families", [("Other", "Miniature"), ("Miniature", "Absent")])
def test_the_base_model_that_answers_is_named(
    several: CheckpointIdentifier, families: tuple[str, ...]
) -> None:
    verdict = several.identify(request_for(PERSON, families)).verdict
    assert verdict.outcome == "match"
    assert verdict.method is not None
    assert verdict.method.base_model.startswith("Miniature: ")
    codes = {one.code for one in parse_reasons(verdict.reason)}
    assert "drawn-on-each-model" in codes
    assert all(name in verdict.reason for name in families)


def test_nobody_on_any_of_them_is_clear(several: CheckpointIdentifier) -> None:
    verdict = several.identify(request_for(STYLE, ("Miniature", "Other"))).verdict
    assert verdict.outcome in ("clear", "inconclusive")
    assert "fit Miniature and Other alike" in verdict.reason


def test_the_model_on_which_one_face_is_drawn_is_kept(
    several: CheckpointIdentifier,
) -> None:
    """Whoever registers later is searched in it, not in pictures of the wrong model."""
    for families in (("Other", "Miniature"), ("Miniature", "Other")):
        answer = several.identify(request_for(STRANGER, families))
        assert answer.verdict.outcome not in ("match", "possible")
        assert answer.drawing is not None
        assert answer.drawing.draws_one_face
        assert answer.drawing.base_model.startswith("Miniature: ")


def test_nobody_on_some_of_them_says_nothing(several: CheckpointIdentifier) -> None:
    verdict = several.identify(request_for(STYLE, ("Miniature", "Absent"))).verdict
    assert verdict.outcome == "failed"
    assert {one.code for one in parse_reasons(verdict.reason)} == {"not-on-each-model"}
    assert "Absent is not here" in verdict.reason


def test_none_of_them_here_is_a_missing_base_model(several: CheckpointIdentifier) -> None:
    with pytest.raises(BaseModelMissing):
        several.identify(request_for(STYLE, ("Absent",)))


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(settings, clock=lambda: NOON)
    yield opened
    opened.close()


def lora(path: Path, stems: Iterable[str], size: tuple[int, int]) -> Path:
    out, inner = size
    tensors = {}
    for stem in stems:
        tensors[f"{stem}.lora_down.weight"] = np.zeros((4, inner), np.float16)
        tensors[f"{stem}.lora_up.weight"] = np.zeros((out, 4), np.float16)
    save_file(tensors, path)
    return path


def alternatives(session: ScanSession, path: Path) -> tuple[list[str], str | None]:
    listing = listing_of(path)
    request = session.requests.request(
        listing, listing.files[0], triage_file(path), path, only_load=False
    )
    names = [declared.model or family for family, declared in request.alternatives]
    return names, request.problem


def test_a_few_models_that_fit_are_asked_for(scan_session: ScanSession, tmp_path: Path) -> None:
    both = lora(
        tmp_path / "both.safetensors",
        [f"lora_unet_double_blocks_{number}_img_attn_proj" for number in range(18)],
        (3072, 3072),
    )
    few, problem = alternatives(scan_session, both)
    assert (set(few), problem) >= ({"Flux.1", "Chroma"}, None)
    assert len(few) <= MOST_BASE_MODELS
    many = lora(
        tmp_path / "many.safetensors",
        ["lora_unet_double_blocks_0_img_attn_proj"],
        (3072, 3072),
    )
    names, problem = alternatives(scan_session, many)
    assert names == []
    assert "alike" in str(problem)
