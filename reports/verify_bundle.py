"""Verify an evidence bundle offline: `python -I verify_bundle.py BUNDLE`. This one file needs Python 3.11 and `cryptography`.

It is long because it must be one file: it travels in every bundle and runs where nothing of ours is installed.

It trusts nothing but what it is given: a bundle's own key and its authorities' certificates lie inside it, so that a whole
bundle made anew with other keys is sound in itself. Give --signer (the fingerprint the signer published) and --tsa-root
(the authority's root certificate) to have that checked as well. Take this file from the program, never from a bundle.

What is checked, each file by its name: BagIt manifests (RFC 8493), files added, removed or renamed, the Ed25519 signature over
the tag manifests, RFC 3161 timestamps over statement and signature (status, imprint, nonce, policy, extensions,
signature, certificates, purpose, time), the case against its JSON Schema, and that pictures, header,
captures, custody, environment and weights are those the case names, that the record is the one the audit log names, and that
dates and decisions are the log's. That the reports and the JSON-LD say what the case says
is not checked; they are sealed, and can be made again from the case.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

TAG_MANIFESTS = ("tagmanifest-sha256.txt", "tagmanifest-sha512.txt")
TAG_FILES = ("bag-info.txt", "bagit.txt", "manifest-sha256.txt", "manifest-sha512.txt")
STATEMENT, SIGNATURE, KEY = "seal/statement.json", "seal/statement.sig", "seal/key.pub"
STAMPED = "seal/stamped.json"
REVOCATIONS = "portrait-scanner revocations 1"
TIMES, TIMES_SIGNATURE = "seal/timestamps.json", "seal/timestamps.sig"
SEAL_FILES = (STATEMENT, SIGNATURE, KEY, STAMPED, TIMES, TIMES_SIGNATURE)
# SHA-256 of the schemas that were published: a bundle's own copy must be one of them.
SCHEMAS = frozenset(
    {
        "0cee86bb78bd130beff0249c197b14721cfad0ca8b74f9ff3bde34c0cdd497e8",
        "1dcb994b2d8921efb0d8a6f510f592ddcf27d16d1cf5b1fc4f7b69b26947ae8a",
        "24d68d5dcfbe8c423f4a9b1ac08d13ac3784521899b61e1313fc4239cc053760",
    }
)
# Points of small order fit signatures to any message (RFC 8032, section 5.1.7 leaves the check to the verifier).
SMALL_ORDER = frozenset(
    bytes.fromhex(one)
    for one in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
)
LARGEST_TEXT = 64_000_000  # bytes of a file that is parsed
LARGEST_SEAL = 1_000_000  # of one in seal/, which is read before anything vouches for it
DEEPEST = 8  # folders inside one another
CLOCK_TOLERANCE = timedelta(days=1)  # between the signer's clock and an authority's
LOG_TOLERANCE = timedelta(
    hours=1
)  # between a case's own dates and the audit log's, which the same clock wrote


@dataclass(frozen=True)
class Item:
    """One thing that was checked. `note` says what a sound item still leaves open."""

    item: str
    ok: bool
    problem: str | None = None
    note: str | None = None


class Unsound(Exception):
    """A check failed; the message says how."""


def verify(
    bundle: Path,
    signer: str | None = None,
    roots: tuple[x509.Certificate, ...] = (),
    revocations: Path | None = None,
) -> list[Item]:
    """Every check of a bundle, one item each; it holds only if all are ok.

    Args:
        signer: SHA-256 of the raw public key that must have signed, hex, with or without colons.
        roots: certificates that every timestamp must chain to; a bundle without timestamps is then unsound.
        revocations: the signer's list of cases about which something was decided after their evidence was given out.

    Raises:
        ValueError: `signer` is no SHA-256.
    """
    wanted = None if signer is None else signer.strip().lower().replace(":", "")
    if wanted is not None and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ValueError(f"the signer's fingerprint must be 64 hex digits, not {signer!r}")
    return [
        replace(
            one,
            item=plain(one.item),
            problem=one.problem and plain(one.problem),
            note=one.note and plain(one.note),
        )
        for one in _items(bundle, wanted, roots, revocations)
    ]


def plain(text: str) -> str:
    """Text of strangers as a terminal may have it: no control, escape, direction or surrogate signs."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(sign)[0] in "CZ" and sign != " "
        else sign
        for sign in text
    )


def _items(
    bundle: Path, signer: str | None, roots: tuple[x509.Certificate, ...], revocations: Path | None
) -> list[Item]:
    """In stages: what a stage reads was vouched for by the one before; the first that fails is the last."""
    if not os.path.isfile(bundle / "bagit.txt"):  # noqa: PTH113  answers also where nothing may be looked at
        return [Item("bagit.txt", False, f"{bundle} is no evidence bundle: it has no bagit.txt")]
    present, empty, odd = _walk(bundle)
    if odd:  # links, pipes, unreadable folders: nothing in such a folder is read
        return odd
    if not any(name.startswith("seal/") for name in present):
        return [Item("seal", False, _without_seal(bundle))]
    items: list[Item] = []
    stages: tuple[Callable[[], Iterator[Item]], ...] = (
        lambda: _seal(bundle, signer),
        lambda: _tag_files(bundle),
        lambda: _files(bundle, present, empty),
        lambda: _timestamps(bundle, roots),
        lambda: _content(bundle),
        lambda: _later(bundle, revocations) if revocations else iter(()),
    )
    for stage in stages:
        found = list(stage())
        items += found
        if not all(item.ok for item in found):
            break
    return items


def _content(bundle: Path) -> Iterator[Item]:
    yield _checked("seal, bag and time belong together", lambda: _facts(bundle))
    if (bundle / "data/capture.json").is_file():
        yield _checked("the captured page is the one that was taken in", lambda: _capture(bundle))
        return
    yield _checked("case matches its schema", lambda: _schema(bundle))
    yield from _references(bundle)


def _checked(name: str, check: Callable[[], str | None]) -> Item:
    try:
        return Item(name, True, None, check())
    except Unsound as error:
        return Item(name, False, str(error))
    except Exception as error:  # a damaged file may break any parser; that is an answer, too
        return Item(name, False, f"cannot be read: {type(error).__name__}: {error}"[:300])


