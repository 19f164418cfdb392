"""What is drawn is asked for by content: a base model that was moved is still the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from scanner.sampling.base_models import MINIATURE_WEIGHTS, choose_base_model, content_of


def test_a_base_model_that_was_moved_is_the_same_and_a_changed_one_another(tmp_path: Path) -> None:
    moved, changed = tmp_path / "moved", tmp_path / "changed"
    for folder in (moved, changed):
        shutil.copytree(MINIATURE_WEIGHTS / "base_model", folder)
    weights = next(changed.rglob("unet/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    contents = [
        content_of(choose_base_model("Miniature", location))
        for location in (None, str(moved), str(changed))
    ]
    assert contents[0] == contents[1] != contents[2]


def test_a_single_file_is_named_by_its_hash_and_a_hub_by_its_id(tmp_path: Path) -> None:
    for name in ("one.safetensors", "two.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
    one, two = (
        content_of(choose_base_model("SD1", str(tmp_path / name)))
        for name in ("one.safetensors", "two.safetensors")
    )
    assert one == two
    assert len(one) == 64
    assert content_of(choose_base_model("SD1", "org/model")) == "org/model"
