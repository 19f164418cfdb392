"""Makes fingerprints of files and keeps them."""

from __future__ import annotations

import logging
from pathlib import Path

from scanner.clock import Clock
from scanner.errors import NoFingerprint
from scanner.fingerprints.fingerprint import CHECKPOINT, Fingerprint, fingerprint_of, kind_of_file
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.full_model import BaseOf, fingerprint_of_checkpoint

log = logging.getLogger(__name__)


class Fingerprinter:
    """Makes the fingerprint of a file when it is first needed."""

    def __init__(
        self, store: FingerprintStore, clock: Clock, base_of: BaseOf = lambda _: None
    ) -> None:
        self.store, self._clock, self._base_of = store, clock, base_of

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
            known = KnownFile(sha256, weights_hash, name, made_of(path, self._base_of))
        except NoFingerprint as error:
            log.info("%s has no fingerprint: %s", name, error)
            self.store.refuse(sha256, str(error))
            return None
        self.store.add(known, self._clock())
        return known


def made_of(path: Path, base_of: BaseOf) -> Fingerprint:
    """The fingerprint of an adapter, or of a full checkpoint against its base model.

    Raises:
        NoFingerprint: it has none.
    """
    if kind_of_file(path) == CHECKPOINT:
        return fingerprint_of_checkpoint(path, base_of)
    return fingerprint_of(path)
