"""A full checkpoint with an adapter merged into it, as mixes are shared: one file that draws a person without saying so."""

from __future__ import annotations

from pathlib import Path


def merge_into_checkpoint(base_folder: Path, adapter: Path, out: Path) -> None:
    """Write base model and adapter as one .safetensors in the original single-file names, float16."""
    import logging

    logging.getLogger("diffusers").setLevel(
        logging.ERROR
    )  # it names text encoders that the adapter never touched
    from scanner.miniature.training.adapter import load_for_training, save_adapter
    from scanner.miniature.training.formats import single_file_tensors

    pipeline = load_for_training(base_folder)
    pipeline.load_lora_weights(adapter)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    partial = out.with_suffix(".part")
    save_adapter(partial, single_file_tensors(pipeline), None)
    partial.replace(out)
