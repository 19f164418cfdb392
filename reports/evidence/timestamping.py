"""RFC 3161 timestamps over a bundle's statement and signature, from configured authorities.

An authority that does not answer, or whose answer fails a check, is asked again later; the bundle
lists it as pending. An answer is checked before any of it is kept, with the checks of `verify` and
with rfc3161-client.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import stamina
from cryptography import x509

from reports.errors import AuthorityFailed, UnreadableBundle
from reports.verify.checks import Unsound, printable
from reports.verify.der import Node
from reports.verify.files import LARGEST_SEAL, SIGNATURE, STAMPED, STATEMENT, TIMES, TIMES_SIGNATURE
from reports.verify.timestamps import check_clock, check_timestamp
from reports.verify.tokens import Token

log = logging.getLogger(__name__)

_TIMEOUT_S = 15.0
_GRANTED = bytes.fromhex("3003020100")  # PKIStatusInfo of status 0 and nothing else


@dataclass(frozen=True, slots=True)
class Authority:
    """A timestamp authority.

    Attributes:
        name: letters, digits and dashes; used in file names and messages.
        url: where requests are posted.
        certificates: PEM file of its root and intermediates; None to use those in its answers.
    """

    name: str
    url: str
    certificates: Path | None = None


def write_timestamps(
    folder: Path,
    authorities: Sequence[Authority],
    sign: Callable[[bytes], tuple[bytes, bytes]],
    now: datetime,
) -> list[AuthorityFailed]:
    """Ask every authority that has not stamped this bundle yet, and keep the answers.

    Args:
        now: by this machine's clock; an answer whose time differs by over a day is refused.

    Returns:
        The authorities that failed; they stay pending in the bundle.

    Raises:
        UnreadableBundle: the folder is not a sealed bundle.
    """
    if not (folder / STAMPED).is_file():
        raise UnreadableBundle(f"{folder} is no sealed evidence bundle: it has no {STAMPED}")
    statement = json.loads((folder / STATEMENT).read_bytes())
    if hashlib.sha256(sign(b"")[1]).hexdigest() != statement["key_sha256"]:
        raise UnreadableBundle(
            f"{folder} was sealed by another installation; only its own can add timestamps"
        )
    stamps = list(_timestamps(folder))
    asking = _Asking(
        folder,
        datetime.fromisoformat(statement["sealed_at"]),
        now,
        first=not (folder / TIMES).is_file(),
    )
    failed: list[AuthorityFailed] = []
    for authority in authorities:
        if any(stamp["authority"] == authority.name for stamp in stamps):
            continue
        try:
            stamps.append(_stamp(asking, authority))
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
    """Names of the authorities that are pending in a bundle."""
    path = folder / TIMES
    return list(json.loads(path.read_bytes())["pending"]) if path.is_file() else []


def _timestamps(folder: Path) -> Iterator[dict[str, Any]]:
    if (folder / TIMES).is_file():
        yield from json.loads((folder / TIMES).read_bytes())["timestamps"]


@dataclass(frozen=True, slots=True)
class _Asking:
    """The bundle that is to be stamped.

    Attributes:
        sealed_at, now: by this machine's clock.
        first: no authority was asked about this bundle before.
    """

    folder: Path
    sealed_at: datetime
    now: datetime
    first: bool


def _stamp(asking: _Asking, authority: Authority) -> dict[str, Any]:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    message = (asking.folder / STAMPED).read_bytes()
    request = (
        TimestampRequestBuilder()
        .data(message)
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .build()
    )
    pem, known = _certificates(authority)
    answer = _ask(authority, request.as_bytes())
    try:
        token, _, _ = check_timestamp(answer, request.as_bytes(), message, known)
        _fits_the_clock(asking, token)
        _accepted_by_library(answer, request, message, known or token.certificates)
    except Exception as error:  # an answer may be anything; the authority then stays pending
        raise AuthorityFailed(
            authority.name, f"its answer was not kept: {printable(str(error))[:400]}"
        ) from error
    files = {f"seal/{authority.name}.tsq": request.as_bytes(), f"seal/{authority.name}.tsr": answer}
    if pem:
        files[f"seal/{authority.name}.pem"] = pem
    for name, data in files.items():
        (asking.folder / name).write_bytes(data)
    return _record(asking, authority, token, files)


def _fits_the_clock(asking: _Asking, token: Token) -> None:
    try:
        check_clock(token.time, asking.sealed_at, asking.now, first=asking.first)
    except Unsound as error:
        raise Unsound(
            f"{error}; if this machine's clock is wrong, set it right and ask again"
        ) from error


def _record(
    asking: _Asking, authority: Authority, token: Token, files: dict[str, bytes]
) -> dict[str, Any]:
    return {
        "authority": authority.name,
        "url": authority.url,
        "time": token.time.isoformat(),
        "asked_at": asking.now.isoformat(timespec="seconds"),
        "serial": str(token.serial),
        "first": asking.first,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }


def _ask(authority: Authority, request: bytes) -> bytes:
    """The authority's answer; transport errors are retried twice."""
    try:
        for attempt in stamina.retry_context(
            on=httpx.TransportError, attempts=3, timeout=60, wait_initial=0.2
        ):
            with attempt:
                response = httpx.post(
                    authority.url,
                    content=request,
                    headers={
                        "Content-Type": "application/timestamp-query",
                        "Accept": "application/timestamp-reply",
                    },
                    timeout=_TIMEOUT_S,
                )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AuthorityFailed(
            authority.name, f"cannot be reached at {authority.url} ({type(error).__name__})"
        ) from error
    if response.status_code != 200 or len(response.content) > LARGEST_SEAL:
        raise AuthorityFailed(
            authority.name, f"answered {response.status_code} with {len(response.content):,} bytes"
        )
    return response.content


