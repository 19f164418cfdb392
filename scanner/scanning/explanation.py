"""Explaining what a scan of files on this machine would do, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crawlers.listing import Listing, RemoteFile, listings_of
from scanner.records import VerdictRecord
from scanner.scanning.session import ScanSession
from scanner.triage.header import triage_file, with_listing


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about a file and what a scan would do.

    Attributes:
        file: its name.
        sampling_key, identification_key: digests of the keys that a scan would use now.
        known: whether samples or a verdict of these bytes are stored.
        drawn_at: when the newest kept samples were drawn, ISO 8601; None without any.
        draws_one_face: whether these samples show one face again and again.
        faces_kept: whether the faces of these samples are kept.
        differs: names of the parts in which the newest keys of these bytes differ from those that a
            scan would use now, sorted.
        would: "nothing" if the verdict is stored or the file cannot be sampled, "search" if kept
            samples decide, "draw" if the file must be drawn.
        why: the reason, as a sentence.
    """

    file: str
    sha256: str
    sampling_key: str
    identification_key: str
    known: bool
    drawn_at: str | None
    draws_one_face: bool | None
    faces_kept: bool
    differs: tuple[str, ...]
    would: str
    why: str


def explain(session: ScanSession, path: Path) -> list[Explanation]:
    """Explain what a scan of a file, or of all files in a folder, would do.

    Nothing is drawn, stored or destroyed.

    Raises:
        CrawlError: there is no such file.
        NotScannable: a file is an archive or holds no checkpoint.
    """
    listings = listings_of(session.hubs.open(str(path)))
    return [_explanation(session, listing, file) for listing in listings for file in listing.files]


def _explanation(session: ScanSession, listing: Listing, file: RemoteFile) -> Explanation:
    path = Path(file.url)
    triage = with_listing(triage_file(path), listing.base_model)
    request = session.requests.request(listing, file, triage, path, only_load=False)
    prompting, snapshot = session.prompting(request), session.take_snapshot()
    key = prompting.identification_key(session.search_key(snapshot))
    digest = prompting.sampling_key.digest
    drawings = session.kept.store.drawings_of(request.sha256)
    newest = session.kept.store.drawing(digest) or next(iter(drawings), None)
    has_verdict = session.scan_store.has_verdict(request.sha256)
    compared = session.scan_store.identification_parts(request.sha256)
    differs = prompting.sampling_key.differs(newest.parts) if newest else []
    if compared is not None:
        differs += [name for name in key.differs(compared) if name != "sampling_key"]
    stored = session.scan_store.known_verdict(request.sha256, key.digest)
    if request.problem is not None:
        would, why = "nothing", f"it cannot be sampled: {request.problem}"
    elif session.options.redraw:
        would, why = "draw", "--redraw draws every file anew"
    elif stored is not None:
        would, why, differs = "nothing", "the verdict is stored", []
    elif session.scan_store.items.judged(request.sha256, session.search_key(snapshot).digest):
        would, why, differs = "nothing", "its result holds for the present gallery", []
    elif isinstance(session.kept.decide(digest, snapshot), VerdictRecord):
        would, why = "search", "kept samples decide"
    else:
        would, why = "draw", _why_drawn(session, digest, known=newest is not None)
        if newest is None and compared is None and has_verdict:
            why = "a version before 0.2 examined it and kept no samples"
    return Explanation(
        file.name,
        request.sha256,
        digest,
        key.digest,
        newest is not None or has_verdict,
        newest.drawn_at.isoformat(timespec="seconds") if newest else None,
        newest.drawing.draws_one_face if newest else None,
        newest is not None and session.kept.store.has_patches(newest.sampling_key),
        tuple(sorted(differs)),
        would,
        why,
    )


def _why_drawn(session: ScanSession, sampling_key: str, *, known: bool) -> str:
    kept = session.kept.store.drawing(sampling_key)
    if kept is None:
        return "it was drawn with other words or settings" if known else "it was never drawn"
    if kept.pack_sha256 != session.faces.reader.version.sha256:
        return "another face pack read its samples"
    if kept.drawing.draws_one_face and not session.kept.store.has_patches(sampling_key):
        return "it draws one face again and again, and its faces are not kept"
    return (
        "somebody who is registered comes near, so samples or pictures of confirmation are needed"
    )
