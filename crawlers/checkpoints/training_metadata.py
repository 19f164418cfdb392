"""Training metadata in a safetensors header: base model, photo count, folders, dates, words.

kohya sd-scripts writes `ss_*` (train_network.py), the Stability model spec `modelspec.*`. All
values are strings, many of them JSON, and all of them are untrusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from crawlers.checkpoints.adapter_scale import rank_and_alpha_in
from crawlers.words import PERSON_WORDS

_TRAINER_PREFIXES = (
    "ss_", "modelspec.", "sshs_", "ot_", "lora_adapter_metadata", "software", "training_info",
    "trained_words",
)  # fmt: skip
# The keys that kohya writes even with --no_metadata.
_MINIMUM_KEYS = frozenset(
    ["ss_v2", "ss_base_model_version", "ss_network_module", "ss_network_dim",
     "ss_network_alpha", "ss_network_args"]
)  # fmt: skip
# The keys under which trainers and editors of headers write words for the prompt.
_TRIGGER_KEYS = (
    "modelspec.trigger_phrase", "trained_words", "trainedWords", "trigger_words", "trigger_word",
    "trigger_phrase", "triggers", "activation_text", "activation text", "instance_prompt",
)  # fmt: skip
# Regularisation folders hold pictures of other people, which keep a model from forgetting. Their
# captions say nothing about the subject.
_REGULARISATION = re.compile(
    r"(?:.*[\W_])?(?:regulari[sz]ation|class[ _-]?images?|正则化?)(?:[\W_].*)?|"
    r"(?:\d{1,4}_)?regs?(?:[ _-]?(?:images?|imgs?|data(?:set)?|set|folder|\d+))?",
    re.IGNORECASE,
)
_GENERIC_TAGS = PERSON_WORDS | frozenset(
    ["solo", "photo", "realistic", "photorealistic", "looking at viewer", "simple background",
     "smile", "img"]
)  # fmt: skip


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _moment(text: str | None) -> str | None:
    seconds = _number(text)
    if seconds is None or not 1_600_000_000 < seconds < 4_000_000_000:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def dataset_folders(metadata: Mapping[str, str]) -> dict[str, int]:
    """The folders of the subject with their numbers of images; names like `40_name woman` whole."""
    folders: dict[str, int] = {}
    directories = _json(metadata.get("ss_dataset_dirs"))
    if isinstance(directories, dict):
        for name, fields in directories.items():
            count = fields.get("img_count") if isinstance(fields, dict) else None
            if not _REGULARISATION.fullmatch(str(name)):
                folders[str(name)] = count if isinstance(count, int) else 0
    datasets = _json(metadata.get("ss_datasets"))
    for dataset in datasets if isinstance(datasets, list) else []:
        for subset in (dataset.get("subsets") or []) if isinstance(dataset, dict) else []:
            if isinstance(subset, dict) and subset.get("image_dir") and not subset.get("is_reg"):
                count = subset.get("img_count")
                folders.setdefault(str(subset["image_dir"]), count if isinstance(count, int) else 0)
    return folders


def _regularisation_folders(metadata: Mapping[str, str]) -> set[str]:
    """The names of the folders that the header marks as regularisation."""
    named = _json(metadata.get("ss_reg_dataset_dirs"))
    folders = {str(name) for name in named} if isinstance(named, dict) else set()
    datasets = _json(metadata.get("ss_datasets"))
    for dataset in datasets if isinstance(datasets, list) else []:
        subsets = dataset.get("subsets") if isinstance(dataset, dict) else None
        for subset in subsets if isinstance(subsets, list) else []:
            if isinstance(subset, dict) and subset.get("is_reg"):
                folders.add(str(subset.get("image_dir")))
    return {re.split(r"[/\\]", folder.rstrip("/\\"))[-1] for folder in folders}


def _subject_captions(metadata: Mapping[str, str]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each folder of the subject with the count of each tag in its captions."""
    frequencies = _json(metadata.get("ss_tag_frequency"))
    regularisation = _regularisation_folders(metadata)
    for folder, tags in frequencies.items() if isinstance(frequencies, dict) else []:
        is_regularisation = folder in regularisation or _REGULARISATION.fullmatch(str(folder))
        if isinstance(tags, dict) and not is_regularisation:
            yield (
                str(folder),
                {str(tag).strip(): count for tag, count in tags.items() if isinstance(count, int)},
            )


