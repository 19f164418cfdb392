"""Every check of the timestamps in a bundle (RFC 3161)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from reports.verify.certificates import signer_and_root
from reports.verify.checks import Item, Unsound, checked
from reports.verify.der import subject_names
from reports.verify.files import STAMPED, TIMES, read_bytes, read_json, sha256_of
from reports.verify.seal import TIMESTAMP_NAME, timestamp_files
from reports.verify.tokens import Token, parse_request, parse_token

CLOCK_TOLERANCE = timedelta(days=1)  # between the signer's clock and an authority's


@dataclass(frozen=True)
class _TimestampList:
    """The content of seal/timestamps.json: timestamps, and authorities that have not answered."""

    timestamps: list[dict[str, Any]]
    pending: list[str]


def timestamp_items(bundle: Path, roots: tuple[x509.Certificate, ...]) -> Iterator[Item]:
    """Check every timestamp, and report how many authorities have answered.

    Args:
        roots: certificates that timestamps must chain to. If there are any, at least one
            timestamp is required.
    """
    files = [
        checked(name, _check_timestamp_file, bundle, name, digest)
        for name, digest in sorted(timestamp_files(bundle).items())
    ]
    yield from files
    if not all(item.ok for item in files):
        return
    found: list[_TimestampList] = []
    item = checked(TIMES, lambda: found.append(_read_timestamp_list(bundle)))
    if not item.ok:
        yield item
        return
    stamps, pending = found[0].timestamps, found[0].pending
    for stamp in stamps:
        name = f"timestamp {stamp.get('authority')}"
        yield checked(name, _check_listed_timestamp, bundle, stamp, roots)
    waiting = f"; still asked for: {', '.join(pending)}" if pending else ""
    if stamps:
        count = f"{len(stamps)} of {len(stamps) + len(pending)} authorities{waiting}"
        yield Item("timestamps", True, None, count)
    else:
        without = f"not timestamped: no authority vouches for when this was sealed{waiting}"
        yield Item("timestamps", not roots, without if roots else None, None if roots else without)


def check_timestamp(
    response: bytes,
    request: bytes,
    message: bytes,
    known: tuple[x509.Certificate, ...],
    roots: tuple[x509.Certificate, ...] = (),
) -> tuple[Token, x509.Certificate, x509.Certificate]:
    """Make every check of a timestamp that needs no clock (RFC 3161, section 2.4.2).

    The program makes the same checks before it keeps a token.

    Args:
        response: a TimeStampResp, DER.
        request: the TimeStampReq that it answers, DER.
        message: the data that must be timestamped.
        known: the authority's own certificates and intermediate ones, as configured; may be empty.
        roots: certificates that the chain must reach. If there are none, the known certificates
            are the roots; if there are none of them either, those in the token.

    Returns:
        The token, the certificate that signed it, and the root that this certificate chains to.

    Raises:
        Unsound: a check failed; the message names it.
    """
    token, asked = parse_token(response), parse_request(request)
    if not asked.imprint.is_of(message):
        raise Unsound("the authority was asked for a timestamp of something else")
    if token.imprint != asked.imprint:
        raise Unsound("it is a timestamp of something else")
    if token.nonce != asked.nonce:
        found = "holds no nonce" if token.nonce is None else "holds another nonce"
        raise Unsound(f"it {found}, not the one that was sent: it may answer another request")
    if asked.policy is not None and token.policy != asked.policy:
        raise Unsound("it was made under another policy than the one that was asked for")
    if token.demands:
        raise Unsound("it holds a critical extension that is not understood here")
    signer, root = signer_and_root(token, known, roots or known or token.certificates)
    if token.authority is not None and token.authority not in subject_names(signer):
        raise Unsound("it names another authority than the certificate that signed it")
    return token, signer, root


def check_clock(moment: datetime, sealed: datetime, asked: datetime | None, *, first: bool) -> None:
    """Raise Unsound if a timestamp is more than CLOCK_TOLERANCE from the signer's clock.

    Args:
        moment: the time of the timestamp.
        sealed: when the bundle was sealed, by the signer's clock.
        asked: when the authority was asked, by the same clock; older bundles do not record it.
        first: the authority was asked as soon as the bundle was sealed.
    """
    if moment < sealed - CLOCK_TOLERANCE or (first and moment > sealed + CLOCK_TOLERANCE):
        raise Unsound(
            f"sealed at {sealed.isoformat()} by the signer's clock, stamped at {moment.isoformat()}"
        )
    if asked is not None and abs(moment - asked) > CLOCK_TOLERANCE:
        raise Unsound(
            f"asked for at {asked.isoformat()} by the signer's clock, "
            f"stamped at {moment.isoformat()}"
        )


def _check_timestamp_file(bundle: Path, name: str, digest: str) -> None:
    if not TIMESTAMP_NAME.fullmatch(name):
        raise Unsound("is no name of a timestamp's file")
    if not (bundle / name).is_file():
        raise Unsound("is missing: it was removed or renamed")
    if sha256_of(bundle / name) != digest:
        raise Unsound("does not have the bytes that were sealed")


def _read_timestamp_list(bundle: Path) -> _TimestampList:
    record = read_json(bundle / TIMES)
    stamps = [dict(stamp) for stamp in record["timestamps"]]
    pending = [str(name) for name in record["pending"]]
    tokens = [
        digest
        for stamp in stamps
        for name, digest in stamp["files"].items()
        if name.endswith(".tsr")
    ]
    authorities = {stamp["authority"] for stamp in stamps}
    if len(authorities) < len(stamps) or len(set(tokens)) != len(stamps):
        raise Unsound("names one timestamp twice")
    return _TimestampList(stamps, pending)


def _check_listed_timestamp(
    bundle: Path, stamp: dict[str, Any], roots: tuple[x509.Certificate, ...]
) -> str:
    """Check one entry of seal/timestamps.json and return who signed it and when, as a note."""
    response, query = (
        next(name for name in stamp["files"] if name.endswith(ending))
        for ending in (".tsr", ".tsq")
    )
    own = tuple(
        certificate
        for name in stamp["files"]
        if name.endswith(".pem")
        for certificate in x509.load_pem_x509_certificates(read_bytes(bundle / name))
    )
    token, signer, root = check_timestamp(
        read_bytes(bundle / response),
        read_bytes(bundle / query),
        (bundle / STAMPED).read_bytes(),
        own,
        roots,
    )
    if token.time.isoformat() != stamp["time"] or str(token.serial) != stamp["serial"]:
        raise Unsound(
            f"the token says {token.time.isoformat()}, number {token.serial}; "
            f"the bundle {stamp['time']}, number {stamp['serial']}"
        )
    signed = (
        f"{token.time.isoformat()}, signed by {signer.subject.rfc4514_string()} "
        f"under {root.subject.rfc4514_string()}"
    )
    if roots:
        return signed
    return (
        f"{signed}, whose certificate lies in the bundle: "
        "check it against the authority's own (--tsa-root)"
    )
