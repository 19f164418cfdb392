"""Reading of captures in a separate process with limits on memory and time.

Files come from strangers and may need any amount of either. A file that exceeds a limit or crashes
the process is refused, and the next file gets a new process.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import pillow_heif
from PIL import AvifImagePlugin

from crawlers.captures.capture_rows import ImageRow
from crawlers.captures.capture_store import CaptureStore, page_id_of
from crawlers.captures.images.pictures import picture_from
from crawlers.captures.images.provenance import provenance_of
from crawlers.captures.pages.extractors import facts_of
from crawlers.captures.pages.facts import PageFacts, same_image
from crawlers.captures.pages.page import CapturedPage, Limits, Reading
from crawlers.captures.reading import read_capture
from crawlers.errors import CaptureRefused

log = logging.getLogger(__name__)

MEMORY_BYTES = 3_000_000_000  # of address space; libraries take a sixth of it
SECONDS = 300.0
_MOST_LISTED = 5

Page = tuple[CapturedPage, PageFacts, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a capture, without the bodies of its pages.

    Attributes:
        images: of each page, in order; their bytes are stored already.
    """

    reading: Reading
    pages: tuple[Page, ...]
    images: tuple[tuple[ImageRow, ...], ...]


class IsolatedReader:
    """One process that reads one capture after another; `close` when done."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES, seconds: float = SECONDS) -> None:
        self._memory_bytes, self._seconds = memory_bytes, seconds
        self._pool: ProcessPoolExecutor | None = None

    def read(
        self, path: Path, room: Path, limits: Limits, captures: CaptureStore, capture_id: str
    ) -> Content:
        """Everything in a capture; raises CaptureRefused if it cannot be read for any reason.

        Args:
            room: an empty folder for bodies; the caller deletes it.
        """
        try:
            return self._read(path, room, limits, captures, capture_id)
        except BrokenProcessPool:
            # The machine may be the cause, for example a lack of memory, so it is tried once more.
            self._end()
            shutil.rmtree(room)
            room.mkdir()
        try:
            return self._read(path, room, limits, captures, capture_id)
        except BrokenProcessPool:
            self._end()
            raise CaptureRefused("reading it took the reading process down") from None

    def _read(
        self, path: Path, room: Path, limits: Limits, captures: CaptureStore, capture_id: str
    ) -> Content:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, spawn, _confine, (self._memory_bytes, os.getpid()))
        try:
            work = self._pool.submit(_content, path, room, limits, captures.folder, capture_id)
            return work.result(timeout=self._seconds)
        except (CaptureRefused, BrokenProcessPool):
            raise
        except TimeoutError:
            self._end()
            raise CaptureRefused(f"reading it took longer than {self._seconds:.0f} s") from None
        except Exception as error:  # a stranger's file can make a parser raise anything
            log.exception("%s", path.name)
            raise CaptureRefused(
                f"it cannot be read: a mistake of the program's ({type(error).__name__}); "
                "please report it"
            ) from error

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            processes = pool._processes or {}  # noqa: SLF001  the pool itself would wait for them
            for process in list(processes.values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


def _confine(memory_bytes: int, parent: int) -> None:
    # Each decoder thread takes address space of its own, and machines differ in their cores.
    pillow_heif.options.DECODE_THREADS = AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    threading.Thread(
        target=_end_with, args=(parent,), name="end with the parent", daemon=True
    ).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has died; a pool's process would wait for ever."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _content(path: Path, room: Path, limits: Limits, folder: Path, capture_id: str) -> Content:
    try:
        reading = read_capture(path, room, limits)
        captures = CaptureStore(None, folder)
        pages = [(page, *facts_of(page)) for page in reading.pages]
        images = tuple(
            tuple(_images(captures, page, facts, page_id_of(capture_id, number)))
            for number, (page, facts, _) in enumerate(pages)
        )
        pages = [
            (page, facts, (*notes, *_unopened(rows)))
            for (page, facts, notes), rows in zip(pages, images, strict=True)
        ]
    except MemoryError:
        raise CaptureRefused("reading it takes more memory than it may") from None
    light = tuple(
        (replace(page, html=None, answers=()), facts, notes) for page, facts, notes in pages
    )
    return Content(replace(reading, pages=tuple(page for page, _, _ in light)), light, images)


def _images(
    captures: CaptureStore, page: CapturedPage, facts: PageFacts, page_id: str
) -> list[ImageRow]:
    own = {same_image(url) for url in facts.images}
    there = {same_image(image.url) for image in page.images if image.url}
    rows = []
    for image in page.images:
        data = image.path.read_bytes()
        picture = picture_from(data)
        if picture.problem is None and not picture.is_large_enough:
            continue
        # A page also shows recommended images of other accounts; they do not belong to this one.
        belongs = not (own & there) or (image.url is not None and same_image(image.url) in own)
        rows.append(
            ImageRow(
                page_id,
                image.place,
                captures.keep_image(data),
                image.url,
                image.alt,
                picture,
                provenance_of(data),
                belongs,
            )
        )
    return rows


def _unopened(rows: Sequence[ImageRow]) -> Iterator[str]:
    """A note about a page's images that cannot be opened and are therefore not searched."""
    unopened = [row for row in rows if row.picture.problem is not None]
    if unopened:
        listed = unopened[:_MOST_LISTED]
        parts = [f"image {row.place + 1} is {row.picture.problem}" for row in listed]
        if len(unopened) > _MOST_LISTED:
            parts.append(f"and {len(unopened) - _MOST_LISTED} more")
        yield f"{len(unopened)} of its images cannot be opened: {', '.join(parts)}"
