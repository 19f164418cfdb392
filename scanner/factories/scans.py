"""Opening scans: the store, the identifier of a worker, and the session."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from face_index.errors import VaultLocked
from face_index.vault import Vault
from face_index.vault.keys import seal, unseal
from scanner.clock import Clock, utc_now
from scanner.factories.cases import open_case_store, stored_checkpoint
from scanner.factories.checkpoints import open_acquisition
from scanner.factories.faces import open_face_tools, open_pack, open_reader
from scanner.factories.fingerprints import base_denoisers, open_fingerprint_store
from scanner.factories.network import open_hubs, open_transport
from scanner.factories.vaults import open_vault

if TYPE_CHECKING:
    from face_index.faces.face import Prototypes
    from scanner.casework.reproduction import ReproductionTools
    from scanner.identification.faces import FaceTools
    from scanner.identification.policy import Policy
    from scanner.sampling.options import SamplerOptions
    from scanner.sampling.sample_store import SampleStore
    from scanner.sampling.staging import Staging
    from scanner.scanning.fetching import Objections
    from scanner.scanning.identifier import CheckpointIdentifier
    from scanner.scanning.scan_store import ScanStore
    from scanner.scanning.session import ScanOptions, ScanSession
    from scanner.settings import Settings

log = logging.getLogger(__name__)


def open_scan_store(settings: Settings, vault: Vault | None = None) -> ScanStore:
    """scans.db.

    Args:
        vault: with it, verdicts are sealed and only sealed ones are believed.
    """
    from scanner.scanning.scan_store import ScanStore

    code = vault.keys.keyed_digest("verdicts") if vault else None
    return ScanStore(settings.scans_path, seal=code)


class _VaultCipher:
    """The cipher of the vault, for samples (scanner.sampling.sample_store.Cipher)."""

    def seal(self, key: bytes, plain: bytes, bound_to: str) -> bytes:
        return seal(key, plain, bound_to)

    def unseal(self, key: bytes, sealed: bytes, bound_to: str) -> bytes | None:
        try:
            return unseal(key, sealed, bound_to)
        except VaultLocked:
            return None


def open_sample_store(settings: Settings, vault: Vault) -> SampleStore:
    """samples.db, whose faces can be read only with a key of the vault."""
    from scanner.sampling.sample_store import Retention, SampleStore

    if not settings.samples_path.exists():
        log.warning("%s", _choice_of(settings))
    # Derived, so that it outlives a rotation of the master key.
    wrapping_key = bytes.fromhex(vault.keys.keyed_digest("samples")(b"wrapping key"))
    retention = Retention(settings.sample_keep_days, round(settings.samples.budget_gb * 1e9))
    return SampleStore(
        settings.samples_path,
        settings.sample_keys_path,
        _VaultCipher(),
        wrapping_key,
        vault.keys.keyed_digest("drawings"),
        retention,
    )


def _choice_of(settings: Settings) -> str:
    """Return what an operator chooses about faces that files draw, as a sentence."""
    choose = "choose with samples.keep_days in portrait-scanner.toml (docs/safety.md)"
    if (days := settings.sample_keep_days) == 0:
        return (
            "no faces that files draw are kept, so people who register later are searched for "
            f"only in files that are drawn again; {choose}"
        )
    return (
        f"faces that files draw again and again are kept for {days} days, sealed, to search people "
        f"who register later; {choose}"
    )


def sampler_options(settings: Settings) -> SamplerOptions:
    """What sampling takes from the settings."""
    from scanner.sampling.options import SamplerOptions

    return SamplerOptions(
        cache=settings.cache / "huggingface",
        base_models=settings.base_models_path,
        base_model=settings.base_model,
        image_check=settings.image_check,
        device=settings.device,
        batch=settings.batch,
    )


def staging_of(settings: Settings) -> Staging | None:
    """Where checkpoints lie while machines of a cluster need them; None without such a place."""
    from scanner.sampling.staging import Staging

    if settings.ray_staging is None:
        return None
    return Staging(settings.ray_staging, settings.cache / "staged")


def open_identifier(
    settings: Settings,
    policy: Policy,
    templates: list[tuple[str, Prototypes]],
    gallery_version: int,
) -> CheckpointIdentifier:
    """An identifier from settings and templates alone, without a vault."""
    from face_index.gallery.faiss_gallery import IndexKind
    from scanner.identification.snapshot import take_snapshot
    from scanner.scanning.identifier import CheckpointIdentifier

    tools = open_face_tools(settings)
    snapshot = take_snapshot(
        tools.reader.version,
        templates,
        gallery_version,
        IndexKind(settings.gallery_index),
        tools.calibration,
        (settings.fpir, settings.possible_fpir),
    )
    options = sampler_options(settings)
    return CheckpointIdentifier(options, tools.pack, tools.reader, snapshot, policy)


def open_scan_session(
    settings: Settings,
    clock: Clock = utc_now,
    policy: Policy | None = None,
    *,
    redraw: bool = False,
    erase_expired: bool = True,
) -> ScanSession:
    """The scan session, with everything that a scan needs.

    Args:
        redraw: draw every checkpoint anew, whatever is kept.
        erase_expired: destroy faces that were kept for longer than the settings allow.
    """
    from crawlers.sweeps.crawl_store import CrawlStore
    from scanner.fingerprints.fingerprinter import Fingerprinter
    from scanner.identification.policy import Policy
    from scanner.scanning.session import ScanSession

    policy = policy or Policy()
    vault = open_vault(settings)
    crawl = CrawlStore(settings.crawl_path)
    scan_store = open_scan_store(settings, vault)
    case_store = open_case_store(settings, vault, clock)
    sample_store = open_sample_store(settings, vault)
    fingerprints = open_fingerprint_store(settings)
    transport = open_transport(settings)
    hubs = open_hubs(settings, transport)

    def close() -> None:
        stores = (vault, transport, crawl, scan_store, sample_store, case_store, fingerprints)
        for store in stores:
            store.close()

    session = ScanSession(
        vault=vault,
        crawl=crawl,
        scan_store=scan_store,
        case_store=case_store,
        sample_store=sample_store,
        fingerprinter=Fingerprinter(fingerprints, clock, base_denoisers(settings)),
        transport=transport,
        hubs=hubs,
        acquisition=open_acquisition(settings, crawl, hubs, clock),
        faces=partial(open_face_tools, settings),
        second_faces=_second_faces(settings),
        sampler_options=sampler_options(settings),
        options=_scan_options(settings, redraw=redraw, erase_expired=erase_expired),
        policy=policy,
        clock=clock,
        close=close,
    )
    session.erase_expired()
    return session


def _second_faces(settings: Settings) -> Callable[[], FaceTools] | None:
    """What opens the face pack of second opinions; None without one."""
    if settings.second_pack is None:
        return None
    second = settings.model_copy(update={"face_pack": settings.second_pack})
    return partial(open_face_tools, second)


def _scan_options(settings: Settings, *, redraw: bool, erase_expired: bool) -> ScanOptions:
    from face_index.gallery.faiss_gallery import IndexKind
    from scanner.scanning.session import ScanOptions

    return ScanOptions(
        operator=settings.operator,
        fpir=settings.fpir,
        possible_fpir=settings.possible_fpir,
        index=IndexKind(settings.gallery_index),
        hub_name=settings.web.hub_name,
        workers=settings.workers,
        cluster=settings.ray,
        staging=staging_of(settings),
        redraw=redraw,
        erase_expired=erase_expired,
        installation_id=settings.samples.installation_id,
    )


@contextmanager
def open_objections(settings: Settings, clock: Clock = utc_now) -> Iterator[Objections]:
    """Reasons against fetching files. Without a vault nobody can be registered yet."""
    from scanner.scanning.fetching import Objections
    from scanner.scanning.held_files import HeldFiles
    from scanner.triage.minors import RegisteredMinors

    if not settings.vault_path.exists():
        yield Objections(None, None, settings.operator, clock)
        return
    with closing(open_vault(settings)) as vault, closing(open_scan_store(settings)) as store:
        held, minors = HeldFiles(store.held, vault), RegisteredMinors(vault, clock)
        yield Objections(minors, held, settings.operator, clock)


def reproduction_tools(settings: Settings) -> ReproductionTools:
    """What reproduction needs from this machine."""
    from scanner.casework.reproduction import ReproductionTools

    return ReproductionTools(
        options=sampler_options(settings),
        open_reader=lambda: open_reader(settings, open_pack(settings)),
        checkpoint_path=stored_checkpoint(settings),
    )
