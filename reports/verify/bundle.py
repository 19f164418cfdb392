"""The verification of a whole bundle, in stages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from reports.verify.bag import (
    bag_info,
    missing_seal,
    payload_items,
    tag_file_items,
    walk,
)
from reports.verify.case_schema import check_schema
from reports.verify.checks import Item, Unsound, checked, printable
from reports.verify.files import STATEMENT, TIMES, read_json, sha256_of
from reports.verify.references import reference_items
from reports.verify.revocations import revocation_items
from reports.verify.seal import seal_items
from reports.verify.timestamps import CLOCK_TOLERANCE, check_clock, timestamp_items


def verify(
    bundle: Path,
    signer: str | None = None,
    roots: tuple[x509.Certificate, ...] = (),
    revocations: Path | None = None,
) -> list[Item]:
    """Make every check of a bundle. The bundle is sound only if all items are ok.

    Args:
        signer: SHA-256 of the raw public key that must have signed, as hexadecimal digits with or
            without colons.
        roots: certificates that every timestamp must chain to. A bundle without timestamps is
            then unsound.
        revocations: the signer's list of cases about which something was decided after their
            evidence was given out.

    Raises:
        ValueError: `signer` is not a SHA-256.
    """
    wanted = None if signer is None else signer.strip().lower().replace(":", "")
    if wanted is not None and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ValueError(f"the signer's fingerprint must be 64 hex digits, not {signer!r}")
    return [
        replace(
            item,
            item=printable(item.item),
            problem=item.problem and printable(item.problem),
            note=item.note and printable(item.note),
        )
        for item in _items(bundle, wanted, roots, revocations)
    ]


def _items(
    bundle: Path, signer: str | None, roots: tuple[x509.Certificate, ...], revocations: Path | None
) -> list[Item]:
    """Run the stages up to the first that fails: each reads only what the one before checked."""
    # os.path.isfile does not raise an error for a folder that may not be read.
    if not os.path.isfile(bundle / "bagit.txt"):  # noqa: PTH113
        problem = f"{bundle} is no evidence bundle: it has no bagit.txt"
        return [Item("bagit.txt", False, problem)]
    present, empty, refused = walk(bundle)
    if refused:
        return refused
    if not any(name.startswith("seal/") for name in present):
        return [Item("seal", False, missing_seal(bundle))]
    items: list[Item] = []
    stages: tuple[Callable[[], Iterator[Item]], ...] = (
        lambda: seal_items(bundle, signer),
        lambda: tag_file_items(bundle),
        lambda: payload_items(bundle, present, empty),
        lambda: timestamp_items(bundle, roots),
        lambda: _content_items(bundle),
        lambda: revocation_items(bundle, revocations) if revocations else iter(()),
    )
    for stage in stages:
        found = _items_of(stage)
        items += found
        if not all(item.ok for item in found):
            break
    return items


def _items_of(stage: Callable[[], Iterator[Item]]) -> list[Item]:
    """Run a stage. An exception counts as a failed item: no content may stop the verifier.

    Raises:
        OSError: the medium cannot be read, which says nothing about the bundle.
    """
    items: list[Item] = []
    try:
        items.extend(stage())
    except OSError:
        raise
    except Exception as error:
        items.append(
            Item("bundle", False, f"cannot be read: {type(error).__name__}: {error}"[:300])
        )
    return items


def _content_items(bundle: Path) -> Iterator[Item]:
    yield checked("seal, bag and time belong together", _check_seal_and_bag, bundle)
    if (bundle / "data/capture.json").is_file():
        yield checked("the captured page is the one that was taken in", _check_capture, bundle)
        return
    yield checked("case matches its schema", check_schema, bundle)
    yield from reference_items(bundle)


def _check_seal_and_bag(bundle: Path) -> str:
    """Compare statement, bag-info.txt and timestamps; return the time of the seal, as a note."""
    statement, info = read_json(bundle / STATEMENT), bag_info(bundle)
    name = (
        f"capture {statement['capture_id'][:16]}"
        if "capture_id" in statement
        else f"case {statement['case_id']}"
    )
    sealed = datetime.fromisoformat(statement["sealed_at"])
    as_of = datetime.fromisoformat(statement["as_of"])
    if info.get("Signing-Key-SHA256") != statement["key_sha256"]:
        raise Unsound("bag-info.txt names another key: the manifests were signed again")
    if info.get("External-Identifier") != statement.get("capture_id", statement.get("case_id")):
        raise Unsound("bag-info.txt names another case than the seal")
    if info.get("Bagging-Date") != sealed.date().isoformat():
        raise Unsound("bag-info.txt names another day than the seal")
    if as_of > sealed + CLOCK_TOLERANCE:
        raise Unsound("the case is younger than its seal")
    if "chain" in statement:
        chain = statement["chain"]
        name += f", audit log up to entry {int(chain['entry'])}, {chain['sha256'][:16]}…"
    moments = []
    for stamp in read_json(bundle / TIMES)["timestamps"]:
        moments.append(datetime.fromisoformat(stamp["time"]))
        asked = datetime.fromisoformat(stamp["asked_at"]) if "asked_at" in stamp else None
        check_clock(moments[-1], sealed, asked, first=bool(stamp["first"]))
    late = min(moments, default=sealed) - sealed
    if late > CLOCK_TOLERANCE:
        return (
            f"{name}; the signer's clock says it was sealed at {sealed.isoformat()}, "
            f"{late.days} days before any authority saw it"
        )
    return f"{name}, sealed at {sealed.isoformat()} by the signer's own clock"


def _check_capture(bundle: Path) -> str:
    """Compare the original with its capture; return where it comes from, as a note."""
    capture = read_json(bundle / "data/capture.json")
    if capture["capture_id"] != read_json(bundle / STATEMENT)["capture_id"] or capture[
        "sha256"
    ] != sha256_of(bundle / "data/original"):
        raise Unsound("the original is not the file that was taken in")
    return f"{capture['name']}, taken in at {capture['taken_in_at']} by {capture['taken_in_by']}"