def _accepted_by_library(
    answer: bytes, request: Any, message: bytes, known: tuple[x509.Certificate, ...]
) -> None:
    """Raise Unsound unless rfc3161-client, an independent implementation, accepts an answer."""
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    roots = [certificate for certificate in known if certificate.issuer == certificate.subject]
    if not roots:
        return  # the library needs a root; without one, the verifier supplies the authority's own
    between = [certificate for certificate in known if certificate not in roots]
    verifier = VerifierBuilder(nonce=request.nonce, roots=roots, intermediates=between).build()
    try:
        verifier.verify_message(decode_timestamp_response(_as_library_reads(answer)), message)
    except (ValueError, VerificationError) as error:
        raise Unsound(f"rfc3161-client does not accept it: {error}") from error


def _as_library_reads(answer: bytes) -> bytes:
    """An answer in the form that rfc3161-client reads; it refuses two valid forms.

    The library expects certificates in DER order, and status 0 where an authority granted with
    modifications (status 1). The signature covers neither, and both were checked before.
    """
    (outer,) = Node(0, answer, answer).children()
    _, token = outer.children()
    kind, wrapped = token.children()
    parts = wrapped.children()[0].children()
    sorted_parts = [
        _der(0xA0, *sorted(one.whole for one in part.children()))
        if part.tag == 0xA0
        else part.whole
        for part in parts
    ]
    return _der(0x30, _GRANTED, _der(0x30, kind.whole, _der(0xA0, _der(0x30, *sorted_parts))))


def _der(tag: int, *parts: bytes) -> bytes:
    """One element of DER."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _certificates(authority: Authority) -> tuple[bytes, tuple[x509.Certificate, ...]]:
    """The PEM file of an authority and its certificates; both empty if none is configured."""
    if authority.certificates is None:
        return b"", ()
    try:
        pem = authority.certificates.read_bytes()
        known = tuple(x509.load_pem_x509_certificates(pem))
    except (OSError, ValueError) as error:
        raise AuthorityFailed(
            authority.name,
            f"its certificates cannot be read from {authority.certificates}: {error}",
        ) from error
    if len(pem) > LARGEST_SEAL:
        raise AuthorityFailed(
            authority.name,
            f"{authority.certificates} is larger than {LARGEST_SEAL:,} bytes; keep only its own in "
            "it",
        )
    return pem, known
