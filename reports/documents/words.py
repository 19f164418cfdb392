"""What codes are called in a report, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reports.cases.case import Entry

Translate = Callable[[str], str]
_HASH = re.compile(r"(?:[a-z][a-z0-9_-]+:)?[0-9a-f]{10,128}")
_SHORT_HASH = re.compile(r"(?:crc32:)?[0-9a-f]{8,9}")
_NUMBER = re.compile(r"(?:civitai:\d+|huggingface:[^/\s]+/[^/\s]+)")


def tie_kind(said: str) -> str:
    """How something captured points to a file, by what it writes: a key of the words for ties."""
    if said.startswith(("http://", "https://")):
        return "link"
    if _NUMBER.fullmatch(said):
        return "number"
    if _SHORT_HASH.fullmatch(said):
        return "short hash"
    return "hash" if _HASH.fullmatch(said) else "name"


def words_of(translate: Translate) -> dict[str, dict[str, str]]:
    """Words for outcomes, statuses, terms, what images say, ties, listing events and log entries."""
    return {
        "outcome": {"match": translate("match"), "possible": translate("possible")},
        "status": {
            "draft": translate("Draft."),
            "second-review": translate("Confirmed once; a second reviewer must confirm it."),
            "confirmed": translate("Confirmed by a reviewer."),
            "rejected": translate("Rejected by a reviewer."),
            "more-samples": translate("A reviewer asks for more samples."),
            "authorised": translate("Authorised use, as a reviewer found."),
            "appealed": translate("Appealed; it must be reviewed again."),
            "superseded": translate("A later case shows more captures of the same."),
        },
        "terms": {
            "prohibited": translate("nothing"),
            "permitted-with-terms": translate("use on terms"),
            "permitted": translate("use"),
        },
        "says": {
            "generator": translate("generator"),
            "base model": translate("base model"),
            "adapter": translate("adapter"),
            "source type": translate("IPTC digital source type"),
            "label": translate("GB 45438 label"),
            "credentials": translate("Content Credentials"),
            "credentials: signer": translate("their signer, as the certificate names it"),
            "credentials: program": translate("their program, as claimed"),
            "credentials: source type": translate("their source type, as claimed"),
            "camera": translate("camera"),
            "not read": translate("could not be read"),
        },
        "tie": {
            "hash": translate("by hash: these bytes are meant"),
            "short hash": translate(
                "by a hash of 8 digits over a part of the file; other files may share it"
            ),
            "link": translate("by a link to the listing"),
            "number": translate("by the number of the listing"),
            "name": translate("by the file's name only; another file may have the same name"),
        },
        "event": {
            "seen": translate("seen by the crawler"),
            "published": translate("published, as the hub says"),
            "first seen": translate("first seen"),
            "changed": translate("changed"),
            "taken down": translate("taken down"),
            "archived": translate("archived"),
            "flagged as a real person": translate("flagged by the hub as a real person"),
            "gone": translate("gone"),
            "back again": translate("back again"),
            "re-uploaded elsewhere": translate("uploaded elsewhere"),
            "other bytes than claimed": translate("other bytes than the hub claims"),
        },
        "custody": {
            "case-opened": translate("case opened"),
            "case-listing-added": translate("another listing of the file added"),
            "case-reviewed": translate("case reviewed"),
            "case-amended": translate("appeal or correction added"),
            "case-superseded": translate("a later case took its place"),
            "notice-drafted": translate("notice drafted"),
            "notice-marked": translate("notice marked"),
            "case-recorded": translate("record noted"),
            "case-recorded-at-upgrade": translate("recorded at upgrade, as it was then"),
            "case-set-back-accepted": translate("an older state of the case accepted"),
        },
        "notice": {
            "drafted": translate("drafted"),
            "sent": translate("sent"),
            "acknowledged": translate("acknowledged"),
            "removed": translate("content removed"),
            "refused": translate("refused"),
            "reinstated": translate("content reinstated"),
            "cancelled": translate("cancelled"),
        },
        "entry": {
            "confirm": translate("review: confirmed"),
            "reject": translate("review: rejected"),
            "more-samples": translate("review: more samples wanted"),
            "authorised": translate("review: authorised use"),
            "appeal": translate("appeal"),
            "correction": translate("correction"),
            "notice": translate("notice"),
            "request": translate("the person asks for a report"),
            "note": translate("note"),
            "superseded": translate("a later case took its place"),
            "listing": translate("the same weights are listed here too"),
            "reopens": translate("opened after an earlier case"),
        },
        "training": {
            "output_name": translate("Name at training"),
            "author": translate("Author"),
            "dataset_folders": translate("Training folders"),
            "photo_count": translate("Training images"),
            "started_at": translate("Training began"),
            "finished_at": translate("Training ended"),
            "session_id": translate("Training session"),
            "network_module": translate("Trainer's module"),
            "rank": translate("Rank"),
            "comment": translate("Comment"),
            "merged_from": translate("Merged from"),
        },
    }


def plot_words(translate: Translate, *, captured: bool = False) -> dict[str, str]:
    """The labels of reports.documents.plots.score_plot; `captured`: of a case about captured images, which have no controls."""
    return {
        "title": translate("Similarity of each image's face to the registered template"),
        "samples": translate("images") if captured else translate("with adapter"),
        "controls": "" if captured else translate("without"),
        "mean": translate("mean face"),
        "threshold": translate("threshold"),
    }


def verbal_scale(log10_lr: float | None, translate: Translate) -> str | None:
    """The verbal equivalent of a likelihood ratio (ENFSI Guideline for Evaluative Reporting 2015, table 1)."""
    if log10_lr is None:
        return None
    scale = (
        (6, translate("extremely strong support for this face over another person's")),
        (4, translate("very strong support for this face over another person's")),
        (3, translate("strong support for this face over another person's")),
        (2, translate("moderately strong support for this face over another person's")),
        (1, translate("moderate support for this face over another person's")),
        (0.301, translate("weak support for this face over another person's")),
    )
    for least, words in scale:
        if log10_lr >= least:
            return words
    return translate("no support for this face over another person's")


def ratio_words(log10_lr: float | None) -> str:
    """A likelihood ratio to two digits, as a number where people still read one."""
    if log10_lr is None:
        return "–"
    if not -2 < log10_lr < 7:
        return f"10^{log10_lr:.1f}"
    return f"{float(f'{10**log10_lr:.2g}'):,.10g}"


def entry_word(entry: Entry, words: dict[str, dict[str, str]]) -> str:
    """What a line of a case's log is called."""
    if entry.kind == "notice":
        event = entry.details.get("event", "")
        return f"{words['entry']['notice']} {entry.details.get('template', '')}: {words['notice'].get(event, event)}"
    code = entry.details["decision"] if entry.kind == "review" else entry.kind
    return words["entry"].get(code, code)


def entry_text(entry: Entry) -> str:
    """What a line of a case's log says in its own words."""
    told = entry.details
    if entry.kind == "listing":
        return " · ".join(
            filter(
                None,
                (told["hub"], told["title"], told["creator"], told["file"], told["listing_url"]),
            )
        )
    text = next((str(told[name]) for name in ("reason", "text", "note") if name in told), "")
    return f"{text} ({told['at'][:16].replace('T', ' ')})" if "at" in told else text


def training_facts(
    training: dict[str, Any], words: dict[str, dict[str, str]]
) -> list[tuple[str, str]]:
    """What a header says of its training, as labels and plain text; nothing for what it does not say."""
    told = []
    for name, label in words["training"].items():
        value = training.get(name)
        if isinstance(value, dict):
            value = ", ".join(f"{folder} ({count})" for folder, count in value.items())
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if value not in (None, "", []):
            told.append((label, str(value)))
    return told
