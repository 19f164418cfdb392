"""Verify an evidence bundle offline: `python verify_bundle.py BUNDLE`. This one file needs Python 3.11 and `cryptography`.

It trusts nothing but what it is given: a bundle's own key and its authorities' certificates lie inside it, so that a whole
bundle made anew with other keys is sound in itself. Give --signer (the fingerprint the signer published) and --tsa-root
(the authority's root certificate) to have that checked as well.

What is checked, each file by its name: BagIt manifests (RFC 8493), files added, removed or renamed, the Ed25519 signature over
the tag manifests, RFC 3161 timestamps over that signature, the case against its JSON Schema, and that pictures, header,
captures and report are those the case names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

TAG_MANIFESTS = ("tagmanifest-sha256.txt", "tagmanifest-sha512.txt")
TAG_FILES = ("bagit.txt", "bag-info.txt", "manifest-sha256.txt", "manifest-sha512.txt")
STATEMENT, SIGNATURE, KEY = "seal/statement.json", "seal/statement.sig", "seal/key.pub"
TIMES, TIMES_SIGNATURE = "seal/timestamps.json", "seal/timestamps.sig"
SEAL_FILES = (STATEMENT, SIGNATURE, KEY, TIMES, TIMES_SIGNATURE)


@dataclass(frozen=True)
class Item:
    """One thing that was checked. `note` says what a sound item still leaves open."""

    item: str
    ok: bool
    problem: str | None = None
    note: str | None = None


class Unsound(Exception):
    """A check failed; the message says how."""


def verify(bundle: Path, signer: str | None = None, roots: tuple[x509.Certificate, ...] = ()) -> list[Item]:
    """Every check of a bundle, one item each; it holds only if all are ok.

    Args:
        signer: SHA-256 of the raw public key that must have signed, hex.
        roots: certificates that every timestamp must chain to.
    """
    if not (bundle / "bagit.txt").is_file():
        return [Item("bagit.txt", False, f"{bundle} is no evidence bundle: it has no bagit.txt")]
    items = [*_files(bundle), *_seal(bundle, signer), *_timestamps(bundle, roots)]
    items.append(_checked("case matches its schema", lambda: _schema(bundle)))
    items += _references(bundle)
    return items


def _checked(name: str, check: Callable[[], str | None]) -> Item:
    try:
        return Item(name, True, None, check())
    except Unsound as error:
        return Item(name, False, str(error))
    except Exception as error:  # a damaged file may break any parser; that is an answer, too
        return Item(name, False, f"cannot be read: {type(error).__name__}: {error}"[:300])


# ---- manifests ---------------------------------------------------------------------------------------------------------


def _manifest(path: Path) -> dict[str, str]:
    entries: dict[str, str] = {}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        found = re.fullmatch(r"([0-9a-f]+)[ \t]+(\S.*)", line)
        if found is None or found.group(2) in entries:
            raise Unsound(f"the line {line[:80]!r} is damaged or double")
        entries[found.group(2)] = found.group(1)
    return entries


def _files(bundle: Path) -> Iterator[Item]:
    """Each payload and tag file against both manifests, and files that none of them names."""
    present = {
        path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_symlink() or not path.is_dir()
    }
    named: set[str] = {*TAG_MANIFESTS, *SEAL_FILES}
    digests: dict[str, dict[str, str]] = {}
    for kind in ("manifest", "tagmanifest"):
        for algorithm in ("sha256", "sha512"):
            name = f"{kind}-{algorithm}.txt"
            try:
                for file, digest in _manifest(bundle / name).items():
                    digests.setdefault(file, {})[algorithm] = digest
            except (OSError, Unsound) as error:
                yield Item(name, False, str(error))
    named |= set(digests)
    for extra in sorted(_timestamp_files(bundle)):
        named.add(extra)
    for name in sorted(digests):
        yield _checked(name, lambda name=name: _digests_hold(bundle, name, digests[name]))  # type: ignore[misc]
    for name in TAG_MANIFESTS:
        if name not in present:
            yield Item(name, False, "is missing")
    for name in sorted(present - named):
        yield Item(name, False, "is named by no manifest: it was added or renamed")


def _digests_hold(bundle: Path, name: str, wanted: dict[str, str]) -> None:
    path = bundle / name
    if ".." in Path(name).parts or Path(name).is_absolute() or path.is_symlink():
        raise Unsound("leads out of the bundle")
    if not path.is_file():
        raise Unsound("is missing: it was removed or renamed")
    for algorithm in ("sha256", "sha512"):
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, algorithm).hexdigest()
        if wanted.get(algorithm) != found:
            raise Unsound(f"does not have the bytes that were sealed ({algorithm} differs)")


# ---- signature ---------------------------------------------------------------------------------------------------------


def _seal(bundle: Path, signer: str | None) -> Iterator[Item]:
    for text, signature in ((STATEMENT, SIGNATURE), (TIMES, TIMES_SIGNATURE)):
        for name in (text, signature):
            yield _checked(name, lambda text=text, signature=signature: _signed(bundle, text, signature))  # type: ignore[misc]
    yield _checked(KEY, lambda: _the_key(bundle, signer))
    for name in TAG_MANIFESTS:
        yield _checked(name, lambda name=name: _was_signed(bundle, name))  # type: ignore[misc]


def _signed(bundle: Path, text: str, signature: str) -> None:
    key = ed25519.Ed25519PublicKey.from_public_bytes((bundle / KEY).read_bytes())
    try:
        key.verify((bundle / signature).read_bytes(), (bundle / text).read_bytes())
    except InvalidSignature:
        raise Unsound(f"the signature does not fit {text}, or {KEY} is not the key that made it") from None


def _was_signed(bundle: Path, name: str) -> None:
    if _sha256(bundle / name) != json.loads((bundle / STATEMENT).read_bytes())["files"][name]:
        raise Unsound("is not the one that was signed")


def _the_key(bundle: Path, signer: str | None) -> str | None:
    found = _sha256(bundle / KEY)
    if found != json.loads((bundle / STATEMENT).read_bytes())["key_sha256"]:
        raise Unsound("is not the key that the signed statement names")
    if f"Signing-Key-SHA256: {found}" not in (bundle / "bag-info.txt").read_text("utf-8"):
        raise Unsound("is not the key that bag-info.txt names: the manifests were signed again with another key")
    if signer and signer.lower().replace(":", "") != found:
        raise Unsound(f"the bundle was signed by {found}, not by the expected signer")
    return (
        None if signer else f"signed by {found}; compare it with the fingerprint that the signer published (--signer)"
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- timestamps (RFC 3161 in CMS, RFC 5652) ----------------------------------------------------------------------------


def _timestamp_files(bundle: Path) -> dict[str, str]:
    try:
        record = json.loads((bundle / TIMES).read_bytes())
        return {str(name): str(digest) for one in record["timestamps"] for name, digest in one["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _timestamps(bundle: Path, roots: tuple[x509.Certificate, ...]) -> Iterator[Item]:
    for name, digest in sorted(_timestamp_files(bundle).items()):

        def intact(name: str = name, digest: str = digest) -> None:
            if ".." in Path(name).parts or not (bundle / name).is_file():
                raise Unsound("is missing: it was removed or renamed")
            if _sha256(bundle / name) != digest:
                raise Unsound("does not have the bytes that were sealed")

        yield _checked(name, intact)
    try:
        record = json.loads((bundle / TIMES).read_bytes())
        stamps, pending = list(record["timestamps"]), list(record["pending"])
    except (OSError, ValueError, KeyError, TypeError):
        yield Item("timestamps", False, f"{TIMES} cannot be read")
        return
    for one in stamps:
        yield _checked(f"timestamp {one.get('authority')}", lambda one=one: _timestamp(bundle, one, roots))  # type: ignore[misc]
    waiting = f"; still asked for: {', '.join(map(str, pending))}" if pending else ""
    if not stamps:
        yield Item("timestamps", True, None, f"not timestamped: no authority vouches for when this was sealed{waiting}")
    elif waiting:
        yield Item("timestamps", True, None, f"{len(stamps)} of {len(stamps) + len(pending)} authorities{waiting}")


def _timestamp(bundle: Path, one: dict[str, Any], roots: tuple[x509.Certificate, ...]) -> str | None:
    response = next(name for name in one["files"] if name.endswith(".tsr"))
    token = parse_token((bundle / response).read_bytes())
    if not token.is_of((bundle / SIGNATURE).read_bytes()):
        raise Unsound(f"is a timestamp of something else than this bundle's {SIGNATURE}")
    if token.time.isoformat() != one["time"]:
        raise Unsound(f"the token says {token.time.isoformat()}, the bundle {one['time']}")
    own = tuple(
        certificate
        for name in one["files"]
        if name.endswith(".pem")
        for certificate in x509.load_pem_x509_certificates((bundle / name).read_bytes())
    )
    top = token.vouched_by(own, roots or own or token.certificates)
    if roots:
        return None
    return f"{token.time.isoformat()}; the chain ends at {top.subject.rfc4514_string()}, which lies in the bundle: check it against the authority's own (--tsa-root)"


def _chain_end(
    leaf: x509.Certificate, known: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...], moment: datetime
) -> x509.Certificate:
    """The root that a certificate chains to; every certificate was valid at that moment."""
    current, seen = leaf, 0
    while True:
        if not current.not_valid_before_utc <= moment <= current.not_valid_after_utc:
            raise Unsound(f"{current.subject.rfc4514_string()} was not valid at {moment.isoformat()}")
        if current in roots:
            return current
        issuer = next((one for one in [*roots, *known] if one != current and _issued(one, current)), None)
        seen += 1
        if issuer is None or seen > 8:
            raise Unsound(f"the chain from {leaf.subject.rfc4514_string()} does not reach a root that is trusted")
        current = issuer


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return True


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
                raise Unsound("the token is not DER")
            length, head = int.from_bytes(data[at + 2 : at + 2 + size], "big"), 2 + size
        end = at + head + length
        if end > len(data):
            raise Unsound("the token is cut off")
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


@dataclass(frozen=True)
class Token:
    """A timestamp token taken apart.

    Attributes:
        info: the DER of TSTInfo.
        attributes: the signed attributes as they are signed (a SET).
        signer: DER of issuer and serial number.
    """

    info: bytes
    imprint_algorithm: str
    imprint: bytes
    time: datetime
    serial: int
    certificates: tuple[x509.Certificate, ...]
    digest_algorithm: str
    attributes: bytes
    signature: bytes
    signer: tuple[bytes, int]

    def vouched_by(self, known: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]) -> x509.Certificate:
        """The root behind this token; raises Unsound if its signature, the certificate's purpose or the chain does not hold."""
        everything = (*self.certificates, *known)
        leaf = self.check_signature(everything)
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if list(usage) != [ExtendedKeyUsageOID.TIME_STAMPING]:
            raise Unsound("the certificate is not one for timestamping alone")
        return _chain_end(leaf, everything, roots, self.time)

    def is_of(self, message: bytes) -> bool:
        """Whether it is a timestamp of that message."""
        return self.imprint == hashlib.new(self.imprint_algorithm, message).digest()

    def check_signature(self, known: tuple[x509.Certificate, ...]) -> x509.Certificate:
        """The signer's certificate among the known ones; raises Unsound if it did not sign this token."""
        held = {
            node.children()[0].body: node.children()[1].children()[0]
            for node in _nodes(next(_nodes(self.attributes)).body)
        }
        if held[_CONTENT_TYPE].body != _TST_INFO:
            raise Unsound("what was signed is not a timestamp")
        if held[_MESSAGE_DIGEST].body != hashlib.new(self.digest_algorithm, self.info).digest():
            raise Unsound("the token's content was altered")
        issuer, serial = self.signer
        for certificate in known:
            if certificate.serial_number == serial and certificate.issuer.public_bytes() == issuer:
                _check(certificate.public_key(), self.signature, self.attributes, self.digest_algorithm)
                return certificate
        raise Unsound("the certificate of the authority is neither in the token nor in the bundle")


