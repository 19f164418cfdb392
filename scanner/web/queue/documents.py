"""The documents in which the API returns scans and verdicts; docs/openapi.json publishes them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from scanner.identification.outcome import Outcome
from scanner.web.queue.job import JobState


class AskedDocument(BaseModel):
    """The words and the base model for which a verdict holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "description": (
                "The words and the base model that the samples were drawn with. The verdict "
                "holds only for these."
            )
        }
    )

    triggers: list[str] = Field(description="Trigger words that the prompts contained.")
    triggers_left_out: list[str] = Field(
        default_factory=list,
        description=(
            "Declared words that no prompt contained because there were too many. The verdict "
            "does not cover them."
        ),
    )
    words_tried: list[str] = Field(
        description="Words that were tried because no trigger word was known."
    )
    base_model: str | None = Field(
        description="The base model that the file was sampled with; null if none is known for it."
    )


class FindingDocument(BaseModel):
    """The finding for one file and one person, or for one file in which nobody was found."""

    file: str = Field(description="The file's name; for an archive, with the name of the member.")
    sha256: str | None = Field(
        description="Lower-case hexadecimal digits; null if the file could not be read."
    )
    outcome: Outcome
    case_id: str | None = Field(
        description=("The case that was opened; null if nobody was found or the use is authorised.")
    )
    case_status: str | None = Field(
        description="`draft` until a person has decided; then `confirmed`, `rejected` and so on."
    )
    identity_name: str | None = Field(description="Returned only with the scope `names:read`.")
    score: float | None = Field(
        description=(
            "Cosine similarity of the samples' mean face and the template, -1 to 1. If nobody "
            "was found, returned only with the scope `names:read`."
        )
    )
    threshold: float | None = Field(
        description=(
            "The threshold for the configured false positive identification rate. Returned under "
            "the same condition as `score`."
        )
    )
    lift: float | None = Field(
        description=(
            "The score minus the score of the controls without the file. Returned under the same "
            "condition as `score`."
        )
    )
    authorised: str | None = Field(
        description=(
            "The licence that allows this use, in words; null if there is none. Returned only "
            "with the scope `names:read`."
        )
    )
    samples: int | None = Field(
        description=(
            "Number of samples. If nobody was found, returned only with the scope `names:read`."
        )
    )
    asked: AskedDocument | None = Field(
        None,
        description=(
            "The words and the base model that the samples were drawn with; null if none were "
            "drawn or another account requested them."
        ),
    )
    reason: str


class SearchedThroughDocument(BaseModel):
    """The newest gallery for which a verdict holds."""

    gallery_version: int
    at: str | None = Field(description="When that gallery was searched; null if it is not known.")


class SearchDocument(BaseModel):
    """The file is known, and people who registered are being searched for in what it drew."""

    sha256: str
    state: Literal["searching"] = "searching"


class VerdictDocument(BaseModel):
    """What is known about a file."""

    outcome: Outcome = Field(
        description="The most serious outcome of the findings. Authorised findings count as clear."
    )
    action: str = Field(
        description="`block`, `review` or `allow`, as the outcome suggests. A person decides."
    )
    label: str | None = Field(
        description="`real-person-likeness` if a person was found, for a moderation queue."
    )
    priority: int = Field(description="0 to 100, to sort a queue by.")
    gallery_version: int | None
    searched_through: SearchedThroughDocument | None = Field(
        default=None,
        description=(
            "The newest gallery for which the verdict holds: people who registered later were not "
            "searched for. It may be newer than `gallery_version`, because what a file draws is "
            "kept and searched again when somebody registers."
        ),
    )
    findings: list[FindingDocument]
    more_findings: int = Field(
        default=0,
        description=(
            "Number of files that `findings` leaves out because there are too many: it holds the "
            "200 most serious findings, and in a list of scans the 20 most serious ones. All are "
            "at `/api/v1/scans/{job_id}/findings`."
        ),
    )
    reasons: list[str]


class ScanDocument(BaseModel):
    """One scan that was requested."""

    job_id: str
    state: JobState
    kind: str
    name: str
    sha256: str | None
    size_bytes: int | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    done: int = Field(description="Number of files scanned so far.")
    total: int | None = Field(description="Number of files; null until all are listed.")
    doing: str
    problem: str | None = Field(description="Why the scan failed.")
    verdict: VerdictDocument | None = Field(description="The verdict, once the scan has finished.")
    url: str = Field(description="Address of this document, for polling.")
