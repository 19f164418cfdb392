"""What an authority's answer must hold before it is kept; a verifier says the same of it later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import load_pem_x509_certificates
from hypothesis import given, settings
from hypothesis import strategies as st
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

from reports.cases.method_record import EnvironmentRecord
from reports.errors import AuthorityFailed
from reports.evidence.sealing import seal_capture
from reports.evidence.timestamping import Authority, pending, write_timestamps
from reports.verify.checks import Unsound
from reports.verify.tokens import Token
from scanner.environment import environment_now
from tests.servers.odd_timestamps import (
    HASHES,
    OddAuthority,
    Oddity,
    der,
    number,
    oid,
    sequence,
    serve_odd_timestamps,
)
from tests.verifiers import check_timestamp, parse_request, parse_token, run_both, verify

NOW = datetime.now(UTC)
KEY = Ed25519PrivateKey.generate()
LAWFUL = {
    "plain": Oddity(),
    "a fraction of a second": Oddity(fraction=".25"),
    "microseconds": Oddity(fraction=".123456"),
    "granted with modifications": Oddity(status=1),
    "certificates in no order": Oddity(certificates="root leaf mid"),
    "granted with modifications, certificates in no order": Oddity(
        status=1, certificates="leaf root mid"
    ),
    "only its own certificate": Oddity(certificates="leaf"),
    "certificate named by SHA-1": Oddity(version=1),
    "an extension that may be passed over": Oddity(critical=False),
    "no name of itself": Oddity(calls_itself="none"),
    "an hour off": Oddity(after=timedelta(hours=-1)),
}
# What the sentence about it says.
REFUSED = {
    "no nonce": (Oddity(nonce="none"), "holds no nonce"),
    "another nonce": (Oddity(nonce="other"), "holds another nonce"),
    "no nonce, certificates in no order": (
        Oddity(nonce="none", certificates="root leaf mid"),
        "holds no nonce",
    ),
    "another nonce, certificates in no order": (
        Oddity(nonce="other", certificates="leaf mid root"),
        "another nonce",
    ),
    "an extension that must be understood": (Oddity(critical=True), "critical extension"),
    "a certificate with such an extension": (
        Oddity(leaf="demanding"),
        "demand that is not understood",
    ),
    "two days behind": (Oddity(after=timedelta(days=-2)), "by the signer's clock"),
    "two days ahead": (Oddity(after=timedelta(days=2)), "clock"),
    "ten years ahead": (Oddity(after=timedelta(days=3650)), "clock"),
    "a fraction with a nought at its end": (Oddity(fraction=".50"), "not written as RFC 3161"),
    "another imprint": (Oddity(imprint=b"x" * 32), "something else"),
    "an imprint of SHA-1": (Oddity(imprint=b"x" * 20, imprint_hash="sha1"), "hash other than"),
    "rejected": (Oddity(status=2, token=False), "a rejection, not granted: not now"),
    "to wait": (Oddity(status=3, token=False), "to wait, not granted: not now"),
    "rejected, with a token": (Oddity(status=2), "a rejection"),
    "granted, without a token": (Oddity(token=False), "no token"),
    "a broken signature": (Oddity(broken=True), "signature does not fit"),
    "signed twice": (Oddity(signers=2), "2 signers"),
    "signed by nobody": (Oddity(signers=0), "0 signers"),
    "a signer by key identifier": (Oddity(by_key=True), "key identifier"),
    "a signature of another kind": (Oddity(pss=True), "RSASSA-PSS"),
    "no certificate although asked for": (
        Oddity(certificates=""),
        "neither in the token nor in the bundle",
    ),
    "names no certificate": (Oddity(names="none"), "does not name the certificate"),
    "names another certificate": (Oddity(names="other"), "names another certificate"),
    "names another certificate by SHA-1": (
        Oddity(names="mid", version=1),
        "names another certificate",
    ),
    "calls itself something else": (Oddity(calls_itself="other"), "names another authority"),
    "a certificate without purpose": (Oddity(leaf="no purpose"), "for timestamping alone"),
    "a purpose that is not critical": (Oddity(leaf="not critical"), "for timestamping alone"),
    "a certificate with two purposes": (Oddity(leaf="two purposes"), "for timestamping alone"),
    "a certificate that ended": (Oddity(leaf="expired"), "was not valid"),
    "bytes behind the answer": (Oddity(tail=b"\0\0\n"), "follows"),
    "a page": (Oddity(body=b"<html>moved</html>"), "no answer of a timestamp authority"),
    "a text that begins like DER": (Oddity(body=b"0123456789"), "answer"),
    "nothing": (Oddity(body=b""), "no answer of a timestamp authority"),
}


def sign(message: bytes) -> tuple[bytes, bytes]:
    return KEY.sign(message), KEY.public_key().public_bytes_raw()


@pytest.fixture(scope="module")
def environment() -> EnvironmentRecord:
    return environment_now("tester", NOW)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddAuthority]:
    with serve_odd_timestamps(tmp_path_factory.mktemp("odd")) as authority:
        yield authority


def asked(odd: OddAuthority, *, configured: bool = True) -> list[Authority]:
    return [Authority("odd", odd.url, odd.root if configured else None)]


def sealed(
    folder: Path, environment: EnvironmentRecord, authorities: list[Authority], now: datetime = NOW
) -> Path:
    folder.mkdir()
    (folder / "original").write_bytes(b"a page")
    sha256 = hashlib.sha256(b"a page").hexdigest()
    told = {
        "capture_id": sha256,
        "sha256": sha256,
        "name": "a",
        "taken_in_at": now.isoformat(),
        "taken_in_by": "b",
    }
    seal_capture(folder, told, environment, sign, authorities, now)
    return folder


def stamped_unchecked(folder: Path, odd: OddAuthority) -> Path:
    """What a signer can do who keeps whatever an authority answers."""
    message = (folder / "seal/stamped.json").read_bytes()
    request = (
        TimestampRequestBuilder()
        .data(message)
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .build()
    )
    answer = odd.reply(request.as_bytes())
    files = {
        "seal/odd.tsq": request.as_bytes(),
        "seal/odd.tsr": answer,
        "seal/odd.pem": odd.root.read_bytes(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    try:
        token: Token | None = parse_token(answer)
    except Unsound:
        token = None
    record = json.loads((folder / "seal/timestamps.json").read_bytes())
    record["timestamps"] = [
        {
            "authority": "odd",
            "url": odd.url,
            "time": (token.time if token else NOW).isoformat(),
            "first": True,
            "serial": str(token.serial if token else 1),
            "asked_at": NOW.isoformat(),
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
    ]
    text = json.dumps(record).encode()
    (folder / "seal/timestamps.json").write_bytes(text)
    (folder / "seal/timestamps.sig").write_bytes(sign(text)[0])
    return folder


def problems(folder: Path, odd: OddAuthority) -> list[str]:
    roots = tuple(load_pem_x509_certificates(odd.root.read_bytes()))[:1]
    return [f"{one.item}: {one.problem}" for one in verify(folder, roots=roots) if not one.ok]


@pytest.mark.parametrize("name", LAWFUL)
def test_a_lawful_answer_is_kept_and_verifies(
    name: str, odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity = LAWFUL[name]
    folder = sealed(tmp_path / "a", environment, asked(odd))
    assert pending(folder) == []
    assert problems(folder, odd) == []


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_fails_a_check_is_not_kept(
    name: str, odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity, sentence = REFUSED[name]
    folder = sealed(tmp_path / "a", environment, asked(odd))
    assert (pending(folder), list(folder.rglob("*.tsr"))) == (["odd"], [])
    assert [one for one in problems(folder, odd) if "not timestamped" not in one] == []
    [failed] = write_timestamps(folder, asked(odd), sign, NOW)
    assert failed.cause.startswith("its answer was not kept: ")
    assert sentence in failed.cause
    assert "Error" not in failed.cause.replace("(no TimeStampResp", "")
    odd.oddity = Oddity()
    assert write_timestamps(folder, asked(odd), sign, NOW) == []
    assert problems(folder, odd) == []


@pytest.mark.parametrize("name", REFUSED)
def test_whoever_verifies_says_the_same(
    name: str, odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity, _ = REFUSED[name]
    folder = stamped_unchecked(sealed(tmp_path / "a", environment, []), odd)
    assert problems(folder, odd) != []


def test_the_single_file_says_so_too(
    odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity = REFUSED["another nonce, certificates in no order"][0]
    folder = stamped_unchecked(sealed(tmp_path / "a", environment, []), odd)
    done = run_both(folder)
    assert (done.returncode, "holds another nonce" in done.stdout) == (1, True)


@pytest.mark.parametrize("certificates", ["mid leaf", "leaf", "root leaf mid"])
def test_an_authority_whose_root_nobody_configured(
    certificates: str, odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity = Oddity(certificates=certificates)
    folder = sealed(tmp_path / "a", environment, asked(odd, configured=False))
    assert pending(folder) == []
    items = {one.item: one for one in verify(folder)}
    assert all(one.ok for one in items.values())
    assert "check it against the authority's own" in str(items["timestamp odd"].note)


@pytest.mark.parametrize("policy", ["1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"])
def test_a_policy_that_was_asked_for(policy: str, odd: OddAuthority) -> None:
    odd.oddity = Oddity()
    digest = hashlib.sha256(b"text").digest()
    imprint = sequence(sequence(oid(HASHES["sha256"])), der(0x04, digest))
    request = sequence(number(1), imprint, oid(policy), number(77), der(0x01, b"\xff"))
    known = tuple(load_pem_x509_certificates(odd.root.read_bytes()))
    if policy == odd.oddity.policy:
        assert check_timestamp(odd.reply(request), request, b"text", known)[0].nonce == 77
        return
    with pytest.raises(Unsound, match="another policy"):
        check_timestamp(odd.reply(request), request, b"text", known)


def test_a_clock_that_was_behind_is_stamped_later(
    odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity = Oddity()
    folder = sealed(tmp_path / "a", environment, asked(odd), NOW - timedelta(days=90))
    assert pending(folder) == ["odd"]
    [failed] = write_timestamps(folder, asked(odd), sign, NOW - timedelta(days=90))
    assert "if this machine's clock is wrong, set it right and ask again" in str(failed)
    assert write_timestamps(folder, asked(odd), sign, NOW) == []
    assert problems(folder, odd) == []
    assert any("90 days before any authority saw it" in str(one.note) for one in verify(folder))


def test_a_clock_that_was_ahead_never_spoils_a_bundle(
    odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity = Oddity()
    folder = sealed(tmp_path / "a", environment, asked(odd), NOW + timedelta(days=90))
    [failed] = write_timestamps(folder, asked(odd), sign, NOW)
    assert "by the signer's clock" in str(failed)
    assert [one.problem for one in verify(folder) if not one.ok] == []


def test_certificates_too_large_for_a_bundle(
    odd: OddAuthority, environment: EnvironmentRecord, tmp_path: Path
) -> None:
    odd.oddity = Oddity()
    large = tmp_path / "large.pem"
    large.write_bytes(odd.root.read_bytes() + b"# " + b"x" * 1_000_000 + b"\n")
    folder = sealed(tmp_path / "a", environment, [Authority("odd", odd.url, large)])
    assert pending(folder) == ["odd"]


def test_an_address_that_is_none(environment: EnvironmentRecord, tmp_path: Path) -> None:
    folder = sealed(tmp_path / "a", environment, [Authority("odd", "http://[::1")])
    assert pending(folder) == ["odd"]
    [failed] = write_timestamps(folder, [Authority("odd", "http://[::1")], sign, NOW)
    assert isinstance(failed, AuthorityFailed)
    assert "cannot be reached" in str(failed)


@pytest.fixture(scope="module")
def query_and_reply(odd: OddAuthority) -> tuple[bytes, bytes]:
    odd.oddity = Oddity(critical=False)
    request = (
        TimestampRequestBuilder()
        .data(b"text")
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .build()
    )
    return request.as_bytes(), odd.reply(request.as_bytes())


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_answers_are_unsound_and_nothing_worse(
    query_and_reply: tuple[bytes, bytes], data: st.DataObject
) -> None:
    for whole, parse in zip(query_and_reply, (parse_request, parse_token), strict=True):
        damaged = bytearray(
            whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole
        )
        for _ in range(data.draw(st.integers(1, 4)) if damaged else 0):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        with suppress(Unsound):
            parse(bytes(damaged))
