"""The documents in which the API returns scans and verdicts; docs/openapi.json publishes them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from scanner.identification.verdict import Outcome
from scanner.web.queue.job import JobState


class AskedDocument(BaseModel):
    """The words and the base model for which a verdict holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "description": (
                "What the samples were asked for: a verdict holds for these words and this base "
                "model, and for no others."
            )
        }
    )

    triggers: list[str] = Field(description="Words that stood in the prompts.")
    triggers_left_out: list[str] = Field(
        default_factory=list,
        description=(
            "Words that were told and not asked, since there were too many: nothing is known of "
            "them."
        ),
    )
    words_tried: list[str] = Field(
        description="Words that were tried because no trigger was known."
    )
    base_model: str | None = Field(
        description="What the file was drawn with; none if no base model is known for it."
    )


class FindingDocument(BaseModel):
    """One file and one person, or one file and nobody."""

    file: str = Field(description="The file's name, of an archive with the member's.")
    sha256: str | None = Field(description="Lower-case hex; none for what could not be read.")
    outcome: Outcome
    case_id: str | None = Field(
        description=(
            "The case that was opened; none where nothing was found or the use is authorised."
        )
    )
    case_status: str | None = Field(
        description="draft until a person decided: confirmed, rejected and so on."
    )
    identity_name: str | None = Field(description="Only with the scope names:read.")
    score: float | None = Field(
        description=(
            "Cosine of the samples' mean face to the template, -1 to 1. Of what is no finding "
            "only with names:read."
        )
    )
    threshold: float | None = Field(
        description="The score that holds the configured false positive rate; as `score`."
    )
    lift: float | None = Field(
        description="Score minus that of the controls without the file; as `score`."
    )
    authorised: str | None = Field(
        description=(
            "What allows this use, in words; none if nothing does. Only with the scope names:read."
        )
    )
    samples: int | None = Field(
        description="How many were made; of what is no finding only with names:read."
    )
    asked: AskedDocument | None = Field(
        None,
        description=(
            "What was asked of the file; none where nothing was, or where another sender asked."
        ),
    )
    reason: str


class VerdictDocument(BaseModel):
    """What is known about a file."""

    outcome: Outcome = Field(
        description="The worst of the findings; authorised ones count as clear."
    )
    action: str = Field(
        description="block, review or allow: what the outcome suggests; a person decides."
    )
    label: str | None = Field(
        description="real-person-likeness where somebody was found, for a moderation queue."
    )
    priority: int = Field(description="0 to 100, for sorting a queue.")
    gallery_version: int | None
    findings: list[FindingDocument]
    reasons: list[str]


class ScanDocument(BaseModel):
    """One scan that was asked for."""

    job_id: str
    state: JobState
    kind: str
    name: str
    sha256: str | None
    size_bytes: int | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    done: int = Field(description="Files judged so far.")
    total: int | None = Field(description="Files there are; none while listing goes on.")
    doing: str
    problem: str | None = Field(description="Why it failed.")
    verdict: VerdictDocument | None = Field(description="Once finished.")
    url: str = Field(description="Where to ask again.")
