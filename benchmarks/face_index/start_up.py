"""A large vault: building the gallery at start compared with reading a snapshot; a withdrawal.

    python -m benchmarks.face_index.start_up [PEOPLE...]

The figures decide whether an encrypted snapshot file is worth having: every withdrawal would have
to erase from it as well.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import uuid
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms
from face_index.faces.face import PackVersion
from face_index.gallery.faiss_gallery import FaissGallery
from face_index.vault import Vault
from face_index.vault.database import transaction
from face_index.vault.keys import FileKeys, new_key, seal, unseal

VERSION = PackVersion("benchmark", "ab" * 32, 512)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
CONSENT = Consent(
    "x", date(2026, 1, 1), date(2028, 1, 1), None, CONSENT_TEXT_VERSION, Terms.PROHIBITED
)


def filled_vault(folder: Path, count: int) -> Path:
    """Create a vault with that many active people.

    It is written in one transaction, since submitting people one by one would take hours.
    """
    vault = Vault(folder / "vault.db", FileKeys(folder / "master.key"))
    rng = np.random.default_rng(0)
    record = CONSENT.to_json()
    with transaction(vault.db):
        for number in range(count):
            identity_id, data_key = uuid.UUID(int=number + 1).hex, new_key()
            vector = rng.normal(size=512).astype("<f4")
            vector /= np.linalg.norm(vector)
            vault.db.conn.execute(
                "insert into identities (identity_id, name, status, data_key, consent_id, "
                "submitted_at) "
                "values (?, ?, 'active', ?, ?, ?)",
                [
                    identity_id,
                    f"person {number}",
                    seal(vault.keys.master, data_key, identity_id),
                    identity_id,
                    NOW.isoformat(),
                ],
            )
            vault.db.conn.execute(
                "insert into consents values (?, ?, '2026-01-01', '2028-01-01', ?)",
                [identity_id, identity_id, record],
            )
            vault.db.conn.execute(
                "insert into templates values (?, ?, 'benchmark', '', 512, ?)",
                [identity_id, VERSION.sha256, seal(data_key, vector.tobytes(), identity_id)],
            )
    vault.close()
    return folder / "vault.db"


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = filled_vault(folder, count)
        started = time.perf_counter()
        vault = Vault(path, FileKeys(folder / "master.key"))
        opened = time.perf_counter()
        templates = vault.templates.active(VERSION, NOW.date())
        read = time.perf_counter()
        gallery = FaissGallery(VERSION, templates)
        built = time.perf_counter()
        assert len(gallery) == count
        print(
            f"{count:>9,} people: from the vault {built - started:.2f} s (open "
            f"{opened - started:.2f}, unseal "
            f"{read - opened:.2f}, index {built - read:.2f})"
        )
        ids = json.dumps([identity_id for identity_id, _ in templates]).encode()
        vectors = np.concatenate([prototypes for _, prototypes in templates])
        key, snapshot = new_key(), folder / "snapshot"
        # AES-GCM takes 2 GiB at most in one call: blocks of 100,000 vectors.
        blocks = [vectors[start : start + 100_000].tobytes() for start in range(0, count, 100_000)]
        snapshot.write_bytes(b"".join(seal(key, block, "snapshot") for block in blocks))
        (folder / "ids").write_bytes(seal(key, ids, "ids"))
        sizes = [len(block) + 28 for block in blocks]
        del vectors, blocks, gallery
        started = time.perf_counter()
        sealed, place, parts = snapshot.read_bytes(), 0, []
        for size in sizes:
            parts.append(
                np.frombuffer(unseal(key, sealed[place : place + size], "snapshot"), "<f4").reshape(
                    -1, 512
                )
            )
            place += size
        rows = np.concatenate(parts)
        names = json.loads(unseal(key, (folder / "ids").read_bytes(), "ids"))
        again = FaissGallery(
            VERSION, ((name, rows[row : row + 1]) for row, name in enumerate(names))
        )
        took = time.perf_counter() - started
        assert len(again) == count
        started = time.perf_counter()
        key2 = new_key()
        place = 0
        with (folder / "rewritten").open("wb") as out:
            for start in range(0, count, 100_000):
                out.write(seal(key2, rows[start : start + 100_000].tobytes(), "snapshot"))
        print(
            f"{'':>9} from an encrypted snapshot of {len(sealed) / 1e6:.0f} MB {took:.2f} s; "
            "writing it anew, as every "
            f"withdrawal would have to, {time.perf_counter() - started:.2f} s"
        )
        started = time.perf_counter()
        vault.backups.make(folder / "backup.db", "benchmark", datetime.now(UTC))
        backed_up = time.perf_counter()
        receipt = vault.erasure.withdraw(templates[count // 2][0], datetime.now(UTC), "benchmark")
        assert receipt.backups_erased
        print(
            f"{'':>9} backup {backed_up - started:.2f} s; a withdrawal, from vault and backup, "
            f"{time.perf_counter() - backed_up:.2f} s"
        )
        vault.close()


if __name__ == "__main__":
    for people in [int(one) for one in sys.argv[1:]] or [1_000, 100_000]:
        main(people)
