"""The passages of a notice that a case writes: its reasons, its evidence, and licences."""

from __future__ import annotations

from collections.abc import Sequence

from reports.cases.case import Case
from reports.cases.copies import CopyRecord
from reports.cases.listings import ListingRecord
from reports.cases.sighting_record import SightingRecord
from reports.documents.translation import translations
from reports.documents.words import ratio_words, verbal_scale

_FILE_REASONS = {
    "en": (
        "In {counted} of {faces} full-quality images with a face that were made with the file, one "
        "and the same face comes up; their mean scores {score:.2f} against the template of the "
        "right holder, registered as {name} (threshold {threshold:.2f}{ratio}). The same prompts "
        "and seeds without the file score {control}. A named reviewer has confirmed that the file "
        "reproduces the right holder's likeness; the right holder did not consent."
    ),
    "zh-CN": (
        "经检验，加载该文件后生成的 {faces} 幅有人脸的取证图像中，{counted} 幅为同一张脸，"
        "其均值与权利人（本系统登记名：{name}）登记模板的相似度为 {score:.2f}"
        "（阈值 {threshold:.2f}{ratio}）；"
        "提示词与种子相同而不加载该文件时为 {control}。"
        "经具名审核人确认，该文件复现了权利人肖像；权利人未予同意。"
    ),
}
_FILE_RATIO = {
    "en": ", likelihood ratio about {times}: {words}",
    "zh-CN": "，似然比约为 {times}，即{words}",
}
_CAPTURE_REASONS = {
    "en": (
        "{counted} different captured images ({copies} with their copies) show one and the same "
        "face; their mean scores {score:.2f} against the template of the right holder, registered "
        "as {name} (threshold {threshold:.2f}).{made} A named reviewer has confirmed that this "
        "account or page uses the right holder's likeness; the right holder did not consent."
    ),
    "zh-CN": (
        "经检验，所固定页面中 {counted} 幅不同图像（含重复共 {copies} 幅）为同一张脸，"
        "其均值与权利人（本系统登记名：{name}）登记模板的相似度为 {score:.2f}"
        "（阈值 {threshold:.2f}）。{made}"
        "经具名审核人确认，该账号或页面使用了权利人肖像；权利人未予同意。"
    ),
}
_CAPTURE_MADE = {
    "en": " The files of {count} of them say themselves where they come from.",
    "zh-CN": "其中 {count} 幅的文件元数据自述其来源。",
}
_FILE_EVIDENCE = {
    "en": (
        "Report and evidence bundle of case {case_id}: records of {samples} samples, pictures of "
        "{pictures} of them ({faces} with a face), controls, a hash of every file{signed}, "
        "verifiable offline."
    ),
    "zh-CN": (
        "案件 {case_id} 的检验报告及证据包：{samples} 个样本的记录及其中 {pictures} 幅图像"
        "（{faces} 幅有人脸）、对照、"
        "逐文件哈希{signed}，可离线核验。"
    ),
}
_CAPTURE_EVIDENCE = {
    "en": (
        "Report and evidence bundle of case {case_id}: {captures} sealed captures, {images} images,"
        " a hash of every file{signed}, verifiable offline."
    ),
    "zh-CN": (
        "案件 {case_id} 的检验报告及证据包：{captures} 份封存的页面固定原件、{images} 幅图像、"
        "逐文件哈希{signed}，可离线核验。"
    ),
}
_SIGNED = {
    "en": ", signed with the Ed25519 key whose SHA-256 is {fingerprint}",
    "zh-CN": "，以 SHA-256 为 {fingerprint} 的 Ed25519 公钥签名",
}
_NO_LICENCE = {
    "en": "As of {day} our register holds no licence of the right holder for {about}.",
    "zh-CN": "截至 {day}，本系统的授权登记中未见权利人对{about}的授权。",
}
_ABOUT_FILE = {
    "en": "this file, its uploader or the hub",
    "zh-CN": "该文件、其上传者或该平台",
}
_ABOUT_CAPTURES = {"en": "this account or site", "zh-CN": "该账号或该网站"}


