"""Legal duties of an operator that depend on how many people are stored.

docs/face_index.md names the sources.
"""

from __future__ import annotations

# PRC Measures on the security management of face recognition (in force 1 June 2025): filing with
# the provincial cyberspace administration within 30 working days of reaching 100,000 persons.
PRC_FILING_AT = 100_000
PRC_WARN_FROM = 80_000

_APPROACHING = {
    "en": (
        "{count:,} persons are stored. At {limit:,} the PRC's face recognition measures ask for a "
        "filing with the provincial cyberspace administration within 30 working days: prepare it "
        "now."
    ),
    "zh-CN": (
        "已存储 {count:,} 人的人脸信息。达到 {limit:,} 人后，"
        "依《人脸识别技术应用安全管理办法》应在三十个工作日内向省级以上网信部门备案，请提前准备。"
    ),
}
_REACHED = {
    "en": (
        "{count:,} persons are stored: the PRC's face recognition measures ask for a filing with "
        "the provincial cyberspace administration within 30 working days of reaching {limit:,}."
    ),
    "zh-CN": (
        "已存储 {count:,} 人的人脸信息，已达到 {limit:,} 人："
        "依《人脸识别技术应用安全管理办法》应在三十个工作日内向省级以上网信部门备案。"
    ),
}


def duties(count: int, language: str) -> list[str]:
    """Return the warnings that apply to this number of stored people, in words.

    Args:
        language: "en" or "zh-CN".
    """
    if count < PRC_WARN_FROM:
        return []
    sentence = _REACHED if count >= PRC_FILING_AT else _APPROACHING
    return [sentence[language].format(count=count, limit=PRC_FILING_AT)]