def constant_tags(metadata: Mapping[str, str]) -> list[str]:
    """Tags of nearly every caption. The trigger is one of them."""
    found: list[str] = []
    folders = dataset_folders(metadata)
    for folder, counts in _subject_captions(metadata):
        images = folders.get(folder) or max(counts.values(), default=0)
        found += [
            tag
            for tag, count in counts.items()
            if images and count >= 0.95 * images and 0 < len(tag) <= 60
        ]
    return list(dict.fromkeys(found))


def person_tags(metadata: Mapping[str, str]) -> list[str]:
    """Class words of a person that occur in nearly every caption."""
    return [tag for tag in constant_tags(metadata) if tag.lower() in PERSON_WORDS]


def folder_words(folder: str) -> str | None:
    """The words behind the repeats in a DreamBooth folder: `40_ohwx woman` gives `ohwx woman`."""
    match = re.fullmatch(r"\d{1,4}_(.{1,80})", folder)
    return match[1].strip() if match else None


def _phrases(text: str) -> list[str]:
    """The phrases of a JSON list or of a list with commas."""
    parsed = _json(text) if text.lstrip().startswith("[") else None
    parts = (
        [part for part in parsed if isinstance(part, str)] if isinstance(parsed, list) else [text]
    )
    return [phrase.strip() for part in parts for phrase in part.split(",")]


def triggers_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The trigger words, the most specific ones first; generic words alone do not count."""
    words: list[str] = []
    for key in _TRIGGER_KEYS:
        words += _phrases(metadata.get(key, ""))
    words += [text for folder in dataset_folders(metadata) if (text := folder_words(folder))]
    words += constant_tags(metadata)
    words += [name for name, mark in metadata.items() if mark == "<embed>"]
    return tuple(
        dict.fromkeys(
            word
            for word in words
            if word
            and len(word) <= 80
            and not set(word.lower().split()) <= _GENERIC_TAGS
            and word.lower() not in _GENERIC_TAGS
        )
    )


def training_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The training record. Missing fields are None; without trainer fields `scrubbed` is True."""
    folders = dataset_folders(metadata)
    rank, alpha = rank_and_alpha_in(metadata)
    written = {name for name in metadata if name.startswith(_TRAINER_PREFIXES)}
    return {
        "output_name": metadata.get("ss_output_name") or metadata.get("modelspec.title"),
        "base_model": metadata.get("ss_sd_model_name"),
        "merged_from": metadata.get("modelspec.merged_from")
        or metadata.get("sd_merge_models")
        or metadata.get("sd_merge_recipe"),
        "base_model_hash": metadata.get("ss_new_sd_model_hash") or metadata.get("ss_sd_model_hash"),
        "base_model_version": metadata.get("ss_base_model_version"),
        "network_module": metadata.get("ss_network_module"),
        "rank": _number(metadata.get("ss_network_dim")) or rank,
        "alpha": _number(metadata.get("ss_network_alpha")) or alpha,
        "photo_count": sum(folders.values()) or None,
        "dataset_folders": folders,
        "started_at": _moment(metadata.get("ss_training_started_at")),
        "finished_at": _moment(metadata.get("ss_training_finished_at")),
        "seed": metadata.get("ss_seed"),
        "session_id": metadata.get("ss_session_id"),
        "comment": metadata.get("ss_training_comment"),
        "author": metadata.get("modelspec.author"),
        "scrubbed": not written - _MINIMUM_KEYS,
    }


def person_signals(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Sentences about signs of a person in the header. They order the work and are no verdict."""
    training = training_of(metadata)
    found: list[str] = []
    for folder, count in training["dataset_folders"].items():
        words = set((folder_words(folder) or folder).lower().replace("_", " ").split())
        if words & PERSON_WORDS:
            found.append(
                f"trained on {count or 'some'} images in a folder named {folder!r}, "
                "a person's class word"
            )
        elif count:
            found.append(f"trained on {count} images in a folder named {folder!r}")
    persons = person_tags(metadata)
    if persons:
        found.append(f"nearly every caption names {', '.join(persons)}")
    if training["started_at"]:
        found.append(f"training started {training['started_at']}")
    if metadata.get("ss_face_crop_aug_range", "") not in ("", "None"):
        found.append("face cropping was on during training")
    if training["scrubbed"]:
        found.append("the training metadata was removed or never written")
    return tuple(found)
