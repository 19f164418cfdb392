"""`copies`: which files hold the weights of a file, whole or in part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import settings_of
from scanner.cli.listings import SHA256
from scanner.cli.options import JsonFlag
from scanner.cli.output import counted, print_json, print_line, print_notes, print_table
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from scanner.casework.copies import RelatedFile, RelatedFiles
    from scanner.fingerprints.fingerprint_store import KnownFile
    from scanner.settings import Settings
    from scanner.triage.header import Triage


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("copies", rich_help_panel=panel)(copies)


def copies(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            help="A file on disk, or the SHA-256 of a file that was fetched or scanned.",
            metavar="FILE|SHA256",
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Make the fingerprints that files of the store lack; name no file."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find files with the same weights in another form, and merges.

    Weights are compared, not faces: two files that were trained separately on one person are not
    related. A file that is not in the store is compared and not kept.
    """
    settings = settings_of(context)
    if (what is None) != update:
        raise typer.BadParameter("name one file or SHA-256, or use --update", param_hint="FILE")
    if what is None:
        _update(settings, as_json=as_json)
    else:
        _find(settings, what, as_json=as_json)


def _find(settings: Settings, what: str, *, as_json: bool) -> None:
    from scanner.factories.fingerprints import open_related_files
    from scanner.fingerprints.sketch import VERSION

    with open_related_files(settings) as related:
        sha256, weights_hash, known, problem = _asked(settings, related, what)
        found = related.of(sha256, weights_hash, known)
        if not Path(what).is_file():
            found = [one for one in found if one.sha256 != sha256 or len(one.listings) > 1]
        files, here = related.store.count(), related.store.get(sha256)
    if as_json:
        print_json(document_of(sha256, VERSION, found, problem))
        return
    if problem is not None:
        print_notes([f"{what}: only files with the same bytes can be found, because {problem}"])
    if here is not None and Path(what).is_file():
        print_line(f"The same bytes are known here as {here.name}.")
    if not found:
        print_line(f"Nothing among {counted(files, 'file')} is related to it.")
        return
    print_relations(found)


def document_of(
    sha256: str, version: int, found: Sequence[RelatedFile], problem: str | None
) -> dict[str, Any]:
    """The JSON contract of `copies`."""
    return {
        "sha256": sha256,
        "fingerprint_version": version,
        "relations": [one.as_document() for one in found],
        "problem": problem,
    }


def print_relations(found: Sequence[RelatedFile]) -> None:
    """Print a table of related files with each place where they are listed."""
    rows = []
    for one in found:
        numbers = [f"{one.cosine:.3f}", f"{one.error:.3f}", f"{one.share:.0%}"]
        places = [
            (f"{listing.hub}:{listing.listing_id}", listing.creator or "", listing.published_at)
            for listing in one.listings
        ] or [("", "", None)]
        for place, uploader, published in places:
            case = one.case_id or ""
            row = [one.file, str(one.relation), *numbers, place, uploader]
            rows.append([*row, (published or "")[:10], case, one.sha256[:12]])
    titles = ["file", "relation", "cosine", "error", "share", "listing", "uploader", "published"]
    print_table([*titles, "case", "sha256"], rows, numbers=("cosine", "error", "share"))


def _asked(
    settings: Settings, related: RelatedFiles, what: str
) -> tuple[str, str | None, KnownFile | None, str | None]:
    """SHA-256, weights hash and fingerprint of the file in question, and why it has none."""
    from scanner.factories.checkpoints import open_checkpoints
    from scanner.triage.header import triage_file

    path: Path | None = Path(what)
    if path is None or not path.is_file():
        if not SHA256.fullmatch(what):
            raise typer.BadParameter(
                f"{what!r} is neither a file nor 64 hex digits", param_hint="FILE|SHA256"
            )
        sha256 = what.lower()
        if (known := related.store.get(sha256)) is not None:
            return sha256, known.weights_hash, known, None
        path = open_checkpoints(settings).path_of(sha256)
        if path is None:
            if not related.listings_of(sha256):
                raise typer.BadParameter(
                    f"no file {sha256} was fetched or scanned here; `portrait-scanner fetch "
                    f"{sha256}` fetches it where a listing names it",
                    param_hint="SHA256",
                )
            return sha256, None, None, "the file was not fetched"
    triage = triage_file(path)
    known, problem = _fingerprint_of(related, path, triage)
    return triage.sha256 or "", triage.weights_hash, known, problem


def related_to(
    related: RelatedFiles, path: Path, triage: Triage
) -> tuple[list[RelatedFile], str | None]:
    """The files related to one on disk, and why it has no fingerprint; nothing is kept."""
    known, problem = _fingerprint_of(related, path, triage)
    return related.of(triage.sha256 or "", triage.weights_hash, known), problem


def _fingerprint_of(
    related: RelatedFiles, path: Path, triage: Triage
) -> tuple[KnownFile | None, str | None]:
    """The fingerprint of a file on disk, or why it has none."""
    from scanner.errors import NoFingerprint
    from scanner.fingerprints.fingerprint_store import KnownFile
    from scanner.fingerprints.fingerprinter import made_of

    sha256 = triage.sha256 or ""
    if related.store.has_own(sha256):
        return related.store.get(sha256), None
    try:
        made = made_of(path, related.base_of)
        return KnownFile(sha256, triage.weights_hash, path.name, made), None
    except NoFingerprint as error:
        return None, str(error)


def _update(settings: Settings, *, as_json: bool) -> None:
    """Make the fingerprints that files of the store lack, one after another."""
    from scanner.factories.checkpoints import open_checkpoints
    from scanner.factories.fingerprints import open_fingerprinter
    from scanner.triage.header import triage_file

    made, without = 0, []
    with open_fingerprinter(settings) as fingerprinter, progress_bar("comparing") as observer:
        stored = open_checkpoints(settings).stored()
        for number, (sha256, path) in enumerate(stored):
            observer.step(number, len(stored), sha256[:12])
            if fingerprinter.store.has_own(sha256):
                continue
            triage = triage_file(path)
            if fingerprinter.keep(path, sha256, triage.weights_hash, sha256[:12]) is not None:
                made += 1
            else:
                without.append(f"{sha256[:12]}: {fingerprinter.store.refusal(sha256)}")
        observer.step(len(stored), len(stored), "")
        total = fingerprinter.store.count()
    if as_json:
        print_json({"files": len(stored), "made": made, "known": total, "without": without})
        return
    print_notes(without)
    print_line(f"{counted(made, 'fingerprint')} made; {counted(total, 'file')} can be compared.")
