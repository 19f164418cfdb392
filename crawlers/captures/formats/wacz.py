"""WACZ 1.1.1: a zip of WARCs with a list of pages, whose digests and signature are checked first.

Digests: datapackage.json holds one for each file, datapackage-digest.json one for datapackage.json.
Signature: WACZ Signing and Verification 0.1.0 (https://specs.webrecorder.net/wacz-auth/0.1.0/). It
says who captured and when, but never that a server sent the content.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import load_pem_x509_certificate

from crawlers.captures.formats.digests import digest_of, is_known
from crawlers.captures.formats.package_files import PackageFiles, plain_name
from crawlers.captures.formats.revisits import Visits
from crawlers.captures.formats.unpacking import head_of
from crawlers.captures.formats.warc import BROKEN, read_warc_stream, starts_in
from crawlers.captures.pages.page import Start
from crawlers.captures.pages.resources import Resources
from crawlers.errors import CaptureRefused
from crawlers.values import object_of, objects_of

_MOST_FILES = 10_000
_WARC_NAMES = (".warc", ".warc.gz")
_MOST_LIST_BYTES = 50_000_000
_MOST_TIMES_SMALLER = 200  # a zip bomb shrinks by more; WARCs are gzip already
_OF_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}  # hex digits


def read_wacz(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Read the WARCs of a package into `resources`, and the pages from the package's list."""
    visits = Visits(resources)
    try:
        with PackageFiles(path) as package:
            _must_be_harmless(package, resources.limits.total_bytes)
            described = _json_of(package, "datapackage.json")
            _must_be_one_package(package, described)
            checks = [*_before(package), *_check(package, described)]
            trusted = _described(described) or set(package)
            archives = [
                name
                for name in package
                if name.startswith("archive/") or name.lower().endswith(_WARC_NAMES)
            ]
            warcs = [
                name for name in archives if name in trusted and _is_warc(package, name, resources)
            ]
            for name in warcs:
                with package.open(name) as stream:
                    checks += read_warc_stream(stream, resources, visits)[1]
            listed = list(_listed(package, trusted, resources))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeError, *BROKEN) as error:
        raise CaptureRefused(f"it is no WACZ that can be read ({type(error).__name__})") from error
    if not warcs:
        unlisted = ", ".join(name for name in archives if name not in trusted)[:200]
        reason = f"datapackage.json names none of its WARCs: {unlisted}"
        raise CaptureRefused(reason if unlisted else "it holds no WARC")
    visits.settle()
    groups = {answer.group for answer in resources.all}
    known = [
        start if start.group in groups else replace(start, group=None)
        for start in listed
        if resources.find(start.url)
    ]
    for start in listed:
        resources.miss("listed as a page, and not in the package", start.url)
    tool = described.get("software") if isinstance(described.get("software"), str) else None
    return known or starts_in(resources), tool, checks


def _is_warc(package: PackageFiles, name: str, resources: Resources) -> bool:
    """Whether a member is a WARC by its content; adds a note if it is not."""
    if name.endswith("/"):
        return False
    with package.open(name) as stream:
        if head_of(stream).startswith(b"WARC/"):
            return True
    resources.notes.append(f"{name[:100]!r} is not read: it is no WARC, plain or gzip")
    return False


def _before(package: PackageFiles) -> list[str]:
    begin = min(file.header_offset for file in package.infolist())
    return [f"{begin:,} bytes before the zip are no part of it and were not read"] if begin else []


def _must_be_one_package(package: PackageFiles, described: dict[str, Any]) -> None:
    """Raise CaptureRefused for packages of packages (profile multi-wacz-package)."""
    inside = sorted(name for name in _described(described) | set(package) if name.endswith(".wacz"))
    if described.get("profile") == "multi-wacz-package" or inside:
        raise CaptureRefused(
            "it is a package of packages: unpack it and take in each of them, "
            f"{', '.join(inside)[:200] or 'none named'}"
        )


