"""A timestamp authority on loopback that can answer wrongly in many ways.

The formats are those of RFC 3161 and RFC 5652.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.servers.serving import Answer, serve_answers

STAMPING = [ExtendedKeyUsageOID.TIME_STAMPING]


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, *([len(body)] if len(body) < 0x80 else [0x80 | len(size), *size])]) + body


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def number(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = bytes([40 * first + second])
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        body += bytes(reversed(groups))
    return der(0x06, body)


HASHES = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
SIGNED_DATA, TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2 = (
    "1.2.840.113549.1.9.16.2.12",
    "1.2.840.113549.1.9.16.2.47",
)


@dataclass(frozen=True)
class Oddity:
    """How an answer differs from a valid one.

    Attributes:
        after: time between the real time and the time in the token.
        fraction: fraction of the second, as it is written.
        nonce: "asked", "none" or "other".
        critical: whether an unknown extension is critical; None for no extension.
        names: certificate that the token names by its hash: "leaf", "other" or "none".
        version: version of that attribute.
        certificates: certificates in the token, of root, mid and leaf, in this order.
        calls_itself: name of the authority in the token: "leaf", "other" or "none".
        body: bytes that are returned instead of an answer.
    """

    after: timedelta = timedelta(0)
    fraction: str = ""
    nonce: str = "asked"
    status: int = 0
    token: bool = True
    critical: bool | None = None
    names: str = "leaf"
    version: int = 2
    certificates: str = "mid leaf"
    leaf: str = "leaf"
    imprint: bytes | None = None
    imprint_hash: str = "sha256"
    policy: str = "1.3.6.1.4.1.99999.1"
    signers: int = 1
    by_key: bool = False
    pss: bool = False
    broken: bool = False
    calls_itself: str = "leaf"
    tail: bytes = b""
    body: bytes | None = None


class OddAuthority:
    """Answers requests with the current `oddity`."""

    def __init__(self, folder: Path) -> None:
        self.oddity, self.url, self.root = Oddity(), "", folder / "chain.pem"
        self._key, self._ca = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        root = self._certificate("root", None, ca=True)
        mid = self._certificate("mid", root, ca=True)
        self.certificates = {
            "root": root,
            "mid": mid,
            "leaf": self._certificate("leaf", mid, STAMPING),
            "other": self._certificate("other", mid, STAMPING),
            "no purpose": self._certificate("no purpose", mid),
            "not critical": self._certificate("not critical", mid, STAMPING, critical=False),
            "two purposes": self._certificate(
                "two purposes", mid, [*STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]
            ),
            "expired": self._certificate(
                "expired", mid, STAMPING, until=datetime(2025, 1, 1, tzinfo=UTC)
            ),
            "demanding": self._certificate("demanding", mid, STAMPING, demands=True),
        }
        self.root.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (root, mid)))

    def _certificate(
        self,
        name: str,
        issuer: x509.Certificate | None,
        purposes: list[x509.ObjectIdentifier] | None = None,
        *,
        ca: bool = False,
        critical: bool = True,
        until: datetime = datetime(2040, 1, 1, tzinfo=UTC),
        demands: bool = False,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key((self._ca if ca else self._key).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(
                x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True
            )
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical)
        if demands:
            unknown = x509.UnrecognizedExtension(
                x509.ObjectIdentifier("1.3.6.1.4.1.99999.8"), b"\x05\x00"
            )
            builder = builder.add_extension(unknown, True)
        return builder.sign(self._ca, hashes.SHA256())

    def reply(self, request: bytes) -> bytes:
        odd = self.oddity
        if odd.body is not None:
            return odd.body
        status = sequence(
            number(odd.status), sequence(der(0x0C, b"not now")) if odd.status > 1 else b""
        )
        return sequence(status, self._token(request, odd) if odd.token else b"") + odd.tail

    def _token(self, request: bytes, odd: Oddity) -> bytes:
        leaf = self.certificates[odd.leaf]
        info = self._info(request, odd, leaf)
        content = sequence(oid(TST_INFO), der(0xA0, der(0x04, info)))
        listed = (
            self.certificates[odd.leaf if one == "leaf" else one]
            for one in odd.certificates.split()
        )
        signer = self._signer(info, odd, leaf)
        signers = der(0x31, *[signer] * odd.signers)
        algorithms = der(0x31, sequence(oid(HASHES["sha256"])))
        held = (
            der(0xA0, *(one.public_bytes(Encoding.DER) for one in listed))
            if odd.certificates
            else b""
        )
        signed = sequence(number(3), algorithms, content, held, signers)
        return sequence(oid(SIGNED_DATA), der(0xA0, signed))

    def _info(self, request: bytes, odd: Oddity, leaf: x509.Certificate) -> bytes:
        from rfc3161_client._rust import parse_timestamp_request

        asked = parse_timestamp_request(request)
        imprint = odd.imprint or asked.message_imprint.message
        moment = datetime.now(UTC) + odd.after
        nonce = {"asked": number(asked.nonce), "other": number(asked.nonce + 1), "none": b""}[
            odd.nonce
        ]
        names = {"leaf": leaf.subject, "other": self.certificates["other"].subject}
        name = (
            der(0xA0, der(0xA4, names[odd.calls_itself].public_bytes()))
            if odd.calls_itself in names
            else b""
        )
        flag = b"" if odd.critical is None else der(0x01, b"\xff") if odd.critical else b""
        extension = sequence(oid("1.3.6.1.4.1.99999.7"), flag, der(0x04, b"\x05\x00"))
        return sequence(
            number(1),
            oid(odd.policy),
            sequence(sequence(oid(HASHES[odd.imprint_hash])), der(0x04, imprint)),
            number(int.from_bytes(hashlib.sha256(request).digest()[:8], "big")),
            der(0x18, f"{moment:%Y%m%d%H%M%S}{odd.fraction}Z".encode()),
            sequence(number(1)),
            nonce,
            name,
            b"" if odd.critical is None else der(0xA1, extension),
        )

    def _signer(self, info: bytes, odd: Oddity, leaf: x509.Certificate) -> bytes:
        attributes = {
            CONTENT_TYPE: oid(TST_INFO),
            MESSAGE_DIGEST: der(0x04, hashlib.sha256(info).digest()),
            **self._named(odd, leaf),
        }
        body = b"".join(
            sorted(sequence(oid(kind), der(0x31, value)) for kind, value in attributes.items())
        )
        signature = self._key.sign(der(0x31, body), ec.ECDSA(hashes.SHA256()))
        if odd.broken:
            signature = self._key.sign(b"something else", ec.ECDSA(hashes.SHA256()))
        key_id = der(0x80, x509.SubjectKeyIdentifier.from_public_key(leaf.public_key()).digest)
        by_serial = sequence(leaf.issuer.public_bytes(), number(leaf.serial_number))
        algorithm = "1.2.840.113549.1.1.10" if odd.pss else "1.2.840.10045.4.3.2"
        return sequence(
            number(1),
            key_id if odd.by_key else by_serial,
            sequence(oid(HASHES["sha256"])),
            der(0xA0, body),
            sequence(oid(algorithm)),
            der(0x04, signature),
        )

    def _named(self, odd: Oddity, leaf: x509.Certificate) -> dict[str, bytes]:
        if odd.names == "none":
            return {}
        certificate = (leaf if odd.names == "leaf" else self.certificates[odd.names]).public_bytes(
            Encoding.DER
        )
        algorithm = hashlib.sha1 if odd.version == 1 else hashlib.sha256
        named = sequence(sequence(sequence(der(0x04, algorithm(certificate).digest()))))
        return {SIGNING_CERTIFICATE if odd.version == 1 else SIGNING_CERTIFICATE_V2: named}

    def answer(self, _path: str, _headers: dict[str, str], request: bytes) -> Answer:
        return 200, {"Content-Type": "application/timestamp-reply"}, self.reply(request)


@contextmanager
def serve_odd_timestamps(folder: Path) -> Iterator[OddAuthority]:
    authority = OddAuthority(folder)
    with serve_answers(authority.answer) as authority.url:
        yield authority