def _json(path: Path) -> Any:
    """A JSON file with each key once and no NaN; raises Unsound."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise Unsound(f"{path.name} names a key twice")
        return dict(pairs)

    def no_number(text: str) -> float:
        raise Unsound(f"{path.name} holds the number {text[:30]}, which nothing here can be")

    def number(text: str) -> float:
        return float(text) if math.isfinite(float(text)) else no_number(text)

    def whole(text: str) -> int:
        return int(text) if len(text) < 20 else int(no_number(text))

    return json.loads(
        _text(path),
        object_pairs_hook=once,
        parse_constant=no_number,
        parse_float=number,
        parse_int=whole,
    )


def _text(path: Path) -> bytes:
    limit = LARGEST_SEAL if path.parent.name == "seal" else LARGEST_TEXT
    if path.stat().st_size > limit:
        raise Unsound(f"{path.name} is larger than {limit:,} bytes")
    return path.read_bytes()


# ---- files -------------------------------------------------------------------------------------------------------------


def _without_seal(bundle: Path) -> str:
    try:
        ours = "Signing-Key-SHA256" in _info(bundle)
    except (OSError, Unsound, UnicodeDecodeError):
        ours = False
    if ours:
        return "is missing: it was removed, or lost when the bundle was copied; nothing proves who made it and when"
    return (
        "this is a bag of another program, without a seal of portrait-scanner: nothing in it proves who made it and "
        "when; `bagit.py --validate` says whether it is complete"
    )


def _walk(bundle: Path) -> tuple[set[str], list[str], list[Item]]:
    """Every regular file, empty folders, and all that has no place in a bundle."""
    files: set[str] = set()
    empty: list[str] = []
    odd: list[Item] = []
    waiting = [bundle]
    while waiting:
        folder = waiting.pop()
        name = folder.relative_to(bundle).as_posix()
        try:
            entries = [
                (entry.name, entry.stat(follow_symlinks=False).st_mode)
                for entry in os.scandir(folder)
            ]
        except OSError as error:
            odd.append(Item(name, False, f"a folder that cannot be looked into: {error.strerror}"))
            continue
        if len(Path(name).parts) > DEEPEST:
            odd.append(Item(name, False, "a folder deeper than any of a bundle's"))
            continue
        if not entries:
            empty.append(name)
        for entry, mode in entries:
            inside = (folder / entry).relative_to(bundle).as_posix()
            if stat.S_ISDIR(mode):
                waiting.append(folder / entry)
            elif stat.S_ISREG(mode):
                files.add(inside)
            else:
                odd.append(Item(inside, False, "is a link or a device, not a file"))
    return files, sorted(empty), odd


def _manifest(path: Path) -> dict[str, str]:
    entries: dict[str, str] = {}
    for line in _text(path).decode("utf-8").splitlines():
        found = re.fullmatch(r"([0-9a-f]+)[ \t]+(\S.*)", line)
        if found is None or found.group(2) in entries:
            raise Unsound(f"the line {line[:80]!r} is damaged or double")
        name = found.group(2)
        if (
            PurePosixPath(name).as_posix() != name
            or ".." in PurePosixPath(name).parts
            or name.startswith("/")
            or "%" in name
        ):
            raise Unsound(f"{name[:80]!r} is no plain name inside the bundle")
        entries[name] = found.group(1)
    return entries


def _tag_files(bundle: Path) -> Iterator[Item]:
    """The four tag files against the tag manifests, whose hashes were signed."""
    digests: dict[str, dict[str, str]] = {}
    listed = [
        _checked(name, lambda name=name: _collect(bundle, name, digests))  # type: ignore[misc]
        for name in TAG_MANIFESTS
    ]
    yield from (item for item in listed if not item.ok)
    for name in TAG_FILES:
        yield _checked(
            name,
            lambda name=name: _digests_hold(bundle, name, digests[name], LARGEST_TEXT),  # type: ignore[misc]
        )


def _files(bundle: Path, present: set[str], empty: list[str]) -> Iterator[Item]:
    """Each payload file against both manifests, and files and folders that nothing names."""
    digests: dict[str, dict[str, str]] = {}
    listed = [
        _checked(name, lambda name=name: _collect(bundle, name, digests))  # type: ignore[misc]
        for name in TAG_FILES[2:]
    ]
    yield from (item for item in listed if not item.ok)
    # The sealed sizes of single files are not known: none is read that is larger than all of them were.
    most = _octets(bundle)
    stamps = {one for one in _timestamp_files(bundle) if _STAMP_NAME.fullmatch(one)}
    added = present - {*TAG_MANIFESTS, *TAG_FILES, *SEAL_FILES, *digests, *stamps}
    missing = set(digests) - present
    spelled = _spelled_otherwise(missing, added)
    renamed = _renamed(bundle, digests, missing - set(spelled), added - set(spelled.values()), most)
    for name in sorted(digests):
        if name in renamed:
            yield Item(name, False, f"was renamed: its bytes are here as {renamed[name]}")
            continue
        here = spelled.get(name, name)
        item = _checked(
            name,
            lambda name=name, here=here: _digests_hold(bundle, here, digests[name], most),  # type: ignore[misc]
        )
        yield replace(item, note=_SPELLED_OTHERWISE) if name in spelled and item.ok else item
    for name in sorted(added - set(spelled.values()) - set(renamed.values())):
        yield Item(name, False, _litter(name) or "is named by no manifest: it was added")
    for name in empty:
        lost = sum(file.startswith(f"{name}/") for file in digests)
        told = (
            f"is empty: {lost} files of it are missing, copy the bundle again"
            if lost
            else "is an empty folder, which was added: delete it"
        )
        yield Item(name, False, told)


_SPELLED_OTHERWISE = "its name is spelled in another Unicode form here (NFC, NFD), as some systems do when they copy files"


def _spelled_otherwise(missing: set[str], added: set[str]) -> dict[str, str]:
    """Files whose names are the same text in another Unicode form: by the sealed name, the name that each has here.

    macOS writes names in NFD; a bag holds all the same (RFC 8493, 5.2), since no byte of a file changed.
    """
    forms: dict[str, list[str]] = {}
    for name in added:
        forms.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    found = {name: forms.get(unicodedata.normalize("NFC", name), []) for name in missing}
    return {name: here[0] for name, here in found.items() if len(here) == 1}


def _renamed(
    bundle: Path, digests: dict[str, dict[str, str]], missing: set[str], added: set[str], most: int
) -> dict[str, str]:
    """Missing files whose bytes lie under a name that no manifest has."""
    if not missing:
        return {}
    here = {
        _sha256(bundle / name): name
        for name in sorted(added)
        if (bundle / name).stat().st_size <= most
    }
    return {
        name: here[digest]
        for name in missing
        if (digest := digests[name].get("sha256", "")) in here
    }


def _litter(name: str) -> str | None:
    """What systems leave in folders that somebody looked into; a mail programme or an archiver packs it along."""
    last = PurePosixPath(name).name
    if last == ".DS_Store" or last.startswith("._") or name.startswith("__MACOSX/"):
        return "was added: macOS leaves such files in folders; delete it and verify again"
    if last.lower() in ("thumbs.db", "desktop.ini", "ehthumbs.db"):
        return "was added: Windows leaves such files in folders; delete it and verify again"
    return None


def _collect(bundle: Path, name: str, digests: dict[str, dict[str, str]]) -> None:
    """Add what one manifest names."""
    entries = _manifest(bundle / name)
    if name in TAG_MANIFESTS and tuple(sorted(entries)) != TAG_FILES:
        raise Unsound(f"does not name exactly {', '.join(TAG_FILES)}")
    if name not in TAG_MANIFESTS and not all(entry.startswith("data/") for entry in entries):
        raise Unsound("names files outside data/")
    for file, digest in entries.items():
        digests.setdefault(file, {})[name.rpartition("-")[2].removesuffix(".txt")] = digest


def _octets(bundle: Path) -> int:
    """Bytes of the whole payload as bag-info.txt tells; 0 if it does not."""
    found = re.search(
        r"(?m)^Payload-Oxum: (\d{1,15})\.\d+$", _text(bundle / "bag-info.txt").decode("utf-8")
    )
    return int(found.group(1)) if found else 0


def _digests_hold(bundle: Path, name: str, wanted: dict[str, str], most: int) -> None:
    path = bundle / name
    if not path.is_file():
        raise Unsound("is missing: it was removed or renamed")
    if path.stat().st_size > most:
        raise Unsound("is larger than what was sealed")
    for algorithm in ("sha256", "sha512"):
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, algorithm).hexdigest()
        if wanted.get(algorithm) != found:
            raise Unsound(f"does not have the bytes that were sealed ({algorithm} differs)")


def _sha256(path: Path) -> str:
    if path.parent.name == "seal":
        return hashlib.sha256(_text(path)).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ---- signature ---------------------------------------------------------------------------------------------------------


def _seal(bundle: Path, signer: str | None) -> Iterator[Item]:
    for text, signature in ((STATEMENT, SIGNATURE), (TIMES, TIMES_SIGNATURE)):
        for name in (text, signature):
            yield _checked(
                name,
                lambda text=text, signature=signature: _signed(bundle, text, signature),  # type: ignore[misc]
            )
    yield _checked(KEY, lambda: _the_key(bundle, signer))
    for name in TAG_MANIFESTS:
        yield _checked(name, lambda name=name: _was_signed(bundle, name))  # type: ignore[misc]
    yield _checked(STAMPED, lambda: _is_stamped(bundle))
    times = _checked(TIMES, lambda: _belongs(bundle))
    if not times.ok:
        yield times


def _belongs(bundle: Path) -> None:
    if _json(bundle / TIMES)["signature_sha256"] != _sha256(bundle / SIGNATURE):
        raise Unsound("belongs to another bundle")


def _signed(bundle: Path, text: str, signature: str) -> None:
    _check_signature(_text(bundle / KEY), _text(bundle / signature), _text(bundle / text), text)


def _check_signature(raw: bytes, signature: bytes, message: bytes, name: str) -> None:
    # A point whose y is not below p is written in a way that RFC 8032 forbids, and may be of small order as well.
    if raw in SMALL_ORDER or int.from_bytes(raw, "little") % 2**255 >= 2**255 - 19:
        raise Unsound(f"{KEY} is a key that fits any text")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        raise Unsound(
            f"the signature does not fit {name}, or {KEY} is not the key that made it"
        ) from None


def _was_signed(bundle: Path, name: str) -> None:
    if _sha256(bundle / name) != _json(bundle / STATEMENT)["files"][name]:
        raise Unsound("is not the one that was signed")


def stamped_text(statement: bytes, signature: bytes) -> bytes:
    """What authorities put their time on: the hashes of statement and signature."""
    both = {
        "signature_sha256": hashlib.sha256(signature).hexdigest(),
        "statement_sha256": hashlib.sha256(statement).hexdigest(),
    }
    return (json.dumps(both, sort_keys=True) + "\n").encode()


def _is_stamped(bundle: Path) -> None:
    if (bundle / STAMPED).read_bytes() != stamped_text(
        _text(bundle / STATEMENT), (bundle / SIGNATURE).read_bytes()
    ):
        raise Unsound("does not hold the hashes of this bundle's statement and signature")


def _the_key(bundle: Path, signer: str | None) -> str | None:
    found = _sha256(bundle / KEY)
    if found != _json(bundle / STATEMENT)["key_sha256"]:
        raise Unsound("is not the key that the signed statement names")
    if signer is not None and signer != found:
        raise Unsound(f"the bundle was signed by {found}, not by the expected signer")
    return (
        None
        if signer
        else f"signed by {found}; compare it with the fingerprint that the signer published (--signer)"
    )


def _info(bundle: Path) -> dict[str, str]:
    """bag-info.txt, each label once."""
    told: dict[str, str] = {}
    for line in _text(bundle / "bag-info.txt").decode("utf-8").splitlines():
        label, _, value = line.partition(": ")
        if label in told:
            raise Unsound(f"bag-info.txt names {label} twice")
        told[label] = value
    return told


def _capture(bundle: Path) -> str:
    told = _json(bundle / "data/capture.json")
    if told["capture_id"] != _json(bundle / STATEMENT)["capture_id"] or told["sha256"] != _sha256(
        bundle / "data/original"
    ):
        raise Unsound("the original is not the file that was taken in")
    return f"{told['name']}, taken in at {told['taken_in_at']} by {told['taken_in_by']}"


def _facts(bundle: Path) -> str:
    statement, info = _json(bundle / STATEMENT), _info(bundle)
    name = (
        f"capture {statement['capture_id'][:16]}"
        if "capture_id" in statement
        else f"case {statement['case_id']}"
    )
    sealed, as_of = (
        datetime.fromisoformat(statement["sealed_at"]),
        datetime.fromisoformat(statement["as_of"]),
    )
    if info.get("Signing-Key-SHA256") != statement["key_sha256"]:
        raise Unsound("bag-info.txt names another key: the manifests were signed again")
    if info.get("External-Identifier") != statement.get("capture_id", statement.get("case_id")):
        raise Unsound("bag-info.txt names another case than the seal")
    if info.get("Bagging-Date") != sealed.date().isoformat():
        raise Unsound("bag-info.txt names another day than the seal")
    if as_of > sealed + CLOCK_TOLERANCE:
        raise Unsound("the case is younger than its seal")
    if "chain" in statement:
        name += f", audit log up to entry {int(statement['chain']['entry'])}, {statement['chain']['sha256'][:16]}…"
    moments = []
    for one in _json(bundle / TIMES)["timestamps"]:
        moments.append(datetime.fromisoformat(one["time"]))
        asked = datetime.fromisoformat(one["asked_at"]) if "asked_at" in one else None
        check_clock(moments[-1], sealed, asked, first=bool(one["first"]))
    late = min(moments, default=sealed) - sealed
    if late > CLOCK_TOLERANCE:
        return f"{name}; the signer's clock says it was sealed at {sealed.isoformat()}, {late.days} days before any authority saw it"
    return f"{name}, sealed at {sealed.isoformat()} by the signer's own clock"


# ---- timestamps (RFC 3161 in CMS, RFC 5652) ----------------------------------------------------------------------------


def check_clock(moment: datetime, sealed: datetime, asked: datetime | None, *, first: bool) -> None:
    """Raise Unsound where an authority's time lies more than CLOCK_TOLERANCE from the signer's clock.

    Args:
        sealed: when the bundle was sealed, by the signer's clock.
        asked: when the authority was asked, by the same clock; older bundles do not say.
        first: it was asked as soon as the bundle was sealed.
    """
    if moment < sealed - CLOCK_TOLERANCE or (first and moment > sealed + CLOCK_TOLERANCE):
        raise Unsound(
            f"sealed at {sealed.isoformat()} by the signer's clock, stamped at {moment.isoformat()}"
        )
    if asked is not None and abs(moment - asked) > CLOCK_TOLERANCE:
        raise Unsound(
            f"asked for at {asked.isoformat()} by the signer's clock, stamped at {moment.isoformat()}"
        )


_STAMP_NAME = re.compile(r"seal/[a-z0-9][a-z0-9-]{0,30}\.(tsq|tsr|pem)")


def _timestamp_files(bundle: Path) -> dict[str, str]:
    try:
        record = _json(bundle / TIMES)
        return {
            str(name): str(digest)
            for one in record["timestamps"]
            for name, digest in one["files"].items()
        }
    except Exception:  # told as its own item
        return {}


def _timestamps(bundle: Path, roots: tuple[x509.Certificate, ...]) -> Iterator[Item]:
    sound = True
    for name, digest in sorted(_timestamp_files(bundle).items()):

        def intact(name: str = name, digest: str = digest) -> None:
            if not _STAMP_NAME.fullmatch(name):
                raise Unsound("is no name of a timestamp's file")
            if not (bundle / name).is_file():
                raise Unsound("is missing: it was removed or renamed")
            if _sha256(bundle / name) != digest:
                raise Unsound("does not have the bytes that were sealed")

        item = _checked(name, intact)
        sound = sound and item.ok
        yield item
    if not sound:
        return
    found: list[Any] = []
    item = _checked(TIMES, lambda: found.extend(_stamps(bundle)))
    if not item.ok:
        yield item
        return
    stamps, pending = found
    for one in stamps:
        yield _checked(
            f"timestamp {one.get('authority')}",
            lambda one=one: _timestamp(bundle, one, roots),  # type: ignore[misc]
        )
    waiting = f"; still asked for: {', '.join(pending)}" if pending else ""
    if stamps:
        yield Item(
            "timestamps",
            True,
            None,
            f"{len(stamps)} of {len(stamps) + len(pending)} authorities{waiting}",
        )
    else:
        told = f"not timestamped: no authority vouches for when this was sealed{waiting}"
        yield Item("timestamps", not roots, told if roots else None, None if roots else told)


def _stamps(bundle: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What timestamps.json tells: the timestamps, and who is still asked."""
    record = _json(bundle / TIMES)
    stamps, pending = (
        [dict(one) for one in record["timestamps"]],
        [str(one) for one in record["pending"]],
    )
    tokens = [
        digest for one in stamps for name, digest in one["files"].items() if name.endswith(".tsr")
    ]
    if len({one["authority"] for one in stamps}) < len(stamps) or len(set(tokens)) != len(stamps):
        raise Unsound("names one timestamp twice")
    return stamps, pending


