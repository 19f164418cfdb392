"""The sample store: what every checkpoint draws, kept so that nobody has to be drawn for again.

Two databases hold it. samples.db has a record of each drawing, and for files that draw one face
again and again the aligned faces, sealed with a key of their own. sample_keys.db has these keys,
wrapped. Destroying a key makes the faces unreadable in every copy of samples.db. No face vector is
stored, and nothing shows the faces: they are read only to search for people who registered.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from scanner.databases import transaction
from scanner.sampling.drawings import Drawing
from scanner.sampling.images import Pixels
from scanner.sampling.patches import MOST_IN_A_STRIP, patches_of, strip_bytes
from scanner.sampling.sample_schema import forget_deleted, open_samples_db, sample_keys, samples

log = logging.getLogger(__name__)

Place = tuple[int, bool]
"""Position of a sample in `Drawing.samples`, and whether its control is meant."""


class Cipher(Protocol):
    """Seals bytes with a key.

    Unsealing gives None unless key, bytes and `bound_to` are the same.
    """

    def seal(self, key: bytes, plain: bytes, bound_to: str) -> bytes: ...
    def unseal(self, key: bytes, sealed: bytes, bound_to: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How long faces are kept and how much room they may take.

    Attributes:
        days: 0 keeps no face.
        budget_bytes: of sealed faces; the oldest are destroyed first.
    """

    days: int
    budget_bytes: int


@dataclass(frozen=True, slots=True)
class KeptDrawing:
    """A drawing as it is kept.

    Attributes:
        parts: the parts of its sampling key, by name.
        pack_sha256: of the face pack that read its faces.
        pictures: SHA-256 of the PNG files that cases keep, by place.
    """

    sampling_key: str
    sha256: str
    parts: dict[str, Any]
    drawing: Drawing
    pack_sha256: str
    drawn_at: datetime
    pictures: dict[Place, str]


