"""Factories: everything that is opened from settings. Nothing below the command line and the web passes settings on.

What a factory returns is closed with `close` or as a context manager.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from face_index.faces.pack_files import find_pack
from face_index.vault import Vault
from face_index.vault.keys import EnvironmentKeys, FileKeys, KeyringKeys, KeyStore
from scanner.clock import Clock, utc_now
from scanner.environment import system_login
from scanner.sampling.base_models import MINIATURE_WEIGHTS

if TYPE_CHECKING:
    from crawlers.captures.pages.page import Limits
    from crawlers.checkpoints.checkpoint_store import CheckpointStore
    from crawlers.hubs.registry import HubRegistry
    from crawlers.sweeps.acquisition import Acquisition
    from crawlers.sweeps.crawl_store import CrawlStore
    from face_index.faces.face import FaceReader, PackVersion, Prototypes
    from face_index.faces.packs import FacePack
    from face_index.gallery.calibration import Calibration
    from face_index.registration.registration import Registrar
    from reports.cases.case_store import CaseStore
    from reports.evidence.timestamping import Authority
    from scanner.captures.filing import CaptureSearch
    from scanner.captures.intake import Intake
    from scanner.casework.reproduction import ReproductionTools
    from scanner.casework.service import CaseRules, CaseService
    from scanner.identification.faces import FaceTools
    from scanner.identification.policy import Policy
    from scanner.sampling.options import SamplerOptions
    from scanner.scanning.examiner import CheckpointExaminer
    from scanner.scanning.fetching import Objections
    from scanner.scanning.scan_store import ScanStore
    from scanner.scanning.session import ScanSession
    from scanner.settings import Settings

log = logging.getLogger(__name__)

REPAIR = (
    "Put the newest backup back with `portrait-scanner vault restore FILE`, or let this one stand "
    "with `portrait-scanner vault repair --reason TEXT`, which erases again whoever was erased"
)

# Settings that examining reads. Workers of a cluster get these and no others, so that a setting which is added
# later does not travel unless it is named here.
ON_WORKERS = (
    "home",
    "cache",
    "face_pack",
    "base_model",
    "image_check",
    "batch",
    "use",
    "device",
    "fpir",
    "possible_fpir",
    "gallery_index",
)


def key_store(settings: Settings) -> KeyStore:
    """Where the master key lives: the environment if it is there, else as configured."""
    if settings.master_key:
        following = settings.next_master_key
        return EnvironmentKeys(
            settings.master_key.get_secret_value(),
            following.get_secret_value() if following else None,
        )
    if settings.key_store == "keyring":
        return KeyringKeys(settings.vault_path)
    return FileKeys(settings.key_path)


def witnesses_of(settings: Settings) -> tuple[Path, Path]:
    """The two folders whose records of erasures are compared with the vault whenever it is opened."""
    return settings.vault_path.parent, settings.receipts_path


def open_vault(settings: Settings, *, any_thread: bool = False) -> Vault:
    """The vault of this home folder, unlocked.

    Args:
        any_thread: threads take turns with it, each of which says whose login it serves.
    """
    witnesses = witnesses_of(settings)
    vault = Vault(
        settings.vault_path, key_store(settings), witnesses=witnesses, any_thread=any_thread
    )
    if not any_thread:
        vault.audit.login = system_login()
    # A mistyped --home must not look like a vault in which nobody is registered.
    if vault.is_new:
        log.warning("a new vault, with nobody in it, was made in %s", settings.vault_path.parent)
    for problem in vault.rollback.findings.problems:
        log.error("%s; nobody who was erased is searched. %s", problem, REPAIR)
    return vault


def open_pack(settings: Settings) -> FacePack:
    """The configured face pack, licensed for the declared use."""
    built_in = {"miniature": MINIATURE_WEIGHTS / "face_pack"}
    pack = find_pack(settings.face_pack, settings.cache, built_in)
    pack.must_allow(settings.use)
    return pack


def open_reader(settings: Settings, pack: FacePack) -> FaceReader:
    """The face reader of a pack, on the configured device."""
    import onnxruntime

    from face_index.faces.insight import InsightFaceReader

    available = onnxruntime.get_available_providers()
    cuda = settings.device == "cuda" or (
        settings.device == "auto" and "CUDAExecutionProvider" in available
    )
    providers = ["CPUExecutionProvider"]
    return InsightFaceReader(pack, ["CUDAExecutionProvider", *providers] if cuda else providers)


def open_calibration(
    settings: Settings, pack: FacePack, version: PackVersion
) -> Calibration | None:
    """What a pack's scores mean: as `calibrate` measured here, else as it came with the pack."""
    from face_index.gallery.calibration import load_calibration

    for path in (
        settings.calibrations_path / f"{version.sha256}.json",
        pack.folder / "calibration.json",
    ):
        calibration = load_calibration(path, version.sha256)
        if calibration:
            return calibration
    return None