def _check(key: Any, signature: bytes, message: bytes, digest: str) -> None:
    algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[digest]
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
    (outer,) = _nodes(response)
    status, *rest = outer.children()
    if int.from_bytes(status.children()[0].body, "big") not in (0, 1) or not rest:
        raise Unsound("the authority refused")
    kind, wrapped = rest[0].children()
    if kind.body != _SIGNED_DATA:
        raise Unsound("the answer holds no signed data")
    parts = wrapped.children()[0].children()
    content = parts[2].children()
    if content[0].body != _TST_INFO:
        raise Unsound("the signed data is no timestamp")
    info = content[1].children()[0].body
    certificates = next((part for part in parts[3:] if part.tag == 0xA0), None)
    (signer,) = next(part for part in reversed(parts) if part.tag == 0x31).children()
    fields = signer.children()
    issuer, serial = fields[1].children()
    signed = next(field for field in fields if field.tag == 0xA0)
    after = [field for field in fields if field.tag == 0x04]
    (told,) = _nodes(info)
    _, _, imprint, number, moment = told.children()[:5]
    algorithm, digest = imprint.children()
    return Token(
        info=info,
        imprint_algorithm=_HASHES[algorithm.children()[0].body],
        imprint=digest.body,
        time=_time(moment.body.decode("ascii")),
        serial=int.from_bytes(number.body, "big"),
        certificates=tuple(
            x509.load_der_x509_certificate(one.whole) for one in certificates.children() if one.tag == 0x30
        )
        if certificates
        else (),
        digest_algorithm=_HASHES[fields[2].children()[0].body],
        attributes=b"\x31" + signed.whole[1:],
        signature=after[0].body,
        signer=(issuer.whole, int.from_bytes(serial.body, "big")),
    )