def _timestamp(bundle: Path, one: dict[str, Any], roots: tuple[x509.Certificate, ...]) -> str:
    response, query = (
        next(name for name in one["files"] if name.endswith(ending)) for ending in (".tsr", ".tsq")
    )
    own = tuple(
        certificate
        for name in one["files"]
        if name.endswith(".pem")
        for certificate in x509.load_pem_x509_certificates(_text(bundle / name))
    )
    token, leaf, top = check_timestamp(
        _text(bundle / response), _text(bundle / query), (bundle / STAMPED).read_bytes(), own, roots
    )
    if token.time.isoformat() != one["time"] or str(token.serial) != one["serial"]:
        raise Unsound(
            f"the token says {token.time.isoformat()}, number {token.serial}; the bundle {one['time']}, number {one['serial']}"
        )
    told = f"{token.time.isoformat()}, signed by {leaf.subject.rfc4514_string()} under {top.subject.rfc4514_string()}"
    return (
        told
        if roots
        else f"{told}, whose certificate lies in the bundle: check it against the authority's own (--tsa-root)"
    )


def check_timestamp(
    response: bytes,
    request: bytes,
    message: bytes,
    known: tuple[x509.Certificate, ...],
    roots: tuple[x509.Certificate, ...] = (),
) -> tuple[Token, x509.Certificate, x509.Certificate]:
    """Every check of a timestamp that needs no clock (RFC 3161, 2.4.2).

    The program makes the same ones before it keeps a token.

    Args:
        response: a TimeStampResp, DER.
        request: the TimeStampReq that it answers, DER.
        message: what must have been stamped.
        known: the authority's own certificates and those between, as configured; may be empty.
        roots: what the chain must reach; none: the known ones, else those in the token.

    Returns:
        The token, the certificate that signed it, and the root that this chains to.

    Raises:
        Unsound: a check failed, which the message names.
    """
    token, asked = parse_token(response), parse_request(request)
    if not asked.imprint.is_of(message):
        raise Unsound("the authority was asked for a timestamp of something else")
    if token.imprint != asked.imprint:
        raise Unsound("it is a timestamp of something else")
    if token.nonce != asked.nonce:
        told = "holds no nonce" if token.nonce is None else "holds another nonce"
        raise Unsound(f"it {told}, not the one that was sent: it may answer another request")
    if asked.policy is not None and token.policy != asked.policy:
        raise Unsound("it was made under another policy than the one that was asked for")
    if token.demands:
        raise Unsound("it holds a critical extension that is not understood here")
    leaf, top = token.vouched_by(known, roots or known or token.certificates)
    if token.authority is not None and token.authority not in _names_of(leaf):
        raise Unsound("it names another authority than the certificate that signed it")
    return token, leaf, top


