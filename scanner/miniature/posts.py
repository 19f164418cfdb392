"""Write captured pages of the miniature world as WARC files in the form of two sites.

The pages are accounts that post pictures, and offers of goods.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from scanner.miniature.albums import FREE_SEEDS
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import World

POSTS_EACH = 10
OTHER_ACCOUNTS = 20
OFFERS = 100
_BEGAN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
_SAVED = _BEGAN + timedelta(days=POSTS_EACH)
_GOODS = (
    "自行车",
    "旧手机",
    "咖啡机",
    "羽毛球拍",
    "台灯",
    "书架",
    "相机包",
    "键盘",
    "行李箱",
    "吉他",
)


@dataclass(frozen=True, slots=True)
class MadePicture:
    """A picture that an adapter made, and the names that its generator writes into it."""

    png: bytes
    adapter: str
    adapter_hash: str


def write_posts(
    folder: Path, world: World, made: Mapping[int, Sequence[MadePicture]], most: int | None = None
) -> list[Path]:
    """Write a WARC file for each account, and one for a hundred offers.

    There are ten impostors of registered people and twenty other accounts.

    Args:
        made: pictures by the seed of the person whose adapter made them; impostors post them beside
            photos.
        most: maximum number of impostors and of other accounts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        _write(
            folder / f"impostor-{person.seed}.warc.gz",
            _account(f"imp{person.seed}", _of_one(person.seed, made.get(person.seed, ()))),
        )
        for person in world.registered[:most]
    ]
    for number in range(OTHER_ACCOUNTS)[:most]:
        # Most accounts post one stranger; every fourth posts a different one each time.
        seeds = (
            FREE_SEEDS[100 + 20 * number : 110 + 20 * number]
            if number % 4 == 3
            else [FREE_SEEDS[100 + 20 * number]] * POSTS_EACH
        )
        pictures = [_drawn(seed, post) for post, seed in enumerate(seeds)]
        paths.append(
            _write(folder / f"other-{number:02d}.warc.gz", _account(f"oth{number:02d}", pictures))
        )
    hashes = [picture.adapter_hash for pictures in made.values() for picture in pictures[:1]]
    return [*paths, _write(folder / "offers.warc.gz", _offers(hashes))]


def stamped(png: bytes, adapter: str, adapter_hash: str) -> bytes:
    """A picture with its generator's parameters, as AUTOMATIC1111's web UI writes them."""
    parameters = (
        f"portrait of a person <lora:{adapter}:1>\nNegative prompt: blurry\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64, "
        f'Model hash: 0011223344, Model: mini, Lora hashes: "{adapter}: {adapter_hash}", '
        "Version: v1.9.4"
    )
    info = PngInfo()
    info.add_text("parameters", parameters)
    picture = io.BytesIO()
    with Image.open(io.BytesIO(png)) as opened:
        opened.convert("RGB").save(picture, "PNG", pnginfo=info)
    return picture.getvalue()


def _of_one(seed: int, made: Sequence[MadePicture]) -> list[bytes]:
    """The pictures of an impostor; the last one repeats the first.

    Half of them were made with an adapter, if there is one.
    """
    own = [
        stamped(picture.png, picture.adapter, picture.adapter_hash)
        for picture in made[: POSTS_EACH // 2]
    ]
    pictures = own + [_drawn(seed, 500 + number) for number in range(POSTS_EACH - 1 - len(own))]
    return [*pictures, pictures[0]]


def _drawn(seed: int, number: int) -> bytes:
    picture = io.BytesIO()
    Image.fromarray(draw_photo(person_of(seed), number, 128).pixels).save(picture, "PNG")
    return picture.getvalue()


def _account(name: str, pictures: Sequence[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """The responses of an account's pages on Xiaohongshu: address, media type, body."""
    user = {"userId": f"{name:0>24}", "nickname": f"账号 {name}"}
    for number, picture in enumerate(pictures):
        note, image = f"{name}{number:0>18}", f"http://sns-webpic.xhscdn.com/{name}/{number}.png"
        at = _BEGAN + timedelta(days=number)
        state = {
            "note": {
                "noteDetailMap": {
                    note: {
                        "note": {
                            "noteId": note,
                            "title": f"日常 {number}",
                            "desc": "今天也要开心",
                            "time": int(at.timestamp() * 1000),
                            "user": user,
                            "interactInfo": {
                                "likedCount": str(10 + number),
                                "collectedCount": "3",
                                "commentCount": "1",
                            },
                            "imageList": [{"urlDefault": image}],
                            "tagList": [],
                        }
                    }
                }
            }
        }
        yield (
            f"http://www.xiaohongshu.com/explore/{note}",
            "text/html; charset=utf-8",
            _page(f"日常 {number}", [image], state),
        )
        yield image, "image/png", picture


def _offers(hashes: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
    """The responses of offers on Xianyu: address, media type, body.

    Every tenth offer sells a likeness model and names its file by hash.
    """
    shell = "<!doctype html><meta charset=utf-8><title>闲鱼</title><div id=root></div>".encode()
    for number in range(OFFERS):
        item, sells = 700_000_000 + number, number % 10 == 0
        title = (
            f"明星真人 LoRA 模型 {number} 代训练"
            if sells
            else f"二手{_GOODS[number % len(_GOODS)]}"
        )
        known = f" 文件哈希 {hashes[number // 10 % len(hashes)]}" if sells and hashes else ""
        answer = {
            "data": {
                "itemDO": {
                    "itemId": item,
                    "title": title,
                    "desc": f"{title}，秒发货{known}",
                    "soldPrice": "9.90" if sells else "88",
                    "wantCnt": number,
                    "browseCnt": 10 * number,
                    "imageInfos": [],
                },
                "sellerDO": {"sellerId": 5_000_000 + number % 30, "nick": f"卖家{number % 30}"},
            }
        }
        yield f"https://www.goofish.com/item?id={item}", "text/html; charset=utf-8", shell
        place = f"https://h5api.m.goofish.com/h5/mtop.taobao.idle.pc.detail/1.0/?itemId={item}"
        yield place, "application/json", json.dumps(answer, ensure_ascii=False).encode()


def _page(title: str, images: Sequence[str], state: dict[str, Any]) -> bytes:
    shown = "".join(f'<img src="{image}">' for image in images)
    script = f"<script>window.__INITIAL_STATE__={json.dumps(state, ensure_ascii=False)}</script>"
    head = f"<head><meta charset=utf-8><title>{title}</title></head>"
    return f"<!doctype html><html>{head}<body>{shown}{script}</body></html>".encode()


def _write(path: Path, answers: Iterator[tuple[str, str, bytes]]) -> Path:
    with path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for number, (url, kind, body) in enumerate(answers):
            headers = StatusAndHeaders("200 OK", [("Content-Type", kind)], protocol="HTTP/1.1")
            at = f"{_SAVED + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}"
            writer.write_record(
                writer.create_warc_record(
                    url,
                    "response",
                    payload=io.BytesIO(body),
                    http_headers=headers,
                    warc_headers_dict={"WARC-Date": at},
                )
            )
    return path