def _time(text: str) -> datetime:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return moment.replace(microsecond=int(fraction.ljust(6, "0")[:6])) if fraction else moment


# ---- case ---------------------------------------------------------------------------------------------------------------


def _schema(bundle: Path) -> None:
    schema = json.loads((bundle / "data/case-1.schema.json").read_bytes())
    problem = next(_misfits(json.loads((bundle / "data/case.json").read_bytes()), schema, schema, "case"), None)
    if problem:
        raise Unsound(problem)


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def _misfits(value: Any, schema: dict[str, Any], whole: dict[str, Any], where: str) -> Iterator[str]:
    """Where a value does not fit, for the part of JSON Schema 2020-12 that our schemas use."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema:
        if all(next(_misfits(value, one, whole, where), None) for one in schema["anyOf"]):
            yield f"{where} fits none of the forms allowed"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{where} is not {schema['const']!r}"
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{where} is not of type {kind}"
        return
    if isinstance(value, dict):
        yield from _misfits_of_fields(value, schema, whole, where)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} entries"
        forms = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        for number, (one, form) in enumerate(zip(value, forms, strict=False)):
            yield from _misfits(one, form, whole, f"{where}[{number}]")


def _misfits_of_fields(
    value: dict[str, Any], schema: dict[str, Any], whole: dict[str, Any], where: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    if schema.get("additionalProperties", True) is False:
        yield from (f"{where}.{name} is not a field of a case" for name in value if name not in known)
    for name in known.keys() & value.keys():
        yield from _misfits(value[name], known[name], whole, f"{where}.{name}")


def _references(bundle: Path) -> Iterator[Item]:
    """That what the case names lies in the bundle with the hash that the case names."""
    try:
        case = json.loads((bundle / "data/case.json").read_bytes())
        wanted = {
            f"data/samples/{digest}.png": digest
            for sample in case["samples"]
            for digest in (sample["image_sha256"], sample["control_sha256"])
            if digest
        }
        if case["checkpoint"]["header_sha256"]:
            wanted["data/header.json"] = case["checkpoint"]["header_sha256"]
        captured = [one["sha256"] for one in case["checkpoint"]["captures"]]
        facts = (case["case_id"], case["checkpoint"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield Item("data/case.json", False, f"cannot be read: {error}")
        return
    yield _checked("the case's pictures and header", lambda: _named(bundle, wanted))
    yield _checked("the case's captures", lambda: _in_the_archive(bundle, captured))
    yield _checked("report, case and seal belong together", lambda: _of_one_case(bundle, facts))


def _named(bundle: Path, wanted: dict[str, str]) -> None:
    for name, digest in wanted.items():
        if not (bundle / name).is_file() or _sha256(bundle / name) != digest:
            raise Unsound(f"{name} is not the file that the case names")
    for path in (bundle / "data/samples").glob("*"):
        if path.relative_to(bundle).as_posix() not in wanted:
            raise Unsound(f"the case names no {path.name}")


def _in_the_archive(bundle: Path, captured: list[str]) -> None:
    bodies = _warc_bodies((bundle / "data/listing.warc").read_bytes()) if captured else []
    if sorted(bodies) != sorted(captured):
        raise Unsound("the captures are not those that the case names")


def _of_one_case(bundle: Path, facts: tuple[str, str]) -> None:
    statement = json.loads((bundle / STATEMENT).read_bytes())
    if statement["case_id"] != facts[0]:
        raise Unsound("the seal is that of another case")
    reports = sorted((bundle / "data").glob("report.*.html"))
    if not reports:
        raise Unsound("there is no report")
    for report in reports:
        text = report.read_text("utf-8")
        for needed in (*facts, statement["key_sha256"]):
            if needed not in text:
                raise Unsound(f"{report.name} does not name {needed[:16]}…")


def _warc_bodies(data: bytes) -> list[str]:
    """SHA-256 of every record's body in an uncompressed WARC."""
    bodies, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n\r\n", at) + 4
        found = re.search(rb"(?im)^Content-Length: (\d+)\r$", data[at:end])
        if not data[at:].startswith(b"WARC/1.1\r\n") or found is None:
            raise Unsound("the archive is damaged")
        length = int(found.group(1))
        if b"\r\nWARC-Type: resource\r\n" in data[at:end]:
            bodies.append(hashlib.sha256(data[end : end + length]).hexdigest())
        at = end + length + 4
    return bodies


def main() -> int:
    """The command: a line for each item, exit code 0 only when everything holds."""
    parser = argparse.ArgumentParser(description="Verify an evidence bundle offline.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--signer", help="fingerprint (SHA-256) of the key that must have signed")
    parser.add_argument(
        "--tsa-root", type=Path, action="append", default=[], help="PEM file of roots that timestamps must chain to"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    roots = tuple(one for path in given.tsa_root for one in x509.load_pem_x509_certificates(path.read_bytes()))
    items = verify(given.bundle, given.signer, roots)
    ok = all(item.ok for item in items)
    if given.json:
        sys.stdout.write(json.dumps({"ok": ok, "items": [asdict(item) for item in items]}, indent=1) + "\n")
        return 0 if ok else 1
    for item in items:
        if not item.ok or item.note:
            sys.stdout.write(
                f"{'note   ' if item.ok else 'PROBLEM'} {item.item}: {item.note if item.ok else item.problem}\n"
            )
    verdict = "Everything that can be checked holds" if ok else "This bundle does NOT hold"
    sys.stdout.write(f"{verdict}: {sum(item.ok for item in items)} of {len(items)} items are sound.\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
