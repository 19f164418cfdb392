"""Content Credentials of an image: its C2PA manifest and the result of validating it.

c2pa-python, the reference library, reads the manifest. States are those of the C2PA specification
(2.2, section 14.3, Validation states). The statements of a manifest are claims of its signer. If
they validate, they were not changed since, but that does not make them true; C2PA's guidance for
user experience asks for words that leave this judgement to the reader.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crawlers.values import objects_of

# A JUMBF superbox whose description box has the type of a C2PA manifest store (specification,
# 11.1.4.2). The words alone also occur in prompts, web pages and documents about C2PA.
_STORE = re.compile(rb"jumb.{4}jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71", re.DOTALL)
# The library's codes for a signer that is on no trust list; no list is used here.
_OF_NO_LIST = frozenset({"signingCredential.untrusted"})
UNREAD, ELSEWHERE = "Unread", "Elsewhere"
_STATES = {
    "Invalid": "present, but does not validate / 存在，但未通过验证",
    "Valid": (
        "present and valid: what was signed was not changed since; "
        "who signed it was checked against no trust list / "
        "存在且有效：签名后内容未被更改；签名者身份未经信任列表核对"
    ),
    "Trusted": (
        "present and trusted: what was signed was not changed since, "
        "and the signer's certificate is on a trust list / "
        "存在且可信：签名后内容未被更改，且签名证书在信任列表内"
    ),
    UNREAD: (
        "present, but could not be read, so that nothing was validated / "
        "存在，但无法读取，未作任何验证"
    ),
    ELSEWHERE: (
        "not in the file, which says that they are kept elsewhere; "
        "they were not fetched and nothing was validated / "
        "不在文件内；文件称其存放于他处，未获取，未作任何验证"
    ),
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """The content of a manifest.

    Attributes:
        state: Invalid, Valid (nothing was changed, whoever signed it) or Trusted (the signer is on
            a list that counts here), as in the specification; Unread if the manifest cannot be
            read, Elsewhere if the file only names its address.
        generator: the program that wrote the claim.
        issuer: the issuer of the signing certificate, according to the certificate.
        signed_at: UTC, ISO 8601.
        source_types: digital source types of its actions, in IPTC's words.
        problems: codes of what did not validate, why it cannot be read, or where it is kept.
    """

    state: str
    generator: str | None
    issuer: str | None
    signed_at: str | None
    source_types: tuple[str, ...]
    problems: tuple[str, ...]

    def statements(self) -> list[tuple[str, str]]:
        """Presence and validation first, then the claims, in the form of Provenance.statements."""
        state = _STATES.get(self.state, self.state)
        why = ", ".join(problem for problem in self.problems if problem not in _OF_NO_LIST)
        found = [("credentials", f"{state} ({why})" if why else state)]
        signer = ", ".join(filter(None, (self.issuer, self.signed_at)))
        if signer:
            found.append(("credentials: signer", signer))
        if self.generator:
            found.append(("credentials: program", self.generator))
        return found + [("credentials: source type", word) for word in self.source_types]


def credentials_in(data: bytes) -> Credentials | None:
    """Read the active manifest of an image file; None without one. Nothing is fetched."""
    if _STORE.search(data) is None:
        return None
    import c2pa

    try:
        # By default the library would fetch an address that the file names.
        settings = c2pa.Settings.from_dict(
            {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
        )
        with c2pa.Context(settings) as context:
            reader = c2pa.Reader.try_create(None, io.BytesIO(data), context=context)
            if reader is None:
                return _unread("this kind of file cannot hold them where they stand")
            with reader:
                return _credentials(
                    json.loads(reader.json()), str(reader.get_validation_state() or "Invalid")
                )
    except (c2pa.C2paError, ValueError, TypeError, KeyError) as error:
        return _unread(str(error).partition(": ")[2][:200] or str(error)[:200])


def _unread(problem: str) -> Credentials:
    return Credentials(UNREAD, None, None, None, (), (problem,))


def credentials_elsewhere(address: str) -> Credentials | None:
    """Credentials that XMP's dcterms:provenance locates elsewhere (specification, 11.4)."""
    if not address.startswith(("https://", "http://")):
        return None
    return Credentials(ELSEWHERE, None, None, None, (), (address.split(maxsplit=1)[0][:300],))


def _credentials(store: dict[str, Any], state: str) -> Credentials:
    manifest = (store.get("manifests") or {}).get(store.get("active_manifest") or "", {})
    signature = manifest.get("signature_info") or {}
    programs = [
        f"{program.get('name', '')} {program.get('version') or ''}".strip()
        for program in objects_of(manifest.get("claim_generator_info"))
    ]
    results = store.get("validation_results") or {}
    failures = [
        *((results.get("activeManifest") or {}).get("failure") or []),
        *objects_of(store.get("validation_status")),
    ]
    return Credentials(
        state,
        ", ".join(programs)[:200] or manifest.get("claim_generator"),
        signature.get("issuer") or signature.get("common_name"),
        signature.get("time"),
        tuple(dict.fromkeys(_source_types(manifest))),
        tuple(dict.fromkeys(str(failure.get("code"))[:80] for failure in failures)),
    )


def _source_types(manifest: dict[str, Any]) -> Iterator[str]:
    for assertion in objects_of(manifest.get("assertions")):
        for action in objects_of((assertion.get("data") or {}).get("actions")):
            source_type = action.get("digitalSourceType")
            if isinstance(source_type, str):
                yield source_type.rstrip("/").rsplit("/", 1)[-1]
