"""Train adapters in the formats that people share, each with the library that people use for it.

LoRA and its DoRA come from PEFT; LoCon, LoHa, LoKr, GLoRA, IA3, OFT, BOFT and full differences from
LyCORIS (Yeh et al., Navigating Text-To-Image Customization, ICLR 2024); textual inversion and full
checkpoints are trained directly. Names are then those that each trainer writes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig

from scanner.adapters.geometries.unet_names import original_names
from scanner.miniature.training.adapter import (
    TARGET_MODULES,
    Schedule,
    Subject,
    fit,
    load_for_training,
    peft_tensors,
)

log = logging.getLogger(__name__)
Tensors = dict[str, torch.Tensor]
ATTENTION_MODULES = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True, slots=True)
class Form:
    """The algorithm of an adapter, and the naming of its tensors.

    Attributes:
        algorithm: "lora", "dora" (PEFT), "textual-inversion", "checkpoint", or one of LyCORIS's
            algorithms.
        naming: "kohya", "peft", "raw peft", "diffusers 1" or "diffusers 2"; LyCORIS always writes
            kohya's.
        rate: peak learning rate, which differs widely between formats.
        options: passed on to LyCORIS.
    """

    algorithm: str
    naming: str = "kohya"
    rank: int = 8
    rate: float = 3e-3
    options: dict[str, Any] = field(default_factory=dict)


def train_form(
    base_folder: Path, form: Form, subjects: Sequence[Subject], steps: int, seed: int
) -> Tensors:
    """Train one adapter; returns float32 tensors on the CPU under the names of its format."""
    torch.manual_seed(seed)
    pipeline = load_for_training(base_folder)
    schedule = Schedule(steps, form.rate, seed)
    if form.algorithm in ("lora", "dora"):
        return _train_with_peft(pipeline, form, subjects, schedule)
    if form.algorithm == "textual-inversion":
        return _train_embeddings(pipeline, form, subjects, schedule)
    if form.algorithm == "checkpoint":
        return _train_whole(pipeline, subjects, schedule)
    return _train_with_lycoris(pipeline, form, subjects, schedule)


def _train_with_peft(
    pipeline: Any, form: Form, subjects: Sequence[Subject], schedule: Schedule
) -> Tensors:
    modules = ATTENTION_MODULES if form.naming == "diffusers 1" else TARGET_MODULES
    config = LoraConfig(
        r=form.rank,
        lora_alpha=form.rank,
        target_modules=list(modules),
        init_lora_weights="gaussian",
        use_dora=form.algorithm == "dora",
    )
    pipeline.unet.add_adapter(config)
    fit(
        pipeline,
        [one for one in pipeline.unet.parameters() if one.requires_grad],
        subjects,
        schedule,
    )
    return renamed(peft_tensors(pipeline.unet), form.naming)


def renamed(tensors: Tensors, naming: str) -> Tensors:
    """PEFT tensors with the prefix `unet.` under another generation's names."""
    if naming == "peft":
        return tensors
    if naming == "kohya":
        from diffusers.utils import convert_state_dict_to_kohya

        return dict(convert_state_dict_to_kohya(tensors))
    if naming == "raw peft":
        return {
            f"base_model.model.{name.removeprefix('unet.')}": tensor
            for name, tensor in tensors.items()
        }
    ends = {"lora_A": "down", "lora_B": "up"}
    old: Tensors = {}
    for name, tensor in tensors.items():
        stem, end = re.fullmatch(r"unet\.(.+)\.(lora_[AB])\.weight", name).groups()  # type: ignore[union-attr]
        if naming == "diffusers 2":
            old[f"unet.{stem}.lora.{ends[end]}.weight"] = tensor
        else:
            attention, _, layer = stem.removesuffix(".0").rpartition(".")
            old[f"{attention}.processor.{layer}_lora.{ends[end]}.weight"] = tensor
    return old


def _train_with_lycoris(
    pipeline: Any, form: Form, subjects: Sequence[Subject], schedule: Schedule
) -> Tensors:
    from lycoris import create_lycoris, wrapper

    # LyCORIS accepts presets only by name.
    wrapper.PRESET["miniature"] = {
        "enable_conv": True,
        "target_module": [],
        "target_name": [f"*.{name}" for name in TARGET_MODULES],
        "use_fnmatch": True,
        "lora_prefix": "lora_unet",
    }
    network = create_lycoris(
        pipeline.unet,
        1.0,
        linear_dim=form.rank,
        linear_alpha=form.rank,
        algo=form.algorithm,
        preset="miniature",
        **{"factor": 8, **form.options},
    )
    network.to(pipeline.device)
    network.apply_to()
    fit(pipeline, [one for one in network.parameters() if one.requires_grad], subjects, schedule)
    return {name: tensor.detach().cpu().float() for name, tensor in network.state_dict().items()}


