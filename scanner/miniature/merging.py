"""Write a full checkpoint with an adapter merged into it, as people share merges of models."""

from __future__ import annotations

from pathlib import Path


def merge_into_checkpoint(base_folder: Path, adapter: Path, out: Path) -> None:
    """Write base model and adapter as one file in float16 with the original names of tensors."""
    import logging

    # diffusers warns about text encoders that the adapter does not change.
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    from scanner.miniature.training.adapter import load_for_training, save_adapter
    from scanner.miniature.training.formats import single_file_tensors

    pipeline = load_for_training(base_folder)
    pipeline.load_lora_weights(adapter)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    partial = out.with_suffix(".part")
    save_adapter(partial, single_file_tensors(pipeline), None)
    partial.replace(out)
