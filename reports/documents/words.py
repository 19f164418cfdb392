"""Codes, figures and log entries in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from reports.cases.case import Case, Entry
from reports.cases.method_record import SecondOpinion
from reports.documents.translation import translations
from reports.documents.vocabulary import NO_SUPPORT, VERBAL_SCALE, VOCABULARY
from reports.reasons.reason import reasons_in_words

Translate = Callable[[str], str]
Words = Mapping[str, Mapping[str, str]]

# Smaller galleries have the thresholds of so many people (scanner.identification.policy).
_THRESHOLDS_OF = 20
_HASH = re.compile(r"(?:[a-z][a-z0-9_-]+:)?[0-9a-f]{10,128}")
_SHORT_HASH = re.compile(r"(?:crc32:)?[0-9a-f]{8,9}")
_NUMBER = re.compile(r"(?:civitai:\d+|huggingface:[^/\s]+/[^/\s]+)")
# "english / 中文 (codes)": statements of images carry both languages.
_BILINGUAL = re.compile(
    r"(?P<en>[^\u4e00-\u9fff]+?) / (?P<zh>[\u4e00-\u9fff][^(,]*?)(?P<rest> \(.*\)|, .*)?",
    re.DOTALL,
)


def words_of(translate: Translate) -> dict[str, dict[str, str]]:
    """Every group of the vocabulary in the language of a catalogue."""
    return {
        group: {code: translate(word) for code, word in words.items()}
        for group, words in VOCABULARY.items()
    }


def tie_kind(said: str) -> str:
    """How something captured points to a file, by what it writes: a code of the group "tie"."""
    if said.startswith(("http://", "https://")):
        return "link"
    if _NUMBER.fullmatch(said):
        return "number"
    if _SHORT_HASH.fullmatch(said):
        return "short hash"
    return "hash" if _HASH.fullmatch(said) else "name"


def plot_words(translate: Translate, *, captured: bool = False) -> dict[str, str]:
    """The labels of reports.documents.plots.score_plot.

    Args:
        captured: the case is about captured images, which have no controls.
    """
    return {
        "title": translate("Similarity of each image's face to the registered template"),
        "samples": translate("images") if captured else translate("with adapter"),
        "controls": "" if captured else translate("without"),
        "mean": translate("mean face"),
        "threshold": translate("threshold"),
    }


def reliability_words(translate: Translate) -> dict[str, str]:
    """The labels of reports.documents.plots.reliability_plot."""
    return {
        "title": translate("Stated and observed likelihood ratios of persons left out of the fit"),
        "stated": translate("stated log10 LR"),
        "observed": translate("observed"),
        "here": translate("this case"),
    }


def second_opinion_words(opinion: SecondOpinion | None, translate: Translate) -> str:
    """What another face pack says, as a sentence; empty without one."""
    if opinion is None:
        return ""
    if opinion.score is None:
        text = translate("%(pack)s has no template of this person")
    elif opinion.agrees:
        text = translate("%(pack)s confirms the match: score %(score)s, threshold %(threshold)s")
    else:
        text = translate("%(pack)s does not confirm it: score %(score)s, threshold %(threshold)s")
    if opinion.score is not None and not opinion.holds_rate:
        text += translate("; no error rate is known of it")
    score = "" if opinion.score is None else f"{opinion.score:.2f}"
    return text % {
        "pack": opinion.face_pack,
        "score": score,
        "threshold": f"{opinion.threshold:.2f}",
    }


def verbal_scale(log10_lr: float | None, translate: Translate) -> str | None:
    """The verbal equivalent of a likelihood ratio (ENFSI Guideline for Evaluative Reporting)."""
    if log10_lr is None:
        return None
    for least, support, opposite in VERBAL_SCALE:
        if abs(log10_lr) >= least:
            return translate(support if log10_lr > 0 else opposite)
    return translate(NO_SUPPORT)


def false_match_words(case: Case, translate: Translate) -> str:
    """How often somebody would be matched wrongly, as a sentence; empty without a calibration."""
    method = case.method
    if method.fpir_interval is None:
        return ""
    is_large = method.gallery_size >= _THRESHOLDS_OF
    if case.sighting is None and is_large:
        text = translate(
            "One checkpoint in %(odds)s would wrongly match anybody among %(size)s registered "
            "persons at this threshold."
        )
    elif case.sighting is None:
        text = translate(
            "One checkpoint in %(odds)s, or fewer, would wrongly match anybody among %(size)s "
            "registered persons at this threshold; it is at least that of twenty persons."
        )
    elif is_large:
        text = translate(
            "One account or page in %(odds)s would wrongly match anybody among %(size)s registered "
            "persons at this threshold."
        )
    else:
        text = translate(
            "One account or page in %(odds)s, or fewer, would wrongly match anybody among %(size)s "
            "registered persons at this threshold; it is at least that of twenty persons."
        )
    return text % {"odds": round(1 / method.fpir), "size": method.gallery_size}


def ratio_words(log10_lr: float | None) -> str:
    """A likelihood ratio to two digits; as a power of ten where it is very large or very small."""
    if log10_lr is None:
        return "–"
    if not -2 < log10_lr < 7:
        return f"10^{log10_lr:.1f}"
    return f"{float(f'{10**log10_lr:.2g}'):,.10g}"


def statement_words(subject: str, statement: str, language: str) -> str:
    """What an image file says of a subject, in one language where the program wrote both.

    Text that other people or programs wrote is returned unchanged.
    """
    if subject == "not read":
        return known_words(statement, translations(language).gettext)
    is_ours = subject == "credentials" or (
        subject == "label" and statement.startswith(("1: ", "2: ", "3: "))
    )
    found = _BILINGUAL.fullmatch(statement) if is_ours else None
    if found is None:
        return statement
    return found["zh" if language == "zh-CN" else "en"] + (found["rest"] or "")


def known_words(text: str, translate: Translate) -> str:
    """A name or a stored sentence: a sentence in the language of a catalogue, a name as it is."""
    return reasons_in_words(text, translate, quote=False)


def entry_word(entry: Entry, words: Words) -> str:
    """What an entry of a case's log is called."""
    if entry.kind == "notice":
        event, template = entry.details.get("event", ""), entry.details.get("template", "")
        return f"{words['entry']['notice']} {template}: {words['notice'].get(event, event)}"
    code = entry.details["decision"] if entry.kind == "review" else entry.kind
    return words["entry"].get(code, code)


def entry_text(entry: Entry, translate: Translate = str) -> str:
    """What an entry of a case's log says: people's words as they are, the program's translated."""
    details = entry.details
    if entry.kind in ("listing", "copy"):
        relation = str(details.get("relation") or "")
        words = translate(VOCABULARY["relation"].get(relation, relation)) if relation else ""
        names = ("hub", "title", "creator", "file", "listing_url")
        return " · ".join(filter(None, (words, *(details[name] for name in names))))
    text = next((str(details[name]) for name in ("reason", "text", "note") if name in details), "")
    if entry.kind in ("note", "reopens"):
        text = known_words(text, translate)
    return f"{text} ({details['at'][:16].replace('T', ' ')})" if "at" in details else text


def training_facts(training: Mapping[str, Any], words: Words) -> list[tuple[str, str]]:
    """A header's statements about training, as labels and plain text; empty ones are left out."""
    facts = []
    for name, label in words["training"].items():
        value = training.get(name)
        if isinstance(value, dict):
            value = ", ".join(f"{folder} ({count})" for folder, count in value.items())
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if value not in (None, "", []):
            facts.append((label, str(value)))
    return facts
