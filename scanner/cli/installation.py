"""`doctor`: what is installed, what is missing and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from scanner.cli.context import BaseModelOption, FacePackOption, Flags, JsonFlag, print_json
from scanner.versions import MISSING, library_versions

if TYPE_CHECKING:
    from scanner.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context,
    face_pack: FacePackOption = None,
    base_model: BaseModelOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show versions, the face pack and its licence, the device, where data lives, and what is missing."""
    flags: Flags = context.obj
    findings = examine_installation(flags.settings(face_pack=face_pack, base_model=base_model))
    if as_json:
        print_json(findings)
        return
    for title in (
        "libraries",
        "device",
        "places",
        "face_pack",
        "base_models",
        "image_check",
        "identities",
        "two_people",
        "captures",
        "databases",
        "pdf",
    ):
        typer.secho(title.replace("_", " "), bold=True)
        for name, value in findings[title].items():
            typer.echo(f"  {name}: {value}")
    typer.secho("missing", bold=True)
    for sentence in findings["missing"] or ["nothing"]:
        typer.echo(f"  {sentence}")


def examine_installation(settings: Settings) -> dict[str, Any]:
    """What `doctor` prints, as plain values; nothing is downloaded."""
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

    from scanner.scanning.judging import device_of

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {"used": device_of(settings), "gpu": gpu, "cpu threads": str(torch.get_num_threads())}


def _places(settings: Settings) -> dict[str, Any]:
    found = {
        "home": str(settings.home),
        "cache": str(settings.cache),
        "free_gb": _free_gb(settings),
    }
    demo = settings.home / "demo"
    return (
        {**found, "demo": f"{demo} (portrait-scanner --home {demo} doctor)"}
        if demo.is_dir()
        else found
    )


def _free_gb(settings: Settings) -> float:
    import shutil

    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    return round(shutil.disk_usage(folder).free / 1e9, 1)


def _face_pack(settings: Settings, missing: list[str]) -> dict[str, str]:
    from pathlib import Path

    from face_index.faces.packs import known_packs

    registry = known_packs()
    described = {
        "name": settings.face_pack,
        "declared use": settings.use or "not said (counts as commercial)",
    }
    if settings.face_pack in registry:
        entry = registry[settings.face_pack]
        described |= {"licence": entry["licence"], "source": entry.get("url", entry["source"])}
        cached = {
            "bundled": True,
            "insightface": any(
                (settings.cache / "insightface/models" / settings.face_pack).glob("*.onnx")
            ),
            "huggingface": any(
                (settings.cache / "huggingface").glob(f"models--*{settings.face_pack}*")
            )
            or _in_hub_cache(settings, entry.get("repository", "")),
        }[entry["source"]]
        described["on this machine"] = "yes" if cached else "no"
        if not cached:
            missing.append(
                f"face pack {settings.face_pack}: it is fetched at first use from {entry.get('url')}, or pass --face-pack with a folder"
            )
    elif Path(settings.face_pack).is_dir():
        from face_index.faces.insight import licence_of

        described |= {
            "licence": " ".join(licence_of(Path(settings.face_pack))),
            "on this machine": "yes",
        }
    else:
        described["on this machine"] = "no"
        missing.append(
            f"face pack {settings.face_pack!r} is neither a folder nor one of {', '.join(registry)}"
        )
    return described


def _in_hub_cache(settings: Settings, repository: str) -> bool:
    return (
        bool(repository)
        and (settings.cache / "huggingface" / f"models--{repository.replace('/', '--')}").is_dir()
    )