def _must_be_harmless(package: PackageFiles, most_bytes: int) -> None:
    files = package.infolist()
    if len(files) > _MOST_FILES:
        raise CaptureRefused(f"the zip holds more than {_MOST_FILES:,} files")
    if sum(file.file_size for file in files) > most_bytes:
        raise CaptureRefused(f"the zip unpacks to more than {most_bytes / 1e6:,.0f} MB")
    if any(file.file_size > _MOST_TIMES_SMALLER * max(file.compress_size, 1_000) for file in files):
        raise CaptureRefused("the zip packs one of its files so tightly that it must be a bomb")


def _check(package: PackageFiles, described: dict[str, Any]) -> list[str]:
    """Sentences about checked digests and signatures; raises CaptureRefused if one is wrong."""
    names = set(package)
    checks = _check_files(package, described, names)
    if "datapackage-digest.json" not in names:
        return [*checks, "it has no digest of its list, and no signature"]
    digest = _json_of(package, "datapackage-digest.json")
    right, unknown = _agreeing(package, "datapackage.json", digest, "datapackage-digest.json")
    if not right and not unknown:
        raise CaptureRefused("datapackage-digest.json holds no hash of datapackage.json")
    if right:
        checks.append("datapackage.json agrees with its digest")
    else:
        checks.append(
            "the digest of datapackage.json is of a kind that is not known "
            f"({', '.join(unknown)[:60]}): not checked"
        )
    return [*checks, _signature(digest)]


def _check_files(package: PackageFiles, described: dict[str, Any], names: set[str]) -> list[str]:
    """Sentences about the digests of the files; raises CaptureRefused if one is wrong."""
    entries = _entries(described)
    agreed: Counter[str] = Counter()
    unknown: list[str] = []
    for entry in entries:
        name = plain_name(str(entry.get("path") or ""))
        if name not in names:
            raise CaptureRefused(f"its list names {name[:100]!r}, which is not there")
        right, not_known = _agreeing(package, name, entry, "datapackage.json")
        agreed.update(right)
        unknown += [f"{name[:100]!r} ({algorithm[:40]})" for algorithm in not_known]
        agreed["none"] += not right and not not_known
    own = {"datapackage.json", "datapackage-digest.json"}
    unlisted = names - _described(described) - own if entries else set()
    without = agreed.pop("none", 0)
    checks = [
        f"{count} files agree with the {_spelt(algorithm)} in datapackage.json"
        for algorithm, count in agreed.items()
    ]
    if without:
        checks.append(f"{without} files have no hash there")
    if unknown:
        listed = ", ".join(unknown)[:300]
        checks.append(f"hashes of a kind that is not known were not checked: {listed}")
    if unlisted:
        listed = ", ".join(sorted(unlisted))[:200]
        checks.append(f"not read, since datapackage.json does not name it: {listed}")
    return checks


def _entries(described: dict[str, Any]) -> list[dict[str, Any]]:
    """The descriptions of files in datapackage.json."""
    return objects_of(described.get("resources"))


def _agreeing(
    package: PackageFiles, name: str, entry: dict[str, Any], where: str
) -> tuple[list[str], list[str]]:
    """The algorithms of a file's correct hashes, and the unknown algorithms.

    Raises:
        CaptureRefused: a hash is wrong.
    """
    right, unknown = [], []
    for algorithm, value in stated_hashes(entry):
        if (digest := digest_of(f"{algorithm}:{value}")) is None and is_known(algorithm):
            raise CaptureRefused(
                f"{name[:100]!r} has a {_spelt(algorithm)} in {where} that is none: {value[:80]!r}"
            )
        if digest is None:
            unknown.append(algorithm or f"{len(value)} characters")
        elif _digest(package, name, digest[0]) != digest[1]:
            raise CaptureRefused(
                f"{name[:100]!r} does not agree with its {_spelt(digest[0])} in {where}: "
                "it was changed"
            )
        else:
            right.append(digest[0])
    return right, unknown


