"""The certificates behind a timestamp token: its signature, their purpose, and their chain."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from reports.verify.checks import Unsound
from reports.verify.der import Node, directory_name, general_name, integer, parse_der
from reports.verify.tokens import TST_INFO, Token, hash_name

_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_SIGNING_CERTIFICATE = bytes.fromhex("2a864886f70d010910020c")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("2a864886f70d010910022f")
# Certificate policies restrict only a verifier that asks for a certain one (RFC 5280, section
# 6.1), and this one does not.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


def signer_and_root(
    token: Token, known: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate, x509.Certificate]:
    """Return the certificate that signed a token and the root that it chains to.

    Raises:
        Unsound: the signature, the purpose of the certificate or its chain does not hold.
    """
    certificates = (*token.certificates, *known)
    signer = _signer(token, certificates)
    _check_purpose(signer)
    return signer, _find_root(signer, certificates, roots, token.time)


def _signer(token: Token, known: tuple[x509.Certificate, ...]) -> x509.Certificate:
    """Return the signer's certificate; raise Unsound if the token's signature is not valid."""
    attributes = _signed_attributes(token)
    if _CONTENT_TYPE not in attributes or attributes[_CONTENT_TYPE].body != TST_INFO:
        raise Unsound("what was signed is not a timestamp")
    if (
        _MESSAGE_DIGEST not in attributes
        or attributes[_MESSAGE_DIGEST].body
        != hashlib.new(token.digest_algorithm, token.info).digest()
    ):
        raise Unsound("the token's content was altered")
    issuer, serial = token.signer
    for certificate in known:
        if certificate.serial_number == serial and certificate.issuer.public_bytes() == issuer:
            _check_token_signature(certificate.public_key(), token)
            _check_named(certificate, attributes)
            return certificate
    raise Unsound("the certificate of the authority is neither in the token nor in the bundle")


def _signed_attributes(token: Token) -> dict[bytes, Node]:
    """Map types to values; raise Unsound if a type is not unique (RFC 5652, section 11)."""
    attributes: dict[bytes, Node] = {}
    for node in parse_der(next(parse_der(token.attributes)).body):
        kind, values = node.children()
        if kind.body in attributes or len(values.children()) != 1:
            raise Unsound("the token holds a signed attribute twice")
        attributes[kind.body] = values.children()[0]
    return attributes


def _check_token_signature(key: Any, token: Token) -> None:
    algorithm = {
        "sha256": hashes.SHA256(),
        "sha384": hashes.SHA384(),
        "sha512": hashes.SHA512(),
    }[token.digest_algorithm]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(token.signature, token.attributes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(token.signature, token.attributes, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(token.signature, token.attributes)
        else:
            raise Unsound("the authority signs in a way that is not known here")
    except InvalidSignature:
        raise Unsound("the authority's signature does not fit") from None


def _check_named(certificate: x509.Certificate, attributes: dict[bytes, Node]) -> None:
    """Raise Unsound unless the token names its certificate by hash (RFC 5035, RFC 5816)."""
    kinds = [kind for kind in (_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_V2) if kind in attributes]
    if not kinds:
        raise Unsound("the token does not name the certificate that signed it")
    for kind in kinds:
        # The first entry is the signer's.
        fields = attributes[kind].children()[0].children()[0].children()
        algorithm = "sha1" if kind == _SIGNING_CERTIFICATE else "sha256"
        if kind == _SIGNING_CERTIFICATE_V2 and fields[0].tag == 0x30:
            algorithm = hash_name(fields.pop(0))
        digest = hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest()
        if digest != fields[0].body:
            raise Unsound("the token names another certificate than the one that fits it")
        for issuer_and_serial in fields[1:]:
            issuers, serial = issuer_and_serial.children()
            names = [general_name(name) for name in issuers.children()]
            if integer(serial) != certificate.serial_number or names != [
                directory_name(certificate.issuer)
            ]:
                raise Unsound("the token names another certificate than the one that fits it")


def _check_purpose(certificate: x509.Certificate) -> None:
    """Raise Unsound unless a certificate has the one purpose of timestamping, marked critical.

    RFC 3161, section 2.3, demands that.
    """
    usages = [
        extension
        for extension in certificate.extensions
        if extension.oid == ExtensionOID.EXTENDED_KEY_USAGE
    ]
    if (
        not usages
        or not usages[0].critical
        or list(usages[0].value) != [ExtendedKeyUsageOID.TIME_STAMPING]
    ):
        raise Unsound("the authority's certificate is not for timestamping alone, said critically")
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.KeyUsage) and not (
            extension.value.digital_signature or extension.value.content_commitment
        ):
            raise Unsound("the authority's certificate may not sign")


def _find_root(
    leaf: x509.Certificate,
    known: tuple[x509.Certificate, ...],
    roots: tuple[x509.Certificate, ...],
    moment: datetime,
) -> x509.Certificate:
    """Return the root of a chain in which every certificate was valid at a moment."""
    current, below = leaf, 0
    while True:
        if not _valid(current, moment):
            raise Unsound(
                f"{current.subject.rfc4514_string()} was not valid at {moment.isoformat()}"
            )
        _check_extensions(current)
        if current in roots:
            return current
        issuer = next(
            (
                candidate
                for candidate in [*roots, *known]
                if candidate != current
                and _valid(candidate, moment)
                and _issued(candidate, current, below)
            ),
            None,
        )
        below += 1
        if issuer is None or below > 8:
            raise Unsound(
                f"the chain from {leaf.subject.rfc4514_string()} does not reach a root that is "
                "trusted"
            )
        current = issuer


def _valid(certificate: x509.Certificate, moment: datetime) -> bool:
    return certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc


def _check_extensions(certificate: x509.Certificate) -> None:
    """Raise Unsound for a critical extension that is not understood here, and for a short key."""
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
    """Return whether one certificate issued another and was allowed to.

    Args:
        below: number of authorities under the issuer, which its path length limits.
    """
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not basic.ca or (basic.path_length is not None and basic.path_length < below):
            return False
        usage = next(
            (
                extension.value
                for extension in issuer.extensions
                if extension.oid == ExtensionOID.KEY_USAGE
            ),
            None,
        )
        if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return True
