"""What outlives vault.db, so that an older copy put in its place is noticed: erasure receipts and the log's end, in two folders.

One lies beside the vault, one elsewhere in the home. Each has the receipts (one JSON object a line, signed) and a file that
says how far the audit log had come, made with a key of the vault's. Written after the vault, so that a killed process
leaves a witness that lags and never one that runs ahead. Whoever puts back every copy of everything is caught only by what
was noted outside this machine.
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
from face_index.vault.audit import AuditLog
from face_index.vault.backups import ERASURES_FILE, note_erasure
from face_index.vault.receipts import ErasureReceipt, verify_receipt

END_FILE = "log-end.json"
RESTORED = "restored from a backup"
REPAIRED = "repaired"


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How far the audit log had come.

    Attributes:
        entry: number of the newest entry.
        sha256: of that entry.
        gallery_version: at that time; what comes after must be higher.
        erasures: how many people had been erased; fewer receipts than that leave somebody whom nobody can name.
    """

    entry: int
    sha256: str
    gallery_version: int
    erasures: int = 0


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the witnesses say against the vault as it lies there.

    Attributes:
        problems: in sentences; empty if they agree.
        erased: receipts of whom the vault does not know to be erased.
        ends: what each witness says of the log's end.
        unnamed: how many people were erased of whom neither the vault nor a receipt says who they were.
    """

    problems: tuple[str, ...]
    erased: tuple[ErasureReceipt, ...]
    ends: tuple[LogEnd, ...]
    unnamed: int = 0


class Witnesses:
    """The folders of one vault.

    Args:
        folders: the first lies beside the vault.
        digest: made with a key that only the vault has.
    """

    def __init__(self, folders: Sequence[Path], digest: Callable[[bytes], str]) -> None:
        self.folders, self._digest = tuple(folders), digest

    def note_erasure(self, receipt: ErasureReceipt) -> None:
        """Remember an erasure; a folder that cannot be written to raises OSError, so that the erasure is not called done."""
        for folder in self.folders:
            note_erasure(folder, receipt)

    def begin(self, receipts: Sequence[ErasureReceipt]) -> None:
        """Write into each folder what was erased before it was a witness."""
        for folder in self.folders:
            there = {one.get("identity_id") for one in _lines(folder)}
            for receipt in receipts:
                if receipt.identity_id not in there:
                    note_erasure(folder, receipt)

    def note_end(self, end: LogEnd) -> None:
        """Remember how far the log has come; a full disk only makes the witness lag."""
        text = json.dumps({**asdict(end), "mac": self._digest(_text(end))}) + "\n"
        for folder in self.folders:
            with suppress(OSError):
                if _read(folder / END_FILE) != text:
                    _write(folder / END_FILE, text)

    def ends(self) -> tuple[list[LogEnd], list[str]]:
        """What each folder says, and what is wrong with those that say nothing."""
        found, problems = [], []
        for folder in self.folders:
            text = _read(folder / END_FILE)
            if text is None:
                problems.append(f"{folder / END_FILE} is missing")
                continue
            try:
                told = json.loads(text)
                end = LogEnd(
                    int(told["entry"]),
                    str(told["sha256"]),
                    int(told["gallery_version"]),
                    int(told["erasures"]),
                )
                if not hmac.compare_digest(str(told["mac"]), self._digest(_text(end))):
                    raise ValueError("it was not written by this vault")
            except (ValueError, KeyError, TypeError) as error:
                problems.append(f"{folder / END_FILE} cannot be believed ({error})")
            else:
                found.append(end)
        return found, problems


def testimony(
    witnesses: Witnesses, log: AuditLog, erased: frozenset[str], signer: str, *, all_begun: bool
) -> Testimony:
    """Compare the witnesses with a vault; they are read first, so that another process's newer line is no false alarm.

    Args:
        erased: ids that the vault knows to be erased.
        signer: fingerprint of the vault's key; receipts of other vaults are left alone.
        all_begun: the vault says that something was written into every folder.
    """
    ends, missing = witnesses.ends()
    problems = missing if all_begun else []
    forgotten = _receipts(witnesses.folders, signer, erased)
    for end in dict.fromkeys(ends):
        if not _knows(log, end):
            problems.append(
                f"the audit log does not hold entry {end.entry}, which was written down outside vault.db: an older or another "
                "copy was put in its place"
            )
    if forgotten:
        problems.append(
            f"{len(forgotten)} of the people who were erased would be back, since an older copy of vault.db was put in its place"
        )
    named = len(erased | {receipt.identity_id for receipt in forgotten})
    unnamed = max(0, max((end.erasures for end in ends), default=0) - named)
    if unnamed:
        problems.append(
            f"{unnamed} people were erased of whom neither vault.db nor a receipt beside it says who they are"
        )
    return Testimony(tuple(problems), forgotten, tuple(ends), unnamed)


def _knows(log: AuditLog, end: LogEnd) -> bool:
    """Whether the log goes through that entry, or says that a vault which did was restored or repaired on purpose."""
    if end.entry == 0 or log.has(end.entry, end.sha256):  # every log was empty once
        return True
    return any(
        end.sha256 in entry.details.get("witnessed", ())
        for entry in log.vouched_about("vault")
        if entry.event in (RESTORED, REPAIRED)
    )


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The receipts in a folder; a line that a killed process left half written is passed over."""
    for line in (_read(folder / ERASURES_FILE) or "").splitlines():
        with suppress(json.JSONDecodeError):
            told = json.loads(line)
            if isinstance(told, dict):
                yield told


def _receipts(
    folders: Sequence[Path], signer: str, known: frozenset[str]
) -> tuple[ErasureReceipt, ...]:
    """Sound receipts of this vault for people it does not know to be erased; a line that is altered speaks for nobody."""
    found: dict[str, ErasureReceipt] = {}
    for folder in folders:
        for document in _lines(folder):
            if document.get("identity_id") not in known:
                with suppress(ReceiptInvalid):
                    receipt = verify_receipt(document, signer)
                    found[receipt.identity_id] = receipt
    return tuple(found.values())


def _text(end: LogEnd) -> bytes:
    return json.dumps(asdict(end), sort_keys=True).encode()


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
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
