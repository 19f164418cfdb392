"""The scan session: the stores, models and gallery of a scan.

`scanner.factories.open_scan_session` opens it from settings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Self

from crawlers.http.transport import Transport
from crawlers.hubs.registry import HubRegistry
from crawlers.sweeps.acquisition import Acquisition
from crawlers.sweeps.crawl_store import CrawlStore
from face_index.gallery.faiss_gallery import IndexKind
from face_index.vault import Vault
from reports.cases.case_store import CaseStore
from scanner.casework.case_records import CaseRecords
from scanner.casework.derived import Derivation, DerivedFiles
from scanner.casework.filing import CaseFiling
from scanner.clock import Clock
from scanner.errors import SettingsInvalid
from scanner.fingerprints.complements import Complements
from scanner.fingerprints.fingerprinter import Fingerprinter
from scanner.identification.faces import FaceTools
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot, SecondPack, take_snapshot
from scanner.sampling.options import SamplerOptions
from scanner.sampling.sample_store import SampleStore
from scanner.sampling.staging import Staging
from scanner.scanning.checkpoint_facts import CheckpointFacts
from scanner.scanning.companions import CompanionFiles
from scanner.scanning.held_files import HeldFiles
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.kept_samples import KeptSamples
from scanner.scanning.key import Key
from scanner.scanning.keys import Prompting, SearchSetup, prompting_of
from scanner.scanning.requests import RequestBuilder, may_be_sampled
from scanner.scanning.results import ResultFiling
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.worker_answer import SamplerSource
from scanner.scanning.workers import LocalWorker, WorkerPool
from scanner.triage.minors import RegisteredMinors

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """The settings that a scan uses.

    Attributes:
        fpir, possible_fpir: false positive identification rates of the two thresholds.
        index: kind of the gallery's index.
        hub_name: name of the hub that runs the upload gate.
        workers: number of simultaneous connections while a hub is listed.
        cluster: address of a Ray cluster; None for a worker on this machine.
        staging: through which checkpoints travel to the cluster; None if its nodes see the same
            folder.
        redraw: draw every checkpoint anew, whatever is kept.
        erase_expired: destroy faces that were kept for longer than they may be.
        installation_id: from which prompts and seeds follow; None for that of scans.db.
    """

    operator: str
    fpir: float
    possible_fpir: float
    index: IndexKind
    hub_name: str
    workers: int
    cluster: str | None
    staging: Staging | None = None
    redraw: bool = False
    erase_expired: bool = True
    installation_id: str | None = None


class ScanSession:
    """Stores, hubs, models and gallery of one scan; a context manager.

    Args:
        faces: opens the face pack; called when it is first needed.
        second_faces: opens the face pack of second opinions; None without one.
        close: closes the stores.
    """

    def __init__(
        self,
        *,
        vault: Vault,
        crawl: CrawlStore,
        scan_store: ScanStore,
        case_store: CaseStore,
        sample_store: SampleStore,
        fingerprinter: Fingerprinter,
        transport: Transport,
        hubs: HubRegistry,
        acquisition: Acquisition,
        faces: Callable[[], FaceTools],
        second_faces: Callable[[], FaceTools] | None,
        sampler_options: SamplerOptions,
        options: ScanOptions,
        policy: Policy,
        clock: Clock,
        close: Callable[[], None],
    ) -> None:
        self.vault, self.crawl = vault, crawl
        self.scan_store, self.case_store = scan_store, case_store
        self.fingerprinter = fingerprinter
        self.transport, self.hubs, self.acquisition = transport, hubs, acquisition
        self.sampler_options, self.options = sampler_options, options
        self.policy, self.clock = policy, clock
        self.records = CaseRecords(vault, case_store, clock)
        self.filing = CaseFiling(vault, case_store, self.records, options.operator, clock)
        facts = CheckpointFacts(crawl, acquisition.checkpoints, case_store)
        self.derived = DerivedFiles(fingerprinter.store, case_store)
        self.results = ResultFiling(self.filing, facts, self.derived, options.hub_name)
        self.minors = RegisteredMinors(vault, clock)
        self.held = HeldFiles(scan_store.held, vault)
        self.companions = CompanionFiles(
            Complements(fingerprinter.store),
            acquisition.checkpoints.path_of,
            self._may_be_drawn,
        )
        self.requests = RequestBuilder(
            crawl,
            self.minors,
            self.held,
            options.operator,
            clock,
            self._source_triggers,
            self.companions,
            options.installation_id or scan_store.installation_id,
            has_override=self.sampler_options.base_model is not None,
        )
        self.kept = KeptSamples(sample_store, lambda: self.faces, policy, scan_store.impostors)
        self._open_faces, self._open_second, self._close = faces, second_faces, close
        self._worker_pool: WorkerPool | None = None
        self._snapshot: tuple[tuple[int, date], GallerySnapshot] | None = None
        self._search_keys: dict[str, Key] = {}  # by snapshot id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers and close the stores."""
        self.close_worker_pool()
        self._close()

    @cached_property
    def faces(self) -> FaceTools:
        """The face pack, loaded when it is first needed."""
        return self._open_faces()

    @cached_property
    def second_faces(self) -> FaceTools | None:
        """The face pack of second opinions, loaded when it is first needed; None without one.

        Raises:
            SettingsInvalid: it is the pack that is in use.
        """
        second = self._open_second() if self._open_second is not None else None
        if second is not None and second.reader.version.sha256 == self.faces.reader.version.sha256:
            raise SettingsInvalid(
                f"second_pack names {second.pack.name}, the networks that are in use already; "
                "name another face pack, or none"
            )
        return second

    def take_snapshot(self) -> GallerySnapshot:
        """Return the present gallery.

        The last snapshot is returned again unless somebody registered or withdrew or the day
        changed. A new snapshot reads all templates and records that in the audit log. Callers must
        use one snapshot for everything about one verdict, because the next call may return another.
        """
        day = self.clock().date()
        state = (self.vault.gallery_version, day)
        if self._snapshot is not None and self._snapshot[0] == state:
            return self._snapshot[1]
        self.erase_expired()
        snapshot = self._snapshot_of(self.faces, day)
        if (second := self.second_faces) is not None:
            of_second = self._snapshot_of(second, day)
            snapshot = replace(snapshot, second=SecondPack(second.pack, second.reader, of_second))
        self._snapshot = (snapshot.gallery_version, day), snapshot
        return snapshot

    def _snapshot_of(self, faces: FaceTools, day: date) -> GallerySnapshot:
        """Read the templates that a face pack has made, and record that in the audit log."""
        pack, options = faces.reader.version, self.options
        version, templates = self.vault.templates.gallery_on(pack, day)
        self.vault.audit.record(
            "templates read", "vault", options.operator, self.clock(), people=len(templates)
        )
        rates = (options.fpir, options.possible_fpir)
        return take_snapshot(pack, templates, version, options.index, faces.calibration, rates)

    def erase_expired(self) -> None:
        """Destroy faces that were kept for longer than they may be, and record that they were."""
        if not self.options.erase_expired:
            return
        files = self.kept.store.expire(self.clock())
        if files:
            log.warning(
                "faces of %d files were destroyed, which were kept for longer or took more room "
                "than samples.keep_days and samples.budget_gb allow",
                files,
            )
            self.vault.audit.record(
                "faces destroyed", "samples", self.options.operator, self.clock(), files=files
            )

    def search_key(self, snapshot: GallerySnapshot) -> Key:
        """Return the key of the settings and a gallery, which is a part of every verdict's key."""
        minors = self.minors.ids
        known = self._search_keys.get(snapshot.snapshot_id)
        if known is None or known.parts["minors"] != sorted(minors):
            known = self._setup.search_key(snapshot, minors)
            self._search_keys[snapshot.snapshot_id] = known
        return known

    @cached_property
    def settings_key(self) -> str:
        """Digest of the key of the settings with which samples are drawn and faces are read."""
        return self._setup.settings_key().digest

    @cached_property
    def _setup(self) -> SearchSetup:
        return SearchSetup(
            self.faces.reader.version,
            str(self.options.index),
            self.policy,
            self.sampler_options.base_model,
            self.sampler_options.image_check,
        )

    def search_key_at(self, snapshot_id: str) -> Key:
        """Return the search key of a gallery that was searched in this session."""
        return self._search_keys[snapshot_id]

    def prompting(self, request: SamplingRequest) -> Prompting:
        """Return the words and the base model of a request, with the key of its samples."""
        return prompting_of(request, self.sampler_options, self.policy)

    def derivations(self, sha256: str) -> list[Derivation]:
        """Return the confirmed cases from whose files a file's weights come."""
        return self.derived.of_file(sha256)

    def _may_be_drawn(self, sha256: str) -> bool:
        """Whether a file is neither held nor refused because of what its header says."""
        if self.held.of_bytes(sha256, self.minors.ids) is not None:
            return False
        triage = self.scan_store.known_triage(sha256)
        return triage is None or may_be_sampled(triage)

    def _source_triggers(self, sha256: str) -> tuple[str, ...]:
        own = [one for one in self.derivations(sha256) if one.source is None]
        cases = [self.case_store.case(one.case_id) for one in own]
        return tuple(trigger for case in cases for trigger in case.checkpoint.triggers)

    def worker_pool(self) -> WorkerPool:
        """Return the workers that examine checkpoints; the first call starts them."""
        if self._worker_pool is None:
            self._worker_pool = self._open_pool()
        return self._worker_pool

    def _open_pool(self) -> WorkerPool:
        snapshot = self.take_snapshot()
        if self.options.cluster is None:
            identifier = self._identifier(self.sampler_options, snapshot)
            return WorkerPool([LocalWorker(identifier.with_snapshot)])
        from scanner.scanning.ray_workers import RayCluster

        cluster = RayCluster(self.options.cluster, self.sampler_options, self.options.staging)
        return WorkerPool(cluster.workers(self._identifier), cluster.disconnect)

    def close_worker_pool(self) -> None:
        """Stop the workers; the next call of `worker_pool` starts new ones."""
        if self._worker_pool is not None:
            self._worker_pool.close()
        self._worker_pool = None

    def _identifier(self, source: SamplerSource, snapshot: GallerySnapshot) -> CheckpointIdentifier:
        return CheckpointIdentifier(
            source, self.faces.pack, self.faces.reader, snapshot, self.policy
        )
