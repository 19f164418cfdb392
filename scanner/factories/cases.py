"""Opening cases: the store, the service, and what reproduces a bundle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from face_index.vault import Vault
from scanner.clock import Clock, utc_now
from scanner.factories.checkpoints import open_checkpoints
from scanner.factories.fingerprints import open_related_files
from scanner.factories.vaults import open_vault

if TYPE_CHECKING:
    from reports.cases.case_store import CaseStore
    from reports.evidence.timestamping import Authority
    from scanner.casework.service import CaseRules, CaseService
    from scanner.settings import Settings


def open_case_store(
    settings: Settings, vault: Vault, clock: Clock = utc_now, *, any_thread: bool = False
) -> CaseStore:
    """cases.db, sealed with the vault's key."""
    from scanner.casework.case_records import open_case_store as open_sealed

    return open_sealed(
        settings.cases_path,
        settings.evidence_path,
        vault,
        settings.operator,
        clock,
        any_thread=any_thread,
    )


def authorities_of(settings: Settings) -> tuple[Authority, ...]:
    """The timestamp authorities that the operator configured."""
    from reports.evidence.timestamping import Authority

    return tuple(
        Authority(authority.name, authority.url, authority.certificates)
        for authority in settings.timestamp_authorities
    )


def case_rules(settings: Settings) -> CaseRules:
    """What the case service takes from the settings."""
    from scanner.casework.service import CaseRules

    return CaseRules(
        operator=settings.operator,
        four_eyes=settings.four_eyes,
        two_people=settings.two_people,
        captures_path=settings.captures_path,
        authorities=authorities_of(settings),
        checkpoint_path=stored_checkpoint(settings),
        related_files=partial(open_related_files, settings),
    )


def stored_checkpoint(settings: Settings) -> Callable[[str], Path | None]:
    """A function that finds the file of a checkpoint in the store by its SHA-256."""

    def path_of(sha256: str) -> Path | None:
        return open_checkpoints(settings).path_of(sha256)

    return path_of


def open_case_service(settings: Settings, clock: Clock = utc_now) -> CaseService:
    """The case service with the vault and the cases. Loads no model."""
    from scanner.casework.service import CaseService

    vault = open_vault(settings)
    return CaseService(vault, open_case_store(settings, vault, clock), case_rules(settings), clock)