def _base_models(settings: Settings, missing: list[str]) -> dict[str, str]:
    from scanner.sampling.base_models import choose_base_model, known_families

    described = {}
    for family, entry in known_families().items():
        base = choose_base_model(family, None)
        here = entry["source"] == "bundled" or _in_hub_cache(settings, base.location)
        described[family] = (
            f"{base.location if entry['source'] != 'bundled' else 'shipped'}, {base.licence}, {'here' if here else 'not here'}"
        )
        if not here:
            missing.append(
                f"base model of {family}: fetched at first use from {base.location} on the Hugging Face Hub, or pass --base-model"
            )
    if settings.base_model:
        described["configured"] = settings.base_model
    described["base-models folder"] = (
        f"{settings.base_models_path}, {len(list(settings.base_models_path.glob('*.safetensors')))} files"
    )
    return described


def _image_check(settings: Settings, missing: list[str]) -> dict[str, str]:
    from pathlib import Path

    from scanner.sampling.image_check import REPOSITORY

    location = settings.image_check or REPOSITORY
    here = Path(location).expanduser().is_dir() or _in_hub_cache(settings, location)
    if not here:
        missing.append(
            f"image safety check {location}: fetched at first use from the Hugging Face Hub, or set image_check to its folder; "
            "without it nothing is sampled from real base models"
        )
    return {
        "checker": location,
        "on this machine": "yes" if here else "no",
        "miniature world": "exempt: it is synthetic",
    }


def _captures(settings: Settings) -> dict[str, str]:
    """How many searches of captured pictures a person may make a day, and whose were made today."""
    told = {"searches a person may make a day": str(settings.searches_per_day)}
    if not settings.vault_path.exists():
        return told
    from face_index.errors import FaceIndexError
    from scanner.captures.tries import searches_on
    from scanner.factories import open_vault, utc_now

    try:
        vault = open_vault(settings)
    except FaceIndexError:
        return told  # `identities` says why it cannot be opened
    made = searches_on(vault, utc_now().date())
    vault.close()
    return {**told, **{f"made today by {who}": str(count) for who, count in sorted(made.items())}}


def _databases(settings: Settings, missing: list[str]) -> dict[str, str]:
    """Whether each database but the vault, which looks at itself, is a sound file; nothing is written."""
    import sqlite3
    from contextlib import closing

    found = {}
    for path in (settings.crawl_path, settings.scans_path, settings.cases_path, settings.web_path):
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
                f"{path} is damaged: stop what runs on it, move it away with its -wal and -shm, and put its backup there "
                f"(or what `sqlite3 {path.name} .recover` still reads)"
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
    """Whether what needs two people needs two logins."""
    from scanner.logins import system_login

    if not settings.two_people:
        missing.append(
            "a second person: two_people = false lets one login register somebody and approve them, and confirm a case twice; "
            "the audit log says where it did. Take the line away where more than one person works"
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
    from scanner.factories import REPAIR, open_vault

    try:
        vault = open_vault(settings)
    except FaceIndexError as error:
        missing.append(str(error))
        return {"registered": "the vault cannot be opened"}
    registered, intact, older = (
        len(vault.identities()),
        not vault.audit.problems(),
        vault.testimony.problems,
    )
    vault.close()
    missing += [f"{problem}. {REPAIR}" for problem in older]
    return {
        "registered": str(registered),
        "audit log": "intact" if intact else "ALTERED: entries were changed or removed",
        "records of erasures": "agree"
        if not older
        else "CONTRADICT: an older copy of the vault was put back",
        **_cases(settings, missing),
    }


def _cases(settings: Settings, missing: list[str]) -> dict[str, str]:
    """Whether every case is what the audit log says; a damaged file is told of as a database."""
    import sqlite3

    from reports.errors import ReportError
    from scanner.casework.service import CaseService

    if not settings.cases_path.exists():
        return {}
    try:
        service = CaseService(settings)
        wrong = list(service.records.problems())
        service.close()
    except (ReportError, sqlite3.DatabaseError) as error:
        return {"cases": f"cannot be read: {error}"}
    missing += wrong
    return {
        "cases": "as the audit log says" if not wrong else f"{len(wrong)} DIFFER from the audit log"
    }
