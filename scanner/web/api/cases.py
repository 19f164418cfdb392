"""Cases and statements of reasons for the moderation tools of hubs: /api/v1/cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from reports.cases.case import Case
from reports.cases.case_list import CaseFilter, CaseOrder
from reports.cases.case_summary import CaseSummary, summary_record
from reports.cases.review import CaseStatus
from reports.errors import NoticeIncomplete, NoticeRefused, NotReviewed, UnknownCase
from reports.notices.drafting import draft_notice
from reports.notices.rendering import as_text
from reports.notices.tracker import record_draft
from scanner.web.api.schemas import Problem
from scanner.web.auth.access import Scope
from scanner.web.auth.tokens import Token
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_scope
from scanner.web.errors import GateRefused, NotThere
from scanner.web.service_pool import PageCaseService

router = APIRouter(prefix="/api/v1/cases", tags=["cases"])
CaseId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
STATEMENT = "eu-dsa-17"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (401, 403, 422, 429)
}
_REFUSALS_AND_404: dict[int | str, dict[str, Any]] = {**_REFUSALS, 404: {"model": Problem}}


class CaseDocument(BaseModel):
    """A case for a moderation tool. Samples and evidence are on its web page."""

    case_id: str
    status: CaseStatus = Field(description="`draft` until a person has decided.")
    outcome: str
    identity_name: str | None = Field(description="Returned only with the scope `names:read`.")
    opened_at: str
    score: float | None = Field(
        description="For rejected and authorised cases returned only with the scope `names:read`."
    )
    threshold: float | None = Field(description="Returned under the same condition as `score`.")
    file: str
    sha256: str
    hub: str
    title: str
    creator: str | None
    listing_url: str
    url: str = Field(description="The web page of the case.")


class CaseList(BaseModel):
    """Cases, newest first. `next` is `before` for the next page; null on the last page."""

    cases: list[CaseDocument]
    next: str | None


class StatementRequest(BaseModel):
    """Fields of a statement of reasons besides the case (Digital Services Act, article 17)."""

    model_config = ConfigDict(extra="forbid")

    language: str = Field("en", pattern=r"^(en|zh-CN)$")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "Fields such as platform, recipient, restriction, scope, ground and redress. The "
            "answer names the missing ones."
        ),
    )


class StatementDocument(BaseModel):
    """The draft of a statement of reasons. The draft is recorded in the case; the hub sends it."""

    notice_id: str
    case_id: str
    language: str
    text: str


@router.get("", response_model=CaseList, responses=_REFUSALS)
def list_cases(
    context: Context,
    token: Annotated[Token, requires_scope(Scope.CASES_READ)],
    status: CaseStatus | None = None,
    sha256: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")] = None,
    before: Annotated[str | None, Query(pattern=r"^[0-9a-f]{16}$")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CaseList:
    """Cases, newest first."""
    wanted = CaseFilter(statuses=() if status is None else (status,), sha256=sha256)
    with context.services.acquire(token.account.actor) as service:
        lists = service.case_store.lists
        found = lists.page(wanted, CaseOrder.NEWEST, after=before, limit=limit + 1)
    page = found[:limit]
    following = page[-1].case_id if len(found) > limit else None
    return CaseList(
        cases=[_case_document(context, token, summary) for summary in page], next=following
    )


@router.get("/{case_id}", response_model=CaseDocument, responses=_REFUSALS_AND_404)
def show_case(
    case_id: CaseId, context: Context, token: Annotated[Token, requires_scope(Scope.CASES_READ)]
) -> CaseDocument:
    """One case in its present state."""
    with context.services.acquire(token.account.actor) as service:
        case = _find_case(service, case_id)
        summary = CaseSummary(**summary_record(case), entries=case.entries)
    return _case_document(context, token, summary)


@router.post(
    "/{case_id}/statement",
    status_code=201,
    response_model=StatementDocument,
    responses={
        **_REFUSALS_AND_404,
        409: {"model": Problem, "description": "The case is not confirmed."},
    },
)
def draft_statement(
    case_id: CaseId,
    statement: StatementRequest,
    context: Context,
    token: Annotated[Token, requires_scope(Scope.STATEMENTS)],
) -> StatementDocument:
    """Draft the statement of reasons for a confirmed case, and record it in the case."""
    with context.services.acquire(token.account.actor) as service:
        case = service.exported(_find_case(service, case_id).case_id)
        try:
            draft = draft_notice(
                STATEMENT,
                case,
                _limited_fields(statement.fields),
                context.clock(),
                statement.language,
                service.vault.keys.fingerprint,
            )
        except NotReviewed as error:
            raise GateRefused(409, "not-confirmed", str(error)) from error
        except (NoticeIncomplete, NoticeRefused) as error:
            raise GateRefused(422, "incomplete", str(error)) from error
        notice_id = record_draft(service.case_store, draft, token.account.name, context.clock())
        service.note_notice(
            case, "notice-drafted", token.account.actor, notice=notice_id, template=STATEMENT
        )
    return StatementDocument(
        notice_id=notice_id, case_id=case_id, language=draft.language, text=as_text(draft)
    )


def _limited_fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {name[:60]: value[:4_000] for name, value in list(fields.items())[:60]}


def _find_case(service: PageCaseService, case_id: str) -> Case:
    try:
        return service.case(case_id)
    except UnknownCase as error:
        raise NotThere(f"no case has the id {case_id!r}") from error


def _case_document(context: AppContext, token: Token, case: CaseSummary) -> CaseDocument:
    fields = {
        name: getattr(case, name) for name in CaseDocument.model_fields if hasattr(case, name)
    }
    names = Scope.NAMES_READ in token.scopes
    hidden: dict[str, Any] = {} if names else {"identity_name": None}
    if not names and case.status in (CaseStatus.REJECTED, CaseStatus.AUTHORISED):
        hidden |= {"score": None, "threshold": None}
    return CaseDocument(
        **{**fields, **hidden},
        url=f"{context.settings.web.url}/cases/{case.case_id}",
    )
