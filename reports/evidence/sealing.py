"""The seal of a BagIt folder: a signed statement over its tag manifests.

The tag manifests cover every other file in the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from reports.cases.method_record import EnvironmentRecord
from reports.errors import UnreadableBundle
from reports.evidence.timestamping import Authority, write_timestamps
from reports.verify.bundle import verify
from reports.verify.files import KEY, SIGNATURE, STAMPED, STATEMENT, TAG_MANIFESTS
from reports.verify.seal import stamped_text

Sign = Callable[[bytes], tuple[bytes, bytes]]
"""Signs a message: Ed25519 signature and raw public key."""


def write_seal(
    folder: Path, facts: Mapping[str, Any], bag_info: Mapping[str, str], sign: Sign, now: datetime
) -> None:
    """Make a bag of a folder's files and sign it.

    Args:
        facts: fields of the statement besides time, key and files.
    """
    import bagit

    key = sign(b"")[1]
    fingerprint = hashlib.sha256(key).hexdigest()
    info = {"Bagging-Date": now.date().isoformat(), **bag_info, "Signing-Key-SHA256": fingerprint}
    bagit.make_bag(str(folder), bag_info=info, checksums=["sha256", "sha512"])
    (folder / "seal").mkdir()
    statement = {
        **facts,
        "sealed_at": now.isoformat(timespec="seconds"),
        "key_sha256": fingerprint,
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in TAG_MANIFESTS
        },
    }
    text = json_text(statement).encode()
    signature = sign(text)[0]
    (folder / STATEMENT).write_bytes(text)
    (folder / SIGNATURE).write_bytes(signature)
    (folder / STAMPED).write_bytes(stamped_text(text, signature))
    (folder / KEY).write_bytes(key)


def seal_capture(
    folder: Path,
    capture: Mapping[str, Any],
    environment: EnvironmentRecord,
    sign: Sign,
    authorities: Sequence[Authority],
    now: datetime,
) -> None:
    """Seal a captured page: a folder with `original`, and in `beside` files that belong to it.

    Args:
        capture: its `capture_id`, the original's `sha256`, name, and who took it in, when and with
            what.

    Raises:
        UnreadableBundle: what was written does not verify.
    """
    (folder / "capture.json").write_text(json_text(capture), "utf-8")
    (folder / "environment.json").write_text(json_text(asdict(environment)), "utf-8")
    facts = {
        "statement": "These tag manifests seal a captured page as it was taken in.",
        "capture_id": capture["capture_id"],
        "as_of": now.isoformat(timespec="seconds"),
    }
    info = {
        "Bag-Software-Agent": environment.tool,
        "External-Identifier": str(capture["capture_id"]),
        "External-Description": "A page or picture that somebody captured",
    }
    write_seal(folder, facts, info, sign, now)
    write_timestamps(folder, authorities, sign, now)
    if damaged := [item for item in verify(folder) if not item.ok]:
        raise UnreadableBundle(
            f"the capture would not verify: {damaged[0].item}: {damaged[0].problem}"
        )


def json_text(value: object) -> str:
    """JSON in the form of all sealed files."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
