"""Notices: complete, or refused with the missing fields; tracked with the clocks of laws."""

from __future__ import annotations

import io
import tomllib
from datetime import timedelta
from importlib import resources

import docx
import pypdfium2
import pytest
from typer.testing import CliRunner

from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.notice_list import NoticeState
from reports.errors import NoticeIncomplete, NoticeRefused, NotReviewed, UnknownNotice
from reports.notices.clocks import Clock
from reports.notices.drafting import draft_notice
from reports.notices.rendering import as_docx, as_pdf, as_text
from reports.notices.template import template, template_names
from reports.notices.tracker import notice_page, record_draft, record_event, tracked
from scanner.cli.app import app
from tests.cases import AT, make_case, make_sighted_case, reviewed

PAIRS = [(name, language) for name in template_names() for language in template(name).languages]


@pytest.fixture
def case(case_store: CaseStore, request: pytest.FixtureRequest) -> Case:
    """A confirmed case of the kind that the notice of a test is for."""
    told = getattr(request.node, "callspec", None)
    name = told.params.get("name") if told else None
    captured = name is not None and template(name).about == "captured"
    return reviewed(
        case_store, make_sighted_case(case_store) if captured else make_case(case_store)
    )


def given_for(name: str) -> dict[str, str]:
    """Everything that somebody must say for a notice."""
    forms = {
        "url": "https://other.example/x",
        "email": "a@example.org",
        "date": "2026-11-20",
        None: "<{}>",
    }
    given = {
        field.name: field.must or str(forms[field.kind]).format(field.name)
        for field in template(name).required
        if field.source is None
    }
    return given | ({"urls": "https://hub.example/copy"} if template(name).hub else {})


def test_those_that_the_law_and_the_hubs_ask_for() -> None:
    assert set(template_names()) >= {
        "prc-1195",
        "eu-dsa-16",
        "us-take-it-down",
        "tn-elvis",
        "hub-civitai",
        "hub-huggingface",
        "hub-modelscope",
        "hub-liblibai",
        "eu-dsa-17",
        "prc-1196",
        "uk-osa-20a",
        "in-it-3-2-b",
        "eu-gdpr-17",
        "eu-dsa-20",
        "us-dmca-512",
        "hub-github",
        "hub-xiaohongshu",
        "prc-12377",
    }
    assert template("prc-1195").languages[0] == "zh-CN"
    assert template("us-take-it-down").clock == Clock(hours=48)
    assert template("eu-gdpr-17").clock == Clock(months=1)
    assert template("eu-dsa-20").clock == Clock(months=6, starts="decision_date")


@pytest.mark.parametrize(("name", "language"), PAIRS)
def test_complete_in_every_form(name: str, language: str, case: Case) -> None:
    made = draft_notice(name, case, given_for(name), AT, language)
    text = as_text(made)
    paragraphs = "\n".join(one.text for one in docx.Document(io.BytesIO(as_docx(made))).paragraphs)
    printed = "".join(
        page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(as_pdf(made))
    )
    for field in template(name).required:
        if field.must is None:
            for value in (
                made.fields[field.name].split()
                if field.kind == "url"
                else [made.fields[field.name]]
            ):
                assert value in text, field.name
                assert value in paragraphs, field.name
    assert len(printed) > 200


@pytest.mark.parametrize("name", template_names())
def test_each_required_field_removed_in_turn_is_refused_by_name(name: str, case: Case) -> None:
    for field in template(name).required:
        with pytest.raises(NoticeIncomplete, match=field.name) as caught:
            draft_notice(name, case, {**given_for(name), field.name: "  "}, AT)
        assert caught.value.missing == (field.name,)


@pytest.mark.parametrize("name", template_names())
def test_the_file_to_fill_in_has_every_field_that_must_be_given(name: str) -> None:
    printed = CliRunner().invoke(app, ["notice", "fields", name])
    assert printed.exit_code == 0, printed.output
    kind = template(name)
    given = {
        field.name
        for field in kind.required
        if not field.source and field.name not in kind.defaults
    }
    assert set(tomllib.loads(printed.stdout)) == given


def test_every_declared_field_is_used_and_every_used_one_declared() -> None:
    folder = resources.files("reports").joinpath("notices")
    known = tomllib.loads(folder.joinpath("fields.toml").read_text("utf-8"))
    used = {field.name for name in template_names() for field in template(name).required}
    assert set(known) - used <= {"hub", "right_holder_id"}
    for name, language in PAIRS:
        body = template(name).body[language]
        for field in template(name).required:
            assert field.must or f"{{{{ {field.name} " in body, (name, language, field.name)


