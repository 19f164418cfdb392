"""Offers that sell a likeness model or its training, as listings that hashes and links tie."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from crawlers.captures.capture_rows import CaptureRow
from crawlers.captures.pages.facts import PageFacts, PageKind
from crawlers.captures.pages.page import CapturedPage
from crawlers.listing import Listing, RemoteFile
from crawlers.words import (
    NO_PERSON_WORDS,
    PERSON_WORDS,
    REAL_PERSON_WORDS,
    named_in,
    personal_name,
    plain,
)

# Words of the trade. A model for sale may be one of clothes, so a person must be named as well.
_MODELS = re.compile(
    r"\b(?:lora|locon|lycoris|checkpoint|embedding|sd ?模型|safetensors|flux|sdxl|pony)\b|"
    r"模型|炼丹|丹炉|底模|微调",
    re.IGNORECASE,
)
_TRAINING = re.compile(
    r"代\s*训练?|训练服务|定制\s*(?:lora|模型|数字人|人像)|代炼|"
    r"(?:custom|commission)\w*\s+(?:lora|model)|lora\s+(?:training|commission)|"
    r"train(?:ed|ing)? (?:a |your )?lora",
    re.IGNORECASE,
)
_FACE = re.compile(
    r"换脸|脸模|人脸|真人|明星|网红|数字人|写真|本人|照片|face\s?swap|deepfake|likeness|"
    r"celebrit|real person|your photos?|from \d+ photos",
    re.IGNORECASE,
)


def sells_likeness(facts: PageFacts) -> tuple[str, ...]:
    """Sentences why an offer sells likeness models or their training; empty if it does not."""
    text = plain(f"{facts.title}\n{facts.text}")[:20_000]
    training, model, face = (pattern.search(text) for pattern in (_TRAINING, _MODELS, _FACE))
    words = (facts.title, facts.text[:2_000])
    named = named_in(words, REAL_PERSON_WORDS)
    if not named and not named_in(words, NO_PERSON_WORDS):
        named = named_in(words, PERSON_WORDS)
    name = personal_name(facts.title)
    reasons = []
    if training:
        reasons.append(f"sells training ({training[0]})")
    if model and (face or named or name):
        person = face[0] if face else name[0] if name else named[0]
        reasons.append(f"sells a model ({model[0]}) of somebody ({person})")
    return tuple(reasons)


def listing_for_sale(page: CapturedPage, facts: PageFacts, capture: CaptureRow) -> Listing | None:
    """An offer as a listing of its platform; None if it sells no likeness."""
    if facts.kind != PageKind.OFFER or not sells_likeness(facts):
        return None
    known = [digest for digest in facts.hashes if len(digest) == 64]
    raw = {
        "capture": capture.capture_id,
        "facts": asdict(facts),
        "url": page.url,
        "why": list(sells_likeness(facts)),
    }
    is_training = _TRAINING.search(facts.text + facts.title)
    return Listing(
        hub=facts.platform or "captured",
        listing_id=facts.item_id or capture.capture_id[:24],
        title=facts.title,
        url=page.url or f"capture:{capture.capture_id}",
        creator=facts.account_name or facts.account_id,
        triggers=(),
        tags=("for sale", *(("training service",) if is_training else ())),
        base_model=None,
        published_at=facts.published_at,
        downloads=(facts.counts or {}).get("sold"),
        real_person_flag=False,
        minor_flag=False,
        # The offer names the file by its hash, but no address.
        files=tuple(
            RemoteFile(f"{digest[:12]} (named in the offer)", "", None, digest) for digest in known
        ),
        raw=json.dumps(raw, ensure_ascii=False, sort_keys=True),
    )
