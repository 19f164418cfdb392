"""Finding the files of a face pack, and downloading them if they are missing."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

from face_index.errors import PackMissing, PackUnusable
from face_index.faces.packs import DetectorKind, FacePack, Network, known_packs
from face_index.faces.quality import QualityBar

# A file in a folder of the user's own that names its networks and their licences.
PACK_FILE = "pack.toml"
_ROLES = ("detector", "recogniser")
_BAR_FIELDS = ("min_detector_score", "min_eye_distance_px", "min_sharpness", "max_yaw_deg")
_PACK_KEYS = {*_ROLES, *_BAR_FIELDS, "version", "detection_size"}
_NETWORK_KEYS = {"file", "kind", "licence", "commercial", "sha256", "source"}


def find_pack(name_or_folder: str, cache: Path, bundled: dict[str, Path]) -> FacePack:
    """Return the pack of a registry name or a local folder; download it if it is missing.

    Args:
        name_or_folder: A name in face_packs.toml, or a folder in InsightFace's layout or with a
            pack.toml.
        cache: The folder for downloaded packs.
        bundled: Folders of packs that ship with the program, by name.

    Raises:
        PackMissing: The name is neither known nor a folder, or the files cannot be downloaded.
        PackUnusable: A file is another one than the registry or pack.toml names.
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
    networks = {}
    if entry["source"] == "files":
        hub = cache / "huggingface"
        networks = {
            role: _network(role, entry[role], _from_hugging_face(name_or_folder, entry[role], hub))
            for role in _ROLES
        }
        folder = networks["recogniser"].file.parent
    else:
        folder = _folder_of(name_or_folder, entry, cache, bundled)
    return FacePack(
        name=name_or_folder,
        folder=folder,
        licence=entry["licence"],
        commercial=_commercial(entry["commercial"], folder),
        detection_size=(entry["detection_size"], entry["detection_size"]),
        bar=_bar(entry),
        version=entry["version"],
        **networks,
    )


def _own_pack(folder: Path) -> FacePack:
    if (folder / PACK_FILE).is_file():
        return _described_pack(folder)
    from face_index.faces.insight import licence_of

    grant, message = licence_of(folder)
    return FacePack(
        folder.name, folder, f"{grant} ({message})", grant == "commercial", (640, 640), QualityBar()
    )


def _described_pack(folder: Path) -> FacePack:
    """Return the pack that a folder's pack.toml describes; the user answers for its licences."""
    path = folder / PACK_FILE
    try:
        entry = tomllib.loads(path.read_text("utf-8-sig"))
        if unknown := set(entry) - _PACK_KEYS:
            raise ValueError(f"unknown key {', '.join(sorted(unknown))}")
        networks = {role: _own_network(role, entry[role], folder) for role in _ROLES}
        side = entry.get("detection_size", 640)
        if type(side) is not int or side not in range(64, 2049) or side % 32:
            raise ValueError(f"detection_size must be 64 to 2048 in steps of 32, not {side!r}")
        bar, version = _bar(entry), entry.get("version", "")
        if not isinstance(version, str):
            raise TypeError(f"version must be text, not {version!r}")
    except KeyError as error:
        raise PackUnusable(
            f"{path}: {error.args[0]!r} is missing; see docs/face_index.md"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise PackUnusable(f"{path} cannot be read ({error}); see docs/face_index.md") from error
    licence = "; ".join(f"{role}: {network.licence}" for role, network in networks.items())
    commercial = all(network.commercial for network in networks.values())
    return FacePack(
        folder.name, folder, licence, commercial, (side, side), bar, version, **networks
    )


def _own_network(role: str, entry: dict[str, Any], folder: Path) -> Network:
    if unknown := set(entry) - _NETWORK_KEYS:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))} of the {role}")
    file = (folder / entry["file"]).resolve()
    if folder not in file.parents:
        raise ValueError(f"{entry['file']} does not lie in the folder")
    if not str(entry["licence"]).strip():
        raise ValueError(f"the licence of the {role} is empty")
    return _network(role, entry, file)


def _network(role: str, entry: dict[str, Any], file: Path) -> Network:
    """Return a network; raises PackUnusable if its file is another one than the entry names."""
    known = list(DetectorKind) if role == "detector" else ["arcface"]
    kind = str(entry.get("kind", known[0]))
    if kind not in known:
        raise PackUnusable(f"the kind of a {role} is one of {', '.join(known)}, not {kind!r}")
    if not file.is_file():
        raise PackUnusable(f"{file} is missing")
    expected = entry.get("sha256")
    if expected is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", str(expected)):
        raise PackUnusable(f"the sha256 of the {role} is no SHA-256: {expected!r}")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if expected is not None and found != str(expected).lower():
        raise PackUnusable(
            f"{file} is not the file that was meant: its SHA-256 is {found}, not {expected}; "
            "put the right one there"
        )
    commercial = entry["commercial"]
    if not isinstance(commercial, bool):
        raise PackUnusable(f"commercial must be true or false, not {commercial!r}")
    return Network(kind, file, str(entry["licence"]), commercial)


def _bar(entry: dict[str, Any]) -> QualityBar:
    limits = {name: float(entry[name]) for name in _BAR_FIELDS if name in entry}
    if wrong := [name for name, limit in limits.items() if not 0 <= limit < 1000]:
        raise ValueError(f"{wrong[0]} must be 0 or more")
    return QualityBar(**limits)


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
    from face_index.faces.insight import fetch_pack

    return fetch_pack(name, cache / "insightface")


def _from_hugging_face(name: str, entry: dict[str, Any], cache: Path) -> Path:
    from huggingface_hub import hf_hub_download

    repository, file = entry["repository"], entry["file"]
    try:
        return Path(hf_hub_download(repository, file, cache_dir=cache))
    except Exception as error:  # every error of the hub's client means that the file is missing
        raise PackMissing(
            f"face pack {name} is not on this machine: {file} could not be downloaded from "
            f"{repository} ({type(error).__name__}). Bring the files of the pack in a folder with "
            "a pack.toml (docs/face_index.md) and pass it with --face-pack"
        ) from error