def _train_embeddings(
    pipeline: Any, form: Form, subjects: Sequence[Subject], schedule: Schedule
) -> Tensors:
    """A1111's textual inversion: `emb_params`, a row for each vector, trained for the trigger."""
    [subject] = subjects
    tokens = [f"<{subject.trigger}-{number}>" for number in range(form.rank)]
    pipeline.tokenizer.add_tokens(tokens)
    table = pipeline.text_encoder.get_input_embeddings()
    first = table.num_embeddings
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer))
    table = pipeline.text_encoder.get_input_embeddings()
    start = table.weight[pipeline.tokenizer("person").input_ids[1]].detach().clone()
    table.weight.requires_grad_(True)
    with torch.no_grad():
        table.weight[first:] = start + 0.01 * torch.randn(
            form.rank, len(start), device=start.device
        )
    # The other words do not change: their gradient is set to zero.
    table.weight.register_hook(
        lambda gradient: torch.cat([torch.zeros_like(gradient[:first]), gradient[first:]])
    )
    written = Subject(" ".join(tokens), subject.class_word, subject.images)
    before = table.weight[:first].detach().clone()
    fit(pipeline, [table.weight], [written], schedule, text_is_trained=True)
    log.info("other words moved by %.1e", float((table.weight[:first] - before).abs().max()))
    return {"emb_params": table.weight[first:].detach().cpu().clone()}


def _train_whole(pipeline: Any, subjects: Sequence[Subject], schedule: Schedule) -> Tensors:
    """A full checkpoint in the original single-file names, its UNet fine-tuned on the subjects."""
    pipeline.unet.requires_grad_(True)
    fit(pipeline, list(pipeline.unet.parameters()), subjects, schedule)
    return single_file_tensors(pipeline)


def single_file_tensors(pipeline: Any) -> Tensors:
    """A Stable Diffusion pipeline's weights under the names of one original checkpoint file."""
    tensors: Tensors = {}
    unet = pipeline.unet.state_dict()
    paths = {name.rpartition(".")[0] for name in unet}
    named = original_names(paths, pipeline.unet.config)
    for name, tensor in unet.items():
        path, _, end = name.rpartition(".")
        tensors[f"model.diffusion_model.{named[path]}.{end}"] = tensor
    tensors |= {
        f"first_stage_model.{name}": tensor for name, tensor in _original_vae(pipeline.vae).items()
    }
    for name, tensor in pipeline.text_encoder.state_dict().items():
        inner = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors[f"cond_stage_model.transformer.{inner}"] = tensor
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _original_vae(vae: Any) -> Tensors:
    blocks, layers = len(vae.config.block_out_channels), vae.config.layers_per_block
    starts = [
        ("encoder.mid_block.resnets.0", "encoder.mid.block_1"),
        ("encoder.mid_block.resnets.1", "encoder.mid.block_2"),
        ("decoder.mid_block.resnets.0", "decoder.mid.block_1"),
        ("decoder.mid_block.resnets.1", "decoder.mid.block_2"),
        ("encoder.conv_norm_out", "encoder.norm_out"),
        ("decoder.conv_norm_out", "decoder.norm_out"),
    ]
    for block in range(blocks):
        starts += [
            (f"encoder.down_blocks.{block}.resnets.{layer}", f"encoder.down.{block}.block.{layer}")
            for layer in range(layers)
        ]
        starts.append(
            (
                f"encoder.down_blocks.{block}.downsamplers.0.conv",
                f"encoder.down.{block}.downsample.conv",
            )
        )
        up = blocks - 1 - block
        starts += [
            (f"decoder.up_blocks.{block}.resnets.{layer}", f"decoder.up.{up}.block.{layer}")
            for layer in range(layers + 1)
        ]
        starts.append(
            (f"decoder.up_blocks.{block}.upsamplers.0.conv", f"decoder.up.{up}.upsample.conv")
        )
    named: Tensors = {}
    for name, tensor in vae.state_dict().items():
        start = next((pair for pair in starts if name.startswith(f"{pair[0]}.")), ("", ""))
        original = name.replace(start[0], start[1], 1) if start[0] else name
        named[original.replace("conv_shortcut", "nin_shortcut")] = tensor
    return named
