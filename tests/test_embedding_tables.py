"""A learned word is refused unless all its tensors are used and every encoder gets a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from scanner.adapters.embeddings import embeddings_in, words_added
from scanner.adapters.families import find_family
from scanner.adapters.kinds import kind_of
from scanner.adapters.loading import loaded_into
from scanner.adapters.reading import anatomy_of
from scanner.errors import UnfaithfulLoad
from tests.test_adapter_formats import digest
from tests.tiny_pipelines import tiny_flux, tiny_sd1, tiny_sd3, tiny_sdxl

MAKERS: dict[str, Callable[[], Any]] = {
    "SD1": tiny_sd1,
    "SDXL": tiny_sdxl,
    "SD3": tiny_sd3,
    "Flux.1": tiny_flux,
}
WIDTH = 32


@pytest.fixture(scope="module")
def pipeline_of() -> Callable[[str], Any]:
    made: dict[str, Any] = {}
    return lambda family: (
        made.setdefault(family, None) or made.update({family: MAKERS[family]()}) or made[family]
    )


def file_of(path: Path, *names: str, vectors: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    tensors = {name: torch.randn(vectors, WIDTH) for name in names}
    save_file(tensors, path)
    return tensors


WHOLE = [
    ("SD1", {"emb_params": "text_encoder"}),
    ("SD1", {"clip_l": "text_encoder"}),
    ("SD1", {"string_to_param.*": "text_encoder"}),
    ("SDXL", {"clip_g": "text_encoder_2", "clip_l": "text_encoder"}),
    ("Flux.1", {"clip_l": "text_encoder", "t5": "text_encoder_2"}),
    ("SD3", {"clip_g": "text_encoder_2", "clip_l": "text_encoder", "t5xxl": "text_encoder_3"}),
]


@pytest.mark.parametrize(
    ("family", "tables"), WHOLE, ids=[f"{family} {'+'.join(names)}" for family, names in WHOLE]
)
def test_every_table_reaches_the_encoder_that_it_is_for(
    family: str, tables: dict[str, str], pipeline_of: Callable[[str], Any], tmp_path: Path
) -> None:
    pipeline, path = pipeline_of(family), tmp_path / "someone.safetensors"
    tensors, before = file_of(path, *tables), digest(pipeline)
    with loaded_into(pipeline, path, "textual-inversion", family, "") as loaded:
        [text] = loaded.words.values()
        for name, encoder in tables.items():
            words = getattr(pipeline, encoder.replace("text_encoder", "tokenizer"))
            rows = getattr(pipeline, encoder).get_input_embeddings().weight[words(text).input_ids]
            found = [
                row for row in rows if any(torch.equal(row, wanted) for wanted in tensors[name])
            ]
            assert len(found) == 2
    assert digest(pipeline) == before


REFUSED = [
    ("SD1", ("emb_params", "emp_params_out"), "emp_params_out"),
    ("SD1", ("emb_params", "emb_params_out"), "emb_params_out"),
    ("SD1", ("emb_params", "somebody_else"), "somebody_else"),
    ("SD1", ("clip_l", "clip_g"), "clip_g"),
    ("SD1", ("emb_params", "string_to_param.*"), "string_to_param"),
    ("SD1", ("clip_l", "emb_params"), "emb_params"),
    ("SD1", ("emb_params", "clip_l"), "emb_params"),
    ("SDXL", ("clip_l", "clip_g", "emb_params"), "emb_params"),
    ("SDXL", ("clip_l", "string_to_param.*", "clip_g"), "string_to_param"),
    ("Flux.1", ("clip_l", "t5", "emp_params"), "emp_params"),
    ("Flux.1", ("clip_l", "t5", "t5xxl"), "t5xxl"),
    ("SDXL", ("clip_g",), "clip_l"),
    ("SDXL", ("clip_l",), "clip_g"),
    ("SDXL", ("emb_params",), "clip_g"),
    ("SDXL", ("clip_l", "clip_g", "clip_l_out"), "clip_l_out"),
    ("Flux.1", ("clip_l", "t5", "clip_l_out", "t5_out"), "_out"),
    ("Flux.1", ("clip_l",), "t5"),
    ("Flux.1", ("t5",), "clip_l"),
    ("Flux.1", ("clip_l", "clip_g", "t5"), "clip_g"),
    ("SD3", ("clip_l", "clip_g"), "t5"),
]


@pytest.mark.parametrize(
    ("family", "names", "told"), REFUSED, ids=[f"{row[0]} {'+'.join(row[1])}" for row in REFUSED]
)
def test_what_would_go_in_only_in_part_is_refused_with_its_name(
    family: str,
    names: tuple[str, ...],
    told: str,
    pipeline_of: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    pipeline, path = pipeline_of(family), tmp_path / "someone.safetensors"
    file_of(path, *names)
    before = digest(pipeline)
    with (
        pytest.raises(UnfaithfulLoad, match=told),
        loaded_into(pipeline, path, "textual-inversion", family, ""),
    ):
        pass
    assert digest(pipeline) == before


def test_what_a1111_keeps_beside_its_table_says_nothing_of_images(
    pipeline_of: Callable[[str], Any], tmp_path: Path
) -> None:
    path = tmp_path / "someone.safetensors"
    save_file(
        {
            "string_to_param.*": torch.randn(2, WIDTH),
            "string_to_token.*": torch.tensor(265),
            "step": torch.tensor(9),
        },
        path,
    )
    with loaded_into(pipeline_of("SD1"), path, "textual-inversion", "SD1", "") as loaded:
        assert len(loaded.words) == 1


def test_words_in_an_adapter_need_a_table_for_every_encoder_too(
    pipeline_of: Callable[[str], Any], tmp_path: Path
) -> None:
    sdxl, path = pipeline_of("SDXL"), tmp_path / "bundle.safetensors"
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    out, inner = sdxl.unet.get_submodule(layer).weight.shape
    lora = {
        f"unet.{layer}.lora_A.weight": torch.randn(1, inner),
        f"unet.{layer}.lora_B.weight": torch.randn(out, 1),
    }
    tables = {f"bundle_emb.ohwx.{name}": torch.randn(2, WIDTH) for name in ("clip_g", "clip_l")}
    save_file({**lora, **tables}, path)
    with loaded_into(sdxl, path, "lora", "SDXL", "") as loaded:
        assert len(loaded.words) == 1
    for broken in (
        {"bundle_emb.ohwx.clip_l": torch.randn(2, WIDTH)},
        {**tables, "bundle_emb.ohwx.clip_l_out": torch.randn(2, WIDTH)},
    ):
        save_file({**lora, **broken}, path)
        with (
            pytest.raises(UnfaithfulLoad, match=r"clip_g|clip_l_out"),
            loaded_into(sdxl, path, "lora", "SDXL", ""),
        ):
            pass


@pytest.mark.parametrize(
    ("family", "names"),
    [("SD1", ("clip_l", "emb_params")), ("SDXL", ("emb_params", "clip_l", "clip_g"))],
)
def test_words_in_an_adapter_have_one_table_for_each_encoder(
    family: str, names: tuple[str, ...], pipeline_of: Callable[[str], Any]
) -> None:
    pipeline = pipeline_of(family)
    before = digest(pipeline)
    with (
        pytest.raises(UnfaithfulLoad, match="second table for clip_l"),
        words_added(pipeline, {"ohwx": {name: torch.randn(2, WIDTH) for name in names}}),
    ):
        pass
    assert digest(pipeline) == before


FAMILIES = [
    ({"clip_l": (2, 768), "emb_params": (2, 768)}, "unknown", "emb_params"),
    ({"clip_l": (2, 768), "clip_g": (2, 1280), "emb_params": (2, 1280)}, "unknown", "emb_params"),
    (
        {"clip_l": (2, 768), "t5": (2, 4096), "clip_l_out": (2, 768), "t5_out": (2, 4096)},
        "Flux.1",
        "_out",
    ),
    ({"clip_l": (2, 768), "t5": (2, 4096)}, "Flux.1", ""),
    ({"clip_l": (2, 768), "clip_g": (2, 1280), "t5": (2, 4096)}, "SD3", ""),
    ({"emb_params": (4, 768), "emp_params_out": (4, 768)}, "SD1", "emp_params_out"),
    ({"clip_g": (4, 1280)}, "unknown", "Stable Cascade and SDXL"),
    ({"<person>": (1280,)}, "unknown", "Stable Cascade and SDXL"),
    ({"clip_l": (4, 768)}, "unknown", "SD1, SDXL and Flux.1"),
    ({"t5": (4, 4096)}, "unknown", "Flux.1"),
    ({"<one>": (768,), "<two>": (1024,)}, "unknown", "<one>, <two>"),
]


@pytest.mark.parametrize(("shapes", "family", "problem"), FAMILIES)
def test_the_tables_tell_the_family_or_which_it_can_be(
    shapes: dict[str, tuple[int, ...]], family: str, problem: str
) -> None:
    finding = find_family(shapes, {})
    assert (kind_of(shapes), finding.family) == ("textual-inversion", family)
    assert (problem in str(finding.problem)) if problem else finding.problem is None


NAMES = st.sampled_from(
    [
        "emb_params",
        "clip_l",
        "clip_g",
        "t5",
        "t5_out",
        "clip_l_out",
        "<a>",
        "step",
        "other",
        "string_to_param.*",
    ]
)


@given(st.sets(NAMES, min_size=1, max_size=5), st.booleans())
def test_no_table_is_passed_over(names: set[str], bundled: bool) -> None:
    prefix = "bundle_emb.ohwx." if bundled else ""
    tensors = {prefix + name: torch.zeros(2, 4) for name in names}
    if bundled:
        anatomy = anatomy_of(tensors, {})
        used = sum(len(tables) for tables in anatomy.embeddings.values()) + len(anatomy.leftover)
    else:
        try:
            used = sum(len(tables) for tables in embeddings_in(tensors, "a").values())
        except UnfaithfulLoad as error:
            assert any(name in str(error) for name in names)
            return
    assert used == len(tensors)
