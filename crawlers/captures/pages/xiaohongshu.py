"""Extractor for pages of Xiaohongshu (小红书): notes and accounts.

The facts come from the state that the page holds in a script (window.__INITIAL_STATE__), or from
the rendered elements if the page was saved without its scripts.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from crawlers.captures.pages.facts import PageFacts, PageKind, counted, dig, moment_of, text_of
from crawlers.captures.pages.html import tree_of
from crawlers.captures.pages.page import CapturedPage

PLATFORM = "xiaohongshu"
_STATE = "window.__INITIAL_STATE__"
# The state is JavaScript, which unlike JSON has undefined values.
_UNDEFINED = re.compile(r"(?<=[:,\[])\s*(?:undefined|NaN)(?=\s*[,}\]])")


def xiaohongshu_facts(page: CapturedPage) -> PageFacts | None:
    """Facts of a note or an account; None if the page has no known structure."""
    state = _state_of(page)
    path = urlsplit(page.url or "").path
    note_id = path.rstrip("/").rsplit("/", 1)[-1]
    if "/user/profile/" not in path:
        notes = dig(state, "note", "noteDetailMap")
        known = notes if isinstance(notes, dict) else {}
        details = (dig(entry, "note") for entry in known.values())
        note = dig(known, note_id, "note") or next(filter(None, details), None)
        if isinstance(note, dict) and note:
            return _note(note, note_id)
    user = dig(state, "user", "userPageData", "_rawValue") or dig(state, "user", "userPageData")
    if isinstance(user, dict) and dig(user, "basicInfo", "nickname"):
        return _account(user, state, page, note_id)
    return _drawn(page, note_id, account="/user/profile/" in path)


def _drawn(page: CapturedPage, page_id: str, *, account: bool) -> PageFacts | None:
    """Facts from the rendered elements of a page that was saved without its scripts."""
    if page.html is None:
        return None
    root = tree_of(page.html)
    name = _first(root, "user-name" if account else "username")
    if not name:
        return None
    profiles = [
        str(href).partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
        for href in root.xpath("//a[contains(@href, '/user/profile/')]/@href")
    ]
    user_id = page_id if account else next(iter(profiles), None)
    counts = counted(
        likes=_first(root, "like-wrapper"),
        saves=_first(root, "collect-wrapper"),
        comments=_first(root, "chat-wrapper"),
    )
    own = root.xpath(
        "//*[contains(@class, 'note-slider') or contains(@class, 'swiper-slide') "
        "or contains(@class, 'media-container')]//img/@src"
    )
    return PageFacts(
        kind=PageKind.ACCOUNT if account else PageKind.POST,
        platform=PLATFORM,
        title=name if account else _by_id(root, "detail-title")[:500],
        text=_first(root, "user-desc") or _by_id(root, "detail-desc"),
        account_name=name,
        account_id=user_id,
        account_url=_profile(user_id),
        item_id=None if account else page_id,
        counts={} if account else counts,
        images=tuple(dict.fromkeys(map(str, own))),
        extractor=f"xiaohongshu {'account' if account else 'note'} as drawn",
    )


def _by_id(root: Any, name: str) -> str:
    """The text of the elements with an id."""
    found = root.xpath("//*[@id=$name]", name=name)
    return " ".join(" ".join(element.itertext()) for element in found)


def _profile(user_id: str | None) -> str | None:
    return f"https://www.xiaohongshu.com/user/profile/{user_id}" if user_id else None


def _first(root: Any, word: str) -> str | None:
    for element in root.xpath(
        "//*[contains(concat(' ', @class, ' '), concat(' ', $word, ' '))]", word=word
    ):
        text = " ".join(element.text_content().split())
        if text:
            return str(text)[:2_000]
    return None


def _state_of(page: CapturedPage) -> Any:
    if page.html is None or _STATE not in page.html:
        return None
    for script in tree_of(page.html).xpath("//script/text()"):
        text = str(script).strip()
        if text.startswith(_STATE):
            value = _UNDEFINED.sub("null", text.partition("=")[2].strip().rstrip(";"))
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                return None
    return None


def _note(note: dict[str, Any], note_id: str) -> PageFacts:
    user, counts = note.get("user"), note.get("interactInfo")
    user_id = text_of(dig(user, "userId"))
    images = [
        text_of(dig(image, "urlDefault"))
        or text_of(dig(image, "url"))
        or text_of(dig(image, "infoList", -1, "url"))
        for image in note.get("imageList") or ()
    ]
    tags = [text_of(dig(tag, "name")) for tag in note.get("tagList") or ()]
    text = "\n".join(
        [text_of(note.get("desc"), 100_000) or "", " ".join(f"#{tag}" for tag in tags if tag)]
    ).strip()
    return PageFacts(
        kind=PageKind.POST,
        platform=PLATFORM,
        title=text_of(note.get("title"), 500) or text[:80],
        text=text,
        account_name=text_of(dig(user, "nickname")),
        account_id=user_id,
        account_url=_profile(user_id),
        item_id=text_of(note.get("noteId")) or note_id,
        counts=counted(
            likes=dig(counts, "likedCount"),
            saves=dig(counts, "collectedCount"),
            comments=dig(counts, "commentCount"),
        ),
        published_at=moment_of(note.get("time")),
        images=tuple(url for url in images if url),
        extractor="xiaohongshu note",
    )


def _account(user: dict[str, Any], state: Any, page: CapturedPage, user_id: str) -> PageFacts:
    basic = user["basicInfo"]
    counts = {dig(entry, "type"): dig(entry, "count") for entry in user.get("interactions") or ()}
    notes = dig(state, "user", "notes", "_rawValue") or dig(state, "user", "notes") or ()
    covers = [
        text_of(dig(note, "noteCard", "cover", "urlDefault"))
        for group in notes
        if isinstance(group, list)
        for note in group
    ]
    own = text_of(basic.get("images")) or text_of(basic.get("imageb"))
    return PageFacts(
        kind=PageKind.ACCOUNT,
        platform=PLATFORM,
        title=str(basic["nickname"])[:500],
        text=text_of(basic.get("desc"), 20_000) or "",
        account_name=text_of(basic["nickname"]),
        account_id=user_id,
        account_url=page.url,
        counts=counted(followers=counts.get("fans"), likes=counts.get("interaction")),
        images=tuple(url for url in (own, *covers) if url),
        extractor="xiaohongshu account",
    )