def stated_hashes(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Every (algorithm, value) in the description of a file, in the forms of all WACZ versions.

    `hash` is "sha256:VALUE" or the value alone; `stats.hash` or `hash` may have the algorithm in
    `hashing`; `stats.sha256` holds the value. The length of a value alone tells the algorithm.
    """
    stats = object_of(entry.get("stats"))
    hashing = str(entry.get("hashing") or "")
    found: list[tuple[str, str]] = []
    for value in (entry.get("hash"), stats.get("hash")):
        if isinstance(value, str) and value:
            algorithm, separator, rest = value.partition(":")
            if not separator:
                algorithm, rest = hashing or _OF_LENGTH.get(len(value), ""), value
            found.append((algorithm, rest))
    found += [
        (name, value) for name, value in stats.items() if is_known(name) and isinstance(value, str)
    ]
    return list(dict.fromkeys((name.strip().lower(), value.strip()) for name, value in found))


def _spelt(algorithm: str) -> str:
    """An algorithm in its usual spelling."""
    return re.sub(r"^SHA-?(?=[1-9])", "SHA-", algorithm.upper())


def _signature(digest: dict[str, Any]) -> str:
    signed = digest.get("signedData")
    if not isinstance(signed, dict):
        return "it is not signed"
    value = str(signed.get("hash") or "")
    if value != digest.get("hash"):
        raise CaptureRefused("its signature is one of another package")
    try:
        signature = base64.b64decode(str(signed["signature"]))
        if signed.get("domainCert"):
            certificate = load_pem_x509_certificate(str(signed["domainCert"]).encode())
            _verify(certificate.public_key(), signature, value)
            subject = certificate.subject.rfc4514_string()[:100]
            return (
                f"signed with a certificate that calls itself {subject!r}; "
                "whether anybody vouches for it was not asked"
            )
        key = load_der_public_key(base64.b64decode(str(signed["publicKey"])))
        _verify(key, signature, value)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, KeyError, TypeError) as error:
        raise CaptureRefused(f"its signature does not hold ({type(error).__name__})") from error
    software = str(signed.get("software") or "nobody")[:100]
    return f"signed by a key that nobody vouches for, as {software}"


def _verify(key: Any, signature: bytes, value: str) -> None:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("not an elliptic curve key")
    half = len(signature) // 2
    # Browsers write a signature as two numbers (IEEE P1363), servers in DER.
    plain = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    for form in (signature, plain):
        for algorithm in (hashes.SHA256(), hashes.SHA384()):
            with contextlib.suppress(InvalidSignature):
                key.verify(form, value.encode(), ec.ECDSA(algorithm))
                return
    raise InvalidSignature


def _described(described: dict[str, Any]) -> set[str]:
    """The names of the files in datapackage.json."""
    return {plain_name(str(entry.get("path"))) for entry in _entries(described)}


def _listed(package: PackageFiles, trusted: set[str], resources: Resources) -> Iterator[Start]:
    """Yield the pages in the package's own list, each address once."""
    seen: set[str] = set()
    for name in ("pages/pages.jsonl", "pages/extraPages.jsonl"):
        if name not in package or name not in trusted:
            continue
        for line in filter(str.strip, _text_of(package, name).split("\n")):
            try:
                entry = json.loads(line)
            except ValueError:
                resources.notes.append(f"a line of {name} cannot be read: {line[:80]!r}")
                continue
            url = object_of(entry).get("url")
            if isinstance(url, str) and url not in seen:
                seen.add(url)
                # Browsertrix writes the id of the page into the records as well.
                group = str(entry["id"]) if entry.get("id") else None
                at = entry.get("ts")
                title, moment = (
                    str(entry.get("title") or ""),
                    at[:40] if isinstance(at, str) else None,
                )
                yield Start(url, title, moment, group)


def _json_of(package: PackageFiles, name: str) -> dict[str, Any]:
    if name not in package:
        raise CaptureRefused(f"it has no {name}")
    found = json.loads(_text_of(package, name))
    if not isinstance(found, dict):
        raise CaptureRefused(f"{name} is not what it must be")
    return found


def _text_of(package: PackageFiles, name: str) -> str:
    with package.open(name) as stream:
        return stream.read(_MOST_LIST_BYTES).decode("utf-8", "replace")


def _digest(package: PackageFiles, name: str, algorithm: str) -> bytes:
    with package.open(name) as stream:
        return hashlib.file_digest(
            stream,  # type: ignore[arg-type]
            lambda: hashlib.new(algorithm, usedforsecurity=False),
        ).digest()
