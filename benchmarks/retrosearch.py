"""Seconds for one person more over many drawn files, beside drawing them again.

With 100 people registered, miniature adapters are drawn once. Their samples are copied under new
hashes until there are enough files, a fifth of them files of people. Then one person more
registers, and everything is searched for them. The benchmark prints the time of that search, the
time that drawing all files again would take, how the search grows with files and people, the bare
face network and bare FAISS beside it, and the bytes that are kept of each file.

Run: python -m benchmarks.retrosearch [--files 10000]
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np

from crawlers.listing import Listing, RemoteFile, bare_listing
from face_index.faces.face import Prototypes
from face_index.gallery.templates import make_prototypes
from face_index.identity import Proof
from face_index.vault import Submission
from scanner.factories import open_scan_session
from scanner.miniature.albums import FREE_SEEDS
from scanner.miniature.demo import demo_consent
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import load_world
from scanner.records import ResultRow, VerdictRecord
from scanner.sampling import sample_store
from scanner.sampling.images import Pixels
from scanner.sampling.sample_store import KeptDrawing
from scanner.scanning.key import Key
from scanner.scanning.retrosearch import RetrosearchResult, retrosearch
from scanner.scanning.scan import run_scan
from scanner.scanning.searched_file_store import Searched
from scanner.scanning.session import ScanSession
from scanner.settings import Settings

PERSON_SHARE = 0.2
PEOPLE = (10, 100)
REGISTERED = 100


class Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


def prototypes_of(session: ScanSession, seed: int) -> Prototypes:
    photos = [draw_photo(person_of(seed), number).pixels for number in range(4)]
    return make_prototypes([faces[0] for faces in session.faces.reader.read(photos) if faces])


def register(session: ScanSession, seeds: Sequence[int]) -> None:
    """Register drawn persons of whom no adapter was trained."""
    now = session.clock()
    proof = Proof("none: a drawn person", None, "benchmark", now)
    for seed in seeds:
        name = f"person {seed}"
        submission = Submission(
            name,
            demo_consent(name, now.date()),
            prototypes_of(session, seed),
            session.faces.reader.version,
            [b"photo"],
            4,
            "benchmark",
        )
        identity = session.vault.enrolments.submit(submission, now)
        session.vault.enrolments.approve(
            identity.identity_id, "benchmark", proof, now, "drawn", two_people=False
        )


def draw(session: ScanSession, folder: Path) -> tuple[list[KeptDrawing], list[KeptDrawing], float]:
    """Draw some adapters; return those of people, the others, and the seconds for each file."""
    files = [file for file in load_world().files if file.group in ("stranger", "style", "object")]
    people = [file for file in load_world().files if file.group == "registered"][:6]
    for file in [*people, *files]:
        shutil.copy(file.path, folder)
    result = run_scan(session, [str(folder)], Silent())
    drawings = [
        kept
        for row in result.rows
        if row.row.sha256
        for kept in session.kept.store.drawings_of(row.row.sha256)
    ]
    shown = [kept for kept in drawings if kept.drawing.draws_one_face]
    others = [kept for kept in drawings if not kept.drawing.draws_one_face]
    return shown, others, result.totals.seconds / max(1, result.totals.drawn_files)


def hash_of_copy(number: int) -> str:
    """Return the SHA-256 under which a copy is stored."""
    return hashlib.sha256(f"copy {number}".encode()).hexdigest()


def copy_of(kept: KeptDrawing, number: int) -> KeptDrawing:
    """Return a drawing under the hash of a copy."""
    sha256 = hash_of_copy(number)
    key = Key({"file": sha256})
    return replace(kept, sampling_key=key.digest, sha256=sha256, parts=key.parts)


def listing_of_copy(number: int) -> Listing:
    """Return a listing of a copy."""
    sha256 = hash_of_copy(number)
    file = RemoteFile(f"{number}.safetensors", f"/copies/{number}", 1, sha256)
    return bare_listing("copies", str(number), str(number), f"copies:{number}", file)


def remembering(made: Callable[[Sequence[Pixels]], bytes]) -> Callable[[Sequence[Pixels]], bytes]:
    """Return a function that compresses equal faces once, since copies have the same."""
    known: dict[bytes, bytes] = {}

    def strip(patches: Sequence[Pixels]) -> bytes:
        digest = hashlib.sha256(b"".join(patch.tobytes() for patch in patches)).digest()
        if digest not in known:
            known[digest] = made(patches)
        return known[digest]

    return strip


def copy(
    session: ScanSession,
    shown: Sequence[KeptDrawing],
    others: Sequence[KeptDrawing],
    first: int,
    count: int,
) -> None:
    """Store copies of drawings under new hashes, with verdicts, as one scan."""
    now, snapshot = session.clock(), session.take_snapshot()
    search_key = session.search_key(snapshot)
    store = session.scan_store
    scan = store.begin(f"copies {first}", f"copies {first}", search_key.digest, 0, now)
    # A search may have drawn some of them again.
    shown, others = (
        [session.kept.store.drawing(kept.sampling_key) or kept for kept in group]
        for group in (shown, others)
    )
    faces = {kept.sampling_key: session.kept.store.patches(kept.sampling_key) for kept in shown}
    verdicts = {
        kept.sampling_key: session.kept.decide(kept.sampling_key, snapshot)
        for kept in (*shown, *others)
    }
    judged: dict[str, tuple[ResultRow, Searched]] = {}
    for number in range(first, first + count):
        group = shown if number % round(1 / PERSON_SHARE) == 0 else others
        kept = group[number % len(group)]
        copied = copy_of(kept, number)
        sha256, sampling_key = copied.sha256, copied.sampling_key
        session.kept.store.keep(copied, faces.get(kept.sampling_key) or {}, {})
        verdict = verdicts[kept.sampling_key]
        if not isinstance(verdict, VerdictRecord):
            raise SystemExit("a copied drawing needs somebody to be drawn; choose other people")
        identification = Key({"sampling_key": sampling_key, **search_key.parts})
        store.remember_verdict(sha256, identification, verdict, now, search_key.digest)
        listing = listing_of_copy(number)
        row = ResultRow(listing.files[0].name, sha256, verdict.outcome, reason=verdict.reason)
        searched = Searched(search_key.digest, session.settings_key, (sampling_key,))
        judged[f"{listing.hub}:{listing.listing_id}:{listing.files[0].name}"] = row, searched
        store.items.add(scan, [listing])
    for item in store.items.pending(scan):
        row, searched = judged[item.item_key]
        store.items.note_judged(item, scan, row.sha256, [row], searched, now)


def searched(session: ScanSession) -> tuple[RetrosearchResult, float]:
    began = time.monotonic()
    result = retrosearch(session, Silent())
    return result, time.monotonic() - began


def bare(session: ScanSession, shown: Sequence[KeptDrawing], people: int) -> tuple[float, float]:
    """Patches per second of the bare network, and probes per second of bare FAISS."""
    patches = [
        patch
        for kept in shown
        for patch in (session.kept.store.patches(kept.sampling_key) or {}).values()
    ]
    many = [patches[number % len(patches)] for number in range(2000)]
    began = time.monotonic()
    vectors = session.faces.reader.embed(many)
    network = len(many) / (time.monotonic() - began)
    index = faiss.IndexFlatIP(len(vectors[0]))
    index.add(np.stack([vectors[number % len(vectors)] for number in range(max(1, people))]))
    probes = np.stack(vectors)
    began = time.monotonic()
    for _ in range(20):
        index.search(probes, min(5, max(1, people)))
    return network, 20 * len(probes) / (time.monotonic() - began)


def sizes(session: ScanSession, kept: Sequence[KeptDrawing]) -> list[int]:
    """Bytes that are kept of each drawing: its record and its sealed faces."""
    return [session.kept.store.bytes_of(one.sampling_key) for one in kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    wanted = parser.parse_args().files
    home, uploads = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    settings = Settings(home=home, face_pack="miniature", device="cpu")
    seeds = iter(FREE_SEEDS)
    sample_store.strip_bytes = remembering(sample_store.strip_bytes)
    with open_scan_session(settings) as session:
        register(session, [next(seeds) for _ in range(REGISTERED)])
        shown, others, each = draw(session, uploads)
        print(f"drawn: {len(shown)} files of one face, {len(others)} others; {each:.2f} s a file")
        for title, group in (("one face", shown), ("others", others)):
            kept = sizes(session, group)
            print(f"bytes kept, {title}: mean {np.mean(kept):,.0f}, most {max(kept):,}")
        made = 0
        for files in (wanted // 10, wanted // 2, wanted):
            copy(session, shown, others, made, files - made)
            made = files
            register(session, [next(seeds)])
            result, seconds = searched(session)
            print(
                f"{result.files:,} files, one person more: {seconds:.1f} s, "
                f"{1e3 * seconds / result.files:.2f} ms a file; drawing them again "
                f"{each * result.files:,.0f} s, ratio {each * result.files / seconds:,.0f}; "
                f"denoiser calls {result.totals.denoiser_calls}, scanned "
                f"{result.rows.counts().rows}"
            )
        for people in PEOPLE:
            register(session, [next(seeds) for _ in range(people)])
            result, seconds = searched(session)
            print(
                f"{result.files:,} files, {people} people more: {seconds:.1f} s, "
                f"scanned {result.rows.counts().rows}"
            )
        network, index = bare(session, shown, REGISTERED + sum(PEOPLE) + 3)
        print(f"bare network {network:,.0f} patches/s, bare FAISS {index:,.0f} probes/s")
    shutil.rmtree(home)
    shutil.rmtree(uploads)


if __name__ == "__main__":
    main()
