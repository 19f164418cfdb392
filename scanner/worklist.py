"""Every listed file on its way to a verdict: fetched, triaged, judged, its cases filed. The one place where the stages meet.

The main thread fetches and writes while the crew judges; what was judged before under the same bytes, gallery and settings
is not judged again. An item is moved in the ledger in one transaction a step, so that a killed scan repeats at most
what was under way.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from crawlers.archives import Member
from crawlers.errors import CrawlError
from crawlers.listing import Listing, RemoteFile, listing_from_dict
from scanner.adapters.loading import SCANNABLE_KINDS
from scanner.base_models import Declared, choose_base_model
from scanner.cases.filing import file_cases
from scanner.crew import raise_unless_expected
from scanner.errors import NotScannable, ScanError
from scanner.judging import Judgement, Task
from scanner.ledger import Item, ScanRow
from scanner.safety import refuse_minors
from scanner.triage import Triage, triage_file, triage_from_dict, with_listing
from scanner.trigger_words import named_minor, words_of
from scanner.verdict import Outcome
from scanner.workshop import Workshop


class Observer(Protocol):
    """Told of every step, to draw a progress bar from."""

    def step(self, done: int, total: int | None, doing: str) -> None:
        """`done` of `total` files are judged; `total` is None while listing goes on."""


@dataclass(slots=True)
class _Part:
    """One weights file of an item: the item's own, or one of an archive."""

    file: RemoteFile
    triage: Triage | None = None
    task: Task | None = None
    rows: list[dict[str, Any]] | None = None


@dataclass(slots=True)
class _Entry:
    """An item under way."""

    item: Item
    listing: Listing
    parts: list[_Part] = field(default_factory=list)
    started: float = 0.0


class Worklist:
    """The items of one scan."""

    def __init__(self, workshop: Workshop, scan: ScanRow, items: Sequence[Item], observer: Observer) -> None:
        self._workshop, self._scan, self._items, self._observer = workshop, scan, items, observer
        self._waiting: dict[str, list[tuple[_Entry, _Part]]] = {}
        self._done = sum(item.state == "judged" for item in items)

    def work_off(self) -> None:
        """Bring every item to its verdict."""
        for item in self._items:
            if item.state == "judged":
                continue
            listing = listing_from_dict(item.listing)
            self._tell(listing.files[item.file_number].name)
            self._begin(_Entry(item, listing, started=time.monotonic()))
            # Where everything is known already, no crew is called together.
            while self._waiting and not self._workshop.crew.has_room:
                self._collect(wait=True)
            if self._waiting:
                self._collect(wait=False)
        while self._waiting:
            self._collect(wait=True)
        self._tell("")

    def _tell(self, doing: str) -> None:
        self._observer.step(self._done, len(self._items), doing)

    def _begin(self, entry: _Entry) -> None:
        """Fetch and triage an item and hand its parts to the crew, as far as that is still needed."""
        listing, file = entry.listing, entry.listing.files[entry.item.file_number]
        sha256 = file.sha256
        try:
            refuse_minors([listing.title, file.name, *listing.tags, *listing.triggers], listing.minor_flag)
            if minor := named_minor(self._workshop, listing, file):
                entry.parts = [_Part(file, rows=[_minor_row(self._workshop, file, minor)])]
                return self._finish_if_done(entry)
            known = self._known_before_fetching(listing, file)
            if known is not None:
                self._workshop.ledger.move(self._scan.scan_id, entry.item.item_key, "triaged", sha256=sha256)
                entry.parts = [_Part(file, rows=file_cases(self._workshop, self._scan, listing, file, *known))]
                return self._finish_if_done(entry)
            stored = self._workshop.acquisition.obtain(listing, file, ask_again=True)
            sha256 = stored.sha256
            self._workshop.ledger.move(self._scan.scan_id, entry.item.item_key, "fetched", sha256=sha256)
            found = _parts(file, stored.path, stored.members)
        except (CrawlError, ScanError) as error:
            entry.parts = [_Part(file, rows=[_failed_row(file, sha256, str(error), time.monotonic() - entry.started)])]
            return self._finish_if_done(entry)
        entry.parts = [_Part(part) for part, _ in found]
        for part, (_, path) in zip(entry.parts, found, strict=True):
            self._hand_over(entry, part, path)
        return self._finish_if_done(entry)

    def _hand_over(self, entry: _Entry, part: _Part, path: Path) -> None:
        workshop, ledger = self._workshop, self._workshop.ledger
        try:
            alone = triage_file(path)
            ledger.remember_triage(alone.sha256 or "", asdict(alone), workshop.clock())
            part.triage = triage = with_listing(alone, entry.listing.base_model)
            ledger.move(self._scan.scan_id, entry.item.item_key, "triaged", triage=asdict(triage))
            if minor := named_minor(workshop, entry.listing, part.file, triage):
                part.rows = [_minor_row(workshop, part.file, minor)]
                return
            watch = workshop.watch
            part.task = task = self._task(entry.listing, part.file, triage, path)
            key = self._verdict_key(task, workshop.fingerprint_of(watch))
            known = ledger.known_verdict(task.sha256, key)
            if known is not None:
                part.rows = file_cases(workshop, self._scan, entry.listing, part.file, triage, known)
                return
        except (CrawlError, ScanError) as error:
            part.rows = [_failed_row(part.file, part.file.sha256, str(error), time.monotonic() - entry.started)]
            return
        waiting = self._waiting.setdefault(f"{task.sha256} {key}", [])
        waiting.append((entry, part))
        if len(waiting) == 1:  # else the same bytes are being judged already
            workshop.crew.submit(f"{task.sha256} {key}", task, watch)

    def _task(self, listing: Listing, file: RemoteFile, triage: Triage, path: Path) -> Task:
        triggers, candidates = words_of(self._workshop, listing, file, triage)
        training = triage.training
        return Task(
            path,
            triage.sha256 or "",
            triage.kind,
            triage.family,
            triggers,
            candidates,
            Declared(training.get("base_model"), training.get("base_model_hash"), triage.model),
            _problem_of(triage),
        )

    def _verdict_key(self, task: Task, fingerprint: str) -> str:
        """What a verdict depends on besides the bytes, as a hash.

        Args:
            fingerprint: of settings and the gallery that is searched (`Workshop.fingerprint_of`).
        """
        try:
            settings = self._workshop.settings
            base = choose_base_model(task.family, settings.base_model, task.declared, settings.base_models_path)
            location = f"{base.location} {base.reason}"
        except NotScannable as error:
            location = str(error)
        parts = f"{fingerprint} {task.triggers} {task.candidates} {location}"
        if task.problem is not None:  # one listing's words can refuse what another's do not
            parts += f" {task.problem}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def _known_before_fetching(self, listing: Listing, file: RemoteFile) -> tuple[Triage, dict[str, Any]] | None:
        """Triage and verdict of bytes that were judged before under their SHA-256, so that nothing has to be fetched."""
        if file.sha256 is None or not file.url.startswith(("http://", "https://")):
            return None
        remembered = self._workshop.ledger.known_triage(file.sha256)
        if remembered is None or "fits" not in remembered:  # of a version that took one width for a family
            return None
        triage = with_listing(triage_from_dict(remembered), listing.base_model)
        if named_minor(self._workshop, listing, file, triage):
            return None
        fingerprint = self._workshop.fingerprint_of(self._workshop.watch)
        key = self._verdict_key(self._task(listing, file, triage, Path()), fingerprint)
        record = self._workshop.ledger.known_verdict(file.sha256, key)
        return None if record is None else (triage, record)

    def _collect(self, *, wait: bool) -> None:
        for key, judgement in self._workshop.crew.finished(wait=wait):
            for number, (entry, part) in enumerate(
                self._waiting.pop(key, [])
            ):  # none for what an ended scan left behind
                part.rows = self._rows(key, entry, part, judgement, remember=number == 0)
                self._finish_if_done(entry)

    def _rows(
        self, key: str, entry: _Entry, part: _Part, judgement: Judgement | Exception, *, remember: bool
    ) -> list[dict[str, Any]]:
        if isinstance(judgement, Exception):
            raise_unless_expected(judgement)
            return [_failed_row(part.file, key.split(maxsplit=1)[0], str(judgement), time.monotonic() - entry.started)]
        workshop = self._workshop
        if part.triage is None or part.task is None:
            raise AssertionError("only triaged files are judged")
        if remember:
            for png in judgement.images.values():
                workshop.docket.keep(png)
            # Somebody may have entered or left since the task was given out: the gallery that was searched counts.
            searched = self._verdict_key(part.task, workshop.fingerprint_at(judgement.snapshot))
            workshop.ledger.remember_verdict(part.task.sha256, searched, judgement.record, workshop.clock())
        return file_cases(workshop, self._scan, entry.listing, part.file, part.triage, judgement.record)

    def _finish_if_done(self, entry: _Entry) -> None:
        if any(part.rows is None for part in entry.parts):
            return
        rows = [row for part in entry.parts for row in part.rows or []]
        self._workshop.ledger.move(self._scan.scan_id, entry.item.item_key, "judged", verdict={"rows": rows})
        self._done += 1
        self._tell(entry.parts[0].file.name)


