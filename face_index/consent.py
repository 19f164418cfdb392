"""Consent receipts and licences: what a person agreed to, what they allow, and until when."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from face_index.errors import ConsentMissing

CONSENT_TEXT_VERSION = "2026-11c"
CONSENT_TEXT = {
    "en": (
        "I agree for myself and am at least 18 years old, or I agree as guardian or agent of the "
        "person named here. portrait-scanner computes a face template from the photos that are "
        "given, keeps photos and template encrypted, and compares the template with faces in "
        "images that public image models generate, and in saved pages of offers and posts, to "
        "find models trained to reproduce this person's likeness. The template is also compared "
        "with those of other registered people, only to measure how often the comparison errs. "
        "Nobody can look for this person with a photo. The data is not sold. This consent can be "
        "withdrawn at any time, as easily as it is given; photos and template are then erased at "
        "once, and otherwise on the last day of this consent."
    ),
    "zh-CN": (
        "本人已满十八周岁并为自己作出同意，或作为所列人员的监护人或代理人作出同意。"
        "portrait-scanner 根据所提供的照片计算人脸模板，将照片与模板加密保存，"
        "并将该模板与公开图像模型所生成图像中的人脸，以及已保存的商品页面和帖子页面中的人脸"
        "进行比对，以发现被训练用于复制此人肖像的模型；该模板亦与其他已登记者的模板进行比对，"
        "仅用于测算比对的误差。任何人都不能用照片来查找此人。数据不会被出售。"
        "可随时撤回同意，撤回与同意同样简便；撤回后照片与模板立即删除，"
        "否则于本同意的最后一日删除。"
    ),
}
PURPOSE = "finding image models trained to reproduce this person's likeness"
ADULT_YEARS = 18


class Terms(StrEnum):
    """What an identity allows others to do with their likeness in a model."""

    PROHIBITED = "prohibited"
    PERMITTED_WITH_TERMS = "permitted-with-terms"
    PERMITTED = "permitted"


class Signatory(StrEnum):
    """Who signed the consent."""

    SELF = "self"
    GUARDIAN = "guardian"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent receipt.

    Attributes:
        signed_by: The person, or a guardian or agent on their behalf.
        signed_on: Date of the signature.
        expires_on: The last day on which the identity may be searched; the data is erased after
            it.
        document_sha256: Of the signed document, None if the person agreed on screen.
        text_version: The version of CONSENT_TEXT that was shown.
        terms: What others may do.
        signatory: The role in which `signed_by` signed.
        purpose: What the data may be used for, in words.
        scope: What is searched.
        territories: Countries for which the identity may be searched, ISO 3166-1 or "worldwide".
    """

    signed_by: str
    signed_on: date
    expires_on: date
    document_sha256: str | None
    text_version: str
    terms: Terms
    signatory: Signatory = Signatory.SELF
    purpose: str = PURPOSE
    scope: tuple[str, ...] = ("generated images of public models", "captured listings")
    territories: tuple[str, ...] = ("worldwide",)

    def covers(self, day: date) -> bool:
        return self.signed_on <= day <= self.expires_on

    def expires_within(self, days: int, day: date) -> bool:
        """Whether the consent ends in at most `days`, or has ended: time to remind the person."""
        return self.expires_on <= day + timedelta(days=days)

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str, ensure_ascii=False)


def consent_from_json(text: str) -> Consent:
    """Return the consent that `Consent.to_json` wrote."""
    record: dict[str, Any] = json.loads(text)
    dates = {name: date.fromisoformat(record[name]) for name in ("signed_on", "expires_on")}
    lists = {name: tuple(record[name]) for name in ("scope", "territories")}
    names = {"terms": Terms(record["terms"]), "signatory": Signatory(record["signatory"])}
    return Consent(**{**record, **dates, **lists, **names})


def is_minor(born_on: date | None, day: date) -> bool:
    """Whether someone born on that day is under 18; False if no birth date was given."""
    if born_on is None:
        return False
    return (day.year - born_on.year, day.month, day.day) < (ADULT_YEARS, born_on.month, born_on.day)


def check_consent(consent: Consent, born_on: date | None, day: date) -> None:
    """Raise ConsentMissing unless this consent allows to register the person on that day."""
    if not consent.covers(day):
        raise ConsentMissing(
            f"the consent holds from {consent.signed_on} to {consent.expires_on}, not today; "
            "ask for a new signature"
        )
    if born_on is not None and born_on > day:
        raise ConsentMissing(
            f"a birth date of {born_on} lies in the future; write it as YYYY-MM-DD"
        )
    if is_minor(born_on, day) and consent.signatory != Signatory.GUARDIAN:
        raise ConsentMissing(
            "this person is under 18: a guardian must consent (--guardian NAME, with "
            "--consent-document FILE; in a list the columns signatory, signed_by and "
            "consent_document)"
        )
    if consent.signatory != Signatory.SELF and consent.document_sha256 is None:
        raise ConsentMissing(
            f"a consent signed by someone's {consent.signatory} needs the signed document "
            "(--consent-document FILE)"
        )


class LicenceKind(StrEnum):
    """What the value of a licence names."""

    UPLOADER = "uploader"  # an account, as hub:name
    MODEL = "model"  # one file, by its SHA-256
    HUB = "hub"  # everything on one hub


@dataclass(frozen=True, slots=True)
class Licence:
    """A model, an uploader or a hub that an identity allows.

    Attributes:
        licence_id: Opaque.
        identity_id: Who grants it.
        kind: What `value` names.
        value: "hub:account", a SHA-256, or a hub's name; compared without regard to case.
        until: Last day.
        note: In the grantor's words.
    """

    licence_id: str
    identity_id: str
    kind: LicenceKind
    value: str
    until: date
    note: str

    def covers(self, hub: str, creator: str | None, sha256: str, day: date) -> bool:
        """Whether a file from that uploader on that hub is allowed on that day."""
        if day > self.until:
            return False
        named = {
            LicenceKind.MODEL: sha256,
            LicenceKind.HUB: hub,
            LicenceKind.UPLOADER: f"{hub}:{creator}" if creator else None,
        }[self.kind]
        return named is not None and named.casefold() == self.value.casefold()
