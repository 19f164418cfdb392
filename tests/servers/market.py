"""Sites like a marketplace, a social network and a shop, with their host names, on loopback."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image, ImageDraw

from tests.servers.serving import Answer, serve_answers

ITEM, SELLER, NOTE, USER = (
    "900123456789",
    "2200112233",
    "66fad51c000000001b0224b8",
    "5c315a550000000006031475",
)
HASH = "ab12cd34ef"
OFFER = {
    "api": "mtop.taobao.idle.pc.detail",
    "ret": ["SUCCESS::调用成功"],
    "data": {
        "itemDO": {
            "itemId": int(ITEM),
            "title": "某明星 LoRA 模型 代训练",
            "desc": (
                f"SD1.5 真人 LoRA，9.9 秒发\nhttps://civitai.com/models/4711 AutoV2 {HASH.upper()}"
            ),
            "soldPrice": "9.90",
            "wantCnt": 321,
            "browseCnt": "1.2万",
            "collectCnt": 45,
            "gmtCreate": 1760000000000,
            "imageInfos": [
                {"url": "//img.alicdn.com/bao/one.png"},
                {"url": "http://img.alicdn.com/bao/two.png"},
            ],
        },
        "sellerDO": {"sellerId": int(SELLER), "nick": "小王AI工作室", "hasSoldNumInteger": 88},
    },
}
SHELL = """<!doctype html><html><head><meta charset="utf-8"><title>闲鱼</title></head><body>
<div id="root"></div>
<script>fetch('/h5/mtop.taobao.idle.pc.detail/1.0/?jsv=2.7.2').then(r => r.text()).then(t => {
  const item = JSON.parse(t.slice(t.indexOf('(') + 1, -1)).data;
  document.title = item.itemDO.title + '_闲鱼';
  const root = document.querySelector('#root');
  root.innerHTML = '<div class="item-user-info-nick--rtpDhkmQ"></div>' +
    '<div class="price--OEWLbcxC">¥' + item.itemDO.soldPrice + '</div>' +
    '<div>' + item.itemDO.wantCnt + '人想要 1.2万浏览</div>' +
    '<div class="item-main-info--Kl2">' + item.itemDO.desc + '</div>';
  root.firstChild.textContent = item.sellerDO.nick;
  for (const one of item.itemDO.imageInfos) {
    const image = new Image();
    image.src = one.url.replace(/^https?:/, '');
    root.append(image);
  }
});</script></body></html>"""
STATE = {
    "note": {
        "noteDetailMap": {
            NOTE: {
                "note": {
                    "noteId": NOTE,
                    "title": "今日穿搭",
                    "desc": "新图来啦[话题]#",
                    "time": 1761000000000,
                    "type": "normal",
                    "user": {
                        "userId": USER,
                        "nickname": "小红薯一号",
                        "avatar": "http://sns-webpic.xhscdn.com/avatar.png",
                    },
                    "interactInfo": {
                        "likedCount": "1.3万",
                        "collectedCount": "402",
                        "commentCount": "77",
                        "shareCount": "5",
                    },
                    "imageList": [
                        {
                            "urlDefault": "http://sns-webpic.xhscdn.com/three.png",
                            "width": 96,
                            "height": 96,
                        }
                    ],
                    "tagList": [{"id": "1", "name": "AI写真", "type": "topic"}],
                }
            }
        }
    },
    "user": {
        "userPageData": {
            "basicInfo": {
                "nickname": "小红薯一号",
                "redId": "4711",
                "desc": "每天一图",
                "images": "http://sns-webpic.xhscdn.com/avatar.png",
            },
            "interactions": [
                {"type": "follows", "count": "12"},
                {"type": "fans", "count": "3.4万"},
                {"type": "interaction", "count": "9万"},
            ],
        },
        "notes": [
            [
                {
                    "id": NOTE,
                    "noteCard": {
                        "displayTitle": "今日穿搭",
                        "cover": {"urlDefault": "http://sns-webpic.xhscdn.com/three.png"},
                    },
                }
            ]
        ],
    },
}
SHOP = {
    "@context": "https://schema.org",
    "@type": "Product",
    "name": "Celebrity LoRA",
    "sku": "77",
    "description": "Trained from 40 photos.",
    "image": ["http://shop.example/four.png"],
    "offers": {
        "@type": "Offer",
        "price": "12.50",
        "priceCurrency": "EUR",
        "seller": {
            "@type": "Organization",
            "name": "Face Shop",
            "url": "http://shop.example/seller",
        },
    },
    "interactionStatistic": {
        "@type": "InteractionCounter",
        "interactionType": "https://schema.org/LikeAction",
        "userInteractionCount": 31,
    },
}


def picture(word: str, side: int = 96) -> bytes:
    """A PNG with a word on it."""
    drawn = Image.new("RGB", (side, side), "#8ac")
    ImageDraw.Draw(drawn).text((8, side // 2), word, fill="black")
    data = io.BytesIO()
    drawn.save(data, "PNG")
    return data.getvalue()


def _page(path: str) -> str | None:
    url = urlsplit(path)
    if url.path == "/item" and parse_qs(url.query).get("id") == [ITEM]:
        return SHELL
    images = "".join(
        f'<img src="{one["urlDefault"]}" alt="note">'
        for one in STATE["note"]["noteDetailMap"][NOTE]["note"]["imageList"]
    )  # type: ignore[index]
    if url.path in (f"/explore/{NOTE}", f"/user/profile/{USER}"):
        state = json.dumps(STATE, ensure_ascii=False).replace('"width": 96', '"width": undefined')
        return (
            "<!doctype html><html><head><meta charset=utf-8><title>今日穿搭 - "
            f"小红书</title></head><body>{images}<p>新图来啦</p><script>"
            f"window.__INITIAL_STATE__={state}</script></body></html>"
        )
    if url.path == "/shop":
        return (
            '<!doctype html><html lang="en"><head><title>Shop</title><link '
            'rel="stylesheet" href="/style.css"><script '
            f'type="application/ld+json">{json.dumps(SHOP)}</script></head>'
            "<body><h1>Celebrity LoRA</h1><p>Trained from 40 photos.</p><img "
            'src="/four.png" srcset="/four.png 1x, /large.png 2x" alt="sample">'
            '<div style="background-image:url(/five.png)"></div><iframe '
            'src="/frame"></iframe><a href="https://civitai.com/models/12">model</a></'
            "body></html>"
        )
    if url.path == "/frame":
        return (
            "<!doctype html><title>frame</title><p>Inside the frame</p><img "
            'src="/six.png"><iframe src="/shop"></iframe>'
        )
    return None


@contextmanager
def serve_market() -> Iterator[str]:
    """Serve the sites on one port; a browser reaches them by host names that are mapped to it."""

    def answer(path: str, _headers: dict[str, str], _body: bytes) -> Answer:
        html = _page(path)
        if html is not None:
            return 200, {"Content-Type": "text/html; charset=utf-8"}, html.encode()
        if path.startswith("/h5/mtop."):
            return (
                200,
                {"Content-Type": "application/json"},
                f" mtopjsonp1({json.dumps(OFFER, ensure_ascii=False)})".encode(),
            )
        if path.endswith(".png"):
            return 200, {"Content-Type": "image/png"}, picture(path.rsplit("/", 1)[-1])
        if path == "/style.css":
            return 200, {"Content-Type": "text/css"}, b"body{color:#123}"
        return 404, {"Content-Type": "text/plain"}, b"none"

    with serve_answers(answer) as url:
        yield url


__all__: list[Any] = [
    "HASH",
    "ITEM",
    "NOTE",
    "OFFER",
    "SELLER",
    "SHOP",
    "STATE",
    "USER",
    "picture",
    "serve_market",
]
