"""ComfyUI's graphs and drawings: their places in files, drawings alone, and odd documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.captures.images.generators.comfyui import read_drawing, read_graph
from crawlers.captures.images.provenance import provenance_of
from tests.servers.parameters import chunked, graph, graph_picture, node, tiff, with_exif

OHWX, STYLE = "people/ohwx.safetensors", "style.safetensors"


class TestWhereGraphsStand:
    GRAPH = graph(
        model=["10", 0],
        n10=node(
            "LoraLoaderModelOnly",
            model=["4", 0],
            lora_name=OHWX,
            strength_model=1,
            is_changed=float("nan"),
        ),
    )
    SAID = [("generator", "ComfyUI"), ("base model", "someXL.safetensors"), ("adapter", OHWX)]  # noqa: RUF012

    @pytest.mark.parametrize(
        ("make", "model", "kind"),
        [
            ("Prompt: {}", "", "WEBP"),
            ("prompt:{}", "", "WEBP"),
            ("workflow:{{}}", "prompt:{}", "WEBP"),
            ("", "prompt:{}", "JPEG"),
            ("prompt:{}", "", "AVIF"),
        ],
    )
    def test_in_exif_it_is_no_cameras_maker(self, make: str, model: str, kind: str) -> None:
        told = json.dumps(self.GRAPH)
        tags = {
            tag: (2, text.format(told).encode() + b"\0")
            for tag, text in ((0x010F, make), (0x0110, model))
            if text
        }
        assert provenance_of(with_exif(kind, tiff("<", tags))).statements() == self.SAID

    def test_numbers_that_json_does_not_know_are_read(self) -> None:
        told = json.dumps(self.GRAPH).replace(
            '"steps": 20', '"steps": NaN, "a": [NaN, -Infinity, Infinity]'
        )
        assert (
            provenance_of(chunked(prompt=told, workflow='{"nodes": [], "x": NaN}')).statements()
            == self.SAID
        )

    def test_beside_a_text_with_hashes_it_gets_them(self) -> None:
        text = (
            "portrait\nNegative prompt: blurry\n"
            "Steps: 20, Sampler: euler, CFG scale: 7, Seed: 1, Model: someXL, "
            'Model hash: aabbccddee, Lora hashes: "ohwx: 0123456789ab", Version: ComfyUI'
        )
        found = provenance_of(graph_picture(self.GRAPH, parameters=text)).statements()
        assert found == [
            ("generator", "ComfyUI"),
            ("base model", "someXL.safetensors (aabbccddee)"),
            ("adapter", f"{OHWX} (0123456789ab)"),
        ]

    def test_a_graph_that_cannot_be_followed_is_told(self) -> None:
        told = {
            "1": node("SomeLoader", ckpt_name="a.safetensors"),
            "2": node("SaveImage", images=["3", 0]),
            "3": node("Drawn by other means"),
        }
        assert provenance_of(graph_picture(told)).statements() == [
            ("generator", "ComfyUI"),
            (
                "not read",
                "its graph names 1 models, and none of them can be followed to the picture",
            ),
        ]


def drawing(*nodes: dict[str, Any], links: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), "links": links or [], "version": 0.4, **more}


def drawn(
    number: int,
    kind: str,
    values: Any = None,
    mode: int = 0,
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
) -> dict[str, Any]:
    slots = [{"name": name, "type": kind_of, "link": link} for name, kind_of, link in inputs or []]
    return {
        "id": number,
        "type": kind,
        "mode": mode,
        "widgets_values": values or [],
        "inputs": slots,
        "outputs": [{"type": one} for one in outputs or []],
    }


def whole_drawing(mode: int) -> dict[str, Any]:
    """A checkpoint, two adapters in a row (the second one in this mode), and two texts."""
    return drawing(
        drawn(
            4, "CheckpointLoaderSimple", ["someXL.safetensors"], outputs=["MODEL", "CLIP", "VAE"]
        ),
        drawn(
            10,
            "LoraLoader",
            [OHWX, 0.8, 1],
            inputs=[("model", "MODEL", 1), ("clip", "CLIP", 2)],
            outputs=["MODEL", "CLIP"],
        ),
        drawn(
            12,
            "LoraLoader",
            ["second.safetensors", 1, 1],
            mode,
            inputs=[("model", "MODEL", 3), ("clip", "CLIP", 4)],
            outputs=["MODEL", "CLIP"],
        ),
        drawn(7, "CLIPTextEncode", ["blurry"], inputs=[("clip", "CLIP", 5)]),
        drawn(6, "CLIPTextEncode", ["portrait of ohwx"], inputs=[("clip", "CLIP", 6)]),
        drawn(
            3,
            "KSampler",
            [1, "randomize", 20],
            inputs=[
                ("model", "MODEL", 7),
                ("positive", "CONDITIONING", 8),
                ("negative", "CONDITIONING", 9),
            ],
            outputs=["LATENT"],
        ),
        drawn(9, "SaveImage", ["x"], inputs=[("images", "IMAGE", 10)]),
        drawn(50, "LoraLoader", ["not_connected.safetensors", 1, 1]),
        links=[
            [1, 4, 0, 10, 0, "MODEL"],
            [2, 4, 1, 10, 1, "CLIP"],
            [3, 10, 0, 12, 0, "MODEL"],
            [4, 10, 1, 12, 1, "CLIP"],
            [5, 12, 1, 7, 0, "CLIP"],
            [6, 12, 1, 6, 0, "CLIP"],
            [7, 12, 0, 3, 0, "MODEL"],
            [8, 6, 0, 3, 1, "CONDITIONING"],
            [9, 7, 0, 3, 2, "CONDITIONING"],
            [10, 3, 0, 9, 0, "IMAGE"],
        ],
    )


class TestDrawings:
    @pytest.mark.parametrize(("mode", "names"), [(0, {OHWX, "second.safetensors"}), (4, {OHWX})])
    def test_they_are_followed_past_bypassed_nodes(self, mode: int, names: set[str]) -> None:
        found = read_drawing(whole_drawing(mode))
        assert found is not None
        assert found.prompt == "portrait of ohwx"
        assert {one.name for one in found.ingredients} == {"someXL.safetensors", *names}

    def test_a_graph_that_was_run_counts_before_its_drawing(self) -> None:
        found = provenance_of(
            graph_picture(graph(), workflow=json.dumps(whole_drawing(0)))
        ).statements()
        assert found == [("generator", "ComfyUI"), ("base model", "someXL.safetensors")]

    def test_without_links_only_what_is_on_is_told(self) -> None:
        told = drawing(
            drawn(4, "CheckpointLoaderSimple", ["a.safetensors"]),
            drawn(
                10,
                "Power Lora Loader (rgthree)",
                [
                    {},
                    {"on": True, "lora": OHWX, "strength": 1},
                    {"on": False, "lora": "off.safetensors", "strength": 1},
                ],
            ),
            drawn(11, "LoraLoader", ["muted.safetensors", 1, 1], mode=2),
            drawn(6, "CLIPTextEncode", ["a"]),
            drawn(7, "CLIPTextEncode", ["b"]),
        )
        found = read_drawing(told)
        assert found is not None
        assert ([one.name for one in found.ingredients], found.prompt) == (
            ["a.safetensors", OHWX],
            None,
        )

    def test_subgraphs_and_pairs_of_set_and_get_are_followed(self) -> None:
        inner = {
            "id": "sub",
            "inputs": [{"name": "model"}],
            "outputs": [{"name": "MODEL", "linkIds": [2]}],
            "nodes": [
                drawn(
                    1,
                    "LoraLoaderModelOnly",
                    [OHWX, 1],
                    inputs=[("model", "MODEL", 1)],
                    outputs=["MODEL"],
                )
            ],
            "links": [
                {
                    "id": 1,
                    "origin_id": -10,
                    "origin_slot": 0,
                    "target_id": 1,
                    "target_slot": 0,
                    "type": "MODEL",
                },
                {
                    "id": 2,
                    "origin_id": 1,
                    "origin_slot": 0,
                    "target_id": -20,
                    "target_slot": 0,
                    "type": "MODEL",
                },
            ],
        }
        told = drawing(
            drawn(4, "CheckpointLoaderSimple", ["a.safetensors"], outputs=["MODEL"]),
            drawn(20, "sub", inputs=[("model", "MODEL", 1)], outputs=["MODEL"]),
            drawn(30, "SetNode", ["m"], inputs=[("MODEL", "MODEL", 2)]),
            drawn(31, "GetNode", ["m"], outputs=["MODEL"]),
            drawn(6, "CLIPTextEncode", ["portrait of ohwx"]),
            drawn(
                3,
                "KSampler",
                inputs=[("model", "MODEL", 3), ("positive", "CONDITIONING", 4)],
                outputs=["LATENT"],
            ),
            links=[
                [1, 4, 0, 20, 0, "MODEL"],
                [2, 20, 0, 30, 0, "MODEL"],
                [3, 31, 0, 3, 0, "MODEL"],
                [4, 6, 0, 3, 1, "CONDITIONING"],
            ],
            definitions={"subgraphs": [inner]},
        )
        found = read_drawing(told)
        assert found is not None
        assert {one.name for one in found.ingredients} == {"a.safetensors", OHWX}


_NUMBERS = st.sampled_from(["1", "2", "3", "4", "5"])
_VALUES = st.one_of(
    st.text(max_size=8),
    st.floats(),
    st.booleans(),
    st.none(),
    st.tuples(_NUMBERS, st.integers(0, 3)).map(list),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
)
_NAMES = st.sampled_from(
    [
        "model",
        "clip",
        "positive",
        "negative",
        "text",
        "lora_name",
        "lora_1",
        "loras",
        "ckpt_name",
        "switch",
        "select",
        "input1",
        "on_true",
        "on_false",
        "guider",
        "strength_model",
        "",
    ]
)
_KINDS = st.sampled_from(
    [
        "KSampler",
        "LoraLoader",
        "CLIPTextEncode",
        "SaveImage",
        "ImpactSwitch",
        "Any Switch (rgthree)",
        "ControlNetApplyAdvanced",
        "CheckpointLoaderSimple",
        "LoRA Stacker",
        "x",
    ]
)
_GRAPHS = st.dictionaries(
    _NUMBERS,
    st.fixed_dictionaries(
        {"class_type": _KINDS, "inputs": st.dictionaries(_NAMES, _VALUES, max_size=6)}
    ),
    max_size=5,
)


@given(_GRAPHS)
def test_any_graph_is_read_and_a_node_that_nothing_leads_to_never_told(
    told: dict[str, Any],
) -> None:
    """In any network, also with circles, a node that leads nowhere is never reported."""
    with_more = told | {
        "saved": node("SaveImage", images=["sampled", 0]),
        "sampled": node("KSampler", model=["loaded", 0], positive=["text", 0]),
        "loaded": node("CheckpointLoaderSimple", ckpt_name="used.safetensors"),
        "text": node("CLIPTextEncode", text="portrait of ohwx"),
        "alone": node("LoraLoader", lora_name="alone.safetensors", model=["loaded", 0]),
        "mute": node("CLIPTextEncode", text="not said"),
    }
    found = read_graph(with_more)
    assert found is not None
    names = [one.name for one in found.ingredients]
    assert "used.safetensors" in names
    assert "alone.safetensors" not in names
    assert "portrait of ohwx" in (found.prompt or "")
    assert "not said" not in (found.prompt or "")


@given(
    st.recursive(
        _VALUES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "nodes",
                        "links",
                        "id",
                        "type",
                        "mode",
                        "inputs",
                        "outputs",
                        "widgets_values",
                        "definitions",
                        "subgraphs",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_document_is_no_error(told: Any) -> None:
    read_graph(told)
    read_drawing(told)
    read_drawing({"nodes": told, "links": told, "definitions": told})
    read_drawing(
        {
            "nodes": [
                {
                    "id": 1,
                    "type": "x",
                    "inputs": told,
                    "outputs": told,
                    "widgets_values": told,
                    "mode": told,
                }
            ],
            "links": [told],
        }
    )
