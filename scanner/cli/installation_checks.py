"""What `doctor` finds out about an installation; nothing is downloaded or written."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from face_index.faces.pack_files import find_pack
from scanner.cli.context import case_service_of, vault_of
from scanner.factories import open_calibration, open_pack
from scanner.identification.policy import LEAST_GALLERY
from scanner.versions import MISSING, library_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from face_index.faces.packs import FacePack
    from scanner.settings import Settings

# Looking at a pack is no use of it.
_ANY_USE = {"use": "research"}


def examine_installation(settings: Settings) -> dict[str, Any]:
    """The JSON contract of `doctor`: sections of names and values, and what is missing."""
    missing: list[str] = []
    return {
        "libraries": _libraries(missing),
        "device": _device(settings),
        "places": _places(settings),
        "face_pack": _face_pack(settings, missing),
        "base_models": _base_models(settings, missing),
        "image_check": _image_check(settings, missing),
        "identities": _identities(settings, missing),
        "two_people": _two_people(settings, missing),
        "captures": _captures(settings),
        "samples": _samples(settings),
        "databases": _databases(settings, missing),
        "pdf": _pdf(missing),
        "missing": missing,
    }


def _libraries(missing: list[str]) -> dict[str, str]:
    found = library_versions()
    missing += [
        f"{name} is not installed; run `pip install portrait-scanner` again"
        for name, version in found.items()
        if version == MISSING
    ]
    return found


def _device(settings: Settings) -> dict[str, str]:
    import torch

    from scanner.sampling.options import device_for

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "used": device_for(settings.device),
        "gpu": gpu,
        "cpu threads": str(torch.get_num_threads()),
    }


def _places(settings: Settings) -> dict[str, Any]:
    places = {
        "home": str(settings.home),
        "cache": str(settings.cache),
        "free_gb": _free_gb(settings),
    }
    demo = settings.home / "demo"
    if demo.is_dir():
        places["demo"] = f"{demo} (portrait-scanner --home {demo} doctor)"
    return places


def _free_gb(settings: Settings) -> float:
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    return round(shutil.disk_usage(folder).free / 1e9, 1)


def _face_pack(settings: Settings, missing: list[str]) -> dict[str, str]:
    from face_index.faces.packs import known_packs

    registry, name = known_packs(), settings.face_pack
    use = settings.use or "not said (counts as commercial)"
    described = {"name": name, "declared use": use}
    if name in registry:
        entry = registry[name]
        cached = _is_pack_cached(settings, entry)
        described |= {"licence": entry["licence"], "source": entry.get("url", entry["source"])}
        described["on this machine"] = "yes" if cached else "no"
        if cached:
            described |= _calibration(settings, open_pack(settings.model_copy(update=_ANY_USE)))
        else:
            missing.append(
                f"face pack {name}: it is fetched at first use from {entry.get('url')}, or pass "
                "--face-pack with a folder"
            )
    elif Path(name).is_dir():
        described |= _own_pack(settings, missing)
    else:
        described["on this machine"] = "no"
        missing.append(f"face pack {name!r} is neither a folder nor one of {', '.join(registry)}")
    return described


def _own_pack(settings: Settings, missing: list[str]) -> dict[str, str]:
    from face_index.errors import PackUnusable

    try:
        pack = find_pack(settings.face_pack, settings.cache, {})
    except PackUnusable as error:
        missing.append(str(error))
        return {"on this machine": "no"}
    return {
        "licence": pack.licence,
        "commercial": "yes" if pack.commercial else "no",
        "on this machine": "yes",
        **_calibration(settings, pack),
    }


def _calibration(settings: Settings, pack: FacePack) -> dict[str, str]:
    """What the thresholds of a pack rest on, and up to which size of the gallery they hold."""
    calibration = open_calibration(settings, pack, pack.networks_sha256())
    if calibration is None:
        told = "none: nobody is a match, only possible; portrait-scanner calibrate FOLDER"
        return {"calibration": told}
    people = calibration.largest_gallery(settings.fpir)
    reach = f"bears FPIR {settings.fpir:.2%} for up to {people:,} people"
    if people < LEAST_GALLERY:
        reach = f"bears FPIR {settings.fpir:.2%} for no gallery, so nobody is a match"
    return {"calibration": f"{calibration.source}; {reach}"}


def _is_pack_cached(settings: Settings, entry: Mapping[str, Any]) -> bool:
    name, cache = settings.face_pack, settings.cache
    if entry["source"] == "bundled":
        return True
    if entry["source"] == "insightface":
        return any((cache / "insightface/models" / name).glob("*.onnx"))
    return all(
        _in_hub_cache(settings, entry[role]["repository"]) for role in ("detector", "recogniser")
    )


def _in_hub_cache(settings: Settings, repository: str) -> bool:
    folder = settings.cache / "huggingface" / f"models--{repository.replace('/', '--')}"
    return bool(repository) and folder.is_dir()


def _base_models(settings: Settings, missing: list[str]) -> dict[str, str]:
    from scanner.sampling.base_models import Declared, choose_base_model, known_families

    described = {}
    models = [
        (family, entry, model)
        for family, entry in known_families().items()
        for model in (entry.get("model", family), *entry.get("sizes", {}))
    ]
    for family, entry, model in models:
        base = choose_base_model(family, None, Declared(model=model))
        bundled = entry["source"] == "bundled"
        present = bundled or _in_hub_cache(settings, base.location)
        location = "shipped" if bundled else base.location
        described[model] = f"{location}, {base.licence}, {'here' if present else 'not here'}"
        if not present:
            missing.append(
                f"base model of {model}: fetched at first use from {base.location} on the "
                "Hugging Face Hub, or pass --base-model"
            )
    if settings.base_model:
        described["configured"] = settings.base_model
    folder = settings.base_models_path
    count = len(list(folder.glob("*.safetensors")))
    described["base-models folder"] = f"{folder}, {count} files"
    return described


def _image_check(settings: Settings, missing: list[str]) -> dict[str, str]:
    from scanner.sampling.image_check import REPOSITORY

    location = settings.image_check or REPOSITORY
    present = Path(location).expanduser().is_dir() or _in_hub_cache(settings, location)
    if not present:
        missing.append(
            f"image safety check {location}: fetched at first use from the Hugging Face Hub, or "
            "set image_check to its folder; without it nothing is sampled from real base models"
        )
    return {
        "checker": location,
        "on this machine": "yes" if present else "no",
        "miniature world": "exempt: it is synthetic",
    }


def _captures(settings: Settings) -> dict[str, str]:
    """How many searches of captured pictures a person may make a day, and who made any today."""
    described = {"searches a person may make a day": str(settings.searches_per_day)}
    if not settings.vault_path.exists():
        return described
    from face_index.errors import FaceIndexError
    from scanner.captures.search_limit import searches_on
    from scanner.clock import utc_now

    try:
        with vault_of(settings) as vault:
            made = searches_on(vault, utc_now().date())
    except FaceIndexError:
        return described  # the section `identities` says why the vault cannot be opened
    today = {f"made today by {who}": str(count) for who, count in sorted(made.items())}
    return {**described, **today}


def _samples(settings: Settings) -> dict[str, str]:
    """What is kept of the faces that checkpoints draw; the operator has chosen it."""
    days = settings.sample_keep_days
    budget = f"{settings.samples.budget_gb:g} GB"
    kept = f"{days} days, at most {budget}, sealed" if days else "none (samples.keep_days = 0)"
    if settings.country == "CN":
        kept = "none: in mainland China faces of strangers may not be stored in advance"
    return {"faces that files draw are kept": kept, **_sample_counts(settings)}


def _sample_counts(settings: Settings) -> dict[str, str]:
    if not settings.samples_path.exists():
        return {}
    uri = f"{settings.samples_path.resolve().as_uri()}?mode=ro"
    query = "select count(distinct sampling_key), coalesce(sum(length(sealed)), 0) from patches"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            [(drawings,)] = db.execute("select count(*) from drawings").fetchall()
            [(files, size)] = db.execute(query).fetchall()
    except sqlite3.DatabaseError:
        return {}  # the section `databases` reports it
    faces = f"{files}, {size / 1e6:.1f} MB"
    if files and settings.sample_keep_days == 0:
        faces += "; the next scan or search destroys them"
    return {"files drawn": str(drawings), "with faces": faces}


def _databases(settings: Settings, missing: list[str]) -> dict[str, str]:
    """Whether each database is a sound file, except for the vault, which checks itself."""
    found = {}
    for path in (
        settings.crawl_path,
        settings.scans_path,
        settings.fingerprints_path,
        settings.samples_path,
        settings.sample_keys_path,
        settings.cases_path,
        settings.web_path,
    ):
        if not path.exists():
            continue
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
                [(answer,)] = db.execute("pragma quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            answer = str(error)
        found[path.name] = "sound" if answer == "ok" else f"DAMAGED: {' '.join(answer.split())}"
        if answer != "ok":
            missing.append(
                f"{path} is damaged: stop what runs on it, move it away with its -wal and -shm, "
                f"and put its backup there (or what `sqlite3 {path.name} .recover` still reads)"
            )
    return found


def _pdf(missing: list[str]) -> dict[str, str]:
    """In which languages reports and notices can be made as PDF; HTML needs nothing."""
    from reports.documents.pdf import pdf_problem
    from reports.documents.translation import LANGUAGES

    problems = {language: pdf_problem(language) for language in LANGUAGES}
    missing += dict.fromkeys(filter(None, problems.values()))
    return {language: "no" if problem else "yes" for language, problem in problems.items()}


def _two_people(settings: Settings, missing: list[str]) -> dict[str, str]:
    """Whether decisions that need two people need two logins."""
    from scanner.environment import system_login

    if not settings.two_people:
        missing.append(
            "a second person: two_people = false lets one login register somebody and approve "
            "them, and confirm a case twice; the audit log says where it did. Remove the setting "
            "where more than one person works"
        )
    return {
        "register and approve": "two logins" if settings.two_people else "ONE login may do both",
        "confirm a case": (
            "two reviewers" if settings.four_eyes else "one reviewer (four_eyes is off)"
        ),
        "logged in as": ", ".join(system_login()),
    }


def _identities(settings: Settings, missing: list[str]) -> dict[str, str]:
    if not settings.vault_path.exists():
        return {"registered": "nobody yet"}
    from face_index.errors import FaceIndexError
    from scanner.factories import REPAIR

    try:
        with vault_of(settings) as vault:
            registered = vault.people.count()
            intact = not vault.audit.problems()
            contradictions = vault.rollback.findings.problems
    except FaceIndexError as error:
        missing.append(str(error))
        return {"registered": "the vault cannot be opened"}
    missing += [f"{problem}. {REPAIR}" for problem in contradictions]
    return {
        "registered": str(registered),
        "audit log": "intact" if intact else "ALTERED: entries were changed or removed",
        "records of erasures": (
            "CONTRADICT: an older copy of the vault was put back" if contradictions else "agree"
        ),
        **_cases(settings, missing),
    }


def _cases(settings: Settings, missing: list[str]) -> dict[str, str]:
    """Whether every case agrees with the audit log; `databases` reports a damaged file."""
    from reports.errors import ReportError

    if not settings.cases_path.exists():
        return {}
    try:
        with case_service_of(settings) as service:
            wrong = list(service.records.problems())
    except (ReportError, sqlite3.DatabaseError) as error:
        return {"cases": f"cannot be read: {error}"}
    missing += wrong
    differ = f"{len(wrong)} DIFFER from the audit log"
    return {"cases": differ if wrong else "as the audit log says"}
