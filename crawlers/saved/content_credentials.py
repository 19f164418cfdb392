"""Content Credentials of an image: its C2PA manifest, with what validates of it (c2pa-python, the reference library)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MARKS = (b"c2pa", b"jumb")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a manifest says.

    Attributes:
        state: Invalid, Valid (nothing was changed, by whoever signed) or Trusted (the signer is on a list that counts here).
        generator: the program that wrote the claim.
        issuer: of the signing certificate, as it says.
        signed_at: UTC, ISO 8601.
        source_types: digital source types of its actions, IPTC's words.
        problems: codes of what did not validate.
    """

    state: str
    generator: str | None
    issuer: str | None
    signed_at: str | None
    source_types: tuple[str, ...]
    problems: tuple[str, ...]

    def statements(self) -> list[tuple[str, str]]:
        """What it says, as Provenance.statements tells it."""
        told = [("credentials", ", ".join(filter(None, (self.state, self.issuer, self.signed_at, *self.problems))))]
        if self.generator:
            told.append(("credentials: program", self.generator))
        return told + [("credentials: source type", one) for one in self.source_types]


def credentials_in(data: bytes) -> Credentials | None:
    """The active manifest of an image file's bytes; None without one. Nothing is fetched: remote manifests are not followed."""
    if not all(mark in data for mark in _MARKS):
        return None
    import c2pa

    try:
        # Without this the library would follow an address that the file names.
        settings = c2pa.Settings.from_dict({"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}})
        with c2pa.Context(settings) as context:
            reader = c2pa.Reader.try_create(None, io.BytesIO(data), context=context)
            if reader is None:
                return None
            with reader:
                return _credentials(json.loads(reader.json()), str(reader.get_validation_state() or "Invalid"))
    except (c2pa.C2paError, ValueError, TypeError, KeyError) as error:
        return Credentials("Invalid", None, None, None, (), (type(error).__name__,))


def _credentials(store: dict[str, Any], state: str) -> Credentials:
    manifest = (store.get("manifests") or {}).get(store.get("active_manifest") or "", {})
    signature = manifest.get("signature_info") or {}
    made = manifest.get("claim_generator_info") or []
    names = [f"{one.get('name', '')} {one.get('version') or ''}".strip() for one in made if isinstance(one, dict)]
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
        for action in ((assertion.get("data") or {}).get("actions") or []) if isinstance(assertion, dict) else []:
            told = action.get("digitalSourceType") if isinstance(action, dict) else None
            if isinstance(told, str):
                yield told.rstrip("/").rsplit("/", 1)[-1]
