"""Set up the demo: register the people of world.json, and serve hubs that share likenesses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms
from face_index.errors import UnknownIdentity
from face_index.identity import Proof, Status
from face_index.registration.registration import Registrar, Request
from scanner.miniature.albums import draw_photos
from scanner.miniature.hub import serve_hub
from scanner.miniature.huggingface import serve_huggingface
from scanner.miniature.merging import merge_into_checkpoint
from scanner.miniature.world import ADAPTERS, BASE_MODEL, WorldFile, load_world
from scanner.progress import Progress
from scanner.scanning.session import ScanSession
from scanner.settings import FILE_NAME, Settings

ENROLMENT_PHOTOS = 6


def register_world(session: ScanSession, progress: Progress) -> int:
    """Register everyone in world.json who is not registered; return the number of new people."""
    world, added = load_world(), 0
    today, faces = session.clock().date(), session.faces
    registrar = Registrar(session.vault, faces.reader, faces.pack.bar, faces.calibration)
    for number, person in enumerate(world.registered):
        progress.step(number, len(world.registered), f"registering {person.name}")
        try:
            session.vault.people.find(person.name)
        except UnknownIdentity:
            with TemporaryDirectory() as folder:
                photos = draw_photos(person.seed, ENROLMENT_PHOTOS, Path(folder))
                request = Request(
                    person.name, photos, demo_consent(person.name, today), submitted_by="demo"
                )
                registrar.register(request, session.clock())
            added += 1
        if session.vault.people.find(person.name).status != Status.ACTIVE:
            proof = Proof("none: a drawn person", None, "demo operator", session.clock())
            now, why = session.clock(), "drawn persons are all different"
            # No real person is protected, so one login does both steps, and the audit log says so.
            session.vault.enrolments.approve(
                person.name, "demo operator", proof, now, why, two_people=False
            )
    return added


def demo_consent(name: str, today: date) -> Consent:
    """The consent of a drawn person: for a year, with every use prohibited to others."""
    return Consent(
        name, today, today + timedelta(days=365), None, CONSENT_TEXT_VERSION, Terms.PROHIBITED
    )


@contextmanager
def swept_hubs(session: ScanSession, folder: Path) -> Iterator[list[str]]:
    """Serve both miniature hubs for the duration of a with-block, and write a folder of files.

    Yields the targets to scan.

    Args:
        folder: in which the folder of files is made.
    """
    own = folder / "downloads"
    own.mkdir(parents=True, exist_ok=True)
    if not (whole := own / "dream_mix_v3.safetensors").exists():
        merge_into_checkpoint(BASE_MODEL, ADAPTERS / "zkw_likeness.safetensors", whole)
    again = WorldFile(
        "evening_light.safetensors",
        "registered",
        (101,),
        "evening-light",
        ("evening",),
        ("lora",),
        "quiet-brush",
    )
    with serve_hub(load_world().files) as civitai, serve_huggingface() as huggingface:
        for file in load_world().shared:
            huggingface.share(file, file.path.read_bytes())
        huggingface.share(
            again, with_another_header((ADAPTERS / "ohwx_portrait_v1.safetensors").read_bytes())
        )
        for host in (civitai, huggingface.url):
            # Signed downloads are on another host name, as on the real hubs.
            for place in (host, host.replace("127.0.0.1", "localhost")):
                session.transport.destinations.allow(place)
                session.transport.exempt_from_robots(place)
        yield [f"civitai={civitai}", f"huggingface={huggingface.url}", str(own)]


def with_another_header(data: bytes) -> bytes:
    """The same tensors with an empty header, and so another SHA-256, as in re-uploads."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


_INSTALLATION = "miniature"


def demo_settings(settings: Settings) -> Settings:
    """Settings with the miniature face pack, also saved for later commands in this home."""
    settings.home.mkdir(parents=True, exist_ok=True)
    note = settings.home / FILE_NAME
    if not note.exists():
        note.write_text(
            "# Written by `portrait-scanner demo`: this home holds the miniature world.\n"
            'face_pack = "miniature"\n'
            "# Drawn people need no second pair of eyes; where real ones are registered this stays "
            "away.\ntwo_people = false\n"
            "# The same pictures in every demo; any other installation has an id of its own.\n"
            f'samples.installation_id = "{_INSTALLATION}"\n',
            "utf-8",
        )
    own_id = settings.samples.installation_id or _INSTALLATION
    samples = settings.samples.model_copy(update={"installation_id": own_id})
    chosen = {"face_pack": "miniature", "base_model": None, "samples": samples}
    return settings.model_copy(update=chosen)
