"""Offers that sell a likeness model or the training of one: they become listings, tied to checkpoints by links and hashes."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from crawlers.captures.capture_store import CaptureRow
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

# What is sold, in words of the trade; a model alone may be one of clothes, so somebody must be named or meant as well.
_MODELS = re.compile(
    r"\b(?:lora|locon|lycoris|checkpoint|embedding|sd ?模型|safetensors|flux|sdxl|pony)\b|模型|炼丹|丹炉|底模|微调",
    re.IGNORECASE,
)
_TRAINING = re.compile(
    r"代\s*训练?|训练服务|定制\s*(?:lora|模型|数字人|人像)|代炼|(?:custom|commission)\w*\s+(?:lora|model)|lora\s+(?:training|commission)|train(?:ed|ing)? (?:a |your )?lora",
    re.IGNORECASE,
)
_FACE = re.compile(
    r"换脸|脸模|人脸|真人|明星|网红|数字人|写真|本人|照片|face\s?swap|deepfake|likeness|celebrit|real person|your photos?|from \d+ photos",
    re.IGNORECASE,
)


def sells_likeness(facts: PageFacts) -> tuple[str, ...]:
    """Why an offer is taken for one of likeness models, in words; empty if it is not."""
    text = plain(f"{facts.title}\n{facts.text}")[:20_000]
    training, model, face = (pattern.search(text) for pattern in (_TRAINING, _MODELS, _FACE))
    words = (facts.title, facts.text[:2_000])
    named = named_in(words, REAL_PERSON_WORDS)
    if not named and not named_in(words, NO_PERSON_WORDS):
        named = named_in(words, PERSON_WORDS)
    name = personal_name(facts.title)
    told = []
    if training:
        told.append(f"sells training ({training[0]})")
    if model and (face or named or name):
        told.append(
            f"sells a model ({model[0]}) of somebody ({face[0] if face else name[0] if name else named[0]})"
        )
    return tuple(told)


def listing_for_sale(page: CapturedPage, facts: PageFacts, capture: CaptureRow) -> Listing | None:
    """An offer as a listing of its platform; None if it sells nothing of the kind."""
    if facts.kind != PageKind.OFFER or not sells_likeness(facts):
        return None
    known = [digest for digest in facts.hashes if len(digest) == 64]
    raw = {
        "capture": capture.capture_id,
        "facts": asdict(facts),
        "url": page.url,
        "why": list(sells_likeness(facts)),
    }
    return Listing(
        hub=facts.platform or "captured", listing_id=facts.item_id or capture.capture_id[:24], title=facts.title, url=page.url or f"capture:{capture.capture_id}",
        creator=facts.account_name or facts.account_id, triggers=(), tags=("for sale", *(("training service",) if _TRAINING.search(facts.text + facts.title) else ())),
        base_model=None, published_at=facts.published_at, downloads=(facts.counts or {}).get("sold"), real_person_flag=False, minor_flag=False,
        # The offer names the file by its hash; where it lies nobody says.
        files=tuple(RemoteFile(f"{digest[:12]} (named in the offer)", "", None, digest) for digest in known),
        raw=json.dumps(raw, ensure_ascii=False, sort_keys=True),
    )  # fmt: skip
