"""ComfyUI's graphs: only nodes that led to the picture count, and every loader is known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crawlers.captures.images.generators.comfyui import read_graph
from crawlers.captures.images.provenance import provenance_of
from tests.servers.parameters import commented, graph, node

OHWX, STYLE = "people/ohwx.safetensors", "style.safetensors"


def adapters(told: dict[str, Any]) -> list[str | None]:
    found = read_graph(told)
    assert found is not None
    return [one.name for one in found.ingredients if one.role == "adapter"]


def bases(told: dict[str, Any]) -> list[str | None]:
    found = read_graph(told)
    assert found is not None
    return [one.name for one in found.ingredients if one.role == "base model"]


def prompt(told: dict[str, Any]) -> str | None:
    found = read_graph(told)
    assert found is not None
    return found.prompt


def loaded(kind: str, **inputs: Any) -> dict[str, Any]:
    """A graph whose model comes through this node."""
    return graph(
        model=["10", 0], clip=["10", 1], n10=node(kind, model=["4", 0], clip=["4", 1], **inputs)
    )


def stacked(kind: str, **inputs: Any) -> dict[str, Any]:
    """A graph with a stack of adapters applied to its model."""
    return graph(
        model=["10", 0],
        clip=["10", 1],
        n10=node("CR Apply LoRA Stack", model=["4", 0], clip=["4", 1], lora_stack=["11", 0]),
        n11=node(kind, **inputs),
    )


LOADERS = {
    "LoraLoader": loaded("LoraLoader", lora_name=OHWX, strength_model=0.8, strength_clip=1.0),
    "no strength for the text": loaded(
        "LoraLoader", lora_name=OHWX, strength_model=0.8, strength_clip=0
    ),
    "model only": loaded("LoraLoaderModelOnly", lora_name=OHWX, strength_model=0.8),
    "pysssss": loaded(
        "LoraLoader|pysssss",
        lora_name={"content": OHWX, "image": None},
        strength_model=1,
        strength_clip=1,
    ),
    "rgthree power": loaded(
        "Power Lora Loader (rgthree)",
        lora_1={"on": True, "lora": OHWX, "strength": 0.9},
        lora_2={"on": False, "lora": "off.safetensors", "strength": 1},
        lora_3={"on": True, "lora": "weak.safetensors", "strength": 0, "strengthTwo": 0},
        lora_4={"on": True, "lora": "None", "strength": 1},
    ),
    "rgthree stack": loaded(
        "Lora Loader Stack (rgthree)",
        lora_01=OHWX,
        strength_01=1.0,
        lora_02="None",
        strength_02=1.0,
        lora_03="weak.safetensors",
        strength_03=0.0,
    ),
    "Comfyroll": stacked(
        "CR LoRA Stack",
        switch_1="On",
        lora_name_1=OHWX,
        model_weight_1=1.0,
        clip_weight_1=1.0,
        switch_2="Off",
        lora_name_2="off.safetensors",
        model_weight_2=1.0,
        clip_weight_2=1.0,
    ),
    "Efficiency simple": stacked(
        "LoRA Stacker",
        input_mode="simple",
        lora_count=2,
        lora_name_1=OHWX,
        lora_wt_1=1.0,
        model_str_1=1.0,
        clip_str_1=1.0,
        lora_name_2="weak.safetensors",
        lora_wt_2=0,
        model_str_2=1.0,
        clip_str_2=1.0,
        lora_name_3="not_counted.safetensors",
        lora_wt_3=1.0,
    ),
    "Efficiency advanced": stacked(
        "LoRA Stacker",
        input_mode="advanced",
        lora_count=2,
        lora_name_1=OHWX,
        lora_wt_1=0,
        model_str_1=1.0,
        clip_str_1=1.0,
        lora_name_2="weak.safetensors",
        lora_wt_2=1.0,
        model_str_2=0,
        clip_str_2=0,
    ),
    "Easy Use": stacked(
        "easy loraStack",
        toggle=True,
        mode="simple",
        num_loras=1,
        lora_1_name=OHWX,
        lora_1_strength=1.0,
        lora_2_name="not_counted.safetensors",
        lora_2_strength=1.0,
    ),
    "Lora Manager": loaded(
        "Lora Loader (LoraManager)",
        text="<lora:ohwx:0.8> <lora:off:1>",
        loras={
            "__value__": [
                {"name": OHWX, "strength": "0.80", "active": True},
                {"name": "off", "strength": 1, "active": False},
            ]
        },
    ),
    "Lora Manager before": stacked(
        "Lora Stacker (LoraManager)",
        text="",
        loras=[{"name": OHWX, "strength": 0.8, "active": True}],
    ),
    "tags": loaded("LoraTagLoader", text=f"portrait <lora:{OHWX}:0.9> <lora:weak:0>"),
    "tags from another node": graph(
        model=["10", 0],
        n10=node("LoRA Text Loader (LoraManager)", model=["4", 0], lora_syntax=["12", 0]),
        n12=node("StringConcatenate", string_a="<lora:", string_b=["13", 0], delimiter=""),
        n13=node("PrimitiveString", value=f"{OHWX}:0.5>"),
    ),
    "WanVideo": graph(
        n3=node("WanVideoSampler", model=["10", 0], text_embeds=["6", 0]),
        n10=node("WanVideoModelLoader", model="wan.safetensors", lora=["11", 0]),
        n11=node("WanVideoLoraSelect", lora=OHWX, strength=1.0, prev_lora=["12", 0]),
        n12=node("WanVideoLoraSelectMulti", lora_0="none", strength_0=1.0),
    ),
    "Nunchaku": graph(
        model=["10", 0],
        n10=node("NunchakuFluxLoraLoader", model=["4", 0], lora_name=OHWX, lora_strength=1.0),
    ),
    "name from another node": graph(
        model=["10", 0],
        n10=node(
            "LoraLoaderModelOnly", model=["4", 0], lora_name=["12", 0], strength_model=["13", 0]
        ),
        n12=node("Lora Selector", lora_name=OHWX),
        n13=node("FloatConstant", value=0.7),
    ),
    "hooks": graph(
        clip=["10", 0],
        n10=node("SetClipHooks", clip=["4", 1], hooks=["11", 0]),
        n11=node("CreateHookLora", lora_name=OHWX, strength_model=1.0, strength_clip=1.0),
    ),
    "all in one": graph(
        model=["10", 0],
        clip=["10", 5],
        n10=node(
            "easy fullLoader",
            ckpt_name="someXL.safetensors",
            lora_name=OHWX,
            lora_model_strength=1.0,
            lora_clip_strength=1.0,
            positive="x",
            negative="<lora:no:1>",
        ),
    ),
    "behind a detailer": graph(
        n9=node("SaveImage", images=["20", 0]),
        n20=node(
            "FaceDetailer", image=["8", 0], model=["10", 0], positive=["6", 0], negative=["7", 0]
        ),
        n10=node("LoraLoaderModelOnly", model=["4", 0], lora_name=OHWX, strength_model=1),
    ),
}


@pytest.mark.parametrize("form", LOADERS)
def test_every_loader_is_known_and_nothing_that_is_off_is_told(form: str) -> None:
    assert adapters(LOADERS[form]) == [OHWX]


NOT_LOADED = {
    "not connected": graph(
        n50=node(
            "LoraLoader",
            lora_name="x.safetensors",
            strength_model=1,
            strength_clip=1,
            model=["51", 0],
            clip=["51", 1],
        ),
        n51=node("CheckpointLoaderSimple", ckpt_name="other.safetensors"),
    ),
    "a sampler that nobody saves": graph(
        n50=node("LoraLoader", lora_name="x.safetensors", model=["51", 0], clip=["51", 1]),
        n51=node("CheckpointLoaderSimple", ckpt_name="other.safetensors"),
        n52=node(
            "KSampler", model=["50", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0]
        ),
        n53=node("PreviewImage", images=["52", 0]),
    ),
    "no strength": loaded(
        "LoraLoader", lora_name="x.safetensors", strength_model=0, strength_clip=0.0
    ),
    "no strength from another node": graph(
        model=["10", 0],
        n10=node(
            "LoraLoaderModelOnly",
            model=["4", 0],
            lora_name="x.safetensors",
            strength_model=["13", 0],
        ),
        n13=node("FloatConstant", value=0),
    ),
    "a tag where tags are words": graph(
        n6=node("CLIPTextEncode", text="portrait of ohwx <lora:x:1>", clip=["4", 1])
    ),
    "stack off": stacked(
        "easy loraStack",
        toggle=False,
        mode="simple",
        num_loras=1,
        lora_1_name="x.safetensors",
        lora_1_strength=1.0,
    ),
    "behind a switch": graph(
        model=["20", 0],
        n20=node("ComfySwitchNode", switch=False, on_true=["10", 0], on_false=["4", 0]),
        n10=node(
            "LoraLoaderModelOnly", model=["4", 0], lora_name="x.safetensors", strength_model=1
        ),
    ),
    "behind a numbered switch": graph(
        model=["20", 0],
        n20=node("ImpactSwitch", select=2, input1=["10", 0], input2=["4", 0]),
        n10=node(
            "LoraLoaderModelOnly", model=["4", 0], lora_name="x.safetensors", strength_model=1
        ),
    ),
    "behind a switch that is switched elsewhere": graph(
        model=["20", 0],
        n20=node("CR Model Input Switch", Input=["21", 0], model1=["10", 0], model2=["4", 0]),
        n21=node("PrimitiveInt", value=2),
        n10=node(
            "LoraLoaderModelOnly", model=["4", 0], lora_name="x.safetensors", strength_model=1
        ),
    ),
    "the second of any switch": graph(
        model=["20", 0],
        n20=node("Any Switch (rgthree)", any_01=["4", 0], any_02=["10", 0]),
        n10=node(
            "LoraLoaderModelOnly", model=["4", 0], lora_name="x.safetensors", strength_model=1
        ),
    ),
    "behind WAS's switch": graph(
        model=["20", 0],
        n20=node("Model Input Switch", boolean=False, model_a=["10", 0], model_b=["4", 0]),
        n10=node(
            "LoraLoaderModelOnly", model=["4", 0], lora_name="x.safetensors", strength_model=1
        ),
    ),
    "a stack that is not applied": graph(
        model=["10", 0],
        n10=node(
            "CR Apply LoRA Stack", switch="Off", model=["4", 0], clip=["4", 1], lora_stack=["11", 0]
        ),
        n11=node("CR LoRA Stack", switch_1="On", lora_name_1="x.safetensors", model_weight_1=1),
    ),
    "no strength in words": loaded(
        "LoraLoader", lora_name="x.safetensors", strength_model="0.0", strength_clip="0"
    ),
    "only a scheduler's": graph(
        n3=node("SamplerCustomAdvanced", guider=["30", 0], sigmas=["31", 0], latent_image=["5", 0]),
        n30=node("BasicGuider", model=["4", 0], conditioning=["6", 0]),
        n31=node("BasicScheduler", model=["10", 0], steps=4),
        n10=node(
            "LoraLoaderModelOnly", model=["4", 0], lora_name="x.safetensors", strength_model=1
        ),
    ),
}


@pytest.mark.parametrize("form", NOT_LOADED)
def test_what_was_not_used_is_not_told(form: str) -> None:
    assert (adapters(NOT_LOADED[form]), bases(NOT_LOADED[form])) == ([], ["someXL.safetensors"])
    assert prompt(NOT_LOADED[form]) is not None


def test_a_checkpoint_of_which_only_other_parts_were_used_is_no_base_model() -> None:
    told = graph(
        n4=node("UNETLoader", unet_name="flux1-dev.safetensors"),
        clip=["40", 1],
        n40=node("CheckpointLoaderSimple", ckpt_name="text_only.safetensors"),
        n8=node("VAEDecode", samples=["3", 0], vae=["41", 2]),
        n41=node("CheckpointLoaderSimple", ckpt_name="vae_only.safetensors"),
    )
    assert bases(told) == ["flux1-dev.safetensors"]


@pytest.mark.parametrize(
    ("loader", "name"),
    [
        (node("UnetLoaderGGUF", unet_name="x.gguf"), "x.gguf"),
        (node("NunchakuFluxDiTLoader", model_path="x.safetensors"), "x.safetensors"),
        (node("WanVideoModelLoader", model="x.safetensors"), "x.safetensors"),
        (node("Checkpoint Loader (Simple)", ckpt_name="x.safetensors"), "x.safetensors"),
        (node("CheckpointLoader|pysssss", ckpt_name={"content": "x.safetensors"}), "x.safetensors"),
        (
            node("CheckpointLoaderSimple", ckpt_name=["9b", 1]),
            "urn:air:sd1:checkpoint:civitai:43331@176425",
        ),
    ],
)
def test_base_models_are_named_by_every_loader(loader: dict[str, Any], name: str) -> None:
    selector = node(
        "CivitaiModelSelector",
        air="urn:air:other:upscaler:civitai:1@2",
        resources_json=json.dumps({"bySlot": {"1": "urn:air:sd1:checkpoint:civitai:43331@176425"}}),
    )
    assert bases(graph(n4=loader) | {"9b": selector}) == [name]


def test_upscalers_and_controls_are_no_base_models() -> None:
    told = graph(
        n9=node("SaveImage", images=["20", 0]),
        n20=node("ImageUpscaleWithModel", upscale_model=["21", 0], image=["8", 0]),
        n21=node("UpscaleModelLoader", model_name="4x.pth"),
        n3=node(
            "KSampler",
            model=["4", 0],
            positive=["22", 0],
            negative=["22", 1],
            latent_image=["5", 0],
        ),
        n22=node(
            "ControlNetApplyAdvanced",
            positive=["6", 0],
            negative=["7", 0],
            control_net=["23", 0],
            image=["24", 0],
        ),
        n23=node("ControlNetLoader", control_net_name="cn.safetensors"),
        n24=node("LoadImage", image="x.png"),
    )
    assert (bases(told), adapters(told), prompt(told)) == (
        ["someXL.safetensors"],
        [],
        "portrait of ohwx",
    )


PROMPTS = {
    "from another node": graph(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n20=node("PrimitiveStringMultiline", value="portrait of ohwx"),
    ),
    "through a reroute": graph(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n20=node("Reroute", **{"": ["21", 0]}),
        n21=node("Text Multiline", text="portrait of ohwx"),
    ),
    "put together": graph(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n20=node("StringConcatenate", string_a="portrait", string_b="of ohwx", delimiter=" "),
    ),
    "WAS": graph(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n20=node(
            "Text Concatenate",
            delimiter=" ",
            clean_whitespace="true",
            text_a=["21", 0],
            text_b=["22", 0],
        ),
        n21=node("Text Multiline", text="portrait"),
        n22=node("Text Multiline", text="of ohwx"),
    ),
    "SDXL": graph(
        n6=node(
            "CLIPTextEncodeSDXL",
            text_g="portrait of ohwx",
            text_l="portrait of ohwx",
            width=8,
            clip=["4", 1],
        )
    ),
    "Flux": graph(
        n6=node(
            "CLIPTextEncodeFlux", clip_l="", t5xxl="portrait of ohwx", guidance=3.5, clip=["4", 1]
        )
    ),
    "a guider": graph(
        n3=node("SamplerCustomAdvanced", guider=["30", 0], latent_image=["5", 0]),
        n30=node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=1),
    ),
    "guidance between": graph(
        n3=node(
            "KSampler", model=["4", 0], positive=["30", 0], negative=["7", 0], latent_image=["5", 0]
        ),
        n30=node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    ),
    "combined with nothing": graph(
        n3=node(
            "KSampler", model=["4", 0], positive=["30", 0], negative=["7", 0], latent_image=["5", 0]
        ),
        n30=node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["31", 0]),
        n31=node("ConditioningZeroOut", conditioning=["7", 0]),
    ),
    "negative from the positive": graph(
        n3=node(
            "KSampler", model=["4", 0], positive=["6", 0], negative=["31", 0], latent_image=["5", 0]
        ),
        n31=node("ConditioningZeroOut", conditioning=["6", 0]),
    ),
    "a control": graph(
        n3=node(
            "KSampler",
            model=["4", 0],
            positive=["30", 0],
            negative=["30", 1],
            latent_image=["5", 0],
        ),
        n30=node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0]),
    ),
    "turned around": graph(
        n3=node(
            "KSampler",
            model=["4", 0],
            positive=["30", 1],
            negative=["30", 0],
            latent_image=["5", 0],
        ),
        n30=node("ControlNetApplyAdvanced", positive=["7", 0], negative=["6", 0]),
    ),
    "a loader with both": graph(
        n3=node(
            "KSampler (Efficient)",
            model=["4", 0],
            positive=["30", 1],
            negative=["30", 2],
            latent_image=["30", 3],
        ),
        n30=node(
            "Efficient Loader",
            ckpt_name="x.safetensors",
            positive="portrait of ohwx",
            negative="blurry",
        ),
    ),
    "a pipe": graph(
        n3=node(
            "KSampler",
            model=["31", 0],
            positive=["31", 3],
            negative=["31", 4],
            latent_image=["5", 0],
        ),
        n31=node("FromBasicPipe", basic_pipe=["30", 0]),
        n30=node(
            "ToBasicPipe", model=["4", 0], clip=["4", 1], positive=["6", 0], negative=["7", 0]
        ),
    ),
    "wildcards": graph(
        n6=node(
            "ImpactWildcardEncode",
            model=["4", 0],
            clip=["4", 1],
            wildcard_text="portrait of {ohwx|other}",
            populated_text="portrait of ohwx",
            mode="populate",
            seed=1,
        )
    ),
    "a style": graph(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n20=node(
            "SDXLPromptStyler",
            text_positive="portrait of ohwx",
            text_negative="blurry",
            style="base",
        ),
    ),
    "Wan": graph(
        n3=node("WanVideoSampler", model=["4", 0], text_embeds=["30", 0]),
        n30=node(
            "WanVideoTextEncode",
            positive_prompt="portrait of ohwx",
            negative_prompt="blurry",
            t5=["31", 0],
        ),
        n31=node("LoadWanVideoT5TextEncoder", model_name="t5"),
    ),
    "a switch": graph(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n20=node("CR Text Input Switch", Input=1, text1=["21", 0], text2=["22", 0]),
        n21=node("Text Multiline", text="portrait of ohwx"),
        n22=node("Text Multiline", text="other"),
    ),
    "two passes": graph(
        n9=node("SaveImage", images=["33", 0]),
        n33=node("VAEDecode", samples=["32", 0], vae=["4", 2]),
        n32=node(
            "KSampler", model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["31", 0]
        ),
        n31=node("LatentUpscaleBy", samples=["3", 0]),
    ),
    "shown on the way": graph(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n20=node("ShowText|pysssss", text=["21", 0], text_0="an older text"),
        n21=node("Text Multiline", text="portrait of ohwx"),
    ),
}


@pytest.mark.parametrize("form", PROMPTS)
def test_the_prompt_is_what_positive_leads_to(form: str) -> None:
    assert prompt(PROMPTS[form]) == "portrait of ohwx"


def test_a_task_for_a_language_model_is_no_prompt() -> None:
    asked = node("OllamaGenerate", prompt="write me a prompt", model="llama")
    assert (
        prompt(graph(n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]), n20=asked)) is None
    )
    shown = node("easy showAnything", anything=["21", 0], text="portrait of ohwx")
    told = graph(n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]), n20=shown, n21=asked)
    assert prompt(told) == "portrait of ohwx"


def test_a_part_of_a_stack_that_is_off_passes_the_others_on() -> None:
    told = graph(
        model=["10", 0],
        n10=node("Sage_LoraStackLoader", model=["4", 0], clip=["4", 1], lora_stack=["11", 0]),
        n11=node(
            "Sage_LoraStack",
            enabled=False,
            lora_name="off.safetensors",
            model_weight=1,
            lora_stack=["12", 0],
        ),
        n12=node("Sage_LoraStack", enabled=True, lora_name=OHWX, model_weight=1.0, clip_weight=1.0),
    )
    assert adapters(told) == [OHWX]


def test_the_order_of_nodes_does_not_matter() -> None:
    told = graph()
    for order in (sorted(told), sorted(told, reverse=True)):
        assert prompt({number: told[number] for number in order}) == "portrait of ohwx"


def test_embeddings_of_used_texts_are_adapters() -> None:
    told = graph(
        n7=node("CLIPTextEncode", text="blurry, (embedding:bad_hands:1.2)", clip=["4", 1]),
        n50=node("CLIPTextEncode", text="embedding:unused", clip=["4", 1]),
    )
    assert adapters(told) == ["bad_hands"]


def test_civitai_generators_graph() -> None:
    told = {
        "resource-stack": node(
            "CheckpointLoaderSimple", ckpt_name="urn:air:sdxl:checkpoint:civitai:101055@128078"
        ),
        "resource-stack-1": node(
            "LoraLoader",
            lora_name="urn:air:sdxl:lora:civitai:12345@67890",
            strength_model=1,
            strength_clip=1,
            model=["resource-stack", 0],
            clip=["resource-stack", 1],
        ),
        "6": node("smZ CLIPTextEncode", text="portrait of ohwx", clip=["resource-stack-1", 1]),
        "7": node("smZ CLIPTextEncode", text="blurry", clip=["resource-stack-1", 1]),
        "11": node("KSampler", model=["resource-stack-1", 0], positive=["6", 0], negative=["7", 0]),
        "extra": {"airs": []},
        "extraMetadata": '{"prompt": "x"}',
    }
    found = provenance_of(commented(b"UNICODE\0" + json.dumps(told).encode("utf-16-be")))
    assert (found.generator, found.prompt) == ("ComfyUI", "portrait of ohwx")
    assert [one.listing for one in found.ingredients] == ["civitai:128078", "civitai:67890"]
    assert found.statements()[2] == ("adapter", "urn:air:sdxl:lora:civitai:12345@67890")