def test_refused_without_a_reviewer_or_for_what_it_is_not(
    case_store: CaseStore, case: Case
) -> None:
    given = given_for("us-take-it-down")
    with pytest.raises(NoticeRefused, match="not a model file"):
        draft_notice("us-take-it-down", case, {**given, "intimate": "no"}, AT)
    with pytest.raises(NoticeRefused, match="good_faith"):
        draft_notice("us-take-it-down", case, {**given, "good_faith": "no"}, AT)
    with pytest.raises(NoticeIncomplete, match="intimate"):
        draft_notice("us-take-it-down", case, {**given, "intimate": ""}, AT)
    for other in (case.checkpoint.listing_url, f"https://x.example {case.checkpoint.listing_url}"):
        with pytest.raises(NoticeRefused, match="not a model file"):
            draft_notice("us-take-it-down", case, {**given, "depiction_urls": other}, AT)
    for name, value in (
        ("email", "nobody"),
        ("sha256", "dead"),
        ("reviewer", "me"),
        ("licences", "none"),
    ):
        with pytest.raises(NoticeRefused, match=name):
            draft_notice("eu-dsa-16", case, {**given_for("eu-dsa-16"), name: value}, AT)
    with pytest.raises(NoticeRefused, match="listed on civitai"):
        draft_notice("hub-huggingface", case, {**given_for("hub-huggingface"), "urls": ""}, AT)
    with pytest.raises(UnknownNotice, match="no field 'nonsense'"):
        draft_notice("prc-1195", case, {"nonsense": "x"}, AT)
    with pytest.raises(UnknownNotice, match="not in zh-CN"):
        draft_notice("tn-elvis", case, given_for("tn-elvis"), AT, "zh-CN")
    with pytest.raises(UnknownNotice, match="prc-1195"):
        draft_notice("prc-9", case, {}, AT)
    for decision in ("reject", "more-samples", "authorised"):
        with pytest.raises(NotReviewed):
            draft_notice(
                "prc-1195", reviewed(case_store, case, decision), given_for("prc-1195"), AT
            )


def test_a_users_declaration_is_passed_on_while_the_case_is_appealed(
    case_store: CaseStore, case: Case
) -> None:
    case_store.add(case.case_id, "appeal", "maker", AT, {"text": "it is nobody"})
    appealed = case_store.case(case.case_id)
    assert "declarant" in draft_notice("prc-1196", appealed, given_for("prc-1196"), AT).text
    with pytest.raises(NotReviewed):
        draft_notice("prc-1195", appealed, given_for("prc-1195"), AT)


def test_a_listing_cannot_write_parts_of_the_notice(case_store: CaseStore) -> None:
    case = reviewed(case_store, make_case(case_store, case_id="feed000000000000"))
    given = {**given_for("prc-1195"), "contact": "x\n## 声明\n- 撤回本通知 {{ 7 * 7 }}"}
    text = draft_notice("prc-1195", case, given, AT).text
    assert [line for line in text.splitlines() if line.startswith("## 声明")] == []
    assert "{{ 7 * 7 }}" in text


@pytest.mark.parametrize("name", template_names())
def test_wording_from_secondary_sources_says_so_in_the_notice(name: str, case: Case) -> None:
    kind = template(name)
    for language in kind.languages:
        text = draft_notice(name, case, given_for(name), AT, language).text
        marked = "[Draft: the wording" in text or "〔草稿：" in text
        assert marked == (kind.wording == "secondary")


def test_what_does_not_apply_is_hidden(case_store: CaseStore) -> None:
    file, captured = make_case(case_store), make_sighted_case(case_store)

    def names(case: Case, country: str | None = None) -> set[str]:
        return {
            name
            for name in template_names()
            if template(name).applies(case, country and country.upper())
        }

    assert "hub-civitai" in names(file)
    assert names(file).isdisjoint(
        {"hub-huggingface", "hub-github", "eu-dsa-17", "prc-1196", "prc-1195-posts"}
    )
    assert {"prc-1195-posts", "prc-12377", "hub-xiaohongshu"} <= names(captured, "CN")
    assert names(captured, "CN").isdisjoint({"uk-osa-20a", "us-dmca-512", "in-it-3-2-b"})
    assert "uk-osa-20a" in names(captured, "GB")


def test_wording_is_stale_after_a_year() -> None:
    kind = template("prc-1195")
    assert not kind.is_stale(kind.checked_on + timedelta(days=365))
    assert kind.is_stale(kind.checked_on + timedelta(days=366))


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2026-02-30", "there is no day 2026-02-30"),
        ("2027-08-31", "lies in the future"),
        ("2026-01-15", "had to be sent by 2026-07-15"),
        ("31.08.2026", "is not a date like"),
    ],
)
def test_days_from_which_no_period_runs_are_refused(case: Case, day: str, said: str) -> None:
    given = given_for("eu-dsa-20") | {"decision_date": day}
    with pytest.raises(NoticeRefused, match=f"decision_date: .*{said}"):
        draft_notice("eu-dsa-20", case, given, AT)


