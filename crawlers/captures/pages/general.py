"""Extractor for any page: JSON-LD (schema.org), Open Graph and elements of HTML.

The library extruct is not used: one malformed script makes it drop all JSON-LD of a page, and a
hostile page of 44 kB keeps its microdata reader busy for minutes.
"""

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
    "Product": PageKind.OFFER,
    "Offer": PageKind.OFFER,
    "Service": PageKind.OFFER,
    "SocialMediaPosting": PageKind.POST,
    "BlogPosting": PageKind.POST,
    "Article": PageKind.POST,
    "NewsArticle": PageKind.POST,
    "DiscussionForumPosting": PageKind.POST,
    "ImageObject": PageKind.POST,
    "VideoObject": PageKind.POST,
    "ProfilePage": PageKind.ACCOUNT,
    "Person": PageKind.ACCOUNT,
}
_OPEN_GRAPH = {
    "product": PageKind.OFFER,
    "og:product": PageKind.OFFER,
    "article": PageKind.POST,
    "profile": PageKind.ACCOUNT,
}
_ACTIONS = {
    "LikeAction": "likes",
    "CommentAction": "comments",
    "FollowAction": "followers",
    "BookmarkAction": "saves",
    "ViewAction": "views",
    "WatchAction": "views",
    "WriteAction": "posts",
}
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
        str(meta.get("property") or meta.get("name")).lower(): str(meta.get("content"))
        for meta in reversed(root.xpath("//meta[@content][@property or @name]"))
    }
    things = list(_things(root))
    thing = next((found for kind in _KINDS for found in things if kind in _types(found)), {})
    kind = next(
        (_KINDS[name] for name in _types(thing) if name in _KINDS),
        _OPEN_GRAPH.get(graph.get("og:type", ""), PageKind.PAGE),
    )
    account = _account(thing, kind)
    images = [*_images(thing), graph.get("og:image")]
    name = thing.get("headline") or thing.get("name")
    author, author_url = _author_link(root)
    price, currency = _price(thing, graph)
    published = thing.get("datePublished") or graph.get("article:published_time") or _time(root)
    return PageFacts(
        kind=kind,
        platform=host.removeprefix("www."),
        title=text_of(name, 500) or graph.get("og:title") or page.title,
        text=text_of(thing.get("articleBody") or thing.get("description"), 200_000) or page.text,
        account_name=text_of(account.get("name"))
        or graph.get("author")
        or text_of(graph.get("profile:username"))
        or author,
        account_id=text_of(account.get("identifier") or account.get("alternateName")),
        account_url=_url(account.get("url") or author_url, page),
        item_id=text_of(thing.get("sku") or thing.get("productID")),
        price=price,
        currency=currency,
        counts=_counts(thing),
        published_at=moment_of(published),
        links=tuple(_links(root, page))[:500],
        images=tuple(url for image in images if image and (url := _url(image, page))),
        extractor="general",
    )


def _price(thing: dict[str, Any], graph: dict[str, str]) -> tuple[float | None, str | None]:
    """Price and currency from JSON-LD, else from Open Graph."""
    offer = _first_of(thing.get("offers")) or (thing if "Offer" in _types(thing) else {})
    amount = offer.get("price") or offer.get("lowPrice")
    amount = amount or graph.get("product:price:amount") or graph.get("og:price:amount")
    currency = text_of(offer.get("priceCurrency"), 8)
    in_graph = graph.get("product:price:currency") or graph.get("og:price:currency")
    return price_of(amount), currency or in_graph


def _author_link(root: Any) -> tuple[str | None, str | None]:
    """Name and address of a page's author, from a link with rel=author."""
    for link in root.xpath("//a[contains(concat(' ', normalize-space(@rel), ' '), ' author ')]"):
        return text_of(" ".join(link.itertext()).strip()), link.get("href")
    return None, None


def _time(root: Any) -> str | None:
    """The time of publication in <time>, if the page has exactly one article."""
    found = root.xpath("//article//time/@datetime")
    return str(found[0]) if found and len(root.xpath("//article")) == 1 else None


def _things(root: Any) -> Iterator[dict[str, Any]]:
    for script in root.xpath("//script[@type='application/ld+json']/text()"):
        try:
            # Not strict: generated pages have line breaks within their strings.
            yield from _inside(json.loads(str(script), strict=False), 0)
        except (ValueError, RecursionError):
            continue


def _inside(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _inside(item, depth + 1)
    elif isinstance(value, dict):
        if "@type" in value:
            yield value
        for name in ("@graph", "mainEntity", "itemListElement", "item"):
            yield from _inside(value.get(name), depth + 1)


def _types(thing: dict[str, Any]) -> list[str]:
    types = thing.get("@type")
    return [str(name) for name in (types if isinstance(types, list) else [types]) if name]


def _account(thing: dict[str, Any], kind: PageKind) -> dict[str, Any]:
    if kind == PageKind.ACCOUNT:
        return _first_of(thing.get("mainEntity")) or thing
    for name in ("author", "seller", "brand", "creator", "provider"):
        found = _first_of(thing.get(name)) or _first_of(dig(_first_of(thing.get("offers")), name))
        if found:
            return found
    return {}


def _first_of(value: Any) -> dict[str, Any]:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, dict) else {"name": first} if isinstance(first, str) else {}


def _images(thing: dict[str, Any]) -> Iterator[str]:
    images = thing.get("image")
    for image in images if isinstance(images, list) else [images]:
        found = text_of(image) or text_of(dig(image, "url")) or text_of(dig(image, "contentUrl"))
        if found:
            yield found


def _counts(thing: dict[str, Any]) -> dict[str, int]:
    statistics = (
        thing.get("interactionStatistic") or dig(thing, "mainEntity", "interactionStatistic") or ()
    )
    found: dict[str, int] = counted(comments=thing.get("commentCount"))
    for entry in statistics if isinstance(statistics, list) else [statistics]:
        action = dig(entry, "interactionType")
        name = str(dig(action, "@type") or action or "").rsplit("/", 1)[-1]
        number = number_of(dig(entry, "userInteractionCount"))
        if name in _ACTIONS and number is not None:
            found[_ACTIONS[name]] = number
    return found


def _links(root: Any, page: CapturedPage) -> Iterator[str]:
    seen: set[str] = set()
    for href in root.xpath("//a/@href"):
        url = _url(str(href), page)
        if url and url not in seen:
            seen.add(url)
            yield url


def _url(href: Any, page: CapturedPage) -> str | None:
    if not isinstance(href, str):
        return None
    try:
        url = urljoin(page.url or "", href.strip())
    except ValueError:
        return None
    return url[:2_000] if is_web(url) else None
