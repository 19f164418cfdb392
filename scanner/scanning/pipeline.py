"""Every listed file on its way to a verdict: fetched, triaged, judged, its cases filed. The one place where the stages meet.

The main thread fetches and writes while the crew judges; what was judged before under the same bytes, gallery and settings
is not judged again. An item is moved in the ledger in one transaction a step, so that a killed scan repeats at most
what was under way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from crawlers.checkpoints.archives import Member
from crawlers.errors import CrawlError
from crawlers.hubs.storage import is_storage
from crawlers.listing import Listing, RemoteFile, listing_from_dict
from scanner.adapters.checkpoint_names import checkpoint_not_sampled
from scanner.adapters.loading import SCANNABLE_KINDS
from scanner.casework.filing import file_cases, is_registered
from scanner.errors import NotScannable, ScanError
from scanner.identification.verdict import NEEDS_A_LOOK, Outcome
from scanner.sampling.base_models import Declared
from scanner.sampling.prompt_safety import refuse_minors
from scanner.scanning.judging import Judgement, Task
from scanner.scanning.keys import Questions, questions_of
from scanner.scanning.scan_store import Item, ScanRow
from scanner.scanning.session import ScanSession
from scanner.scanning.workers import raise_unless_expected
from scanner.triage.header import Triage, triage_file, triage_from_dict, with_listing
from scanner.triage.trigger_words import named_minor, without_minors, words_of


class Observer(Protocol):
    """Told of every step, to draw a progress bar from."""

    def step(self, done: int, total: int | None, doing: str) -> None:
        """`done` of `total` files are judged; `total` is None while listing goes on."""


@dataclass(slots=True)
class _Part:
    """One weights file of an item: the item's own, or one of an archive.

    Attributes:
        held: it names a registered minor: it is loaded, to fail as any file would, and never sampled.
    """

    file: RemoteFile
    triage: Triage | None = None
    questions: Questions | None = None
    rows: list[dict[str, Any]] | None = None
    held: bool = False


@dataclass(slots=True)
class _Entry:
    """An item under way."""

    item: Item
    listing: Listing
    parts: list[_Part] = field(default_factory=list)
    started: float = 0.0


class Pipeline:
    """The items of one scan.

    Args:
        brought: a caller brought the files and the words about them: whatever the words are, a file is taken in alike.
    """

    def __init__(
        self,
        scan_session: ScanSession,
        scan: ScanRow,
        items: Sequence[Item],
        observer: Observer,
        *,
        brought: bool = False,
    ) -> None:
        self._scan_session, self._scan, self._items, self._observer = (
            scan_session,
            scan,
            items,
            observer,
        )
        self._brought = brought
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
            while self._waiting and not self._scan_session.worker_pool.has_room:
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
            refuse_minors(
                [listing.title, file.name, *listing.tags, *listing.triggers], listing.minor_flag
            )
            if not self._brought and _is_elsewhere(file) and self._is_held(listing, file):
                entry.parts = [_Part(file, rows=[self._held_row(file, file.sha256)])]
                return self._finish_if_done(entry)
            known = self._known_before_fetching(listing, file)
            if known is not None:
                part, record, fingerprint = known
                self._scan_session.scan_store.move(
                    self._scan.scan_id, entry.item.item_key, "triaged", sha256=sha256
                )
                part.rows = self._filed(entry, part, record, fingerprint)
                entry.parts = [part]
                return self._finish_if_done(entry)
            stored = self._scan_session.acquisition.obtain(listing, file, ask_again=True)
            sha256 = stored.sha256
            self._scan_session.scan_store.move(
                self._scan.scan_id, entry.item.item_key, "fetched", sha256=sha256
            )
            found = _parts(file, stored.path, stored.members)
        except (CrawlError, ScanError) as error:
            entry.parts = [
                _Part(
                    file,
                    rows=[_failed_row(file, sha256, str(error), time.monotonic() - entry.started)],
                )
            ]
            return self._finish_if_done(entry)
        entry.parts = [_Part(part) for part, _ in found]
        for part, (_, path) in zip(entry.parts, found, strict=True):
            self._hand_over(entry, part, path)
        return self._finish_if_done(entry)

    def _hand_over(self, entry: _Entry, part: _Part, path: Path) -> None:
        scan_session, scan_store = self._scan_session, self._scan_session.scan_store
        try:
            alone = triage_file(path)
            if (
                path.suffix.lower() != ".json"
            ):  # read as what its name says, which the same bytes need not be elsewhere
                scan_store.remember_triage(alone.sha256 or "", asdict(alone), scan_session.clock())
            part.triage = triage = with_listing(alone, entry.listing.base_model)
            scan_store.move(
                self._scan.scan_id, entry.item.item_key, "triaged", triage=asdict(triage)
            )
            part.held = self._is_held(entry.listing, part.file, triage)
            watch = scan_session.watch
            task = replace(self._task(entry.listing, part.file, triage, path), only_load=part.held)
            part.questions = questions_of(task, scan_session.settings)
            fingerprint = scan_session.fingerprint_of(watch)
            key = "held" if part.held else part.questions.key(fingerprint)
            known = scan_store.known_verdict(task.sha256, key)
            if known is not None:
                part.rows = self._filed(entry, part, known, fingerprint)
                return
        except (CrawlError, ScanError) as error:
            part.rows = [
                _failed_row(
                    part.file, part.file.sha256, str(error), time.monotonic() - entry.started
                )
            ]
            return
        waiting = self._waiting.setdefault(f"{task.sha256} {key}", [])
        waiting.append((entry, part))
        if len(waiting) == 1:  # else the same bytes are being judged already
            scan_session.worker_pool.submit(f"{task.sha256} {key}", task, watch)

    def _task(self, listing: Listing, file: RemoteFile, triage: Triage, path: Path) -> Task:
        triggers, candidates = (
            without_minors(self._scan_session, words)
            for words in words_of(self._scan_session, listing, file, triage)
        )
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

    def _is_held(self, listing: Listing, file: RemoteFile, triage: Triage | None = None) -> bool:
        """Whether a file names a registered minor, or its bytes do under another listing; it is put into the queue then."""
        scan_session = self._scan_session
        sha256 = (triage.sha256 if triage else None) or file.sha256
        if naming := named_minor(scan_session, listing, file, triage):
            held = scan_session.held.hold(
                naming, listing, file, triage, scan_session.settings.operator, scan_session.clock()
            )
            return not held.lifted
        return (
            sha256 is not None
            and scan_session.held.of_bytes(sha256, scan_session.minors.ids) is not None
        )

    def _held_row(self, file: RemoteFile, sha256: str | None) -> dict[str, Any]:
        """What everybody is told of a held file; why it is held stands in the queue of those who look."""
        told = {
            "outcome": str(Outcome.INCONCLUSIVE),
            "gallery_version": self._scan_session.vault.gallery_version,
        }
        return {**_failed_row(file, sha256, NEEDS_A_LOOK, 0.0), **told}

    def _known_before_fetching(
        self, listing: Listing, file: RemoteFile
    ) -> tuple[_Part, dict[str, Any], str] | None:
        """The verdict on bytes that were asked the same before under their SHA-256, so that nothing has to be fetched."""
        if file.sha256 is None or not file.url.startswith(("http://", "https://")):
            return None
        remembered = self._scan_session.scan_store.known_triage(file.sha256)
        if (
            remembered is None or "leftovers" not in remembered
        ):  # of a version that passed over tensors
            return None
        triage = with_listing(triage_from_dict(remembered), listing.base_model)
        if self._is_held(listing, file, triage):
            return None
        questions = questions_of(
            self._task(listing, file, triage, Path()), self._scan_session.settings
        )
        fingerprint = self._scan_session.fingerprint_of(self._scan_session.watch)
        record = self._scan_session.scan_store.known_verdict(
            file.sha256, questions.key(fingerprint)
        )
        return None if record is None else (_Part(file, triage, questions), record, fingerprint)

    def _filed(
        self, entry: _Entry, part: _Part, record: dict[str, Any], fingerprint: str
    ) -> list[dict[str, Any]]:
        """Rows of a verdict, and its cases.

        What was found in these bytes stays found: who asks again with other words, or with none, is told of it as well.

        Args:
            fingerprint: of settings and the gallery that was searched.
        """
        if part.triage is None or part.questions is None:
            raise AssertionError("only triaged files are judged")
        if not record["findings"]:
            others = self._scan_session.scan_store.other_verdicts(
                part.triage.sha256 or "", fingerprint
            )
            found = [one for one in others if self._shows_somebody(one)]
            record = min(found, key=_weakness, default=record)
        asked = part.questions.as_record()
        return file_cases(
            self._scan_session, self._scan, entry.listing, part.file, part.triage, record, asked
        )

    def _shows_somebody(self, record: dict[str, Any]) -> bool:
        return any(
            is_registered(self._scan_session, finding["identity_id"])
            for finding in record["findings"]
        )

    def _collect(self, *, wait: bool) -> None:
        for key, judgement in self._scan_session.worker_pool.finished(wait=wait):
            for number, (entry, part) in enumerate(
                self._waiting.pop(key, [])
            ):  # none for what an ended scan left behind
                part.rows = self._rows(key, entry, part, judgement, remember=number == 0)
                self._finish_if_done(entry)

    def _rows(
        self,
        key: str,
        entry: _Entry,
        part: _Part,
        judgement: Judgement | Exception,
        *,
        remember: bool,
    ) -> list[dict[str, Any]]:
        if isinstance(judgement, Exception):
            raise_unless_expected(judgement)
            return [
                _failed_row(
                    part.file,
                    key.split(maxsplit=1)[0],
                    str(judgement),
                    time.monotonic() - entry.started,
                )
            ]
        scan_session = self._scan_session
        if part.triage is None or part.questions is None:
            raise AssertionError("only triaged files are judged")
        # Somebody may have entered or left since the task was given out: the gallery that was searched counts.
        searched = scan_session.fingerprint_at(judgement.snapshot)
        if part.held and judgement.record["outcome"] != Outcome.FAILED:
            return [self._held_row(part.file, part.triage.sha256)]
        if remember and not part.held:
            for png in judgement.images.values():
                scan_session.case_store.keep(png)
            sha256, asked = part.triage.sha256 or "", part.questions.key(searched)
            scan_session.scan_store.remember_verdict(
                sha256, asked, judgement.record, scan_session.clock(), searched
            )
        return self._filed(entry, part, judgement.record, searched)

    def _finish_if_done(self, entry: _Entry) -> None:
        if any(part.rows is None for part in entry.parts):
            return
        rows = [row for part in entry.parts for row in part.rows or []]
        self._scan_session.scan_store.move(
            self._scan.scan_id, entry.item.item_key, "judged", verdict={"rows": rows}
        )
        self._done += 1
        self._tell(entry.parts[0].file.name)


def _weakness(record: dict[str, Any]) -> tuple[bool, float]:
    return record["outcome"] != Outcome.MATCH, -max(
        finding["score"] for finding in record["findings"]
    )


def _problem_of(triage: Triage) -> str | None:
    """Why a file cannot be judged, as far as its header tells."""
    if triage.readable and triage.kind in SCANNABLE_KINDS:
        try:
            refuse_minors(triage.triggers, flagged_by_hub=False)
        except NotScannable as error:
            return str(error)
        return _never_sampled(triage) or triage.finding.problem
    told = "; ".join(triage.problems)
    return (
        told
        or f"sampling {triage.kind} files is not supported; nothing can be said about this file"
    )


def _never_sampled(triage: Triage) -> str | None:
    """Why nothing of a whole model is sampled, told before a base model is loaded or fetched."""
    if triage.kind != "checkpoint":
        return None
    told = checkpoint_not_sampled(triage.family, triage.model, triage.fits)
    return "; ".join(filter(None, (triage.doubt, told))) if told else None


def _parts(
    file: RemoteFile, path: Path, members: Sequence[Member]
) -> list[tuple[RemoteFile, Path]]:
    """The weights to judge: a file's own, or those an archive holds."""
    if not members:
        return [(file, path)]
    return [
        (replace(file, name=f"{file.name}: {member.name}", sha256=member.sha256), member.path)
        for member in members
    ]


def _is_elsewhere(file: RemoteFile) -> bool:
    return file.url.startswith(("http://", "https://")) or is_storage(file.url)


def _failed_row(
    file: RemoteFile, sha256: str | None, reason: str, seconds: float
) -> dict[str, Any]:
    return {
        "file": file.name, "sha256": sha256, "outcome": str(Outcome.FAILED), "identity_id": None, "score": None,
        "threshold": None, "lift": None, "samples": 0, "seconds": round(seconds, 2), "reason": reason,
        "gallery_version": None, "authorised": None, "asked": None,
    }  # fmt: skip
