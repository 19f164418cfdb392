"""Requests and responses of timestamp authorities (RFC 3161, in CMS of RFC 5652), parsed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from reports.verify.checks import Unsound, printable
from reports.verify.der import Name, Node, general_name, integer, parse_der

TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_RSASSA_PSS = bytes.fromhex("2a864886f70d01010a")
_HASHES = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_STATUS = (
    "granted",
    "granted with modifications",
    "a rejection",
    "to wait",
    "a revocation warning",
    "a revocation",
)
_FAILURES = {
    0: "badAlg",
    2: "badRequest",
    5: "badDataFormat",
    14: "timeNotAvailable",
    15: "unacceptedPolicy",
    16: "unacceptedExtension",
    17: "addInfoNotAvailable",
    25: "systemFailure",
}


@dataclass(frozen=True)
class Imprint:
    """The hash of the data that a timestamp is for."""

    algorithm: str
    digest: bytes

    def is_of(self, message: bytes) -> bool:
        """Return whether this is the hash of a message."""
        return self.digest == hashlib.new(self.algorithm, message).digest()


@dataclass(frozen=True)
class Request:
    """A TimeStampReq, parsed."""

    imprint: Imprint
    policy: bytes | None
    nonce: int | None


@dataclass(frozen=True)
class Token:
    """A timestamp token, parsed.

    Attributes:
        info: DER of TSTInfo.
        policy: the object identifier, as DER content.
        demands: object identifiers of TSTInfo's critical extensions.
        authority: the name that TSTInfo gives the authority.
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


def parse_token(response: bytes) -> Token:
    """Parse a TimeStampResp; raise Unsound if it is damaged, refused or not supported here."""
    try:
        return _parse_content(_granted(response))
    except Unsound:
        raise
    except (ValueError, IndexError, StopIteration, TypeError, x509.InvalidVersion) as error:
        raise Unsound(
            f"the answer is not what RFC 3161 describes ({type(error).__name__}: {error})"
        ) from error


def parse_request(request: bytes) -> Request:
    """Parse a TimeStampReq; raise Unsound if it is damaged."""
    try:
        (outer,) = parse_der(request)
        _version, imprint, *rest = outer.children()
        policy = rest.pop(0).body if rest and rest[0].tag == 0x06 else None
        nonce = integer(rest[0]) if rest and rest[0].tag == 0x02 else None
        return Request(_parse_imprint(imprint), policy, nonce)
    except (ValueError, IndexError) as error:
        raise Unsound(
            f"the request is not what RFC 3161 describes ({type(error).__name__}: {error})"
        ) from error


def hash_name(algorithm: Node) -> str:
    """Return the name of a hash algorithm; raise Unsound unless it belongs to SHA-2."""
    known = _HASHES.get(algorithm.children()[0].body)
    if known is None:
        raise Unsound("it uses a hash other than SHA-256, SHA-384 and SHA-512")
    return known


def _granted(response: bytes) -> Node:
    """Return the token of a response whose status is granted."""
    outer = next(parse_der(response)) if response[:1] == b"\x30" else Node(0, b"", b"")
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
    number, *reasons = parts[0].children()
    status = integer(number)
    if status not in (0, 1):
        word = _STATUS[status] if 0 <= status < len(_STATUS) else f"status {status}"
        raise Unsound(f"the authority answered {word}, not granted{_refusal(reasons)}")
    if len(parts) != 2:
        raise Unsound("the answer holds no token, or more than a token")
    return parts[1]


def _refusal(reasons: list[Node]) -> str:
    """Return the text of a refusal and the names of its failure bits, after a colon."""
    words = [
        text.body.decode("utf-8", "replace")[:200]
        for node in reasons
        if node.tag == 0x30
        for text in node.children()
    ]
    for bits in (node.body[1:] for node in reasons if node.tag == 0x03):
        words += [
            name
            for number, name in _FAILURES.items()
            if bits[number // 8 :][:1] and bits[number // 8] & 0x80 >> number % 8
        ]
    return f": {printable(', '.join(words))}" if words else ""


def _parse_content(content: Node) -> Token:
    """Parse a ContentInfo that holds SignedData over TSTInfo with one signer."""
    kind, wrapped = content.children()
    if kind.body != _SIGNED_DATA:
        raise Unsound("the answer holds no signed data")
    parts = wrapped.children()[0].children()
    signed_kind, signed_content = parts[2].children()
    if signed_kind.body != TST_INFO:
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
        **_parse_info(info),
        certificates=tuple(
            x509.load_der_x509_certificate(node.whole)
            for node in certificates.children()
            if node.tag == 0x30
        )
        if certificates
        else (),
        digest_algorithm=hash_name(fields[2]),
        attributes=b"\x31" + fields[3].whole[1:],
        signature=fields[5].body,
        signer=(issuer.whole, integer(serial)),
    )


def _parse_info(info: bytes) -> dict[str, Any]:
    """Parse a TSTInfo into those fields of Token that come from it."""
    (sequence,) = parse_der(info)
    version, policy, imprint, serial, moment, *rest = sequence.children()
    if version.body != b"\x01":
        raise Unsound("the token's version is not 1")
    optional = {node.tag: node for node in rest}
    if set(optional) - {0x30, 0x01, 0x02, 0xA0, 0xA1} or len(optional) != len(rest):
        raise Unsound("the token holds a field that RFC 3161 does not have")
    listed = optional[0xA1].children() if 0xA1 in optional else []
    extensions = [extension.children() for extension in listed]
    return {
        "policy": policy.body,
        "imprint": _parse_imprint(imprint),
        "time": _parse_time(moment.body.decode("ascii")),
        "serial": int.from_bytes(serial.body, "big"),
        "nonce": integer(optional[0x02]) if 0x02 in optional else None,
        "demands": tuple(
            fields[0].body
            for fields in extensions
            if fields[1].tag == 0x01 and fields[1].body != b"\x00"
        ),
        "authority": general_name(optional[0xA0].children()[0]) if 0xA0 in optional else None,
    }


def _parse_imprint(node: Node) -> Imprint:
    algorithm, digest = node.children()
    return Imprint(hash_name(algorithm), digest.body)


def _parse_time(text: str) -> datetime:
    """Parse a GeneralizedTime: UTC, and no zero at the end of a fraction (RFC 3161, 2.4.2)."""
    if not re.fullmatch(r"[0-9]{14}(\.[0-9]*[1-9])?Z", text):
        raise Unsound(f"its time {printable(text[:40])!r} is not written as RFC 3161 wants it")
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    if not fraction:
        return moment
    return moment.replace(microsecond=int(fraction.ljust(6, "0")[:6]))
