"""Sentences about captures that are taken in: why one is refused, and what was not read of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

INTAKE: Mapping[str, str] = MappingProxyType(
    {
        "capture-too-large": "it is larger than {megabytes} MB",
        "capture-unpacks-too-large": "unpacked it is larger than {megabytes} MB",
        "capture-too-many-files": "it holds more than {files:,d} files",
        "capture-page-too-large": "a page of more than {megabytes} MB is not read",
        "capture-file-too-large": "{format} file of more than {megabytes} MB is not read",
        "capture-wrong-kind": (
            "it is {kind}: save the page as WARC, WACZ, HAR, MHTML, HTML or PDF, or take a "
            "screenshot"
        ),
        "capture-arc": (
            "it is an ARC, which WARC replaced: `warcio recompress OLD.arc.gz NEW.warc.gz` makes a "
            "WARC of it"
        ),
        "capture-zstd": "it is packed with zstd: unpack it first (`zstd -d`)",
        "capture-gzip": "it is a gzip that holds neither a WARC nor a HAR: unpack it first",
        "capture-zip-cut-off": "it is a zip that was cut off",
        "capture-zip-files": "the zip holds more than {files:,d} files",
        "capture-zip-large": "the zip unpacks to more than {megabytes} MB",
        "capture-zip-bomb": ("the zip packs one of its files so tightly that it must be a bomb"),
        "capture-no-wacz": "it is no WACZ that can be read ({error})",
        "capture-no-warc": "it holds no WARC",
        "capture-no-pdf": "it is no PDF that can be read ({error})",
        "capture-no-har": "it is no HAR file ({error})",
        "capture-no-table": "it is no table in UTF-8 ({error})",
        "capture-no-html": "it holds no HTML part",
        "capture-nested": "its parts are nested too deeply",
        "capture-file-missing": "its list names {name:quoted}, which is not there",
        "capture-file-changed": (
            "{name:quoted} does not agree with its {algorithm} in {list}: it was changed"
        ),
        "capture-other-signature": "its signature is one of another package",
        "capture-signature-wrong": "its signature does not hold ({error})",
        "capture-no-part": "it has no {name}",
        "capture-part-wrong": "{name} is not what it must be",
        "reader-ended": "reading it took the reading process down",
        "reader-too-slow": "reading it took longer than {seconds} s",
        "reader-out-of-memory": "reading it takes more memory than it may",
        "reader-failed": (
            "it cannot be read: a mistake of the program's ({error}); please report it"
        ),
        "images-not-opened": "{images:d} of its images cannot be opened: {list:piece}",
        "page-empty": "the page is empty in the capture",
        "answer-too-long": "{address} is longer than {megabytes} MB and was cut off",
        "pages-in-part": "only {read:d} of {pages:d} pages were read",
        "picture-too-small": (
            "the picture is {width:d} x {height:d} pixels: smaller than {least:d} on a side, no "
            "face is looked for"
        ),
        "no-screenshot": "row {row:d}: no screenshot {name:quoted} beside the table",
        "picture-left-out": (
            "1 picture lies beside the page, is not on it and was left out: {files:piece}"
        ),
        "pictures-left-out": (
            "{pictures:d} pictures lie beside the page, are not on it and were left out: "
            "{files:piece}"
        ),
        "mhtml-cut-off": (
            "the MHTML was cut off: it ends inside a part, and what came after is missing"
        ),
        "har-entry-unreadable": "an entry of the HAR file cannot be read ({error})",
        "har-without-bodies": (
            "{answers:d} answers were saved without their bodies; save the HAR “with content”"
        ),
        "archive-member-unreadable": ("the {format} ends in a gzip member that cannot be read"),
        "archive-record-unreadable": "the {format} ends in a record that cannot be read ({error})",
        "member-no-warc": "{name:quoted} is not read: it is no WARC, plain or gzip",
        "plain-as-base64": "marked as base64 and is plain text: read as that: {files:piece}",
        "bytes-as-text": "stored as text, one sign for each byte: read as that: {files:piece}",
        "saved-as-text": (
            "not read, since it was saved as text although it is none: {files:piece}"
        ),
        "body-packed": (
            "not read, since its body is packed or no text, and nothing says how it could be "
            "read: {files:piece}"
        ),
        "body-not-unpacked": (
            "not read, since its body cannot be unpacked ({cause:cause}): {files:piece}"
        ),
        "body-broken": "read in part only, since its body is broken ({cause:cause}): {files:piece}",
        "ends-too-early": "it ends too early",
        "ends-inside-a-chunk": "it ends inside a chunk",
        "chunk-without-size": "a chunk has no size",
        "coding-unknown": "packed as {codings:quoted}",
        "gzip-cut-off": "cut off",
        "gzip-broken": "broken",
        "in-several-records": (
            "read in part only, since it was stored in several records: {files:piece}"
        ),
        "captured-in-part": "only a part of it is in the capture (status 206): {files:piece}",
        "cut-off-at-capture": "cut off when it was captured ({cause}): {files:piece}",
        "capture-no-page": ("it holds no page"),
        "capture-table-columns": (
            "a table of screenshots has the columns url and screenshot; saved_at and "
            "title are read as well"
        ),
        "capture-har-packed": ("it is a HAR file packed with gzip, and {cause:cause}"),
        "capture-several-packages": (
            "it holds several packages: unpack it, pack each folder and take it in, {names}"
        ),
        "capture-nested-packages": (
            "it is a package of packages: unpack it and take in each of them, {names}"
        ),
        "capture-no-named-warc": ("datapackage.json names none of its WARCs: {names}"),
        "capture-no-own-hash": ("datapackage-digest.json holds no hash of datapackage.json"),
        "capture-wrong-hash": (
            "{name:quoted} has a {algorithm} in {list} that is none: {value:quoted}"
        ),
        "transfer-encoding-unknown": (
            "not read, since its transfer encoding {name:quoted} is not known: {files:piece}"
        ),
        "found-again-only": (
            "not in the capture; a later visit found there what had been found before: "
            "{files:piece}"
        ),
        "stored-as-data-address": ("stored as a data: address: read as that: {files:piece}"),
        "worker-died": "the worker died {times:d} times over it",
        "job-failed": ("a mistake of the program's ({error}); its log has more under job {job}"),
        "job-file-unreadable": "the file cannot be opened",
    }
)
