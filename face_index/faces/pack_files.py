"""Finding the files of a face pack, and downloading them if they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from face_index.errors import PackMissing
from face_index.faces.packs import FacePack, known_packs
from face_index.faces.quality import QualityBar


def find_pack(name_or_folder: str, cache: Path, bundled: dict[str, Path]) -> FacePack:
    """Return the pack of a registry name or a local folder; download it if it is missing.

    Args:
        name_or_folder: A name in face_packs.toml, or a folder in InsightFace's layout.
        cache: The folder for downloaded packs.
        bundled: Folders of packs that ship with the program, by name.

    Raises:
        PackMissing: The name is neither known nor a folder, or the files cannot be downloaded.
    """
    registry = known_packs()
    if name_or_folder not in registry:
        folder = Path(name_or_folder).expanduser()
        if not folder.is_dir():
            raise PackMissing(
                f"{name_or_folder!r} is neither a folder nor a known face pack "
                f"({', '.join(registry)})"
            )
        return _own_pack(folder.resolve())
    entry = registry[name_or_folder]
    folder = _folder_of(name_or_folder, entry, cache, bundled)
    return FacePack(
        name=name_or_folder,
        folder=folder,
        licence=entry["licence"],
        commercial=_commercial(entry["commercial"], folder),
        detection_size=(entry["detection_size"], entry["detection_size"]),
        bar=QualityBar(
            min_detector_score=entry["min_detector_score"],
            min_eye_distance_px=entry["min_eye_distance_px"],
            min_sharpness=entry["min_sharpness"],
        ),
        version=entry["version"],
    )


def _own_pack(folder: Path) -> FacePack:
    from face_index.faces.insight import licence_of

    grant, message = licence_of(folder)
    return FacePack(
        folder.name, folder, f"{grant} ({message})", grant == "commercial", (640, 640), QualityBar()
    )


def _commercial(declared: bool | str, folder: Path) -> bool:
    if declared == "signed":
        from face_index.faces.insight import licence_of

        return licence_of(folder)[0] == "commercial"
    return bool(declared)


def _folder_of(name: str, entry: dict[str, Any], cache: Path, bundled: dict[str, Path]) -> Path:
    if entry["source"] == "bundled":
        if name not in bundled or not bundled[name].is_dir():
            raise PackMissing(
                f"face pack {name} should ship with the program but is not there; install it again"
            )
        return bundled[name]
    if entry["source"] == "insightface":
        from face_index.faces.insight import fetch_pack

        return fetch_pack(name, cache / "insightface")
    return _from_hugging_face(name, entry["repository"], cache / "huggingface")


def _from_hugging_face(name: str, repository: str, cache: Path) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, cache_dir=cache, allow_patterns=["*.onnx"]))
    except Exception as error:  # every error of the hub's client means that the files are missing
        raise PackMissing(
            f"face pack {name} is not on this machine and {repository} could not be downloaded "
            f"({type(error).__name__}). Bring the repository's .onnx files in a folder and pass it "
            "with --face-pack"
        ) from error
