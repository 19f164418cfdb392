"""The records of captured pages and images in a case."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """A page or picture that somebody captured; the sealed original lies in the bundle.

    Attributes:
        sha256: of the original.
        capture_id: names its sealed folder; the same, but where other files belong to it.
        checks: what of its own digests and signatures holds, in sentences.
    """

    sha256: str
    name: str
    format: str
    taken_in_at: str
    taken_in_by: str
    tool: str | None
    made_with: str | None
    checks: tuple[str, ...] = ()
    capture_id: str = ""


@dataclass(frozen=True, slots=True)
class SightedPage:
    """A captured page that shows the person: what it says of itself, unverified.

    Attributes:
        kind: "offer", "post", "account" or "page".
        saved_at: as the capture says.
        counts: what the page counts, by name.
    """

    url: str | None
    title: str
    kind: str
    saved_at: str | None
    published_at: str | None
    price: str | None
    counts: dict[str, int]
    text: str
    capture_sha256: str


@dataclass(frozen=True, slots=True)
class SightedImage:
    """A captured image.

    Attributes:
        sha256: of the file as it was captured.
        face_sha256: of a PNG with nothing but the face, None without one.
        pages: numbers of the pages it stands on, in the case's order.
        copies: how often it comes, near-duplicates counted (PDQ).
        faces: how many it shows.
        score: cosine of its closest face to the person's template.
        in_mean: that face is one of those whose mean gave the case's score.
        says: where the file says it comes from: what about (see
            crawlers.captures.images.provenance) and what.
    """

    sha256: str
    face_sha256: str | None
    url: str | None
    pages: tuple[int, ...]
    copies: int
    faces: int
    score: float | None
    in_mean: bool
    says: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TieRecord:
    """What ties the pages or images to a checkpoint: a hash or a name that they write, a link that
    they hold.

    Attributes:
        said: what they write.
        where: "image" or "page".
        sha256: of the checkpoint, None where only its listing is known.
    """

    said: str
    where: str
    file: str
    hub: str
    listing_url: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class SightingRecord:
    """An account or a captured page whose images show the person; a case about one has this instead
    of samples.

    Attributes:
        platform: the site.
        images_read: distinct images looked at.
        faces_read: usable faces in them.
    """

    platform: str
    account_name: str | None
    account_id: str | None
    account_url: str | None
    pages: tuple[SightedPage, ...]
    images: tuple[SightedImage, ...]
    captures: tuple[CaptureRecord, ...]
    ties: tuple[TieRecord, ...]
    images_read: int
    faces_read: int
