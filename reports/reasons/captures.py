"""Sentences about captures: what pages show, and whether their digests hold."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CAPTURES: Mapping[str, str] = MappingProxyType(
    {
        "images-show-one-face": "{images:d} different images show one face: {why:why}",
        "one-image": (
            "one image scores {score:.2f} over the threshold {threshold:.2f}; a match needs "
            "{needed:d} different pictures of one face"
        ),
        "best-image": (
            "the best of {images:d} images scores {score:.2f} over the threshold {threshold:.2f}; "
            "a match needs {needed:d} different pictures of one face"
        ),
        "no-usable-face": "no image shows a usable face",
        "no-face-close": "none of {faces:d} faces is close to anybody registered",
        "nobody-in-two": "nobody registered is shown in two different pictures",
        "faces-searched": "{faces:d} faces were searched",
        "must-be-released": "somebody registered may be shown; a second person must release it",
        "not-released": "a second person looked at it and did not release it",
        "one-picture": (
            "one picture with a face names nobody: take in more of the account or page, each "
            "picture as the page shows it"
        ),
        "not-a-page": (
            "not searched: pictures are searched as those of a page or an account; take in the "
            "page that shows them (WARC, WACZ, HAR, MHTML or saved HTML, with its address), or "
            "{needed:d} pictures and more with --account and --platform"
        ),
        "no-page-yet": (
            "not searched yet: whose pictures these are is said and not captured; a second person "
            "must release the search"
        ),
        "too-many-searches": (
            "not searched today: as many searches as one person may make in a day were made "
            "(searches_per_day); `captures judge` goes on tomorrow"
        ),
        "case-opened": "a case was opened",
        "authorised": "authorised",
        "images-by-now": "{images:d} images were captured by now: {why:why}",
        "no-face-in-pages": "{pages:d} pages were read; no image of theirs shows a face to search",
        "previews-not-fetched": (
            "none of its {pictures:d} pictures could be fetched: {cause:cause}. Where the hub has "
            "moved, `crawl` it again"
        ),
        "previews-not-taken-in": "they cannot be taken in: {cause:cause}",
        "no-picture-type": "{kind} came instead of a picture",
        "records-agree": "{records:d} records agree with their own digests",
        "records-disagree": (
            "{records:d} records do NOT agree with their own digests: they were changed after "
            "they were captured"
        ),
        "records-unchecked": (
            "{records:d} records have digests of a kind that is not known: not checked"
        ),
        "files-agree": "{files:d} files agree with the {algorithm} in datapackage.json",
        "files-without-hash": "{files:d} files have no hash there",
        "hashes-unchecked": "hashes of a kind that is not known were not checked: {files}",
        "not-in-list": "not read, since datapackage.json does not name it: {files}",
        "no-digest": "it has no digest of its list, and no signature",
        "digest-agrees": "datapackage.json agrees with its digest",
        "digest-unknown": (
            "the digest of datapackage.json is of a kind that is not known ({kinds}): not checked"
        ),
        "not-signed": "it is not signed",
        "signed-with-certificate": (
            "signed with a certificate that calls itself {name:quoted}; whether anybody vouches "
            "for it was not asked"
        ),
        "signed-by-key": "signed by a key that nobody vouches for, as {name}",
        "archive-cut-off": (
            "the {format} was cut off: it ends inside a record, and what came after is missing"
        ),
        "image-not-opened": (
            "the file cannot be opened ({error}: {cause}), so that nothing in it was looked at"
        ),
        "exif-damaged": "its EXIF is damaged ({error})",
        "pixels-unreadable": "its pixels, and texts hidden in them, cannot be read ({error})",
        "pixels-unreadable-behind": "its pixels, and texts behind them, cannot be read ({error})",
        "text-too-long": (
            "its text {name} has {characters:,d} characters; no more than {most:,d} are read"
        ),
        "text-unreadable": (
            "its text {name} looks like a generator's parameters and cannot be read: {cause}"
        ),
        "graph-not-followed": (
            "its graph names {models:d} models, and none of them can be followed to the picture"
        ),
        "credentials-misplaced": "this kind of file cannot hold them where they stand",
    }
)
