"""Records outside vault.db that show when an older copy of it was put in its place.

A witness is a folder with two files: the signed erasure receipts (one JSON object a line), and the
end of the audit log (number and hash of its newest entry, authenticated with a key of the vault).
One witness lies beside the vault, one elsewhere in the home directory.

Both files are written after the vault, so that a killed process leaves a witness that lags behind
and never one that is ahead. When all copies of everything are put back together, only a hash noted
outside this machine shows it.
"""

from __future__ import annotations

import hmac
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from face_index.errors import ReceiptInvalid
from face_index.vault.receipts import ErasureReceipt, verify_receipt

ERASURES_FILE = "erasures.jsonl"
END_FILE = "log-end.json"


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of the audit log at one time.

    Attributes:
        entry: Number of the newest entry.
        sha256: Hash of that entry.
        gallery_version: At that time; every later one must be higher.
        erasures: How many people had been erased. If there are fewer receipts than that, an erased
            person cannot be named.
    """

    entry: int
    sha256: str
    gallery_version: int
    erasures: int = 0


class Witnesses:
    """The witnesses of one vault.

    Args:
        folders: The first one lies beside the vault.
        digest: Computes a MAC with a key that only the vault has.
    """

    def __init__(self, folders: Sequence[Path], digest: Callable[[bytes], str]) -> None:
        self.folders, self._digest = tuple(folders), digest

    def note_erasure(self, receipt: ErasureReceipt) -> None:
        """Add a receipt to every witness.

        A folder that cannot be written to raises OSError, so that the erasure does not count as
        finished.
        """
        for folder in self.folders:
            append_receipt(folder, receipt)

    def begin(self, receipts: Sequence[ErasureReceipt]) -> None:
        """Add to every witness the receipts that it lacks."""
        for folder in self.folders:
            present = {document.get("identity_id") for document in _documents(folder)}
            for receipt in receipts:
                if receipt.identity_id not in present:
                    append_receipt(folder, receipt)

    def note_end(self, end: LogEnd) -> None:
        """Write the end of the log to every witness; a full disk only makes a witness lag."""
        text = json.dumps({**asdict(end), "mac": self._digest(_canonical(end))}) + "\n"
        for folder in self.folders:
            with suppress(OSError):
                if _read(folder / END_FILE) != text:
                    _write(folder / END_FILE, text)

    def ends(self) -> tuple[list[LogEnd], list[str]]:
        """Return the log ends that were noted, and what is wrong with the others, in sentences."""
        found, problems = [], []
        for folder in self.folders:
            text = _read(folder / END_FILE)
            if text is None:
                problems.append(f"{folder / END_FILE} is missing")
                continue
            try:
                found.append(self._parse_end(text))
            except (ValueError, KeyError, TypeError) as error:
                problems.append(f"{folder / END_FILE} cannot be believed ({error})")
        return found, problems

    def receipts(self, signer: str, known: frozenset[str]) -> tuple[ErasureReceipt, ...]:
        """Return valid receipts of one vault for people whom it does not know to be erased.

        Receipts that were altered are ignored.

        Args:
            signer: Fingerprint of the vault's key.
            known: Ids of the people whom the vault knows to be erased.
        """
        found: dict[str, ErasureReceipt] = {}
        for folder in self.folders:
            for document in _documents(folder):
                if document.get("identity_id") not in known:
                    with suppress(ReceiptInvalid):
                        receipt = verify_receipt(document, signer)
                        found[receipt.identity_id] = receipt
        return tuple(found.values())

    def _parse_end(self, text: str) -> LogEnd:
        record = json.loads(text)
        end = LogEnd(
            int(record["entry"]),
            str(record["sha256"]),
            int(record["gallery_version"]),
            int(record["erasures"]),
        )
        if not hmac.compare_digest(str(record["mac"]), self._digest(_canonical(end))):
            raise ValueError("it was not written by this vault")
        return end


def append_receipt(folder: Path, receipt: ErasureReceipt) -> None:
    path = folder / ERASURES_FILE
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)
    is_cut_off = path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" if is_cut_off else "")
        file.write(json.dumps(receipt.to_document(), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _documents(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the receipts in a folder; a line that a killed process left unfinished is skipped."""
    for line in (_read(folder / ERASURES_FILE) or "").splitlines():
        with suppress(json.JSONDecodeError):
            document = json.loads(line)
            if isinstance(document, dict):
                yield document


def _canonical(end: LogEnd) -> bytes:
    return json.dumps(asdict(end), sort_keys=True).encode()


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return None


def _write(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.touch(mode=0o600)
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
