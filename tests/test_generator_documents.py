"""Generators with JSON documents of their own, from SwarmUI to Tensor.Art, and other texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.captures.images.generators.documents import read_document
from crawlers.captures.images.provenance import provenance_of
from tests.servers import pictures
from tests.servers.parameters import chunked, commented, tiff, with_exif

A, B, C = (sign * 64 for sign in "abc")
BLAKE = f"blake3:{'7b' * 32}"


def said(data: bytes) -> tuple[str | None, str | None, list[tuple[str, str]]]:
    found = provenance_of(data)
    return found.generator, found.prompt, [(one.role, one.text) for one in found.ingredients]


class TestSwarmUi:
    PARAMS: dict[str, Any] = {  # noqa: RUF012
        "prompt": "portrait of ohwx",
        "negativeprompt": "blurry <lora:no:1>",
        "model": "qwen/Qwen.gguf",
        "seed": 1,
        "steps": 4,
        "loras": ["people/ohwx_v3", "fast/4steps"],
        "loraweights": ["0.9", "1"],
        "swarm_version": "0.9.7.0",
    }
    MODELS = [  # noqa: RUF012
        {"name": "qwen/Qwen.gguf", "param": "model", "hash": f"0x{A}"},
        {"name": "people/ohwx_v3.safetensors", "param": "loras", "hash": f"0x{B.upper()}"},
        {"name": "fast/4steps.safetensors", "param": "loras", "hash": f"0x{C}"},
        {"name": "ae.safetensors", "param": "vae", "hash": f"0x{'d' * 64}"},
    ]
    SAID = (
        "SwarmUI",
        "portrait of ohwx",
        [
            ("base model", f"qwen/Qwen.gguf ({A})"),
            ("adapter", f"people/ohwx_v3 ({B})"),
            ("adapter", f"fast/4steps ({C})"),
        ],
    )

    def text(self, **changes: Any) -> str:
        return json.dumps(
            {
                "sui_image_params": self.PARAMS | changes,
                "sui_extra_data": {"date": "2025-10-06"},
                "sui_models": self.MODELS,
            },
            indent=2,
            ensure_ascii=False,
        )

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
    @pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
    def test_it_is_read_from_exif(self, kind: str, encoding: str) -> None:
        assert said(commented(b"UNICODE\0" + self.text().encode(encoding), kind=kind)) == self.SAID

    def test_it_is_read_from_chunks_and_from_where_it_lay_before(self) -> None:
        assert said(chunked(parameters=self.text())) == self.SAID
        assert (
            said(with_exif("JPEG", tiff("<", {0x0110: (2, self.text().encode() + b"\0")})))
            == self.SAID
        )

    def test_lists_may_be_texts(self) -> None:
        assert (
            said(
                chunked(
                    parameters=self.text(loras="people/ohwx_v3,fast/4steps", loraweights="0.9,1")
                )
            )
            == self.SAID
        )

    def test_an_adapter_of_no_weight_is_not_told(self) -> None:
        found = said(
            chunked(parameters=self.text(loraweights=["0", "1"], loratencweights=["0", "1"]))
        )
        assert [told for role, told in found[2] if role == "adapter"] == [f"fast/4steps ({C})"]

    def test_without_hashes_there_are_names(self) -> None:
        told = json.dumps(
            {
                "sui_image_params": {
                    "prompt": "x",
                    "model": "a/b",
                    "loras": ["c"],
                    "refinermodel": "d",
                }
            }
        )
        assert said(chunked(parameters=told)) == (
            "SwarmUI",
            "x",
            [("base model", "a/b"), ("base model", "d"), ("adapter", "c")],
        )


INVOKE = {
    "of today": {
        "generation_mode": "flux_txt2img",
        "positive_prompt": "portrait of ohwx",
        "negative_prompt": None,
        "app_version": "5.4.3",
        "model": {
            "key": "9f58",
            "hash": f"blake3:{'6a' * 32}",
            "name": "FLUX Dev",
            "base": "flux",
            "type": "main",
        },
        "loras": [
            {
                "model": {
                    "key": "1",
                    "hash": BLAKE,
                    "name": "ohwx",
                    "base": "flux",
                    "type": "lora",
                },
                "weight": 0.75,
            },
            {"model": {"name": "unused", "hash": BLAKE}, "weight": 0},
        ],
    },
    "of version 3": {
        "positive_prompt": "portrait of ohwx",
        "negative_prompt": "blurry",
        "app_version": "3.0.2",
        "model": {"model_name": "FLUX Dev", "base_model": "sdxl"},
        "loras": [{"lora": {"model_name": "ohwx", "base_model": "sdxl"}, "weight": 0.75}],
    },
}


def test_invokeais_hashes_are_of_the_algorithm_that_they_name() -> None:
    found = said(chunked(invokeai_metadata=json.dumps(INVOKE["of today"]), invokeai_graph="{}"))
    assert found == (
        "InvokeAI",
        "portrait of ohwx",
        [("base model", f"FLUX Dev (blake3:{'6a' * 32})"), ("adapter", f"ohwx ({BLAKE})")],
    )
    assert [
        one.digest
        for one in provenance_of(
            chunked(invokeai_metadata=json.dumps(INVOKE["of today"]))
        ).ingredients
    ] == [None, None]
    assert said(chunked(invokeai_metadata=json.dumps(INVOKE["of version 3"])))[2] == [
        ("base model", "FLUX Dev"),
        ("adapter", "ohwx"),
    ]


def test_invokeais_older_forms() -> None:
    told = {
        "model": "stable diffusion",
        "model_weights": "sd-1.5",
        "model_hash": A,
        "app_id": "invoke-ai/InvokeAI",
        "image": {
            "prompt": [{"prompt": "portrait of ohwx [blurry]", "weight": 1}],
            "sampler": "k_euler",
        },
    }
    assert said(
        chunked(
            **{"sd-metadata": json.dumps(told), "Dream": '"portrait of ohwx [blurry]" -s 50 -S 1'}
        )
    ) == (
        "InvokeAI",
        "portrait of ohwx",
        [("base model", f"sd-1.5 ({A})")],
    )
    assert said(chunked(Dream='"portrait of ohwx [blurry]" -s 50 -S 1 -W 512')) == (
        "InvokeAI",
        "portrait of ohwx",
        [],
    )


class TestFooocus:
    TOLD: dict[str, Any] = {  # noqa: RUF012
        "base_model": "someXL",
        "base_model_hash": "1a2b3c4d5e",
        "full_prompt": ["portrait of ohwx, cinematic"],
        "lora_combined_1": "ohwx : 0.8",
        "loras": [["ohwx", 0.8, "95d20eda2f"], ["unused", 0.0, "1234567890"]],
        "metadata_scheme": "fooocus",
        "negative_prompt": "blurry",
        "performance": "Speed",
        "prompt": "portrait of ohwx",
        "refiner_model": "None",
        "sharpness": 2,
        "version": "Fooocus v2.5.5",
    }
    SAID = (
        "Fooocus",
        "portrait of ohwx",
        [("base model", "someXL (1a2b3c4d5e)"), ("adapter", "ohwx (95d20eda2f)")],
    )

    def test_png_and_exif(self) -> None:
        text = json.dumps(self.TOLD)
        assert said(chunked(parameters=text, fooocus_scheme="fooocus")) == self.SAID
        tags = {
            0x9286: (2, text.encode() + b"\0"),
            0x927C: (2, b"fooocus\0"),
            0x0131: (2, b"Fooocus v2.5.5\0"),
        }
        assert said(with_exif("JPEG", tiff(">", tags))) == self.SAID
        assert said(pictures.plain("JPEG", comment=text.encode())) == self.SAID

    def test_the_web_uis_form(self) -> None:
        text = (
            "portrait of ohwx\nNegative prompt: blurry\n"
            "Steps: 30, Sampler: DPM++ 2M SDE, Seed: 1, Size: 896x1152, "
            'CFG scale: 4, Model: someXL, Model hash: 1a2b3c4d5e, Lora hashes: "ohwx: 95d20eda2f", '
            'Lora weights: "ohwx: 0.8", Version: Fooocus v2.5.5'
        )
        assert said(chunked(parameters=text, fooocus_scheme="a1111")) == self.SAID

    def test_the_labels_of_its_log(self) -> None:
        told = {
            "Prompt": "portrait of ohwx",
            "Negative Prompt": "blurry",
            "Base Model": "someXL.safetensors",
            "Refiner Model": "None",
            "LoRA 1": "ohwx.safetensors : 0.8",
            "LoRA 2": "unused : 0",
            "Performance": "Speed",
            "Version": "v2.1.8",
        }
        assert said(chunked(parameters=json.dumps(told))) == (
            "Fooocus",
            "portrait of ohwx",
            [("base model", "someXL.safetensors"), ("adapter", "ohwx.safetensors")],
        )

    def test_a_fork(self) -> None:
        told = {
            "Prompt": "portrait of ohwx",
            "Negative": "blurry",
            "base_model_name": "someXL.safetensors",
            "base_model_hash": "1a2b3c4d5e",
            "loras": [["95d20eda2f", "0.8 - ohwx.safetensors"]],
            "software": "RuinedFooocus",
        }
        assert said(chunked(parameters=json.dumps(told))) == (
            "RuinedFooocus",
            "portrait of ohwx",
            [
                ("base model", "someXL.safetensors (1a2b3c4d5e)"),
                ("adapter", "ohwx.safetensors (95d20eda2f)"),
            ],
        )


def test_novelai() -> None:
    comment = {
        "prompt": "portrait of ohwx",
        "uc": "blurry",
        "sampler": "k_euler",
        "v4_prompt": {"caption": {"base_caption": "portrait of ohwx"}},
    }
    data = chunked(
        Title="AI generated image",
        Description="portrait of ohwx",
        Software="NovelAI",
        Source="NovelAI Diffusion V4 37442FCA",
        Comment=json.dumps(comment),
    )
    assert said(data) == (
        "NovelAI",
        "portrait of ohwx",
        [("base model", "NovelAI Diffusion V4 (37442fca)")],
    )


def test_draw_things() -> None:
    told = {
        "c": "portrait of ohwx",
        "uc": "blurry",
        "model": "flux_1_dev_q8p.ckpt",
        "lora": [
            {"model": "ohwx_lora_f16.ckpt", "weight": 0.6},
            {"model": "unused.ckpt", "weight": 0},
        ],
        "sampler": "DPM++",
        "v2": {"model": "flux_1_dev_q8p.ckpt"},
    }
    inside = json.dumps(told).replace("&", "&amp;")
    data = pictures.xmp(
        dc__description="portrait of ohwx", xmp__CreatorTool="Draw Things", exif__UserComment=inside
    )
    assert said(data) == (
        "Draw Things",
        "portrait of ohwx",
        [("base model", "flux_1_dev_q8p.ckpt"), ("adapter", "ohwx_lora_f16.ckpt")],
    )


def test_easy_diffusion() -> None:
    fields = {
        "prompt": "portrait of ohwx",
        "negative_prompt": "blurry",
        "use_stable_diffusion_model": "someXL",
        "use_lora_model": '["ohwx", "unused"]',
        "lora_alpha": "[0.5, 0]",
        "seed": "1",
    }
    expected = (
        "Easy Diffusion",
        "portrait of ohwx",
        [("base model", "someXL"), ("adapter", "ohwx")],
    )
    assert said(chunked(**fields)) == expected
    told = {
        "Prompt": "portrait of ohwx",
        "Negative Prompt": "blurry",
        "Stable Diffusion model": "someXL",
        "LoRA model": ["ohwx"],
        "LoRA alpha": [0.5],
    }
    assert said(commented(b"UNICODE\0" + json.dumps(told).encode("utf-16-be"))) == expected


def test_tensor_art_names_files_that_its_graph_hides() -> None:
    told = {
        "models": [
            {
                "type": "LORA",
                "modelId": "1",
                "weight": 0.8,
                "modelFileName": "ohwx",
                "hash": B.upper(),
            },
            {"type": "LORA", "weight": 0, "modelFileName": "unused"},
            {"type": "VAE", "modelFileName": "v"},
        ],
        "prompt": "portrait of ohwx",
        "negativePrompt": "blurry",
        "baseModel": {"label": "Some XL", "modelFileName": "someXL", "hash": A.upper()},
    }
    graph = {
        "1": {
            "class_type": "ECHOCheckpointLoaderSimple",
            "inputs": {"ckpt_name": "EMS-1-EMS.safetensors"},
        },
        "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["3", 0]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}},
    }
    data = chunked(generation_data=(json.dumps(told) + "\0", "tEXt"), prompt=json.dumps(graph))
    assert said(data) == (
        "Tensor.Art",
        "portrait of ohwx",
        [("base model", f"someXL ({A})"), ("adapter", f"ohwx ({B})")],
    )


@pytest.mark.parametrize(
    "description",
    [
        "Run it with: tool --v 2 --ar x; see the manual",
        "Run it with: tool --v 6.1 --ar 3:2 --stylize 100",
        "Job ID: none",
        "a manual about --niji and Job ID: 1234",
        "Steps: see chapter --v 5 ",
    ],
)
def test_sentences_of_a_manual_are_no_midjourney(description: str) -> None:
    assert said(chunked(Description=description)) == (None, None, [])
    assert said(pictures.xmp(dc__description=description)) == (None, None, [])


def test_midjourney_is_told_by_its_job() -> None:
    told = "portrait of ohwx --ar 2:3 --v 6.1 Job ID: 123e4567-e89b-12d3-a456-426614174000"
    for data in (
        chunked(Description=told, Author="x"),
        pictures.xmp(dc__description=told),
        with_exif("JPEG", tiff("<", {0x010E: (2, told.encode() + b"\0")})),
    ):
        assert said(data)[0] == "Midjourney"


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        "[1, 2]",
        '{"prompt": "words"}',
        '{"nodes": []}',
        '{"image": {}}',
        '{"c": 1}',
        '{"Label": "1"}',
        "{}",
        '{"model": "x", "messages": []}',
    ],
)
def test_documents_of_others_are_nobodys(text: str) -> None:
    for data in (
        chunked(parameters=text),
        chunked(Comment=text),
        commented(b"UNICODE\0" + text.encode("utf-16-le")),
    ):
        assert said(data) == (None, None, [])
        assert provenance_of(data).problems == ()


def test_graphs_inside_documents_are_read() -> None:
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a"}},
        "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}},
    }
    for told in ({"prompt": graph, "workflow": {"nodes": []}}, {"prompt": json.dumps(graph)}):
        assert said(commented(b"ASCII\0\0\0" + json.dumps(told).encode())) == (
            "ComfyUI",
            None,
            [("base model", "a")],
        )


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    [
        "sui_image_params",
        "sui_models",
        "sui_extra_data",
        "positive_prompt",
        "app_version",
        "model",
        "loras",
        "image",
        "model_weights",
        "base_model",
        "version",
        "prompt",
        "sharpness",
        "c",
        "uc",
        "v2",
        "lora",
        "use_stable_diffusion_model",
        "use_lora_model",
        "baseModel",
        "models",
        "v4_prompt",
        "Prompt",
        "Base Model",
        "LoRA 1",
    ]
)


@given(
    st.dictionaries(_FIELDS, _JSON, max_size=6),
    st.dictionaries(st.sampled_from(["Software", "Source", "Description"]), st.text(max_size=20)),
)
def test_whatever_stands_in_the_fields_is_no_error(
    told: dict[str, Any], texts: dict[str, str]
) -> None:
    found = read_document(told, texts)
    for one in found.ingredients if found else ():
        assert one.role in ("base model", "adapter")
        assert one.digest is None or set(one.digest) <= set("0123456789abcdef")