def open_face_tools(settings: Settings) -> FaceTools:
    """The configured face pack with its reader and calibration."""
    from scanner.identification.faces import FaceTools

    pack = open_pack(settings)
    reader = open_reader(settings, pack)
    return FaceTools(pack, reader, open_calibration(settings, pack, reader.version))


def open_registrar(vault: Vault, tools: FaceTools) -> Registrar:
    """What registers people, on an open vault."""
    from face_index.registration.registration import Registrar

    return Registrar(vault, tools.reader, tools.pack.bar, tools.calibration)


class EnrolmentSession:
    """The vault with the configured face pack, for registering people; a context manager.

    The face pack is loaded when it is first needed. No image model is loaded.
    """

    def __init__(self, settings: Settings, vault: Vault, clock: Clock) -> None:
        self.settings, self.vault, self.clock = settings, vault, clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.vault.close()

    @cached_property
    def faces(self) -> FaceTools:
        return open_face_tools(self.settings)

    @cached_property
    def registrar(self) -> Registrar:
        return open_registrar(self.vault, self.faces)


def open_enrolment_session(settings: Settings, clock: Clock = utc_now) -> EnrolmentSession:
    """The vault and the face pack of a home."""
    return EnrolmentSession(settings, open_vault(settings), clock)


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


def open_checkpoints(settings: Settings) -> CheckpointStore:
    """The checkpoint store, which keeps what cases cite whatever the size budget."""
    from crawlers.checkpoints.checkpoint_store import CheckpointStore
    from reports.cases.case_store import CaseStore

    def cited() -> frozenset[str]:
        case_store = CaseStore(settings.cases_path, settings.evidence_path)
        try:
            return case_store.cited_checkpoints()
        finally:
            case_store.close()

    budget_bytes = int(settings.checkpoint_budget_gb * 1e9)
    return CheckpointStore(settings.checkpoints_path, budget_bytes, cited)


def open_acquisition(
    settings: Settings, crawl: CrawlStore, hubs: HubRegistry, clock: Clock
) -> Acquisition:
    """What fetches listed files."""
    from crawlers.sweeps.acquisition import Acquisition

    return Acquisition(crawl, open_checkpoints(settings), hubs, clock)


def authorities_of(settings: Settings) -> tuple[Authority, ...]:
    """The timestamp authorities that the operator configured."""
    from reports.evidence.timestamping import Authority

    return tuple(
        Authority(one.name, one.url, one.certificates) for one in settings.timestamp_authorities
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
        checkpoint_path=_checkpoint_path(settings),
    )


def _checkpoint_path(settings: Settings) -> Callable[[str], Path | None]:
    def path_of(sha256: str) -> Path | None:
        return open_checkpoints(settings).path_of(sha256)

    return path_of


def open_case_service(settings: Settings, clock: Clock = utc_now) -> CaseService:
    """Vault and cases, with what people do to them. Loads no model."""
    from scanner.casework.service import CaseService

    vault = open_vault(settings)
    return CaseService(vault, open_case_store(settings, vault, clock), case_rules(settings), clock)