def _chain_end(
    leaf: x509.Certificate,
    known: tuple[x509.Certificate, ...],
    roots: tuple[x509.Certificate, ...],
    moment: datetime,
) -> x509.Certificate:
    """The root that a certificate chains to; every certificate was valid at that moment and may do what it does."""
    current, below = leaf, 0
    while True:
        if not _valid(current, moment):
            raise Unsound(
                f"{current.subject.rfc4514_string()} was not valid at {moment.isoformat()}"
            )
        _no_unknown_demands(current)
        if current in roots:
            return current
        issuer = next(
            (
                one
                for one in [*roots, *known]
                if one != current and _valid(one, moment) and _issued(one, current, below)
            ),
            None,
        )
        below += 1
        if issuer is None or below > 8:
            raise Unsound(
                f"the chain from {leaf.subject.rfc4514_string()} does not reach a root that is trusted"
            )
        current = issuer


# Policies bind whoever wants a certain one, and nobody does here (RFC 5280, 6.1).
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


def _valid(certificate: x509.Certificate, moment: datetime) -> bool:
    return certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc


def _no_unknown_demands(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.oid == ExtensionOID.NAME_CONSTRAINTS or (
            extension.critical and extension.oid not in _UNDERSTOOD
        ):
            raise Unsound(
                f"{certificate.subject.rfc4514_string()} makes a demand that is not understood here"
            )
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        raise Unsound(
            f"{certificate.subject.rfc4514_string()} has a key of only {key.key_size} bits"
        )


def _issued(issuer: x509.Certificate, certificate: x509.Certificate, below: int) -> bool:
    """Whether one certificate issued another and might; `below` counts the authorities under it."""
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not basic.ca or (basic.path_length is not None and basic.path_length < below):
            return False
        usage = next(
            (one.value for one in issuer.extensions if one.oid == ExtensionOID.KEY_USAGE), None
        )
        if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return True


def _may_stamp(leaf: x509.Certificate) -> None:
    """Raise Unsound unless a certificate is for timestamping alone, and says so critically (RFC 3161, 2.3)."""
    usages = [one for one in leaf.extensions if one.oid == ExtensionOID.EXTENDED_KEY_USAGE]
    if (
        not usages
        or not usages[0].critical
        or list(usages[0].value) != [ExtendedKeyUsageOID.TIME_STAMPING]
    ):
        raise Unsound("the authority's certificate is not for timestamping alone, said critically")
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.KeyUsage) and not (
            extension.value.digital_signature or extension.value.content_commitment
        ):
            raise Unsound("the authority's certificate may not sign")


