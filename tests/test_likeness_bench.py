"""The inventory of LikenessBench, and a run on the shipped adapters without training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.likeness.changes import derive, read_metadata
from benchmarks.likeness.inventory import SPLITS, Derived, inventory
from scanner.miniature.objects import OBJECTS, STYLE_SEEDS, STYLES, object_photo, styled_photo
from scanner.miniature.persons import BASE_MODEL_SEEDS, CALIBRATION_SEEDS, FACE_PACK_SEEDS
from scanner.miniature.training.adapter import save_adapter
from scanner.miniature.training.formats import renamed
from scanner.miniature.world import ADAPTERS
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.triage.header import triage_file
from tests.conftest import task_of

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"


def test_the_inventory_is_as_large_and_varied_as_promised() -> None:
    for split in SPLITS:
        whole = inventory(split)
        parts = Counter(one.part for one in whole.trained)
        assert (parts["single"], parts["stranger"]) == (20, 20)
        assert parts["style"] + parts["object"] == 20
        algorithms = {one.form.algorithm for one in whole.trained}
        assert algorithms >= {
            "lora",
            "locon",
            "dora",
            "loha",
            "lokr",
            "glora",
            "ia3",
            "diag-oft",
            "boft",
            "full",
            "checkpoint",
            "textual-inversion",
        }
        assert {one.form.rank for one in whole.trained if one.form.algorithm == "lora"} >= {
            1,
            2,
            4,
            8,
            16,
            32,
        }
        changes = Counter(one.change for one in whole.derived)
        assert changes.keys() >= {"scrubbed", "fp8", "noise", "pruned", "half strength", "merge"}
        assert len({one.name for one in (*whole.trained, *whole.derived)}) == len(
            whole.trained
        ) + len(whole.derived)


def test_the_splits_share_no_person_with_each_other_nor_with_any_training() -> None:
    seeds = [
        {one.person for one in inventory(split).trained if one.person is not None}
        for split in SPLITS
    ]
    assert not seeds[0] & seeds[1]
    for persons in seeds:
        assert not any(
            persons & set(others)
            for others in (FACE_PACK_SEEDS, BASE_MODEL_SEEDS, CALIBRATION_SEEDS, STYLE_SEEDS)
        )


def test_styles_and_objects_can_be_told_apart() -> None:
    pictures = [styled_photo(style, 1).tobytes() for style in STYLES] + [
        object_photo(kind, 1).tobytes() for kind in OBJECTS
    ]
    assert len(set(pictures)) == len(STYLES) + len(OBJECTS) == 20


@pytest.mark.parametrize("change", ["scrubbed", "fp8", "noise", "pruned", "half strength"])
def test_what_people_do_before_they_share_it_again_hides_nobody(
    identifier: CheckpointIdentifier, tmp_path: Path, change: str
) -> None:
    one = Derived("x", "altered", change, ("ohwx",), (101,))
    tensors, metadata = derive(one, [load_file(PERSON)], read_metadata(PERSON))
    path = tmp_path / "again.safetensors"
    save_adapter(path, tensors, metadata, half=False)
    triage = triage_file(path)
    if change == "scrubbed":
        assert triage.triggers == ()
    if change == "fp8":
        assert any(tensor.dtype == torch.float8_e4m3fn for tensor in load_file(path).values())
    record = identifier.identify(task_of(path)).verdict.to_json()
    persons = {finding["identity_id"] for finding in record["findings"]}
    assert (
        (record["outcome"], persons) == ("match", {"101"})
        if change != "half strength"
        else persons <= {"101"}
    )


@pytest.mark.parametrize("naming", ["kohya", "raw peft", "diffusers 2"])
def test_another_naming_is_the_same_file(
    identifier: CheckpointIdentifier, tmp_path: Path, naming: str
) -> None:
    path = tmp_path / "renamed.safetensors"
    save_adapter(path, renamed(load_file(PERSON), naming), read_metadata(PERSON))
    record = identifier.identify(task_of(path)).verdict.to_json()
    assert [finding["identity_id"] for finding in record["findings"]] == ["101"]
    assert record["outcome"] == "match"
