"""kill -9 during the enrolment of a thousand people, twenty times at random points.

    python -m benchmarks.face_index.enrolment_kill [PEOPLE KILLS]

After every kill the vault opens, the audit log verifies, everything sealed can be unsealed,
everyone who is stored has all accepted photos, and everyone who was stored before is still stored.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from face_index.vault import Vault
from face_index.vault.check import check_vault
from face_index.vault.keys import FileKeys
from scanner.miniature.albums import draw_people


def stored(vault_path: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{vault_path}?mode=ro", uri=True)
        return int(connection.execute("select count(*) from identities").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def main(people: int, kills: int) -> None:
    rng = random.Random(20)
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder), Path(folder) / "home"
        for _ in draw_people(root / "people", people, 3):
            pass
        vault_path, keys = home / "vault" / "vault.db", FileKeys(home / "vault" / "master.key")
        command = [
            sys.executable,
            "-c",
            "from scanner.cli.app import main; main()",
            "--home",
            str(home),
            "enroll-many",
            str(root / "people" / "people.csv"),
            "--yes",
            "--submitted-by",
            "agency",
            "--face-pack",
            "miniature",
            "--json",
        ]
        before: dict[str, int] = {}
        started = time.monotonic()
        for kill in range(1, kills + 1):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            wanted = stored(vault_path) + rng.randint(0, 2 * people // kills)
            deadline = time.monotonic() + 60
            while (
                process.poll() is None
                and stored(vault_path) < wanted
                and time.monotonic() < deadline
            ):
                time.sleep(rng.random() * 0.03)
            time.sleep(rng.random() * 0.05)
            alive = process.poll() is None
            process.kill()
            process.wait()
            before = examine(vault_path, keys, before)
            print(
                f"kill {kill:2}: {'while it ran' if alive else 'after it ended'}, {len(before):4} "
                "people, all whole",
                flush=True,
            )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        counts = json.loads(done.stdout)["counts"]
        after = examine(vault_path, keys, before)
        refused = counts.get("refused", 0)
        assert len(after) + refused == people, (len(after), counts)
        print(
            f"{people} people, {kills} kills: {len(after)} stored with {sum(after.values())} "
            f"photos, {refused} refused "
            f"with a reason; last run: {counts}; {time.monotonic() - started:.0f} s"
        )


def examine(vault_path: Path, keys: FileKeys, before: dict[str, int]) -> dict[str, int]:
    if not vault_path.exists() or keys.load("present") is None:
        return before
    vault = Vault(vault_path, keys)
    assert check_vault(vault) == []
    now = {}
    for identity in vault.people.all():
        assert len(vault.photos.load(identity.identity_id)) == identity.photo_count
        now[identity.identity_id] = identity.photo_count
    assert before.items() <= now.items()
    assert sum(entry.event == "submitted" for entry in vault.audit.entries()) == len(now)
    vault.close()
    return now


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]) if len(sys.argv) > 1 else (1_000, 20))