@dataclass(frozen=True)
class Node:
    """One element of DER: its tag, its content, and all its bytes."""

    tag: int
    body: bytes
    whole: bytes

    def children(self) -> list[Node]:
        return list(_nodes(self.body))


def _nodes(data: bytes) -> Iterator[Node]:
    at = 0
    while at < len(data):
        tag, length, head = data[at], data[at + 1], 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise Unsound("the answer is not DER")
            length, head = int.from_bytes(data[at + 2 : at + 2 + size], "big"), 2 + size
        end = at + head + length
        if end > len(data):
            raise Unsound("the answer is cut off")
        yield Node(tag, data[at + head : end], data[at:end])
        at = end


_HASHES = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_RSASSA_PSS = bytes.fromhex("2a864886f70d01010a")
_STATUS = (
    "granted",
    "granted with modifications",
    "a rejection",
    "to wait",
    "a revocation warning",
    "a revocation",
)
_FAILURES = {
    0: "badAlg", 2: "badRequest", 5: "badDataFormat", 14: "timeNotAvailable", 15: "unacceptedPolicy",
    16: "unacceptedExtension", 17: "addInfoNotAvailable", 25: "systemFailure",
}  # fmt: skip


@dataclass(frozen=True)
class Imprint:
    """The hash of what is stamped."""

    algorithm: str
    digest: bytes

    def is_of(self, message: bytes) -> bool:
        """Whether it is the hash of that message."""
        return self.digest == hashlib.new(self.algorithm, message).digest()


@dataclass(frozen=True)
class Request:
    """What an authority was asked: a TimeStampReq taken apart."""

    imprint: Imprint
    policy: bytes | None
    nonce: int | None


@dataclass(frozen=True)
class Token:
    """A timestamp token taken apart.

    Attributes:
        info: the DER of TSTInfo.
        policy: the object identifier, DER content.
        demands: object identifiers of TSTInfo's critical extensions.
        authority: the name that the authority gives itself, as `_name` has it.
        attributes: the signed attributes as they are signed (a SET).
        signer: DER of issuer and serial number.
    """

    info: bytes
    policy: bytes
    imprint: Imprint
    time: datetime
    serial: int
    nonce: int | None
    demands: tuple[bytes, ...]
    authority: Name | None
    certificates: tuple[x509.Certificate, ...]
    digest_algorithm: str
    attributes: bytes
    signature: bytes
    signer: tuple[bytes, int]

    def vouched_by(
        self, known: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]
    ) -> tuple[x509.Certificate, x509.Certificate]:
        """The authority's certificate and the root behind this token; raises Unsound if its signature, the certificate's purpose or the chain does not hold."""
        everything = (*self.certificates, *known)
        leaf = self.check_signature(everything)
        _may_stamp(leaf)
        return leaf, _chain_end(leaf, everything, roots, self.time)

    def check_signature(self, known: tuple[x509.Certificate, ...]) -> x509.Certificate:
        """The signer's certificate among the known ones; raises Unsound if it did not sign this token."""
        held = _attributes(self.attributes)
        if _CONTENT_TYPE not in held or held[_CONTENT_TYPE].body != _TST_INFO:
            raise Unsound("what was signed is not a timestamp")
        if (
            _MESSAGE_DIGEST not in held
            or held[_MESSAGE_DIGEST].body != hashlib.new(self.digest_algorithm, self.info).digest()
        ):
            raise Unsound("the token's content was altered")
        issuer, serial = self.signer
        for certificate in known:
            if certificate.serial_number == serial and certificate.issuer.public_bytes() == issuer:
                _check(
                    certificate.public_key(), self.signature, self.attributes, self.digest_algorithm
                )
                _is_named(certificate, held)
                return certificate
        raise Unsound("the certificate of the authority is neither in the token nor in the bundle")


_SIGNING_CERTIFICATE = bytes.fromhex("2a864886f70d010910020c")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("2a864886f70d010910022f")


def _attributes(attributes: bytes) -> dict[bytes, Node]:
    """The signed attributes by their type, each once and with one value (RFC 5652, 11)."""
    held: dict[bytes, Node] = {}
    for node in _nodes(next(_nodes(attributes)).body):
        kind, values = node.children()
        if kind.body in held or len(values.children()) != 1:
            raise Unsound("the token holds a signed attribute twice")
        held[kind.body] = values.children()[0]
    return held


def _is_named(certificate: x509.Certificate, held: dict[bytes, Node]) -> None:
    """Raise Unsound unless the token itself names this certificate by its hash (RFC 5035, RFC 5816)."""
    kinds = [kind for kind in (_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_V2) if kind in held]
    if not kinds:
        raise Unsound("the token does not name the certificate that signed it")
    for kind in kinds:
        fields = held[kind].children()[0].children()[0].children()  # the first is the signer's
        algorithm = "sha1" if kind == _SIGNING_CERTIFICATE else "sha256"
        if kind == _SIGNING_CERTIFICATE_V2 and fields[0].tag == 0x30:
            algorithm = _hash(fields.pop(0))
        if (
            hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest()
            != fields[0].body
        ):
            raise Unsound("the token names another certificate than the one that fits it")
        for issued in fields[1:]:
            issuers, serial = issued.children()
            names = [_name(one) for one in issuers.children()]
            if _integer(serial) != certificate.serial_number or names != [_of(certificate.issuer)]:
                raise Unsound("the token names another certificate than the one that fits it")


def _check(key: Any, signature: bytes, message: bytes, digest: str) -> None:
    algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[
        digest
    ]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            raise Unsound("the authority signs in a way that is not known here")
    except InvalidSignature:
        raise Unsound("the authority's signature does not fit") from None


def parse_token(response: bytes) -> Token:
    """A TimeStampResp taken apart; raises Unsound."""
    try:
        return _token(_granted(response))
    except Unsound:
        raise
    except (ValueError, IndexError, StopIteration, TypeError, x509.InvalidVersion) as error:
        raise Unsound(
            f"the answer is not what RFC 3161 describes ({type(error).__name__}: {error})"
        ) from error


def parse_request(request: bytes) -> Request:
    """A TimeStampReq taken apart; raises Unsound."""
    try:
        (outer,) = _nodes(request)
        _version, imprint, *rest = outer.children()
        policy = rest.pop(0).body if rest and rest[0].tag == 0x06 else None
        nonce = _integer(rest[0]) if rest and rest[0].tag == 0x02 else None
        return Request(_imprint(imprint), policy, nonce)
    except (ValueError, IndexError) as error:
        raise Unsound(
            f"the request is not what RFC 3161 describes ({type(error).__name__}: {error})"
        ) from error


