"""Test helpers: registering a person while a scan runs, and releasing captures."""

from __future__ import annotations

from datetime import date

from crawlers.captures.capture_store import CaptureStore
from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms
from face_index.identity import Identity
from face_index.vault import Submission
from scanner.captures.releases import Person, Releases
from scanner.factories import open_vault
from tests.conftest import PHOTO, proof, prototypes_of
from tests.opening import Session


def register_somebody(scan_session: Session, name: str = "late person") -> Identity:
    """Submit and approve a person over a separate connection, as another process would."""
    now = scan_session.clock()
    consent = Consent(
        name, date(2026, 1, 1), date(2030, 1, 1), None, CONSENT_TEXT_VERSION, Terms.PROHIBITED
    )
    version = scan_session.faces.reader.version
    prototypes = prototypes_of(sum(name.encode()), version.dimension)
    vault = open_vault(scan_session.settings)
    identity = vault.enrolments.submit(
        Submission(name, consent, prototypes, version, [PHOTO], 2, "sam"), now
    )
    approved = vault.enrolments.approve(identity.identity_id, "olga", proof(), now, "told apart")
    vault.close()
    return approved


def release_all(scan_session: Session, name: str = "Rita Mann", decision: str = "release") -> int:
    """Decide about all captures that wait for a second person; return the number of subjects."""
    captures = CaptureStore(scan_session.crawl, scan_session.settings.captures_path)
    releases = Releases(captures, scan_session.scan_store.captures, scan_session.vault)
    waiting = list(releases.waiting())
    for subject in waiting:
        login = f"{name.split(maxsplit=1)[0].lower()}@example.org"
        releases.decide(
            subject, Person(name, login), decision, "an impostor's page", scan_session.clock()
        )
    return len(waiting)
