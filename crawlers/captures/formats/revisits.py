"""References between records of a WARC: revisits (WARC 1.1, 6.7), and requests of answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from crawlers.captures.formats.digests import digest_of, is_of_nothing
from crawlers.captures.pages.resources import Resources

_NOT_MODIFIED = 304
_TO_SECONDS = len("2026-03-01T10:00:00")
_GONE = "not in the capture; a later visit found there what had been found before"


@dataclass(frozen=True, slots=True)
class _Answer:
    number: int
    url: str
    at: str | None
    digest: tuple[str, bytes] | None


@dataclass(frozen=True, slots=True)
class _Revisit:
    answer: _Answer
    record_id: str | None
    refers_to: str | None
    refers_to_url: str | None
    refers_to_date: str | None
    unchanged: bool


class Visits:
    """The answers of all WARCs of a capture by record, address and digest.

    Call `settle` after everything is read.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._by_id: dict[str, _Answer] = {}
        self._by_url: dict[str, list[_Answer]] = {}
        self._by_digest: dict[tuple[str, bytes], list[_Answer]] = {}
        self._revisits: list[_Revisit] = []
        self._requests: dict[str, dict[str, str]] = {}
        self._asked: list[tuple[int, tuple[str, ...]]] = []

    def keep_request(self, record: Any, url: str) -> None:
        """Store the headers of a request under the answer to which it belongs."""
        get = record.http_headers.get_header
        destination = (get("Sec-Fetch-Dest") or "").strip().lower()
        by_script = "empty" if get("X-Requested-With") else ""
        request = {"referrer": get("Referer") or "", "asked_for": destination or by_script}
        for name in ("WARC-Record-ID", "WARC-Concurrent-To"):
            if key := record.rec_headers.get_header(name):
                self._requests[key] = request
        self._requests.setdefault(url, request)

    def keep_answer(self, record: Any, url: str, number: int) -> None:
        """Store an answer, so that revisits can refer to it."""
        answer = self._answer(record, url, number)
        if record_id := record.rec_headers.get_header("WARC-Record-ID"):
            self._by_id[record_id] = answer
        self._by_url.setdefault(url, []).append(answer)
        if answer.digest is not None:
            self._by_digest.setdefault(answer.digest, []).append(answer)

    def keep_revisit(self, record: Any, url: str, number: int) -> None:
        """Record that an answer, which is still empty, has the same body as another one."""
        get = record.rec_headers.get_header
        unchanged = "not-modified" in (get("WARC-Profile") or "").lower()
        self._revisits.append(
            _Revisit(
                self._answer(record, url, number),
                get("WARC-Record-ID"),
                get("WARC-Refers-To"),
                (get("WARC-Refers-To-Target-URI") or "").strip("<> ").replace(" ", "%20") or None,
                get("WARC-Refers-To-Date"),
                unchanged,
            )
        )

    def _answer(self, record: Any, url: str, number: int) -> _Answer:
        get = record.rec_headers.get_header
        keys = (get("WARC-Record-ID") or "", get("WARC-Concurrent-To") or "", url)
        self._asked.append((number, keys))
        return _Answer(number, url, get("WARC-Date"), digest_of(get("WARC-Payload-Digest")))

    def settle(self) -> None:
        """Give every revisit its body, and every answer the facts of its request."""
        for number, keys in self._asked:
            request = next((self._requests[key] for key in keys if key in self._requests), None)
            if request is not None:
                self._resources.change(
                    number, referrer=request["referrer"] or None, asked_for=request["asked_for"]
                )
        left = self._revisits
        while left:
            still = [revisit for revisit in left if not self._resolve(revisit)]
            if len(still) == len(left):
                break
            left = still
        for revisit in left:
            self._resources.miss(_GONE, revisit.answer.url)

    def _resolve(self, revisit: _Revisit) -> bool:
        own = self._resources.all[revisit.answer.number]
        if own.location is not None or is_of_nothing(revisit.answer.digest):
            return True
        if revisit.unchanged and self._resources.find(revisit.answer.url) is not None:
            return True  # the address has an answer, to which this one adds nothing
        for candidate in self._candidates(revisit):
            found = self._resources.all[candidate.number]
            if candidate.number == own.number or not (found.size_bytes or found.location):
                continue
            self._resources.change(
                own.number,
                path=found.path,
                size_bytes=found.size_bytes,
                whole=found.whole,
                location=found.location,
                media_type=own.media_type or found.media_type,
                charset=own.charset or found.charset,
                status=found.status if own.status == _NOT_MODIFIED else own.status,
            )
            self._keep_resolved(revisit, candidate)
            return True
        return False

    def _keep_resolved(self, revisit: _Revisit, original: _Answer) -> None:
        """Store a resolved revisit, so that other revisits can refer to it."""
        answer = replace(revisit.answer, digest=revisit.answer.digest or original.digest)
        if revisit.record_id:
            self._by_id[revisit.record_id] = answer
        self._by_url.setdefault(answer.url, []).append(answer)

    def _candidates(self, revisit: _Revisit) -> Iterator[_Answer]:
        """Yield the answers that a revisit may mean, the likeliest first.

        Answers with another payload are left out.
        """
        own = revisit.answer
        named = [self._by_id[revisit.refers_to]] if revisit.refers_to in self._by_id else []
        address = revisit.refers_to_url or own.url
        at_address = self._by_url.get(address, [])
        date = (revisit.refers_to_date or "")[:_TO_SECONDS]
        dated = [
            answer for answer in at_address if date and (answer.at or "")[:_TO_SECONDS] == date
        ]
        for answer in (*named, *dated):
            if _may_be_same(answer, own):
                yield answer
        if own.digest is not None:
            same = self._by_digest.get(own.digest, [])
            yield from sorted(same, key=lambda answer: answer.url != address)
        if revisit.unchanged or (revisit.refers_to_url and own.digest is None):
            yield from (answer for answer in reversed(at_address) if _may_be_same(answer, own))


def _may_be_same(answer: _Answer, other: _Answer) -> bool:
    digests = (answer.digest, other.digest)
    return None in digests or digests[0] == digests[1] or digests[0][0] != digests[1][0]  # type: ignore[index]