def test_notices_of_a_country(case_store: CaseStore) -> None:
    british = {name for name in template_names() if template(name).is_of("GB")}
    assert {"uk-osa-20a", "eu-gdpr-17", "hub-civitai"} <= british
    assert british.isdisjoint({"tn-elvis", "us-take-it-down", "prc-1195", "eu-dsa-16"})
    assert template("eu-dsa-16").is_of("DE")
    british_by_name = CliRunner().invoke(app, ["notice", "kinds", "--country", "uk", "--json"])
    assert "uk-osa-20a" in british_by_name.stdout
    nowhere = CliRunner().invoke(app, ["notice", "kinds", "--country", "Z1"])
    assert nowhere.exit_code == 2


class TestTracker:
    def test_from_draft_to_removal_with_a_clock(self, case_store: CaseStore, case: Case) -> None:
        made = draft_notice("us-take-it-down", case, given_for("us-take-it-down"), AT)
        number = record_draft(case_store, made, "olga", AT)
        assert (tracked(case_store, number).state, tracked(case_store, number).due) == (
            NoticeState.DRAFTED,
            None,
        )
        assert tracked(case_store, number).url == "https://other.example/x"
        sent = record_event(case_store, number, "sent", "olga", AT)
        assert sent.due == AT + timedelta(hours=48)
        assert (sent.overdue(AT + timedelta(hours=47)), sent.overdue(AT + timedelta(hours=49))) == (
            False,
            True,
        )
        assert (
            record_event(case_store, number, "acknowledged", "olga", AT, "ticket 7").due == sent.due
        )
        gone = record_event(case_store, number, "removed", "olga", AT)
        assert (gone.due, [entry.details["event"] for entry in gone.history]) == (
            None,
            ["drafted", "sent", "acknowledged", "removed"],
        )
        assert (
            record_event(case_store, number, "reinstated", "olga", AT).state
            == NoticeState.REINSTATED
        )

    def test_nothing_is_sent_about_a_case_that_no_longer_stands(
        self, case_store: CaseStore, case: Case
    ) -> None:
        made = draft_notice("prc-1195", case, given_for("prc-1195"), AT, fingerprint="fe" * 32)
        assert "fe" * 32 in made.text
        number = record_draft(case_store, made, "olga", AT)
        told = tracked(case_store, number).history[0].details
        assert (told["recipient"], len(told["text_sha256"])) == ("<recipient>", 64)
        case_store.add(case.case_id, "appeal", "maker", AT, {"text": "no"})
        with pytest.raises(NotReviewed, match="appealed"):
            record_event(case_store, number, "sent", "olga", AT)
        assert (
            record_event(case_store, number, "cancelled", "olga", AT).state == NoticeState.CANCELLED
        )

    def test_a_clock_runs_from_when_it_was_sent(self, case_store: CaseStore, case: Case) -> None:
        number = record_draft(
            case_store,
            draft_notice("us-take-it-down", case, given_for("us-take-it-down"), AT),
            "olga",
            AT,
        )
        with pytest.raises(NoticeRefused, match="future"):
            record_event(case_store, number, "sent", "olga", AT, at=AT + timedelta(hours=1))
        with pytest.raises(NoticeRefused, match="lies before"):
            record_event(case_store, number, "sent", "olga", AT, at=AT - timedelta(hours=1))
        sent = record_event(
            case_store, number, "sent", "olga", AT + timedelta(days=1), at=AT + timedelta(hours=5)
        )
        assert sent.due == AT + timedelta(hours=53)

    def test_what_cannot_follow_is_refused(self, case_store: CaseStore, case: Case) -> None:
        made = draft_notice("prc-1195", case, given_for("prc-1195"), AT)
        first, second = (record_draft(case_store, made, "olga", AT) for _ in range(2))
        assert (first, second) == (f"{case.case_id}-1", f"{case.case_id}-2")
        with pytest.raises(NoticeRefused, match="next can come cancelled, sent"):
            record_event(case_store, first, "removed", "olga", AT)
        with pytest.raises(UnknownNotice):
            record_event(case_store, first, "forgotten", "olga", AT)
        with pytest.raises(UnknownNotice):
            record_event(case_store, "nobody-1", "sent", "olga", AT)
        assert len(notice_page(case_store)) == 2


def test_notices_about_files_and_about_accounts_are_not_mixed_up(case_store: CaseStore) -> None:
    file, account = (
        reviewed(case_store, make_case(case_store)),
        reviewed(case_store, make_sighted_case(case_store)),
    )
    for name, case in (("prc-1195-posts", file), ("prc-1195", account), ("tn-elvis", account)):
        with pytest.raises(NoticeRefused, match="not for what this case is about"):
            draft_notice(name, case, given_for(name), AT)
    text = as_text(
        draft_notice(
            "prc-1195-posts",
            account,
            given_for("prc-1195-posts") | {"reputation": "侮辱性标题"},
            AT,
        )
    )
    for told in (
        "https://social.example/post/3",
        "Fake Erika <script> (u-1)",
        "ab" * 32,
        "侮辱性标题",
        "4 幅不同图像",
    ):
        assert told in text
