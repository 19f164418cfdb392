"""Pages of Xiaohongshu (小红书): a note or an account, from the state that the page carries in a script (window.__INITIAL_STATE__)."""

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
# JavaScript, not JSON: values that are not defined.
_UNDEFINED = re.compile(r"(?<=[:,\[])\s*(?:undefined|NaN)(?=\s*[,}\]])")


def xiaohongshu_facts(page: CapturedPage) -> PageFacts | None:
    """Facts of a note or an account; None if nothing of the known structure is there."""
    state = _state_of(page)
    path = urlsplit(page.url or "").path
    note_id = path.rstrip("/").rsplit("/", 1)[-1]
    if "/user/profile/" not in path:
        notes = dig(state, "note", "noteDetailMap")
        known = notes if isinstance(notes, dict) else {}
        note = dig(known, note_id, "note") or next(
            (dig(one, "note") for one in known.values() if dig(one, "note")), None
        )
        if isinstance(note, dict) and note:
            return _note(note, note_id)
    user = dig(state, "user", "userPageData", "_rawValue") or dig(state, "user", "userPageData")
    if isinstance(user, dict) and dig(user, "basicInfo", "nickname"):
        return _account(user, state, page, note_id)
    return _drawn(page, note_id, account="/user/profile/" in path)


def _drawn(page: CapturedPage, page_id: str, *, account: bool) -> PageFacts | None:
    """What a document shows that was saved without its scripts, by the names of its elements."""
    if page.html is None:
        return None
    root = tree_of(page.html)
    name = _first(root, "user-name" if account else "username")
    if not name:
        return None
    who = [
        str(told).partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
        for told in root.xpath("//a[contains(@href, '/user/profile/')]/@href")
    ]
    user_id = page_id if account else next(iter(who), None)
    counts = counted(
        likes=_first(root, "like-wrapper"),
        saves=_first(root, "collect-wrapper"),
        comments=_first(root, "chat-wrapper"),
    )
    own = root.xpath(
        "//*[contains(@class, 'note-slider') or contains(@class, 'swiper-slide') or contains(@class, 'media-container')]//img/@src"
    )
    return PageFacts(
        kind=PageKind.ACCOUNT if account else PageKind.POST, platform=PLATFORM,
        title=name if account else " ".join(" ".join(one.itertext()) for one in root.xpath("//*[@id='detail-title']"))[:500],
        text=_first(root, "user-desc") or " ".join(" ".join(one.itertext()) for one in root.xpath("//*[@id='detail-desc']")),
        account_name=name, account_id=user_id, account_url=f"https://www.xiaohongshu.com/user/profile/{user_id}" if user_id else None,
        item_id=None if account else page_id, counts={} if account else counts, images=tuple(dict.fromkeys(str(one) for one in own)),
        extractor=f"xiaohongshu {'account' if account else 'note'} as drawn",
    )  # fmt: skip


def _first(root: Any, word: str) -> str | None:
    for element in root.xpath(
        "//*[contains(concat(' ', @class, ' '), concat(' ', $word, ' '))]", word=word
    ):
        told = " ".join(element.text_content().split())
        if told:
            return str(told)[:2_000]
    return None


def _state_of(page: CapturedPage) -> Any:
    if page.html is None or _STATE not in page.html:
        return None
    for script in tree_of(page.html).xpath("//script/text()"):
        text = str(script).strip()
        if text.startswith(_STATE):
            told = _UNDEFINED.sub("null", text.partition("=")[2].strip().rstrip(";"))
            try:
                return json.loads(told)
            except (ValueError, RecursionError):
                return None
    return None


def _note(note: dict[str, Any], note_id: str) -> PageFacts:
    user, counts = note.get("user"), note.get("interactInfo")
    user_id = text_of(dig(user, "userId"))
    images = [
        text_of(dig(one, "urlDefault"))
        or text_of(dig(one, "url"))
        or text_of(dig(one, "infoList", -1, "url"))
        for one in note.get("imageList") or ()
    ]
    tags = [text_of(dig(one, "name")) for one in note.get("tagList") or ()]
    text = "\n".join(
        [text_of(note.get("desc"), 100_000) or "", " ".join(f"#{tag}" for tag in tags if tag)]
    ).strip()
    return PageFacts(
        kind=PageKind.POST, platform=PLATFORM, title=text_of(note.get("title"), 500) or text[:80], text=text,
        account_name=text_of(dig(user, "nickname")), account_id=user_id,
        account_url=f"https://www.xiaohongshu.com/user/profile/{user_id}" if user_id else None,
        item_id=text_of(note.get("noteId")) or note_id,
        counts=counted(
            likes=dig(counts, "likedCount"), saves=dig(counts, "collectedCount"), comments=dig(counts, "commentCount"),
        ),
        published_at=moment_of(note.get("time")), images=tuple(one for one in images if one), extractor="xiaohongshu note",
    )  # fmt: skip


def _account(user: dict[str, Any], state: Any, page: CapturedPage, user_id: str) -> PageFacts:
    basic = user["basicInfo"]
    told = {dig(one, "type"): dig(one, "count") for one in user.get("interactions") or ()}
    notes = dig(state, "user", "notes", "_rawValue") or dig(state, "user", "notes") or ()
    covers = [
        text_of(dig(one, "noteCard", "cover", "urlDefault"))
        for group in notes
        if isinstance(group, list)
        for one in group
    ]
    return PageFacts(
        kind=PageKind.ACCOUNT, platform=PLATFORM, title=str(basic["nickname"])[:500], text=text_of(basic.get("desc"), 20_000) or "",
        account_name=text_of(basic["nickname"]), account_id=user_id, account_url=page.url,
        counts=counted(followers=told.get("fans"), likes=told.get("interaction")),
        images=tuple(one for one in [text_of(basic.get("images")) or text_of(basic.get("imageb")), *covers] if one),
        extractor="xiaohongshu account",
    )  # fmt: skip
