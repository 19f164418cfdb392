"""Extractor for pages of Xianyu (闲鱼, goofish.com): offers and sellers' pages.

The site's pages are empty shells. Their content comes as JSON from the mtop interface, which WARC,
WACZ and HAR captures hold. Pages saved as a document hold the rendered elements, from which the
same fields are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from crawlers.captures.pages.facts import (
    PageFacts,
    PageKind,
    counted,
    dig,
    moment_of,
    price_of,
    text_of,
)
from crawlers.captures.pages.html import tree_of
from crawlers.captures.pages.page import CapturedPage

PLATFORM = "xianyu"
_JSONP = re.compile(r"^\s*[\w.$]+\(\s*(.*)\)\s*;?\s*$", re.DOTALL)
# Bounded repetitions, so that a page of digits does not take minutes.
_NUMBER = r"(\d[\d.,]{0,15}\s{0,3}万?)"
_PRICE = re.compile(rf"[¥￥]\s{{0,3}}{_NUMBER}")
_WANT = re.compile(rf"{_NUMBER}\s{{0,3}}人?想要")
_VIEWS = re.compile(rf"{_NUMBER}\s{{0,3}}次?浏览")
_SOLD = re.compile(rf"卖出\s{{0,3}}{_NUMBER}\s{{0,3}}件")


def xianyu_facts(page: CapturedPage) -> PageFacts | None:
    """Facts of an offer or an account; None if the page has no known structure."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(page.url or "").query).items()}
    answers = list(_answers(page))
    wanted = query.get("id")
    for data in answers:
        found = _offer(data)
        if found is not None and wanted in (None, found.item_id):
            return found
    for data in answers:
        account = _account(data, page, query.get("userId"))
        if account is not None:
            return account
    return _drawn(page, wanted, query.get("userId"))


def _answers(page: CapturedPage) -> Iterator[Any]:
    for url, text in page.answers:
        if "mtop." not in url:
            continue
        wrapped = _JSONP.match(text)
        try:
            yield json.loads(wrapped[1] if wrapped else text).get("data")
        except (ValueError, AttributeError, RecursionError):
            continue


def _offer(data: Any) -> PageFacts | None:
    item, seller = dig(data, "itemDO"), dig(data, "sellerDO")
    if not isinstance(item, dict) or not (item.get("title") or item.get("desc")):
        return None
    images = [text_of(dig(image, "url")) for image in dig(item, "imageInfos") or ()]
    seller_id = text_of(dig(seller, "sellerId"))
    title = text_of(item.get("title"), 500) or (text_of(item.get("desc")) or "")[:80]
    seller_page = f"https://www.goofish.com/personal?userId={seller_id}" if seller_id else None
    return PageFacts(
        kind=PageKind.OFFER,
        platform=PLATFORM,
        title=title,
        text=text_of(item.get("desc"), 200_000) or "",
        account_name=text_of(dig(seller, "nick")),
        account_id=seller_id,
        account_url=seller_page,
        item_id=text_of(item.get("itemId")),
        price=price_of(item.get("soldPrice") or item.get("defaultPrice")),
        currency="CNY",
        counts=counted(
            wanted=item.get("wantCnt"),
            views=item.get("browseCnt"),
            saves=item.get("collectCnt"),
            sold=dig(seller, "hasSoldNumInteger"),
        ),
        published_at=moment_of(item.get("gmtCreate")),
        images=tuple(_with_scheme(url) for url in images if url),
        extractor="xianyu offer",
    )


def _account(data: Any, page: CapturedPage, user_id: str | None) -> PageFacts | None:
    base, module = dig(data, "module", "base"), dig(data, "module", "social")
    name = text_of(dig(base, "displayName"))
    if name is None:
        return None
    avatar = text_of(dig(base, "avatar", "avatar"))
    return PageFacts(
        kind=PageKind.ACCOUNT,
        platform=PLATFORM,
        title=name,
        text=text_of(dig(base, "introduction"), 20_000) or "",
        account_name=name,
        account_id=user_id or text_of(dig(data, "baseInfo", "kcUserId")),
        account_url=page.url,
        counts=counted(
            followers=dig(module, "followers"), sold=dig(data, "module", "shop", "salesCount")
        ),
        images=(_with_scheme(avatar),) if avatar else (),
        extractor="xianyu account",
    )


def _drawn(page: CapturedPage, item_id: str | None, user_id: str | None) -> PageFacts | None:
    """Facts from the rendered elements, whose class names are a stable word and a hash."""
    if page.html is None or (item_id is None and user_id is None):
        return None
    root = tree_of(page.html)
    if item_id is None:
        name = _first(root, "nickName", "nick-name", "name--")
        if not name:
            return None
        return PageFacts(
            kind=PageKind.ACCOUNT,
            platform=PLATFORM,
            title=name,
            text=_first(root, "introduction") or "",
            account_name=name,
            account_id=user_id,
            account_url=page.url,
            counts=counted(sold=_found(_SOLD, page.text)),
            extractor="xianyu account as drawn",
        )
    text = _first(root, "item-main-info", "desc--") or ""
    price = _PRICE.search(page.text)
    if not text and price is None:
        return None
    return PageFacts(
        kind=PageKind.OFFER,
        platform=PLATFORM,
        title=page.title.removesuffix("_闲鱼"),
        text=text,
        item_id=item_id,
        account_name=_first(root, "item-user-info-nick", "nick--"),
        price=price_of(price[1]) if price else None,
        currency="CNY",
        counts=counted(
            wanted=_found(_WANT, page.text),
            views=_found(_VIEWS, page.text),
            sold=_found(_SOLD, page.text),
        ),
        extractor="xianyu offer as drawn",
    )


def _first(root: Any, *words: str) -> str | None:
    for word in words:
        for element in root.xpath("//*[contains(@class, $word)]", word=word):
            text = " ".join(element.text_content().split())
            if text:
                return str(text)
    return None


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _with_scheme(url: str) -> str:
    return f"https:{url}" if url.startswith("//") else url