class SampleStore:
    """The only writer of samples.db and sample_keys.db.

    Args:
        wrapping_key: seals the keys of drawings.
        seal: computes a message authentication code; drawings with another code are ignored.
    """

    def __init__(
        self,
        path: Path,
        keys_path: Path,
        cipher: Cipher,
        wrapping_key: bytes,
        seal: Callable[[bytes], str],
        retention: Retention,
    ) -> None:
        self._db = open_samples_db(path, samples)
        self._keys = open_samples_db(keys_path, sample_keys)
        self._cipher, self._wrapping_key, self._seal = cipher, wrapping_key, seal
        self.retention = retention

    def close(self) -> None:
        self._db.close()
        self._keys.close()

    def keep(
        self, kept: KeptDrawing, patches: Mapping[Place, Pixels], versions: Mapping[str, str]
    ) -> None:
        """Store a drawing in the place of an earlier one under the same key.

        Args:
            patches: aligned faces by place; stored only if faces are kept at all.
            versions: of the libraries that drew it.
        """
        name = kept.sampling_key
        if self.has(name):
            self.destroy(name)
        record = {
            "drawing": kept.drawing.to_json(),
            "parts": kept.parts,
            "versions": dict(versions),
        }
        pictures = [[*place, sha256] for place, sha256 in kept.pictures.items()]
        row = {
            "sampling_key": kept.sampling_key,
            "sha256": kept.sha256,
            "record": zlib.compress(json.dumps(record, ensure_ascii=False).encode(), 9),
            "pack_sha256": kept.pack_sha256,
            "pictures": json.dumps(pictures),
            "drawn_at": kept.drawn_at.isoformat(),
        }
        row["seal"] = self._seal(_sealed_bytes(row))
        sealed: list[dict[str, Any]] = []
        if self.retention.days > 0 and kept.drawing.draws_one_face and patches:
            # The key is stored first: a key without faces is harmless and removed later.
            sealed = list(self._sealed(kept, patches))
        with transaction(self._db):
            self._db.table("drawings").upsert(row, pk="sampling_key")
            # A drawing that was lost may have left some.
            self._db.table("patches").delete_where("sampling_key = ?", [name])
            # Asked in the same transaction: another process may destroy the faces of this file.
            keeps_none = self._keeps_no_face_of(kept.sha256)
            if not keeps_none:
                self._db.table("patches").insert_all(sealed)
        if keeps_none and sealed:
            self.destroy(name)

    def _sealed(
        self, kept: KeptDrawing, patches: Mapping[Place, Pixels]
    ) -> Iterator[dict[str, Any]]:
        key = secrets.token_bytes(32)
        name = kept.sampling_key
        with transaction(self._keys):
            wrapped = self._cipher.seal(self._wrapping_key, key, name)
            row = {
                "sampling_key": name,
                "wrapped": wrapped,
                "drawn_at": kept.drawn_at.isoformat(),
            }
            self._keys.table("sample_keys").upsert(row, pk="sampling_key")
        stages = [sample.plan.stage for sample in kept.drawing.samples]
        for stage in dict.fromkeys(stages):
            places = [place for place in sorted(patches) if stages[place[0]] == stage]
            for number, start in enumerate(range(0, len(places), MOST_IN_A_STRIP)):
                part = places[start : start + MOST_IN_A_STRIP]
                strip = strip_bytes([patches[place] for place in part])
                plain: dict[str, Any] = {
                    "sampling_key": name,
                    "stage": stage,
                    "number": number,
                    "places": json.dumps(part),
                }
                yield {**plain, "sealed": self._cipher.seal(key, strip, _bound_to(plain))}

    def drawing(self, sampling_key: str) -> KeptDrawing | None:
        """Return a kept drawing; None if there is none under this key."""
        return next(self._authentic("sampling_key = ?", sampling_key), None)

    def has(self, sampling_key: str) -> bool:
        """Whether a drawing is kept under this key, with or without faces."""
        query = "select 1 from drawings where sampling_key = ?"
        return self._db.execute(query, [sampling_key]).fetchone() is not None

    def drawings_of(self, sha256: str) -> list[KeptDrawing]:
        """Return all kept drawings of these bytes, the newest first."""
        return list(self._authentic("sha256 = ?", sha256))

    def sampling_keys_of(self, sha256: str) -> list[str]:
        """Return the keys of all kept drawings of these bytes."""
        query = "select sampling_key from drawings where sha256 = ?"
        return [row[0] for row in self._db.execute(query, [sha256]).fetchall()]

    def _authentic(self, where: str, value: str) -> Iterator[KeptDrawing]:
        """Yield the drawings whose seal is valid; files of the others are drawn again."""
        rows = self._db.table("drawings").rows_where(where, [value], order_by="drawn_at desc")
        for row in list(rows):
            if hmac.compare_digest(row["seal"], self._seal(_sealed_bytes(row))):
                yield _kept(row)
            else:
                log.error(
                    "samples of %s in samples.db were changed outside this program; the file is "
                    "drawn anew",
                    row["sha256"],
                )

    def patches(
        self, sampling_key: str, *, only_screening: bool = False
    ) -> dict[Place, Pixels] | None:
        """Return the aligned faces of a drawing.

        The result is None if none are kept, if their key is gone or if they were changed. Some may
        be missing; `Drawing.places` tells which there were.
        """
        key = self._key_of(sampling_key)
        rows = list(self._db.table("patches").rows_where("sampling_key = ?", [sampling_key]))
        if key is None or not rows:
            return None
        if only_screening:
            rows = [row for row in rows if row["stage"] == "screening"]
        found: dict[Place, Pixels] = {}
        for row in rows:
            strip = self._cipher.unseal(key, row["sealed"], _bound_to(row))
            if strip is None:
                log.error("faces in samples.db were changed outside this program")
                return None
            places = [(position, control) for position, control in json.loads(row["places"])]
            found.update(zip(places, patches_of(strip), strict=True))
        return found

    def has_patches(self, sampling_key: str) -> bool:
        """Whether the faces of a drawing are kept."""
        query = "select 1 from patches where sampling_key = ? limit 1"
        stored = self._db.execute(query, [sampling_key]).fetchone() is not None
        return stored and self._key_of(sampling_key) is not None

    def bytes_of(self, sampling_key: str) -> int:
        """Return how many bytes are kept of a drawing: its record and its sealed faces."""
        query = (
            "select (select sum(length(record)) from drawings "
            "where sampling_key = :key) + (select coalesce(sum(length(sealed)), 0) from patches "
            "where sampling_key = :key)"
        )
        return int(self._db.execute(query, {"key": sampling_key}).fetchone()[0] or 0)

    def _key_of(self, sampling_key: str) -> bytes | None:
        row = self._keys.execute(
            "select wrapped from sample_keys where sampling_key = ?", [sampling_key]
        ).fetchone()
        return self._cipher.unseal(self._wrapping_key, row[0], sampling_key) if row else None

    def destroy(self, *sampling_keys: str) -> None:
        """Destroy the keys and the faces of drawings; their records stay."""
        if not sampling_keys:
            return
        for db, table in ((self._keys, "sample_keys"), (self._db, "patches")):
            with transaction(db):
                for sampling_key in sampling_keys:
                    db.table(table).delete_where("sampling_key = ?", [sampling_key])
            forget_deleted(db)

    def destroy_file(self, sha256: str) -> None:
        """Destroy the faces of all drawings of a file, because it may show a minor.

        None are kept of it afterwards either: other listings of the same bytes may not say so, and
        a worker may be drawing it now.
        """
        with transaction(self._db):
            self._db.table("files_without_faces").upsert({"sha256": sha256}, pk="sha256")
        self.destroy(*self.sampling_keys_of(sha256))

    def _keeps_no_face_of(self, sha256: str) -> bool:
        return self._db.table("files_without_faces").count_where("sha256 = ?", [sha256]) > 0

    def expire(self, now: datetime) -> int:
        """Destroy faces older than the retention allows or over the budget; return how many files.

        The present retention counts, so a shorter one takes effect at once. What a destruction that
        was interrupted has left is destroyed too.
        """
        before = (now - timedelta(days=self.retention.days)).isoformat()
        rows = self._keys.execute(
            "select sampling_key from sample_keys where drawn_at <= ?", [before]
        ).fetchall()
        expired = [row[0] for row in rows]
        self.destroy(*expired)
        excess = self._over_budget()
        self.destroy(*excess)
        self._destroy_remains()
        return len(expired) + len(excess)

    def _destroy_remains(self) -> None:
        """Delete faces without a key, and empty both logs."""
        # Faces are read first: another process stores the key before them.
        stored = self._db.execute("select distinct sampling_key from patches").fetchall()
        keys = {row[0] for row in self._keys.execute("select sampling_key from sample_keys")}
        remains = [row[0] for row in stored if row[0] not in keys]
        self.destroy(*remains)
        for db in (self._keys, self._db):
            forget_deleted(db)

    def _over_budget(self) -> list[str]:
        """Return the oldest drawings whose faces do not fit into the budget."""
        query = (
            "select sampling_key, sum(length(sealed)) from patches join drawings "
            "using (sampling_key) group by sampling_key order by max(drawn_at) desc"
        )
        total, excess = 0, []
        for sampling_key, size in self._db.execute(query).fetchall():
            total += size
            if total > self.retention.budget_bytes:
                excess.append(sampling_key)
        return excess


def _bound_to(row: Mapping[str, Any]) -> str:
    """Return what a sealed strip is bound to: its drawing and the places of its faces."""
    return " ".join(str(row[name]) for name in ("sampling_key", "stage", "number", "places"))


def _kept(row: Mapping[str, Any]) -> KeptDrawing:
    record = json.loads(zlib.decompress(row["record"]))
    return KeptDrawing(
        row["sampling_key"],
        row["sha256"],
        record["parts"],
        Drawing.from_json(record["drawing"]),
        row["pack_sha256"],
        datetime.fromisoformat(row["drawn_at"]),
        {
            (position, is_control): sha256
            for position, is_control, sha256 in json.loads(row["pictures"])
        },
    )


def _sealed_bytes(row: Mapping[str, Any]) -> bytes:
    """Return the bytes over which a drawing's seal is computed."""
    names = ("sampling_key", "sha256", "pack_sha256", "pictures", "drawn_at")
    return json.dumps([row[name] for name in names]).encode() + b"\n" + bytes(row["record"])
