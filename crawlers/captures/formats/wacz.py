"""WACZ 1.1.1: a zip of WARCs with a list of pages; its digests and its signature are checked before it is believed.

Digests: datapackage.json names one for each file, datapackage-digest.json one for datapackage.json. Signature:
WACZ Signing and Verification 0.1.0 (https://specs.webrecorder.net/wacz-auth/0.1.0/); it says who captured and when, never that a server sent it.
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
from crawlers.captures.pages.page import Resources, Start
from crawlers.errors import CaptureRefused

_MOST_FILES = 10_000
_WARC_NAMES = (".warc", ".warc.gz")
_MOST_LIST_BYTES = 50_000_000
_MOST_TIMES_SMALLER = 200  # a bomb is smaller by more; WARCs are gzip already
_OF_LENGTH = {
    32: "md5",
    40: "sha1",
    64: "sha256",
    96: "sha384",
    128: "sha512",
}  # hexadecimal digits


def read_wacz(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Fill `resources` from its WARCs; its own list says which pages it was made of."""
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
        raise CaptureRefused(
            f"datapackage.json names none of its WARCs: {unlisted}"
            if unlisted
            else "it holds no WARC"
        )
    visits.settle()
    groups = {one.group for one in resources.all}
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
    """Whether a member is a WARC by its content; one that is none is noted."""
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
    """Packages of packages (profile multi-wacz-package) are refused."""
    inside = sorted(name for name in _described(described) | set(package) if name.endswith(".wacz"))
    if described.get("profile") == "multi-wacz-package" or inside:
        raise CaptureRefused(
            f"it is a package of packages: unpack it and take in each of them, {', '.join(inside)[:200] or 'none named'}"
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
    """What holds of digests and signature; raises CaptureRefused where one does not."""
    names = set(package)
    told_of = described.get("resources")
    resources = [
        one for one in (told_of if isinstance(told_of, list) else ()) if isinstance(one, dict)
    ]
    agreed: Counter[str] = Counter()
    unknown: list[str] = []
    for one in resources:
        name = plain_name(str(one.get("path") or ""))
        if name not in names:
            raise CaptureRefused(f"its list names {name[:100]!r}, which is not there")
        algorithms, not_known = _agreeing(package, name, one, "datapackage.json")
        agreed.update(algorithms)
        unknown += [f"{name[:100]!r} ({told[:40]})" for told in not_known]
        agreed["none"] += not algorithms and not not_known
    unlisted = (
        names - _described(described) - {"datapackage.json", "datapackage-digest.json"}
        if resources
        else set()
    )
    without = agreed.pop("none", 0)
    checks = [
        f"{many} files agree with the {_spelt(told)} in datapackage.json"
        for told, many in agreed.items()
    ]
    checks += [f"{without} files have no hash there"] if without else []
    checks += (
        [f"hashes of a kind that is not known were not checked: {', '.join(unknown)[:300]}"]
        if unknown
        else []
    )
    checks += (
        [f"not read, since datapackage.json does not name it: {', '.join(sorted(unlisted))[:200]}"]
        if unlisted
        else []
    )
    if "datapackage-digest.json" not in names:
        return [*checks, "it has no digest of its list, and no signature"]
    digest = _json_of(package, "datapackage-digest.json")
    algorithms, not_known = _agreeing(
        package, "datapackage.json", digest, "datapackage-digest.json"
    )
    if not algorithms and not not_known:
        raise CaptureRefused("datapackage-digest.json holds no hash of datapackage.json")
    said = (
        "datapackage.json agrees with its digest"
        if algorithms
        else f"the digest of datapackage.json is of a kind that is not known ({', '.join(not_known)[:60]}): not checked"
    )
    return [*checks, said, _signature(digest)]


def _agreeing(
    package: PackageFiles, name: str, told: dict[str, Any], where: str
) -> tuple[list[str], list[str]]:
    """The hashes of a file that were checked, and those of kinds that are not known.

    Raises:
        CaptureRefused: one of them is of other bytes.
    """
    right, unknown = [], []
    for algorithm, value in stated_hashes(told):
        if (digest := digest_of(f"{algorithm}:{value}")) is None and is_known(algorithm):
            raise CaptureRefused(
                f"{name[:100]!r} has a {_spelt(algorithm)} in {where} that is none: {value[:80]!r}"
            )
        if digest is None:
            unknown.append(algorithm or f"{len(value)} characters")
        elif _digest(package, name, digest[0]) != digest[1]:
            raise CaptureRefused(
                f"{name[:100]!r} does not agree with its {_spelt(digest[0])} in {where}: it was changed"
            )
        else:
            right.append(digest[0])
    return right, unknown


def stated_hashes(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Every (algorithm, value) that a file's description states, in the forms of all WACZ versions.

    `hash` as "sha256:VALUE" or as the value alone; `stats.hash` or `hash` with the algorithm in
    `hashing`; `stats.sha256`. A value alone is of the algorithm whose length it has.
    """
    more = told.get("stats")
    stats: dict[str, Any] = more if isinstance(more, dict) else {}
    hashing = str(told.get("hashing") or "")
    found: list[tuple[str, str]] = []
    for value in (told.get("hash"), stats.get("hash")):
        if isinstance(value, str) and value:
            algorithm, separator, rest = value.partition(":")
            found.append(
                (algorithm, rest)
                if separator
                else (hashing or _OF_LENGTH.get(len(value), ""), value)
            )
    found += [
        (name, value) for name, value in stats.items() if is_known(name) and isinstance(value, str)
    ]
    return list(dict.fromkeys((name.strip().lower(), value.strip()) for name, value in found))


def _spelt(algorithm: str) -> str:
    """An algorithm as people write it."""
    return re.sub(r"^SHA-?(?=[1-9])", "SHA-", algorithm.upper())


def _signature(digest: dict[str, Any]) -> str:
    signed = digest.get("signedData")
    if not isinstance(signed, dict):
        return "it is not signed"
    told = str(signed.get("hash") or "")
    if told != digest.get("hash"):
        raise CaptureRefused("its signature is one of another package")
    try:
        signature = base64.b64decode(str(signed["signature"]))
        if signed.get("domainCert"):
            certificate = load_pem_x509_certificate(str(signed["domainCert"]).encode())
            _must_fit(certificate.public_key(), signature, told)
            who = certificate.subject.rfc4514_string()[:100]
            return f"signed with a certificate that calls itself {who!r}; whether anybody vouches for it was not asked"
        key = load_der_public_key(base64.b64decode(str(signed["publicKey"])))
        _must_fit(key, signature, told)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, KeyError, TypeError) as error:
        raise CaptureRefused(f"its signature does not hold ({type(error).__name__})") from error
    return f"signed by a key that nobody vouches for, as {str(signed.get('software') or 'nobody')[:100]}"


def _must_fit(key: Any, signature: bytes, told: str) -> None:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("not an elliptic curve key")
    half = len(signature) // 2
    # Browsers sign as two plain numbers (IEEE P1363), servers in DER.
    plain = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    for form in (signature, plain):
        for algorithm in (hashes.SHA256(), hashes.SHA384()):
            with contextlib.suppress(InvalidSignature):
                key.verify(form, told.encode(), ec.ECDSA(algorithm))
                return
    raise InvalidSignature


def _described(described: dict[str, Any]) -> set[str]:
    """The files that datapackage.json names."""
    told = described.get("resources")
    return {
        plain_name(str(one.get("path")))
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, dict)
    }


def _listed(package: PackageFiles, trusted: set[str], resources: Resources) -> Iterator[Start]:
    """The package's own list of its pages, each address once."""
    seen: set[str] = set()
    for name in ("pages/pages.jsonl", "pages/extraPages.jsonl"):
        if name not in package or name not in trusted:
            continue
        for line in filter(str.strip, _text_of(package, name).split("\n")):
            try:
                told = json.loads(line)
            except ValueError:
                resources.notes.append(f"a line of {name} cannot be read: {line[:80]!r}")
                continue
            if (
                isinstance(told, dict)
                and isinstance(told.get("url"), str)
                and told["url"] not in seen
            ):
                seen.add(told["url"])
                group = (
                    str(told["id"]) if told.get("id") else None
                )  # Browsertrix writes it into the records as well
                yield Start(told["url"], str(told.get("title") or ""), _at(told.get("ts")), group)


def _at(told: Any) -> str | None:
    return told[:40] if isinstance(told, str) else None


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
