"""Trusted time (RFC 3161) over the hashes of a bundle's statement and signature, from authorities that the operator configures.

An authority that does not answer is asked again later: the bundle says plainly whom it still waits for.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import stamina
from cryptography import x509

from reports.errors import AuthorityFailed, UnreadableBundle
from reports.verify_bundle import SIGNATURE, STAMPED, STATEMENT, TIMES, TIMES_SIGNATURE, Unsound, parse_token

log = logging.getLogger(__name__)

_TIMEOUT_S = 15.0
_LARGEST_ANSWER = 1_000_000


@dataclass(frozen=True, slots=True)
class Authority:
    """A timestamp authority.

    Attributes:
        name: as files and messages call it; letters, digits and dashes.
        url: where requests are posted.
        certificates: PEM file of its root and whatever lies between; None: what its answers hold must do.
    """

    name: str
    url: str
    certificates: Path | None = None


def write_timestamps(
    folder: Path, authorities: Sequence[Authority], sign: Callable[[bytes], tuple[bytes, bytes]]
) -> list[AuthorityFailed]:
    """Ask every authority that has not stamped this bundle yet; what they answer is written beside its seal.

    Returns:
        Those that failed; they stay pending in the bundle.

    Raises:
        UnreadableBundle: the folder is not a sealed bundle.
    """
    if not (folder / STAMPED).is_file():
        raise UnreadableBundle(f"{folder} is no sealed evidence bundle: it has no {STAMPED}")
    message = (folder / STAMPED).read_bytes()
    signer = sign(b"")[1]
    if hashlib.sha256(signer).hexdigest() != json.loads((folder / STATEMENT).read_bytes())["key_sha256"]:
        raise UnreadableBundle(f"{folder} was sealed by another installation; only its own can add timestamps")
    stamps = list(_timestamps(folder))
    first = not (folder / TIMES).is_file()
    failed: list[AuthorityFailed] = []
    for authority in authorities:
        if any(stamp["authority"] == authority.name for stamp in stamps):
            continue
        try:
            stamps.append(_stamp(folder, authority, message, first=first))
        except AuthorityFailed as error:
            log.warning("%s", error)
            failed.append(error)
    record = {
        "timestamps": stamps,
        "pending": [error.name for error in failed],
        "signature_sha256": hashlib.sha256((folder / SIGNATURE).read_bytes()).hexdigest(),
    }
    text = (json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
    (folder / TIMES).write_bytes(text)
    (folder / TIMES_SIGNATURE).write_bytes(sign(text)[0])
    return failed


def pending(folder: Path) -> list[str]:
    """Names of the authorities that a bundle still waits for."""
    path = folder / TIMES
    return list(json.loads(path.read_bytes())["pending"]) if path.is_file() else []


def _timestamps(folder: Path) -> Iterator[dict[str, Any]]:
    if (folder / TIMES).is_file():
        yield from json.loads((folder / TIMES).read_bytes())["timestamps"]


def _stamp(folder: Path, authority: Authority, message: bytes, *, first: bool) -> dict[str, Any]:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    request = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).build()
    answer = _ask(authority, request.as_bytes())
    _must_hold(authority, request, answer, message)
    files = {f"seal/{authority.name}.tsq": request.as_bytes(), f"seal/{authority.name}.tsr": answer}
    if authority.certificates:
        files[f"seal/{authority.name}.pem"] = authority.certificates.read_bytes()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    token = parse_token(answer)
    return {
        "authority": authority.name,
        "url": authority.url,
        "time": token.time.isoformat(),
        "serial": str(token.serial),
        "first": first,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }


def _ask(authority: Authority, request: bytes) -> bytes:
    """The authority's answer; faults of the line are tried three times."""
    try:
        for attempt in stamina.retry_context(on=httpx.TransportError, attempts=3, timeout=60, wait_initial=0.2):
            with attempt:
                told = httpx.post(
                    authority.url,
                    content=request,
                    headers={"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
                    timeout=_TIMEOUT_S,
                )
    except httpx.HTTPError as error:
        raise AuthorityFailed(
            authority.name, f"cannot be reached at {authority.url} ({type(error).__name__})"
        ) from error
    if told.status_code != 200 or len(told.content) > _LARGEST_ANSWER:
        raise AuthorityFailed(authority.name, f"answered {told.status_code} with {len(told.content):,} bytes")
    return told.content


def _must_hold(authority: Authority, request: Any, answer: bytes, message: bytes) -> None:
    """Check an answer before it is kept: with rfc3161-client, and as `verify` will. Raises AuthorityFailed."""
    from rfc3161_client import VerifierBuilder, decode_timestamp_response

    try:
        token = parse_token(answer)
        known = _roots(authority) or token.certificates
        if not token.is_of(message):
            raise Unsound("it is a timestamp of something else")
        token.vouched_by(known, known)
        try:
            response = decode_timestamp_response(answer)
        except ValueError as error:
            # openssl's authorities list certificates in any order; the parser wants DER's, though nothing signs that order.
            if "InvalidSetOrdering" not in str(error):
                raise
            return
        roots = [one for one in known if one.issuer == one.subject] or list(known)
        between = [one for one in known if one not in roots]
        VerifierBuilder(nonce=request.nonce, roots=roots, intermediates=between).build().verify_message(
            response, message
        )
    except Exception as error:  # an authority may answer anything; then it stays pending
        raise AuthorityFailed(authority.name, f"gave an answer that does not hold: {error}") from error


def _roots(authority: Authority) -> tuple[x509.Certificate, ...]:
    if authority.certificates is None:
        return ()
    try:
        return tuple(x509.load_pem_x509_certificates(authority.certificates.read_bytes()))
    except (OSError, ValueError) as error:
        raise AuthorityFailed(
            authority.name, f"its certificates cannot be read from {authority.certificates}: {error}"
        ) from error
