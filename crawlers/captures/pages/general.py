"""Any page: what it says of itself in JSON-LD (schema.org), Open Graph and the tree's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from crawlers.captures.pages.addresses import is_web
from crawlers.captures.pages.facts import (
    PageFacts,
    PageKind,
    counted,
    dig,
    moment_of,
    number_of,
    price_of,
    text_of,
)
from crawlers.captures.pages.html import tree_of
from crawlers.captures.pages.page import CapturedPage

_KINDS = {
    "Product": PageKind.OFFER, "Offer": PageKind.OFFER, "Service": PageKind.OFFER, "SocialMediaPosting": PageKind.POST,
    "BlogPosting": PageKind.POST, "Article": PageKind.POST, "NewsArticle": PageKind.POST, "DiscussionForumPosting": PageKind.POST,
    "ImageObject": PageKind.POST, "VideoObject": PageKind.POST, "ProfilePage": PageKind.ACCOUNT, "Person": PageKind.ACCOUNT,
}  # fmt: skip
_OPEN_GRAPH = {
    "product": PageKind.OFFER,
    "og:product": PageKind.OFFER,
    "article": PageKind.POST,
    "profile": PageKind.ACCOUNT,
}
_ACTIONS = {
    "LikeAction": "likes", "CommentAction": "comments", "FollowAction": "followers", "BookmarkAction": "saves", "ViewAction": "views",
    "WatchAction": "views", "WriteAction": "posts",
}  # fmt: skip
_DEEPEST = 6


def general_facts(page: CapturedPage) -> PageFacts:
    """Facts of a page of any site."""
    host = (urlsplit(page.url).hostname or "") if page.url else ""
    if page.html is None:
        return PageFacts(
            platform=host,
            title=page.title,
            text=page.text,
            extractor="print" if page.text else "picture",
        )
    root = tree_of(page.html)
    graph = {
        str(one.get("property") or one.get("name")).lower(): str(one.get("content"))
        for one in reversed(root.xpath("//meta[@content][@property or @name]"))
    }
    things = list(_things(root))
    thing = next((one for kind in _KINDS for one in things if kind in _types(one)), {})
    kind = next(
        (_KINDS[one] for one in _types(thing) if one in _KINDS),
        _OPEN_GRAPH.get(graph.get("og:type", ""), PageKind.PAGE),
    )
    account = _account(thing, kind)
    offer = _first_of(thing.get("offers")) or (thing if "Offer" in _types(thing) else {})
    images = [*_images(thing), graph.get("og:image")]
    name = thing.get("headline") or thing.get("name")
    author, author_url = _author_link(root)
    return PageFacts(
        kind=kind, platform=host.removeprefix("www."), title=text_of(name, 500) or graph.get("og:title") or page.title,
        text=text_of(thing.get("articleBody") or thing.get("description"), 200_000) or page.text,
        account_name=text_of(account.get("name")) or graph.get("author") or text_of(graph.get("profile:username")) or author,
        account_id=text_of(account.get("identifier") or account.get("alternateName")), account_url=_url(account.get("url") or author_url, page),
        item_id=text_of(thing.get("sku") or thing.get("productID")),
        price=price_of(offer.get("price") or offer.get("lowPrice") or graph.get("product:price:amount") or graph.get("og:price:amount")),
        currency=text_of(offer.get("priceCurrency"), 8) or graph.get("product:price:currency") or graph.get("og:price:currency"),
        counts=_counts(thing), published_at=moment_of(thing.get("datePublished") or graph.get("article:published_time") or _time(root)),
        links=tuple(_links(root, page))[:500], images=tuple(url for one in images if one and (url := _url(one, page))), extractor="general",
    )  # fmt: skip


def _author_link(root: Any) -> tuple[str | None, str | None]:
    """Name and address of who wrote a page, where a link says so (HTML's rel=author)."""
    for link in root.xpath("//a[contains(concat(' ', normalize-space(@rel), ' '), ' author ')]"):
        return text_of(" ".join(link.itertext()).strip()), link.get("href")
    return None, None


def _time(root: Any) -> str | None:
    """When a page's one article was published, as its <time> says; a list of articles has none of its own."""
    found = root.xpath("//article//time/@datetime")
    return str(found[0]) if found and len(root.xpath("//article")) == 1 else None


def _things(root: Any) -> Iterator[dict[str, Any]]:
    for script in root.xpath("//script[@type='application/ld+json']/text()"):
        try:
            yield from _inside(json.loads(str(script)), 0)
        except (ValueError, RecursionError):
            continue


def _inside(told: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(told, list):
        for one in told:
            yield from _inside(one, depth + 1)
    elif isinstance(told, dict):
        if "@type" in told:
            yield told
        for name in ("@graph", "mainEntity", "itemListElement", "item"):
            yield from _inside(told.get(name), depth + 1)


def _types(thing: dict[str, Any]) -> list[str]:
    told = thing.get("@type")
    return [str(one) for one in (told if isinstance(told, list) else [told]) if one]


def _account(thing: dict[str, Any], kind: PageKind) -> dict[str, Any]:
    if kind == PageKind.ACCOUNT:
        return _first_of(thing.get("mainEntity")) or thing
    for name in ("author", "seller", "brand", "creator", "provider"):
        found = _first_of(thing.get(name)) or _first_of(dig(_first_of(thing.get("offers")), name))
        if found:
            return found
    return {}


def _first_of(told: Any) -> dict[str, Any]:
    one = told[0] if isinstance(told, list) and told else told
    return one if isinstance(one, dict) else {"name": one} if isinstance(one, str) else {}


def _images(thing: dict[str, Any]) -> Iterator[str]:
    told = thing.get("image")
    for one in told if isinstance(told, list) else [told]:
        found = text_of(one) or text_of(dig(one, "url")) or text_of(dig(one, "contentUrl"))
        if found:
            yield found


def _counts(thing: dict[str, Any]) -> dict[str, int]:
    told = (
        thing.get("interactionStatistic") or dig(thing, "mainEntity", "interactionStatistic") or ()
    )
    found: dict[str, int] = counted(comments=thing.get("commentCount"))
    for one in told if isinstance(told, list) else [told]:
        action = dig(one, "interactionType")
        name = str(dig(action, "@type") or action or "").rsplit("/", 1)[-1]
        number = number_of(dig(one, "userInteractionCount"))
        if name in _ACTIONS and number is not None:
            found[_ACTIONS[name]] = number
    return found


def _links(root: Any, page: CapturedPage) -> Iterator[str]:
    seen: set[str] = set()
    for told in root.xpath("//a/@href"):
        url = _url(str(told), page)
        if url and url not in seen:
            seen.add(url)
            yield url


def _url(told: Any, page: CapturedPage) -> str | None:
    if not isinstance(told, str):
        return None
    try:
        url = urljoin(page.url or "", told.strip())
    except ValueError:
        return None
    return url[:2_000] if is_web(url) else None
