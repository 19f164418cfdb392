"""What the API accepts, validated with pydantic, and its problem documents (RFC 9457)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+", max_length=2_000)]


class DeclaredListing(BaseModel):
    """What a hub declares about a file."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "description": (
                "What a hub says of a file it was sent; as shown on the case, and used to find "
                "triggers, licences and minors."
            )
        },
    )

    id: Word | None = None
    title: Word | None = None
    url: HttpUrl | None = Field(None, description="The web page of the listing.")
    creator: Word | None = Field(
        None, description="The uploader's account; licences name it as hub:account."
    )
    triggers: list[Word] = Field(default_factory=list, max_length=100)
    tags: list[Word] = Field(default_factory=list, max_length=200)
    base_model: Word | None = None
    published_at: Word | None = None
    downloads: int | None = Field(None, ge=0, le=2**53)
    real_person: bool = False
    minor: bool = Field(
        False,
        description="The hub says that the file shows a minor. The file is then never sampled.",
    )


class ScanRequest(BaseModel):
    """A request to scan a file that is not uploaded. Give either `url` or `sha256`."""

    model_config = ConfigDict(extra="forbid")

    url: HttpUrl | None = Field(
        None, description="Public address from which the file can be downloaded."
    )
    sha256: Sha256 | None = Field(
        None, description="SHA-256 of a file that was scanned, uploaded or crawled before."
    )
    listing: DeclaredListing | None = None
    webhook: HttpUrl | None = Field(
        None, description="Address to which the ended scan is posted, signed with HMAC-SHA256."
    )


class Problem(BaseModel):
    """Why a request failed."""

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="A stable code for programs.")
    detail: str
