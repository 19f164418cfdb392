"""The demo: the whole main job on the miniature world, from registration to the report."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms
from face_index.errors import UnknownIdentity
from face_index.identity import Proof, Status
from face_index.registration import Request
from scanner.miniature.albums import draw_photos
from scanner.miniature.hub import serve_hub
from scanner.miniature.world import load_world
from scanner.scan import ScanResult, run_scan
from scanner.settings import FILE_NAME, Settings
from scanner.worklist import Observer
from scanner.workshop import Workshop

ENROLMENT_PHOTOS = 6


def register_world(workshop: Workshop, observer: Observer) -> int:
    """Register everyone in world.json who is not yet; how many were added."""
    world, added = load_world(), 0
    today = workshop.clock().date()
    for number, person in enumerate(world.registered):
        observer.step(number, len(world.registered), f"registering {person.name}")
        try:
            workshop.vault.find(person.name)
        except UnknownIdentity:
            with TemporaryDirectory() as folder:
                photos = draw_photos(person.seed, ENROLMENT_PHOTOS, Path(folder))
                request = Request(person.name, photos, demo_consent(person.name, today), submitted_by="demo")
                workshop.registrar.register(request, workshop.clock())
            added += 1
        if workshop.vault.find(person.name).status != Status.ACTIVE:
            proof = Proof("none: a drawn person", None, "demo operator", workshop.clock())
            workshop.vault.approve(
                person.name, "demo operator", proof, workshop.clock(), "drawn persons are all different"
            )
    return added


def demo_consent(name: str, today: date) -> Consent:
    """A drawn person's consent: a year, everything prohibited to others."""
    return Consent(name, today, today + timedelta(days=365), None, CONSENT_TEXT_VERSION, Terms.PROHIBITED)


def run_demo(workshop: Workshop, observer: Observer) -> ScanResult:
    """Register, serve the hub, scan it."""
    register_world(workshop, observer)
    with serve_hub(load_world().files) as host:
        # The hub's signed downloads lie on another host name, as Civitai's do.
        for place in (host, host.replace("127.0.0.1", "localhost")):
            workshop.transport.destinations.allow(place)
        return run_scan(workshop, [f"civitai={host}"], observer)


def demo_settings(settings: Settings) -> Settings:
    """The same settings with the miniature face pack, also written down for later commands in this home."""
    settings.home.mkdir(parents=True, exist_ok=True)
    note = settings.home / FILE_NAME
    if not note.exists():
        note.write_text(
            '# Written by `portrait-scanner demo`: this home holds the miniature world.\nface_pack = "miniature"\n',
            "utf-8",
        )
    return settings.model_copy(update={"face_pack": "miniature", "base_model": None})
