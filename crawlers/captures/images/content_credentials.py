"""Content Credentials of an image: its C2PA manifest, with what validates of it (c2pa-python, the reference
library).

States are those of the C2PA specification (2.2, section 14.3, Validation states). What a manifest says are
claims of whoever signed it. That they validate says that the claims were not changed since, never that they are
true; C2PA's guidance for user experience asks for words that leave that judgement to the reader.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# A JUMBF superbox whose description box has the type of a C2PA manifest store (specification, 11.1.4.2). The words
# alone stand in prompts, web pages and documents about it.
_STORE = re.compile(rb"jumb.{4}jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71", re.DOTALL)
# The library's ways to say that a signer is on no trust list, of which none is used here.
_OF_NO_LIST = frozenset({"signingCredential.untrusted"})
UNREAD, ELSEWHERE = "Unread", "Elsewhere"
_STATES = {
    "Invalid": "present, but does not validate / 存在，但未通过验证",
    "Valid": "present and valid: what was signed was not changed since; "
    "who signed it was checked against no trust list / 存在且有效：签名后内容未被更改；签名者身份未经信任列表核对",
    "Trusted": "present and trusted: what was signed was not changed since, "
    "and the signer's certificate is on a trust list / 存在且可信：签名后内容未被更改，且签名证书在信任列表内",
    UNREAD: "present, but could not be read, so that nothing was validated / 存在，但无法读取，未作任何验证",
    ELSEWHERE: "not in the file, which says that they are kept elsewhere; "
    "they were not fetched and nothing was validated / 不在文件内；文件称其存放于他处，未获取，未作任何验证",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a manifest says.

    Attributes:
        state: Invalid, Valid (nothing was changed, by whoever signed) or Trusted (the signer is on a list that counts
            here), as the specification has them; Unread where there is a manifest that cannot be read, Elsewhere where
            the file names its address.
        generator: the program that wrote the claim.
        issuer: of the signing certificate, as it says.
        signed_at: UTC, ISO 8601.
        source_types: digital source types of its actions, IPTC's words.
        problems: codes of what did not validate, why it cannot be read, or where it is kept.
    """

    state: str
    generator: str | None
    issuer: str | None
    signed_at: str | None
    source_types: tuple[str, ...]
    problems: tuple[str, ...]

    def statements(self) -> list[tuple[str, str]]:
        """What it says, as Provenance.statements tells it: whether it is there and validates, then what is claimed."""
        state = _STATES.get(self.state, self.state)
        why = ", ".join(one for one in self.problems if one not in _OF_NO_LIST)
        told = [("credentials", f"{state} ({why})" if why else state)]
        signer = ", ".join(filter(None, (self.issuer, self.signed_at)))
        if signer:
            told.append(("credentials: signer", signer))
        if self.generator:
            told.append(("credentials: program", self.generator))
        return told + [("credentials: source type", one) for one in self.source_types]


def credentials_in(data: bytes) -> Credentials | None:
    """The active manifest of an image file's bytes; None without one. Nothing is fetched."""
    if _STORE.search(data) is None:
        return None
    import c2pa

    try:
        # Without this the library would follow an address that the file names.
        settings = c2pa.Settings.from_dict(
            {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
        )
        with c2pa.Context(settings) as context:
            reader = c2pa.Reader.try_create(None, io.BytesIO(data), context=context)
            if reader is None:
                return Credentials(
                    UNREAD,
                    None,
                    None,
                    None,
                    (),
                    ("this kind of file cannot hold them where they stand",),
                )
            with reader:
                return _credentials(
                    json.loads(reader.json()), str(reader.get_validation_state() or "Invalid")
                )
    except (c2pa.C2paError, ValueError, TypeError, KeyError) as error:
        return Credentials(
            UNREAD, None, None, None, (), (str(error).partition(": ")[2][:200] or str(error)[:200],)
        )


def credentials_elsewhere(address: str) -> Credentials | None:
    """Credentials that XMP's dcterms:provenance says are kept at an address (specification, 11.4), else None."""
    if not address.startswith(("https://", "http://")):
        return None
    return Credentials(ELSEWHERE, None, None, None, (), (address.split(maxsplit=1)[0][:300],))


def _credentials(store: dict[str, Any], state: str) -> Credentials:
    manifest = (store.get("manifests") or {}).get(store.get("active_manifest") or "", {})
    signature = manifest.get("signature_info") or {}
    made = manifest.get("claim_generator_info") or []
    names = [
        f"{one.get('name', '')} {one.get('version') or ''}".strip()
        for one in made
        if isinstance(one, dict)
    ]
    results = store.get("validation_results") or {}
    failures = ((results.get("activeManifest") or {}).get("failure") or []) + [
        one for one in store.get("validation_status") or [] if isinstance(one, dict)
    ]
    return Credentials(
        state, ", ".join(names)[:200] or manifest.get("claim_generator"), signature.get("issuer") or signature.get("common_name"),
        signature.get("time"), tuple(dict.fromkeys(_source_types(manifest))),
        tuple(dict.fromkeys(str(one.get("code"))[:80] for one in failures)),
    )  # fmt: skip


def _source_types(manifest: dict[str, Any]) -> Iterator[str]:
    for assertion in manifest.get("assertions") or []:
        for action in (
            ((assertion.get("data") or {}).get("actions") or [])
            if isinstance(assertion, dict)
            else []
        ):
            told = action.get("digitalSourceType") if isinstance(action, dict) else None
            if isinstance(told, str):
                yield told.rstrip("/").rsplit("/", 1)[-1]
