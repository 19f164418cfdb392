"""What codes are called in documents: the English word of every code, by group.

The catalogue holds the Chinese word under the English one. A code that no group has is shown as
it is.
"""

from __future__ import annotations

from collections.abc import Mapping

VOCABULARY: Mapping[str, Mapping[str, str]] = {
    "outcome": {
        "match": "match",
        "possible": "possible",
    },
    "status": {
        "draft": "Draft.",
        "second-review": "Confirmed once; a second reviewer must confirm it.",
        "confirmed": "Confirmed by a reviewer.",
        "rejected": "Rejected by a reviewer.",
        "more-samples": "A reviewer asks for more samples.",
        "authorised": "Authorised use, as a reviewer found.",
        "appealed": "Appealed; it must be reviewed again.",
        "superseded": "A later case shows more captures of the same.",
    },
    "terms": {
        "prohibited": "nothing",
        "permitted-with-terms": "use on terms",
        "permitted": "use",
    },
    "says": {
        "generator": "generator",
        "base model": "base model",
        "adapter": "adapter",
        "source type": "IPTC digital source type",
        "label": "GB 45438 label",
        "credentials": "Content Credentials",
        "credentials: signer": "their signer, as the certificate names it",
        "credentials: program": "their program, as claimed",
        "credentials: source type": "their source type, as claimed",
        "camera": "camera",
        "not read": "could not be read",
    },
    "tie": {
        "hash": "by hash: these bytes are meant",
        "short hash": "by a hash of 8 digits over a part of the file; other files may share it",
        "link": "by a link to the listing",
        "number": "by the number of the listing",
        "name": "by the file's name only; another file may have the same name",
    },
    "event": {
        "seen": "seen by the crawler",
        "published": "published, as the hub says",
        "first seen": "first seen",
        "changed": "changed",
        "taken down": "taken down",
        "archived": "archived",
        "flagged as a real person": "flagged by the hub as a real person",
        "gone": "gone",
        "back again": "back again",
        "re-uploaded elsewhere": "uploaded elsewhere",
        "other bytes than claimed": "other bytes than the hub claims",
    },
    "custody": {
        "case-opened": "case opened",
        "case-listing-added": "another listing of the file added",
        "case-copy-added": "a copy of the file added",
        "case-reviewed": "case reviewed",
        "case-amended": "appeal or correction added",
        "case-superseded": "a later case took its place",
        "notice-drafted": "notice drafted",
        "notice-marked": "notice marked",
        "case-recorded": "record noted",
        "case-recorded-at-upgrade": "recorded at upgrade, as it was then",
        "case-set-back-accepted": "an older state of the case accepted",
    },
    "notice": {
        "drafted": "drafted",
        "sent": "sent",
        "acknowledged": "acknowledged",
        "removed": "content removed",
        "refused": "refused",
        "reinstated": "content reinstated",
        "cancelled": "cancelled",
    },
    "entry": {
        "confirm": "review: confirmed",
        "reject": "review: rejected",
        "more-samples": "review: more samples wanted",
        "authorised": "review: authorised use",
        "appeal": "appeal",
        "correction": "correction",
        "notice": "notice",
        "request": "the person asks for a report",
        "note": "note",
        "superseded": "a later case took its place",
        "listing": "the same weights are listed here too",
        "copy": "another file has these weights",
        "reopens": "opened after an earlier case",
    },
    "relation": {
        "same weights": "the same weights",
        "recast": "the same weights in another precision",
        "renamed": "the same weights under other names",
        "rescaled": "the same weights at another strength",
        "resized": "the same weights at another rank",
        "pruned or noised": "the same weights, pruned or with noise",
        "another epoch of the same training": "another epoch of the same training",
        "contains": "a file that contains these weights",
    },
    "kind": {
        "textual-inversion": "textual inversion",
        "checkpoint": "full checkpoint",
        "text-encoder": "text encoder",
        "captured images": "captured images",
        "unknown": "unknown kind",
    },
    "format": {
        "saved folder": "saved folder",
        "image": "image",
        "table of screenshots": "table of screenshots",
    },
    "training": {
        "output_name": "Name at training",
        "author": "Author",
        "dataset_folders": "Training folders",
        "photo_count": "Training images",
        "started_at": "Training began",
        "finished_at": "Training ended",
        "session_id": "Training session",
        "network_module": "Trainer's module",
        "rank": "Rank",
        "comment": "Comment",
        "merged_from": "Merged from",
    },
}

VERBAL_SCALE: tuple[tuple[float, str, str], ...] = (
    (
        6,
        "extremely strong support for this face over another person's",
        "extremely strong support for another person's face over this one",
    ),
    (
        4,
        "very strong support for this face over another person's",
        "very strong support for another person's face over this one",
    ),
    (
        3,
        "strong support for this face over another person's",
        "strong support for another person's face over this one",
    ),
    (
        2,
        "moderately strong support for this face over another person's",
        "moderately strong support for another person's face over this one",
    ),
    (
        1,
        "moderate support for this face over another person's",
        "moderate support for another person's face over this one",
    ),
    (
        0.301,
        "weak support for this face over another person's",
        "weak support for another person's face over this one",
    ),
)
"""The least log10 of a likelihood ratio for each verbal equivalent, and that of its reciprocal for
the opposite one (ENFSI 2015, table 1)."""

NO_SUPPORT = "support for neither this face nor another person's"
