"""Extraction of a page's facts: some sites have an extractor, all others share a general one.

If an extractor fails, nothing is lost: the capture stays, and people can fill in the fields.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from crawlers.captures.pages.addresses import host_of
from crawlers.captures.pages.facts import PageFacts
from crawlers.captures.pages.general import general_facts
from crawlers.captures.pages.page import CapturedPage
from crawlers.captures.pages.xianyu import xianyu_facts
from crawlers.captures.pages.xiaohongshu import xiaohongshu_facts

log = logging.getLogger(__name__)

Extractor = Callable[[CapturedPage], PageFacts | None]
_BY_HOST: tuple[tuple[str, Extractor], ...] = (
    ("goofish.com", xianyu_facts),
    ("xianyu.com", xianyu_facts),
    ("2.taobao.com", xianyu_facts),
    ("xiaohongshu.com", xiaohongshu_facts),
    ("xhslink.com", xiaohongshu_facts),
)
_LINK = re.compile(r"https?://[\w.-]+(?::\d+)?(?:/[\w./?%&=~:@+,;#-]*)?", re.ASCII)
_HASH = re.compile(
    r"(?<![0-9a-zA-Z])(?:0x)?([0-9a-fA-F]{10}|[0-9a-fA-F]{12}|[0-9a-fA-F]{64})(?![0-9a-zA-Z])"
)


def facts_of(page: CapturedPage) -> tuple[PageFacts, tuple[str, ...]]:
    """The facts of a page, and sentences about problems of reading them."""
    host = host_of(page.url or "").rpartition("@")[2].partition(":")[0].lower()
    problems: list[str] = []
    for name, extract in _BY_HOST:
        if host == name or host.endswith(f".{name}"):
            try:
                found = extract(page)
            except Exception as error:  # sites change their structure at any time
                log.exception("%s", extract.__name__)
                problems.append(f"what reads pages of {name} failed ({type(error).__name__})")
                found = None
            if found is not None:
                return _with_words(found, page), ()
            problems.append(
                f"the page is not built as pages of {name} were; general facts were read"
            )
    try:
        return _with_words(general_facts(page), page), tuple(problems)
    except Exception as error:
        log.exception("general facts")
        return PageFacts(platform=host, title=page.title, text=page.text, extractor="none"), (
            *problems,
            f"nothing could be read of the page's structure ({type(error).__name__})",
        )


def _with_words(facts: PageFacts, page: CapturedPage) -> PageFacts:
    """Facts with the links and hashes of all text, and the page's text if the site's is empty."""
    text = f"{facts.title}\n{facts.text or page.text}"
    links = dict.fromkeys([*facts.links, *_links(text)])
    hashes = dict.fromkeys(found.lower() for found in _HASH.findall(text) if not found.isdigit())
    return replace(
        facts,
        title=(facts.title or page.title)[:500],
        text=(facts.text or page.text)[:200_000],
        links=tuple(links)[:1_000],
        hashes=tuple(hashes)[:1_000],
    )


def _links(text: str) -> Iterator[str]:
    for found in _LINK.findall(text):
        yield found.rstrip(".,;:)")