def _problem_of(triage: Triage) -> str | None:
    """Why a file cannot be judged, as far as its header tells."""
    if triage.readable and triage.kind in SCANNABLE_KINDS:
        try:
            refuse_minors(triage.triggers, flagged_by_hub=False)
        except NotScannable as error:
            return str(error)
        return triage.finding.problem
    told = "; ".join(triage.problems)
    return told or f"sampling {triage.kind} files is not supported; nothing can be said about this file"


def _parts(file: RemoteFile, path: Path, members: Sequence[Member]) -> list[tuple[RemoteFile, Path]]:
    """The weights to judge: a file's own, or those an archive holds."""
    if not members:
        return [(file, path)]
    return [
        (replace(file, name=f"{file.name}: {member.name}", sha256=member.sha256), member.path) for member in members
    ]


def _minor_row(workshop: Workshop, file: RemoteFile, name: str) -> dict[str, Any]:
    minors = workshop.vault.minors(workshop.clock().date())
    identity_id = next((one.identity_id for one in minors if one.name == name), None)
    reason = "it names a registered minor, so it is never sampled: a person must look at its listing (docs/safety.md)"
    return {**_failed_row(file, file.sha256, reason, 0.0), "outcome": str(Outcome.POSSIBLE), "identity_id": identity_id}


def _failed_row(file: RemoteFile, sha256: str | None, reason: str, seconds: float) -> dict[str, Any]:
    return {
        "file": file.name, "sha256": sha256, "outcome": str(Outcome.FAILED), "identity_id": None, "score": None,
        "threshold": None, "lift": None, "samples": 0, "seconds": round(seconds, 2), "reason": reason,
        "gallery_version": None, "authorised": None,
    }  # fmt: skip