def _granted(response: bytes) -> Node:
    """The token in an answer that the authority granted."""
    outer = next(_nodes(response)) if response[:1] == b"\x30" else Node(0, b"", b"")
    parts = outer.children()
    if (
        not parts
        or parts[0].tag != 0x30
        or not parts[0].children()
        or parts[0].children()[0].tag != 0x02
    ):
        raise Unsound("it is no answer of a timestamp authority (no TimeStampResp in DER)")
    if outer.whole != response:
        raise Unsound("something follows the authority's answer")
    number, *told = parts[0].children()
    status = _integer(number)
    if status not in (0, 1):
        word = _STATUS[status] if 0 <= status < len(_STATUS) else f"status {status}"
        raise Unsound(f"the authority answered {word}, not granted{_reasons(told)}")
    if len(parts) != 2:
        raise Unsound("the answer holds no token, or more than a token")
    return parts[1]


def _reasons(told: list[Node]) -> str:
    """What an authority says of its refusal: its own words, and the names of its failure bits."""
    words = [
        text.body.decode("utf-8", "replace")[:200]
        for node in told
        if node.tag == 0x30
        for text in node.children()
    ]
    for bits in (node.body[1:] for node in told if node.tag == 0x03):
        words += [
            name
            for number, name in _FAILURES.items()
            if bits[number // 8 :][:1] and bits[number // 8] & 0x80 >> number % 8
        ]
    return f": {plain(', '.join(words))}" if words else ""


def _token(content: Node) -> Token:
    """A ContentInfo with one signer's TSTInfo."""
    kind, wrapped = content.children()
    if kind.body != _SIGNED_DATA:
        raise Unsound("the answer holds no signed data")
    parts = wrapped.children()[0].children()
    signed_kind, signed_content = parts[2].children()
    if signed_kind.body != _TST_INFO:
        raise Unsound("the signed data is no timestamp")
    info = signed_content.children()[0].body
    certificates = next((part for part in parts[3:] if part.tag == 0xA0), None)
    signers = next(part for part in reversed(parts) if part.tag == 0x31).children()
    if len(signers) != 1:
        raise Unsound(f"the token has {len(signers)} signers, not one")
    fields = signers[0].children()
    if fields[1].tag != 0x30:
        raise Unsound("the token names its signer by a key identifier, not by issuer and number")
    if fields[3].tag != 0xA0:
        raise Unsound("the token signs no attributes")
    if fields[4].children()[0].body == _RSASSA_PSS:
        raise Unsound("the authority signs with RSASSA-PSS, which is not checked here")
    issuer, serial = fields[1].children()
    return Token(
        info=info,
        **_tst_info(info),
        certificates=tuple(
            x509.load_der_x509_certificate(one.whole)
            for one in certificates.children()
            if one.tag == 0x30
        )
        if certificates
        else (),
        digest_algorithm=_hash(fields[2]),
        attributes=b"\x31" + fields[3].whole[1:],
        signature=fields[5].body,
        signer=(issuer.whole, _integer(serial)),
    )


def _tst_info(info: bytes) -> dict[str, Any]:
    """What TSTInfo tells, as Token has it."""
    (told,) = _nodes(info)
    version, policy, imprint, serial, moment, *rest = told.children()
    if version.body != b"\x01":
        raise Unsound("the token's version is not 1")
    left = {node.tag: node for node in rest}
    if set(left) - {0x30, 0x01, 0x02, 0xA0, 0xA1} or len(left) != len(rest):
        raise Unsound("the token holds a field that RFC 3161 does not have")
    extensions = [one.children() for one in left[0xA1].children()] if 0xA1 in left else []
    return {
        "policy": policy.body, "imprint": _imprint(imprint), "time": _time(moment.body.decode("ascii")),
        "serial": int.from_bytes(serial.body, "big"), "nonce": _integer(left[0x02]) if 0x02 in left else None,
        "demands": tuple(one[0].body for one in extensions if one[1].tag == 0x01 and one[1].body != b"\x00"),
        "authority": _name(left[0xA0].children()[0]) if 0xA0 in left else None,
    }  # fmt: skip


def _imprint(node: Node) -> Imprint:
    algorithm, digest = node.children()
    return Imprint(_hash(algorithm), digest.body)


def _hash(algorithm: Node) -> str:
    """The name of a hash algorithm; raises Unsound for one that does not count here."""
    known = _HASHES.get(algorithm.children()[0].body)
    if known is None:
        raise Unsound("it uses a hash other than SHA-256, SHA-384 and SHA-512")
    return known


def _integer(node: Node) -> int:
    if node.tag != 0x02 or not node.body:
        raise Unsound("the answer holds something else where a number belongs")
    return int.from_bytes(node.body, "big", signed=True)


Name = tuple[int, tuple[tuple[bytes, bytes], ...]]
"""A GeneralName to compare: its tag, and type and text of each attribute, in lower case."""


def _name(general: Node) -> Name:
    if general.tag != 0xA4:
        return general.tag, ((b"", general.body.lower()),)
    parts = [one.children() for part in general.children()[0].children() for one in part.children()]
    return 0xA4, tuple((kind.body, b" ".join(value.body.lower().split())) for kind, value in parts)


def _of(name: x509.Name) -> Name:
    der = name.public_bytes()
    return _name(Node(0xA4, der, b""))


def _names_of(certificate: x509.Certificate) -> list[Name]:
    """What a certificate calls its holder: subject and alternative names."""
    names = [_of(certificate.subject)]
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            (sequence,) = _nodes(extension.value.public_bytes())
            names += [_name(one) for one in sequence.children()]
    return names


def _time(text: str) -> datetime:
    """GeneralizedTime as RFC 3161, 2.4.2 wants it: UTC, a fraction without noughts at its end."""
    if not re.fullmatch(r"[0-9]{14}(\.[0-9]*[1-9])?Z", text):
        raise Unsound(f"its time {plain(text[:40])!r} is not written as RFC 3161 wants it")
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return moment.replace(microsecond=int(fraction.ljust(6, "0")[:6])) if fraction else moment


# ---- case ---------------------------------------------------------------------------------------------------------------


def _schema(bundle: Path) -> None:
    if _sha256(bundle / "data/case-1.schema.json") not in SCHEMAS:
        raise Unsound("the bundle's schema is not one that was published")
    schema = _json(bundle / "data/case-1.schema.json")
    problem = next(_misfits(_json(bundle / "data/case.json"), schema, schema, "case"), None)
    if problem:
        raise Unsound(problem)


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def _misfits(
    value: Any, schema: dict[str, Any], whole: dict[str, Any], where: str
) -> Iterator[str]:
    """Where a value does not fit, for the part of JSON Schema 2020-12 that our schemas use."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema:
        if all(next(_misfits(value, one, whole, where), None) for one in schema["anyOf"]):
            yield f"{where} fits none of the forms allowed"
        return
    kind = schema.get("type")
    if kind and (
        not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    ):
        yield f"{where} is not of type {kind}"
        return
    if not _may_be(value, schema):
        yield f"{where} is not what it may be"
    if isinstance(value, dict):
        yield from _misfits_of_fields(value, schema, whole, where)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} entries"
        forms = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        for number, (one, form) in enumerate(zip(value, forms, strict=False)):
            yield from _misfits(one, form, whole, f"{where}[{number}]")


def _may_be(value: Any, schema: dict[str, Any]) -> bool:
    return (
        ("const" not in schema or value == schema["const"])
        and ("enum" not in schema or value in schema["enum"])
        and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
    )


def _misfits_of_fields(
    value: dict[str, Any], schema: dict[str, Any], whole: dict[str, Any], where: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (
        f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value
    )
    if schema.get("additionalProperties", True) is False:
        yield from (
            f"{where}.{name} is not a field of a case" for name in value if name not in known
        )
    for name in known.keys() & value.keys():
        yield from _misfits(value[name], known[name], whole, f"{where}.{name}")


def _references(bundle: Path) -> Iterator[Item]:
    """That what the case names lies in the bundle with the hash that the case names."""
    try:
        case = _json(bundle / "data/case.json")
        wanted = {
            f"data/samples/{digest}.png": digest
            for sample in case["samples"]
            for digest in (sample["image_sha256"], sample["control_sha256"])
            if digest
        }
        sighting = case.get("sighting") or {"images": [], "captures": []}
        for image in sighting["images"]:
            wanted[f"data/captured/{image['sha256']}"] = image["sha256"]
            if image["face_sha256"]:
                wanted[f"data/samples/{image['face_sha256']}.png"] = image["face_sha256"]
        wanted |= {f"data/captures/{one['sha256']}": one["sha256"] for one in sighting["captures"]}
        if case["checkpoint"]["header_sha256"]:
            wanted["data/header.json"] = case["checkpoint"]["header_sha256"]
        weights = f"data/checkpoint/{case['checkpoint']['sha256']}.safetensors"
        if (bundle / weights).exists():
            wanted[weights] = case["checkpoint"]["sha256"]
    except Exception as error:
        yield Item(
            "data/case.json", False, f"cannot be read: {type(error).__name__}: {error}"[:300]
        )
        return
    yield _checked("the case's pictures, header and weights", lambda: _named(bundle, wanted))
    yield _checked("the case's captures", lambda: _in_the_archive(bundle, case))
    yield _checked(
        "custody, environment and counts are the case's", lambda: _same_facts(bundle, case)
    )
    yield _checked("report, case and seal belong together", lambda: _of_one_case(bundle, case))
    if any(
        "record_sha256" in line["details"] for line in case["custody"]
    ):  # bundles before that have no such line
        yield _checked("the record is the one that the audit log names", lambda: _as_recorded(case))
    yield _checked("dates and decisions agree with the audit log", lambda: _as_logged(case))


def _named(bundle: Path, wanted: dict[str, str]) -> None:
    for name, digest in wanted.items():
        if not (bundle / name).is_file() or _sha256(bundle / name) != digest:
            raise Unsound(f"{name} is not the file that the case names")
    for folder in ("samples", "checkpoint", "captured", "captures"):
        for path in (bundle / "data" / folder).glob("*"):
            if path.relative_to(bundle).as_posix() not in wanted:
                raise Unsound(f"the case names no {path.name}")


def _in_the_archive(bundle: Path, case: dict[str, Any]) -> None:
    wanted = sorted(
        (one["url"], (one["seen_at"] or case["opened_at"])[:19] + "Z", one["sha256"])
        for one in case["checkpoint"]["captures"]
    )
    archive = bundle / "data/listing.warc"
    if sorted(_warc_records(_text(archive)) if archive.exists() else []) != wanted:
        raise Unsound("the captures are not those that the case names")


def _same_facts(bundle: Path, case: dict[str, Any]) -> None:
    for name in ("custody", "environment"):
        path = bundle / f"data/{name}.json"
        if (path.exists() or name == "custody") and _json(path) != case[name]:
            raise Unsound(f"{path.name} is not what the case says")
    method, samples = case["method"], case["samples"]
    if method["sampled"] not in (None, len(samples)) or method["with_face"] not in (
        None,
        sum(one["face_found"] for one in samples),
    ):
        raise Unsound("the case does not hold as many samples as it says were made")


def _of_one_case(bundle: Path, case: dict[str, Any]) -> None:
    statement = _json(bundle / STATEMENT)
    if statement["case_id"] != case["case_id"]:
        raise Unsound("the seal is that of another case")
    reports = sorted((bundle / "data").glob("report.*.html"))
    if not reports:
        raise Unsound("there is no report")
    for report in reports:
        text = _text(report).decode("utf-8")
        for needed in (case["case_id"], case["checkpoint"]["sha256"], statement["key_sha256"]):
            if needed not in text:
                raise Unsound(f"{report.name} does not name {needed[:16]}…")


def canonical_record(case: dict[str, Any]) -> dict[str, Any]:
    """What the audit log vouches for of a case: all of it but the log's own lines, what follows from others, and working notes.

    Empty fields count as absent, so that a field which a later version adds changes no older digest.
    """
    kept = {name: value for name, value in case.items() if name not in ("custody", "status")}
    kept["entries"] = [entry for entry in case.get("entries") or () if entry["kind"] != "note"]
    found: dict[str, Any] = _without_empty(kept)
    return found


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {name: _without_empty(one) for name, one in value.items()}
        return {
            name: one for name, one in inner.items() if one is not None and one not in ("", [], {})
        }
    return [_without_empty(one) for one in value] if isinstance(value, list | tuple) else value


def record_digest(case: dict[str, Any]) -> str:
    """SHA-256 of a case's record as canonical JSON: sorted names, no blanks, UTF-8."""
    text = json.dumps(
        canonical_record(case), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_recorded(case: dict[str, Any]) -> str:
    told = [line for line in case["custody"] if "record_sha256" in line["details"]]
    newest = max(told, key=lambda line: int(line["details"]["record"]))
    if newest["details"]["record_sha256"] != record_digest(case):
        raise Unsound(
            f"entry {newest['number']} of the audit log names another record of this case"
        )
    return (
        f"as of {newest['at'][:19]} (entry {newest['number']}, hash {newest['sha256']}); what was decided later is not in here: "
        "ask the signer for the list of revocations (--revocations)"
    )


def _as_logged(case: dict[str, Any]) -> None:
    named = any("record_sha256" in line["details"] for line in case["custody"])
    if (problem := disagreement(case, is_whole=named)) is not None:
        raise Unsound(problem)


def disagreement(case: dict[str, Any], *, is_whole: bool) -> str | None:
    """Where a case's own dates and decisions are not those of its lines in the audit log, in words; None if they agree.

    Args:
        is_whole: every decision has a line there, so that one without a line is forged.
    """
    opened = _moment(case["opened_at"])
    lines = case["custody"]
    # What was named in the log when it was opened cannot have changed since; a clock that was set back would be no forgery.
    named = any(
        line["event"] == "case-opened" and "record_sha256" in line["details"] for line in lines
    )
    for name, text in () if named else _dates_before(case):
        if text and _moment(text) > opened + LOG_TOLERANCE:
            return (
                f"{name} is of {text[:19]}, after the case was opened at {case['opened_at'][:19]}"
            )
    for line in lines[:1]:
        if _moment(line["at"]) < opened - LOG_TOLERANCE:
            return f"the case says it was opened at {case['opened_at'][:19]}, after the audit log knew of it at {line['at'][:19]}"
    for line in (line for line in lines if line["event"] == "case-opened"):
        if _moment(line["at"]) > opened + LOG_TOLERANCE:
            return f"the case says it was opened at {case['opened_at'][:19]}, the audit log says {line['at'][:19]}"
        for field, own in (
            ("outcome", case["outcome"]),
            ("checkpoint", case["checkpoint"]["sha256"]),
        ):
            if line["details"].get(field, own) != own:
                return f"the audit log knows another {field} of this case, {line['details'][field]}"
    return _undecided_by_log(case, is_whole=is_whole)


def _undecided_by_log(case: dict[str, Any], *, is_whole: bool) -> str | None:
    reviews = [one for one in case["entries"] if one["kind"] == "review"]
    logged = [
        one
        for one in case["custody"]
        if one["event"] == "case-reviewed" and "decision" in one["details"]
    ]
    newest = logged[-1]["number"] if logged else 0
    if any(
        line["event"] == "case-recorded" and line["number"] > newest for line in case["custody"]
    ):
        return (
            None  # a process was killed before it wrote its line; the record itself was named later
        )
    if reviews and logged:
        own, known = reviews[-1], logged[-1]
        if own["details"]["decision"] != known["details"]["decision"]:
            return f"the newest decision is {own['details']['decision']}, the audit log says {known['details']['decision']}"
        if abs(_moment(own["at"]) - _moment(known["at"])) > LOG_TOLERANCE:
            return (
                f"the newest decision is of {own['at'][:19]}, the audit log says {known['at'][:19]}"
            )
    elif logged:
        return f"the audit log knows a decision, {logged[-1]['details']['decision']}, that the case does not hold"
    elif reviews and is_whole:
        return f"the audit log knows nothing of the decision of {reviews[-1]['actor']} at {reviews[-1]['at'][:19]}"
    return None


def _dates_before(case: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Dates of what a case rests on, all of them before it was opened, with what they are of."""
    if found := re.match(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-", case["scan_id"]):
        year, month, day, *time = found.groups()
        yield "the scan", f"{year}-{month}-{day}T{':'.join(time)}+00:00"
    yield "the look at the machine", (case.get("environment") or {}).get("checked_at")
    yield from (("the hub's answer", one["seen_at"]) for one in case["checkpoint"]["captures"])
    sighting = case.get("sighting") or {"captures": []}
    yield from ((f"the capture {one['name']}", one["taken_in_at"]) for one in sighting["captures"])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# ---- what was decided later ---------------------------------------------------------------------------------------------


def revocations_text(told: dict[str, Any]) -> bytes:
    """What the signature of a list of revocations is made over."""
    unsigned = {name: value for name, value in told.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _later(bundle: Path, revocations: Path) -> Iterator[Item]:
    yield _checked("no later decision takes it back", lambda: _not_revoked(bundle, revocations))


def _not_revoked(bundle: Path, revocations: Path) -> str:
    told, statement = _json(revocations), _json(bundle / STATEMENT)
    if not isinstance(told, dict) or told.get("format") != REVOCATIONS:
        raise Unsound(f"{revocations.name} is no list of revocations")
    key = base64.b64decode(told["public_key"], validate=True)
    if hashlib.sha256(key).hexdigest() != statement["key_sha256"]:
        raise Unsound(f"{revocations.name} was signed with another key than this bundle")
    _check_signature(
        key,
        base64.b64decode(told["signature"], validate=True),
        revocations_text(told),
        revocations.name,
    )
    case = (
        _json(bundle / "data/case.json")
        if "case_id" in statement
        else {"case_id": None, "custody": [], "status": ""}
    )
    issued, newest = (
        told["issued_at"][:19],
        max((line["number"] for line in case["custody"]), default=0),
    )
    for one in told["cases"]:
        if one["case_id"] == case["case_id"] and one["entry"] > newest:
            if one["status"] not in (case["status"], "confirmed", "second-review"):
                raise Unsound(
                    f"the case is {one['status']} since {one['as_of'][:19]} (entry {one['entry']} of the audit log)"
                )
            return f"the case went on at {one['as_of'][:19]} and is {one['status']}: ask the signer for its newest evidence"
    return f"nothing newer than this bundle is on the list of {issued}; compare that with the newest list of the signer"


def _warc_records(data: bytes) -> list[tuple[str, str, str]]:
    """Address, date and SHA-256 of the body of every record in an uncompressed WARC of resource records."""
    records, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n\r\n", at) + 4
        lines = data[at : end - 4].decode("utf-8").split("\r\n")
        if lines[0] != "WARC/1.1":
            raise Unsound("the archive is damaged")
        told = dict(line.split(": ", 1) for line in lines[1:])
        if told["WARC-Type"] != "resource":
            raise Unsound(f"the archive holds a {told['WARC-Type']} record")
        length = int(told["Content-Length"])
        if (
            not 0 <= length <= len(data) - end - 4
            or data[end + length : end + length + 4] != b"\r\n\r\n"
        ):
            raise Unsound("the archive is damaged")
        records.append(
            (
                told["WARC-Target-URI"],
                told["WARC-Date"],
                hashlib.sha256(data[end : end + length]).hexdigest(),
            )
        )
        at = end + length + 4
    return records


def main() -> int:
    """The command: a line for each item, exit code 0 only when everything holds."""
    parser = argparse.ArgumentParser(description="Verify an evidence bundle offline.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--signer", help="fingerprint (SHA-256) of the key that must have signed")
    parser.add_argument(
        "--tsa-root",
        type=Path,
        action="append",
        default=[],
        help="PEM file of roots that timestamps must chain to",
    )
    parser.add_argument(
        "--revocations", type=Path, help="the signer's newest list of what was decided later"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        roots = tuple(
            one
            for path in given.tsa_root
            for one in x509.load_pem_x509_certificates(path.read_bytes())
        )
        items = verify(given.bundle, given.signer, roots, given.revocations)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    ok = all(item.ok for item in items)
    if given.json:
        sys.stdout.write(
            json.dumps({"ok": ok, "items": [asdict(item) for item in items]}, indent=1) + "\n"
        )
        return 0 if ok else 1
    for item in items:
        if not item.ok or item.note:
            sys.stdout.write(
                f"{'note   ' if item.ok else 'PROBLEM'} {item.item}: {item.note if item.ok else item.problem}\n"
            )
    verdict = "Everything that can be checked holds" if ok else "This bundle does NOT hold"
    sys.stdout.write(
        f"{verdict}: {sum(item.ok for item in items)} of {len(items)} items are sound.\n"
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
