"""Makes fingerprints of files and keeps them."""

from __future__ import annotations

import logging
from pathlib import Path

from scanner.clock import Clock
from scanner.errors import NoFingerprint
from scanner.fingerprints.fingerprint import fingerprint_of
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile

log = logging.getLogger(__name__)


class Fingerprinter:
    """Makes the fingerprint of a file when it is first needed."""

    def __init__(self, store: FingerprintStore, clock: Clock) -> None:
        self.store, self._clock = store, clock

    def keep(
        self, path: Path, sha256: str, weights_hash: str | None, name: str
    ) -> KnownFile | None:
        """The fingerprint of a file, made and stored unless it is known.

        None if it has none; the reason is stored too.
        """
        if self.store.has_own(sha256):
            return self.store.get(sha256)
        if self.store.refusal(sha256) is not None:
            return None
        try:
            known = KnownFile(sha256, weights_hash, name, fingerprint_of(path))
        except NoFingerprint as error:
            log.info("%s has no fingerprint: %s", name, error)
            self.store.refuse(sha256, str(error))
            return None
        self.store.add(known, self._clock())
        return known
