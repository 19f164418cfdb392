"""The pipeline of a scan: every listed file is fetched, triaged and examined, and cases are filed.

The main thread fetches and writes while workers examine. Bytes that were examined before with the
same settings, gallery and prompts are not examined again. Each step of an item is one transaction,
so that a killed scan repeats at most the steps that were under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from crawlers.errors import CrawlError
from crawlers.listing import RemoteFile
from reports.reasons.reason import Reason
from scanner.errors import NotScannable, ScanError
from scanner.identification.outcome import NEEDS_A_LOOK, Outcome
from scanner.identification.snapshot import GallerySnapshot
from scanner.progress import Progress
from scanner.records import ResultRow, VerdictRecord
from scanner.scanning.company import Company
from scanner.scanning.entries import Entry, Part, Waiting
from scanner.scanning.file_faces import destroy_faces, why_failed
from scanner.scanning.item_store import CarriedItem, Item, ScanRow
from scanner.scanning.key import Key
from scanner.scanning.keys import Prompting
from scanner.scanning.known_verdicts import KnownVerdicts
from scanner.scanning.observations import KnownSamples
from scanner.scanning.results import WITHDRAWN, failed_row, held_row
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.searched_file_store import Searched
from scanner.scanning.session import ScanSession
from scanner.scanning.totals import ScanTotals
from scanner.scanning.weights_files import is_elsewhere, weights_files
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.scanning.workers import PoolClient, Submission, raise_unless_expected
from scanner.triage.header import triage_file, with_listing
from scanner.triage.minors import refuse_minors

_HELD_KEY = "held"
_CARRIED_AT_ONCE = 200


class Pipeline:
    """Brings the items of one scan to their verdicts.

    Args:
        supplied_by_caller: the caller supplied the files and their listings, so every file is read
            even if its listing names a registered minor.

    Attributes:
        totals: what this run has drawn so far.
    """

    def __init__(
        self,
        session: ScanSession,
        scan: ScanRow,
        progress: Progress,
        *,
        supplied_by_caller: bool = False,
    ) -> None:
        self._session, self._scan, self._items = session, scan, session.scan_store.items
        self._progress, self._supplied_by_caller = progress, supplied_by_caller
        self.totals = ScanTotals()
        self._verdicts = KnownVerdicts(session)
        self._client: PoolClient | None = None
        self._waiting: dict[str, Waiting] = {}
        self._carried: list[CarriedItem] = []
        self._company = Company(session.kept)
        self._done, self._total = self._items.count(scan)

    def run(self) -> None:
        """Process every listed file that is not done."""
        try:
            self._process(self._items.pending(self._scan))
            # Files that were begun before a companion of theirs was known.
            again = list(self._items.of_bytes(self._scan, self._company.to_do_again()))
            self._total += len(again)
            self._process(again)
        finally:
            if self._client is not None:
                self._client.close()
            self._store_carried()
        self._report("")

    def _process(self, items: Iterable[Item]) -> None:
        """Bring items to their verdicts."""
        for item in items:
            self._report(item.listing.files[item.file_number].name)
            self._begin(Entry(item))
            while self._waiting and not self._workers().has_room:
                self._collect(wait=True)
            if self._waiting:
                self._collect(wait=False)
        while self._waiting:
            self._collect(wait=True)

    def _workers(self) -> PoolClient:
        """Return the workers; the first call starts them, so only a submission may call it."""
        if self._client is None:
            self._client = self._session.worker_pool().client()
        return self._client

    def _report(self, doing: str) -> None:
        self._progress.step(self._done, self._total, doing)

    def _begin(self, entry: Entry) -> None:
        """Fetch and triage an item and submit its parts, unless the verdict is known."""
        listing, file = entry.listing, entry.listing.files[entry.item.file_number]
        sha256 = file.sha256
        try:
            self._refuse_minors(entry, file)
            is_remote = not self._supplied_by_caller and is_elsewhere(file)
            if is_remote and self._session.requests.is_held(listing, file):
                destroy_faces(self._session, entry.item.item_key, file)
                rows = (self._held_row(file, file.sha256),)
                entry.parts = [Part(file, rows=rows, held=True)]
                return self._finish_if_done(entry)
            if (
                file.url.startswith(("http://", "https://"))
                and (part := self._known_part(entry, file)) is not None
            ):
                entry.parts, entry.sha256 = [part], file.sha256
                return self._finish_if_done(entry)
            stored = self._session.acquisition.obtain(listing, file, ask_again=True)
            if file.sha256 not in (None, stored.sha256):
                raise CrawlError(Reason("other-bytes-now", {"file": file.name}).in_english())
            sha256 = entry.sha256 = stored.sha256
            self._items.note_fetched(entry.item, self._scan, sha256)
            found = weights_files(file, stored.path, stored.members)
        except (CrawlError, ScanError) as error:
            if isinstance(error, CrawlError) and (
                known := self._known_part(entry, file, is_gone=True)
            ):
                entry.parts, entry.sha256 = [known], file.sha256
                return self._finish_if_done(entry)
            row = failed_row(file, sha256, why_failed(self._session, error, sha256), entry.seconds)
            entry.parts = [Part(file, rows=(row,))]
            return self._finish_if_done(entry)
        entry.parts = [Part(part) for part, _ in found]
        for part, (_, path) in zip(entry.parts, found, strict=True):
            try:
                submission = self._submission(entry, part, path)
            except (CrawlError, ScanError) as error:
                row = failed_row(part.file, part.file.sha256, str(error), entry.seconds)
                part.rows = (row,)
            else:
                # Outside the try statement: a cluster that is gone is no fault of the file.
                if submission is not None:
                    self._submit(entry, part, submission)
        return self._finish_if_done(entry)

    def _refuse_minors(self, entry: Entry, file: RemoteFile) -> None:
        """Refuse a listing that shows a minor, and keep no faces of its file.

        Raises:
            NotScannable: the hub or the listing's words say so.
        """
        listing = entry.listing
        try:
            refuse_minors(
                [listing.title, file.name, *listing.tags, *listing.triggers], listing.minor_flag
            )
        except NotScannable:
            destroy_faces(self._session, entry.item.item_key, file)
            raise

    def _submission(self, entry: Entry, part: Part, path: Path) -> Submission | None:
        """Triage a part and return what to submit; None if its verdict is known and filed."""
        session, store = self._session, self._session.scan_store
        of_file = triage_file(path)
        # The triage of a JSON description depends on the file's name, which another listing of the
        # same bytes need not have.
        if path.suffix.lower() != ".json":
            store.remember_triage(of_file, session.clock())
        part.triage = triage = with_listing(of_file, entry.listing.base_model)
        session.fingerprinter.keep(path, of_file.sha256 or "", of_file.weights_hash, part.file.name)
        self._items.note_triaged(entry.item, self._scan, entry.sha256)
        part.held = session.requests.is_held(entry.listing, part.file, triage)
        snapshot = session.take_snapshot()
        request = session.requests.request(
            entry.listing,
            part.file,
            triage,
            path,
            only_load=part.held,
            beside=self._company.beside(of_file.sha256 or ""),
        )
        session.companions.note(request.sha256, path, request.declared.expert)
        self._company.note_begun(request, entry.sha256)
        part.prompting = session.prompting(request)
        if part.held:
            file = replace(part.file, sha256=request.sha256)
            destroy_faces(session, entry.item.item_key, file)
            return Submission(f"{request.sha256} {_HELD_KEY}", request, snapshot)
        copy_rows = session.results.rows_of_copy(entry.listing, part.file, triage)
        if copy_rows:
            # The confirmed file was drawn, and this one has the same weights in another form.
            part.rows, part.prompting = copy_rows, None
            return None
        if len(entry.parts) == 1 and self._stands(entry, part, request.sha256, snapshot):
            return None
        known = self._verdicts.known(part.prompting, request.sha256, snapshot)
        if isinstance(known, VerdictRecord):
            part.rows = self._filed(entry, part, known, session.search_key(snapshot))
            return None
        return self._sampling_of(request, part.prompting, snapshot, known)

    def _sampling_of(
        self,
        request: SamplingRequest,
        prompting: Prompting,
        snapshot: GallerySnapshot,
        known: KnownSamples | None,
    ) -> Submission:
        """Return what to submit of a file of which these samples are known."""
        key = prompting.identification_key(self._session.search_key(snapshot))
        return Submission(f"{request.sha256} {key.digest}", request, snapshot, known)

    def _submit(self, entry: Entry, part: Part, submission: Submission) -> None:
        """Submit a part to the workers, unless the same bytes are being examined already."""
        waiting = self._waiting.setdefault(submission.key, Waiting(submission))
        waiting.parts.append((entry, part))
        if len(waiting.parts) == 1:
            self._workers().submit(submission)

    def _held_row(self, file: RemoteFile, sha256: str | None) -> ResultRow:
        return held_row(file, sha256, self._session.vault.gallery_version)

    def _known_part(self, entry: Entry, file: RemoteFile, *, is_gone: bool = False) -> Part | None:
        """Return the part with its rows if the bytes that a listing names were judged; else None.

        Args:
            is_gone: the file cannot be had, so that what other words found in its bytes counts.
        """
        if file.sha256 is None:
            return None
        session, listing = self._session, entry.listing
        remembered = session.scan_store.known_triage(file.sha256)
        if remembered is None:
            return None
        triage = with_listing(remembered, listing.base_model)
        if session.requests.is_held(listing, file, triage):
            return None
        beside = self._company.beside(file.sha256)
        request = session.requests.request(
            listing, file, triage, Path(), only_load=False, beside=beside
        )
        prompting, snapshot = session.prompting(request), session.take_snapshot()
        part, search_key = Part(file, triage, prompting), session.search_key(snapshot)
        if self._stands(entry, part, file.sha256, snapshot):
            return part
        verdict = self._verdicts.known(prompting, file.sha256, snapshot)
        if not isinstance(verdict, VerdictRecord) and is_gone:
            verdict = self._verdicts.of_other_words(file.sha256, prompting, search_key)
        if not isinstance(verdict, VerdictRecord):
            return None
        self._items.note_triaged(entry.item, self._scan, file.sha256)
        part.rows = self._filed(entry, part, verdict, search_key)
        return part

    def _stands(self, entry: Entry, part: Part, sha256: str, snapshot: GallerySnapshot) -> bool:
        """Whether the results that the item has hold as they are; the part gets them then.

        They do if nobody is found in them, and if they rest on the samples that would be drawn now
        and were searched in the present gallery.
        """
        session, item = self._session, entry.item
        if part.prompting is None or item.rows is None or item.searched is None:
            return False
        sampling_key, search_key = part.prompting.sampling_key, session.search_key(snapshot)
        is_settled = all(
            row.identity_id is None
            and row.outcome in (Outcome.CLEAR, Outcome.INCONCLUSIVE)
            and row.reason not in (NEEDS_A_LOOK, WITHDRAWN)
            for row in item.rows
        )
        expected = Searched(search_key.digest, session.settings_key, (sampling_key.digest,))
        if (
            session.options.redraw
            or not is_settled
            or item.sha256 != sha256
            or item.searched != expected
            # Somebody may have been found with other words, or the row was changed.
            or session.scan_store.has_finding(sha256, search_key.digest)
            or len(session.kept.store.sampling_keys_of(sha256)) > 1
            # A case was confirmed since, from whose file these weights come.
            or session.derivations(sha256)
        ):
            return False
        part.rows, part.search_key = item.rows, search_key.digest
        entry.carried_through = snapshot.gallery_version
        return True

    def _filed(
        self, entry: Entry, part: Part, verdict: VerdictRecord, search_key: Key
    ) -> tuple[ResultRow, ...]:
        """File the cases of a verdict and return its rows.

        A finding in these bytes holds for every prompt: a scan with other words, or with none,
        reports it too.
        """
        if part.triage is None or part.prompting is None:
            raise AssertionError("only triaged files are examined")
        part.search_key = search_key.digest
        results = self._session.results
        if not verdict.findings:
            found = self._verdicts.of_other_words(
                part.triage.sha256 or "", part.prompting, search_key
            )
            verdict = found or verdict
        return results.rows(
            self._scan.scan_id,
            entry.listing,
            part.file,
            part.triage,
            verdict,
            part.prompting.asked_words(),
        )

    def _collect(self, *, wait: bool) -> None:
        for key, answer in self._workers().finished(wait=wait):
            waiting = self._waiting.pop(key)
            if isinstance(answer, Exception):
                raise_unless_expected(answer)
                for entry, part in waiting.parts:
                    sha256 = waiting.submission.request.sha256
                    part.rows = (failed_row(part.file, sha256, str(answer), entry.seconds),)
                    self._finish_if_done(entry)
            else:
                self._take(waiting, answer)

    def _take(self, waiting: Waiting, answer: WorkerAnswer) -> None:
        """Store an answer and give it to the parts that wait for it.

        If somebody registered or withdrew meanwhile, its samples are searched in the present
        gallery too, so that nobody is left out until the gallery changes again.
        """
        session, request = self._session, waiting.submission.request
        search_key, verdict = session.search_key_at(answer.snapshot_id), answer.verdict
        held = any(part.held for _, part in waiting.parts)
        if not held:
            prompting = session.prompting(request)
            self._remember(request.sha256, prompting, answer, search_key)
            snapshot = session.take_snapshot()
            if snapshot.snapshot_id != answer.snapshot_id and answer.drawing is not None:
                search_key = session.search_key(snapshot)
                found = self._verdicts.decided(prompting, request.sha256, snapshot)
                if not isinstance(found, VerdictRecord):
                    again = self._sampling_of(request, prompting, snapshot, found)
                    for entry, part in waiting.parts:
                        self._submit(entry, part, again)
                    return
                verdict = found
        for entry, part in waiting.parts:
            if part.held and verdict.outcome != Outcome.FAILED:
                part.rows = (self._held_row(part.file, request.sha256),)
            else:
                part.rows = self._filed(entry, part, verdict, search_key)
            self._finish_if_done(entry)

    def _remember(
        self, sha256: str, prompting: Prompting, examined: WorkerAnswer, search_key: Key
    ) -> None:
        session, now = self._session, self._session.clock()
        for png in examined.images.values():
            session.case_store.keep(png)
        session.kept.keep(prompting.sampling_key, sha256, examined, now)
        key = prompting.identification_key(search_key)
        session.scan_store.remember_verdict(sha256, key, examined.verdict, now, search_key.digest)
        if examined.impostors is not None:
            pack_sha256 = session.faces.reader.version.sha256
            session.scan_store.impostors.add(pack_sha256, sha256, examined.impostors)
        self.totals = self.totals.with_drawing(examined.cost)

    def _finish_if_done(self, entry: Entry) -> None:
        if any(part.rows is None for part in entry.parts):
            return
        rows = [row for part in entry.parts for row in part.rows or ()]
        session = self._session
        self._company.note_done(entry)
        if entry.carried_through is not None:
            version = entry.carried_through
            self._carried.append(CarriedItem(entry.item.item_id, session.clock(), version))
            if len(self._carried) >= _CARRIED_AT_ONCE:
                self._store_carried()
        else:
            searched = entry.searched(self._scan.fingerprint, session.settings_key)
            self._items.note_judged(
                entry.item, self._scan, entry.sha256, rows, searched, session.clock()
            )
        self._done += 1
        self.totals = replace(self.totals, files=self.totals.files + 1)
        self._report(entry.parts[0].file.name)

    def _store_carried(self) -> None:
        self._items.carry(self._carried, self._scan)
        self._carried.clear()