def open_scan_store(settings: Settings, vault: Vault | None = None) -> ScanStore:
    """scans.db.

    Args:
        vault: with it, verdicts are sealed and only sealed ones are believed.
    """
    from scanner.scanning.scan_store import ScanStore

    seal = vault.keys.keyed_digest("verdicts") if vault else None
    return ScanStore(settings.scans_path, seal=seal)


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


def settings_of_workers(settings: Settings) -> Settings:
    """The settings that travel to workers of a cluster (ON_WORKERS); all others have their defaults."""
    values = {name: getattr(settings, name) for name in ON_WORKERS}
    return type(settings).model_construct(**values, operator="")


def open_examiner(
    settings: Settings,
    policy: Policy,
    templates: list[tuple[str, Prototypes]],
    gallery_version: int,
) -> CheckpointExaminer:
    """An examiner from settings and templates alone, as a worker on another machine opens it."""
    from face_index.gallery.faiss_gallery import IndexKind
    from scanner.identification.snapshot import take_snapshot
    from scanner.scanning.examiner import CheckpointExaminer

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
    return CheckpointExaminer(options, tools.pack, tools.reader, snapshot, policy)


def open_scan_session(
    settings: Settings, clock: Clock = utc_now, policy: Policy | None = None
) -> ScanSession:
    """Everything that a scan works with."""
    from crawlers.sweeps.crawl_store import CrawlStore
    from face_index.gallery.faiss_gallery import IndexKind
    from scanner.identification.policy import Policy
    from scanner.network import open_hubs, open_transport
    from scanner.scanning.session import ScanOptions, ScanSession

    policy = policy or Policy()
    vault = open_vault(settings)
    crawl = CrawlStore(settings.crawl_path)
    scan_store = open_scan_store(settings, vault)
    case_store = open_case_store(settings, vault, clock)
    transport = open_transport(settings)
    hubs = open_hubs(settings, transport)

    def close() -> None:
        for store in (vault, transport, crawl, scan_store, case_store):
            store.close()

    return ScanSession(
        vault=vault,
        crawl=crawl,
        scan_store=scan_store,
        case_store=case_store,
        transport=transport,
        hubs=hubs,
        acquisition=open_acquisition(settings, crawl, hubs, clock),
        faces=partial(open_face_tools, settings),
        open_examiner=partial(open_examiner, settings_of_workers(settings), policy),
        sampler_options=sampler_options(settings),
        options=ScanOptions(
            operator=settings.operator,
            fpir=settings.fpir,
            possible_fpir=settings.possible_fpir,
            index=IndexKind(settings.gallery_index),
            hub_name=settings.web.hub_name,
            workers=settings.workers,
            cluster=settings.ray,
        ),
        policy=policy,
        clock=clock,
        close=close,
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


def open_intake(settings: Settings, clock: Clock = utc_now, limits: Limits | None = None) -> Intake:
    """What takes captures in."""
    from crawlers.sweeps.crawl_store import CrawlStore
    from scanner.captures.intake import Intake

    return Intake(
        open_vault(settings),
        CrawlStore(settings.crawl_path),
        settings.captures_path,
        operator=settings.operator,
        authorities=authorities_of(settings),
        clock=clock,
        limits=limits,
    )


def open_capture_search(settings: Settings, session: ScanSession) -> CaptureSearch:
    """The search of captures with the stores and the gallery of a scan session."""
    from crawlers.captures.capture_store import CaptureStore
    from scanner.captures.filing import CaptureSearch

    snapshot = session.take_snapshot()
    return CaptureSearch(
        captures=CaptureStore(session.crawl, settings.captures_path),
        crawl=session.crawl,
        verdicts=session.scan_store.captures,
        filing=session.filing,
        pack=session.faces.pack,
        reader=session.faces.reader,
        snapshot=snapshot,
        search_key=session.search_key(snapshot),
        searches_per_day=settings.searches_per_day,
    )


def reproduction_tools(settings: Settings) -> ReproductionTools:
    """What reproduction needs of this machine."""
    from scanner.casework.reproduction import ReproductionTools

    return ReproductionTools(
        options=sampler_options(settings),
        open_reader=lambda: open_reader(settings, open_pack(settings)),
        checkpoint_path=_checkpoint_path(settings),
    )