_PLACES = {
    "en": (
        "The same weights, or weights made from them, are at these addresses. That was found by "
        "comparing the weights, not the faces:"
    ),
    "zh-CN": "以下地址载有相同的权重，或由其改制的权重；系比对权重所得，并非比对人脸：",
}
_PLACE = {
    "en": "- {url}; file {file}, SHA-256 {sha256}: {relation}",
    "zh-CN": "- {url}；文件 {file}，SHA-256 {sha256}：{relation}",
}
_RELATIONS = {
    "en": {
        "same weights": "the same weights",
        "recast": "the same weights in another precision",
        "renamed": "the same weights under other names",
        "rescaled": "the same weights at another strength",
        "resized": "the same weights at another rank",
        "pruned or noised": "the same weights, pruned or with noise",
        "another epoch of the same training": "another epoch of the same training",
        "contains": "{share:.0%} of its weights are these",
    },
    "zh-CN": {
        "same weights": "权重相同",
        "recast": "同一权重，数值精度不同",
        "renamed": "同一权重，张量名称不同",
        "rescaled": "同一权重，强度不同",
        "resized": "同一权重，秩不同",
        "pruned or noised": "同一权重，经裁剪或加噪",
        "another epoch of the same training": "同一次训练的另一轮次",
        "contains": "其权重的 {share:.0%} 为上述权重",
    },
}


def places_passage(
    listings: Sequence[ListingRecord], copies: Sequence[CopyRecord], language: str
) -> str:
    """Each address with its own file, hash and relation, as list items; "" for a single one.

    Args:
        listings: that the notice is about, copies among them.
    """
    if len(listings) < 2 and not any(copy.listing in listings for copy in copies):
        return ""
    by_place = {copy.listing: copy for copy in copies}
    lines = [_PLACES[language]]
    for listing in listings:
        copy = by_place.get(listing)
        relation, share = (copy.relation, copy.share) if copy else ("same weights", 1.0)
        words = _RELATIONS[language].get(relation, relation).format(share=share)
        facts = {
            "url": listing.listing_url,
            "file": listing.file,
            "sha256": listing.sha256,
            "relation": words,
        }
        # Strangers wrote some of it; on one line it cannot look like a part of the document.
        lines.append(" ".join(_PLACE[language].format(**facts).split()))
    return "\n".join(lines)


def reasons_passage(case: Case, language: str) -> str:
    """Why the notice is sent: the figures of the case and the reviewer's decision."""
    if case.sighting is not None:
        return _capture_reasons(case, case.sighting, language)
    words = verbal_scale(case.log10_lr, translations(language).gettext)
    ratio = _FILE_RATIO[language].format(times=ratio_words(case.log10_lr), words=words)
    evidence = [sample for sample in case.samples if sample.stage == "evidence"]
    return _FILE_REASONS[language].format(
        counted=sum(sample.in_mean for sample in evidence),
        faces=sum(sample.face_found for sample in evidence),
        score=case.score,
        name=case.identity_name,
        threshold=case.threshold,
        ratio=ratio if words else "",
        control="–" if case.control_score is None else f"{case.control_score:.2f}",
    )


def _capture_reasons(case: Case, sighting: SightingRecord, language: str) -> str:
    counted = [image for image in sighting.images if image.in_mean]
    with_origin = sum(bool(image.says) for image in sighting.images)
    return _CAPTURE_REASONS[language].format(
        counted=len(counted),
        copies=sum(image.copies for image in counted),
        score=case.score,
        name=case.identity_name,
        threshold=case.threshold,
        made=_CAPTURE_MADE[language].format(count=with_origin) if with_origin else "",
    )


def evidence_passage(case: Case, language: str, fingerprint: str | None) -> str:
    """What the evidence bundle of the case holds.

    Args:
        fingerprint: SHA-256 of the key that signs the bundle, None if none is named.
    """
    signed = _SIGNED[language].format(fingerprint=fingerprint) if fingerprint else ""
    if case.sighting is not None:
        return _CAPTURE_EVIDENCE[language].format(
            case_id=case.case_id,
            captures=len(case.sighting.captures),
            images=len(case.sighting.images),
            signed=signed,
        )
    return _FILE_EVIDENCE[language].format(
        case_id=case.case_id,
        samples=len(case.samples),
        pictures=sum(sample.image_sha256 is not None for sample in case.samples),
        faces=sum(sample.face_found and sample.image_sha256 is not None for sample in case.samples),
        signed=signed,
    )


def licence_passage(case: Case, language: str) -> str:
    """That the register held no licence when the case was opened."""
    about = _ABOUT_FILE if case.sighting is None else _ABOUT_CAPTURES
    return _NO_LICENCE[language].format(day=case.opened_at[:10], about=about[language])
