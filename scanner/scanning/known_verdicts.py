"""What is known of a checkpoint before a worker examines it: stored verdicts and kept samples."""

from __future__ import annotations

from scanner.identification.outcome import Outcome
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import VerdictRecord
from scanner.scanning.key import Key
from scanner.scanning.keys import Prompting
from scanner.scanning.observations import KnownSamples
from scanner.scanning.session import ScanSession


class KnownVerdicts:
    """Finds verdicts on bytes, and decides from kept samples."""

    def __init__(self, session: ScanSession) -> None:
        self._session = session
        self._redrawn: set[str] = set()

    def known(
        self, prompting: Prompting, sha256: str, snapshot: GallerySnapshot
    ) -> VerdictRecord | KnownSamples | None:
        """Return the stored verdict, or else what the kept samples of a file tell."""
        session = self._session
        key = prompting.identification_key(session.search_key(snapshot))
        if session.options.redraw and key.digest not in self._redrawn:
            self._redrawn.add(key.digest)
            return None
        stored = session.scan_store.known_verdict(sha256, key.digest)
        return stored or self.decided(prompting, sha256, snapshot)

    def decided(
        self, prompting: Prompting, sha256: str, snapshot: GallerySnapshot
    ) -> VerdictRecord | KnownSamples | None:
        """Decide from kept samples and store the verdict.

        The result is the samples if more must be drawn, and None if all must be.
        """
        session = self._session
        found = session.kept.decide(prompting.sampling_key.digest, snapshot)
        if isinstance(found, VerdictRecord):
            search_key = session.search_key(snapshot)
            key = prompting.identification_key(search_key)
            session.scan_store.remember_verdict(
                sha256, key, found, session.clock(), search_key.digest
            )
        return found

    def of_other_words(
        self, sha256: str, prompting: Prompting, search_key: Key
    ) -> VerdictRecord | None:
        """Return the strongest finding in these bytes in the same gallery, for any words."""
        session = self._session
        found = session.scan_store.other_verdicts(sha256, search_key.digest)
        kept = set(session.kept.store.sampling_keys_of(sha256)) - {prompting.sampling_key.digest}
        if kept:
            snapshot = session.take_snapshot()
            if session.search_key(snapshot).digest == search_key.digest:
                decided = (session.kept.decide(key, snapshot) for key in sorted(kept))
                found += [one for one in decided if isinstance(one, VerdictRecord)]
        showing = [verdict for verdict in found if session.results.shows_somebody(verdict)]
        return min(showing, key=_strongest_first, default=None)


def _strongest_first(verdict: VerdictRecord) -> tuple[bool, float]:
    best = max(finding.score for finding in verdict.findings)
    return verdict.outcome != Outcome.MATCH, -best
