"""Changes to cases.db by SQL are noticed before an export, and a bundle can be revoked."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reports.cases.case import Case, case_to_dict
from reports.cases.case_store import CaseStore
from reports.errors import CaseAltered, ReviewRefused
from scanner.casework.case_records import AT_UPGRADE, CaseRecords
from scanner.casework.service import CaseService
from scanner.settings import Settings
from tests.cases import AT, make_case
from tests.opening import open_service
from tests.verifiers import record_digest, run_both, verify

WHO = "ab" * 16


class Office:
    """A home with a confirmed case, and what is done with it."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, operator="olga")
        self.now = AT
        self.path = self.settings.cases_path

    def service(self) -> CaseService:
        return open_service(self.settings, lambda: self.now)

    def open(self, **changes: Any) -> Case:
        service = self.service()
        case = make_case(service.case_store, identity_id=WHO, **changes)
        service.records.note(
            "case-opened", case, "olga", checkpoint=case.checkpoint.sha256, outcome=case.outcome
        )
        service.note_shown(
            case,
            blurred=False,
            sha256=[x for s in case.samples for x in (s.image_sha256, s.control_sha256) if x],
        )
        service.close()
        return case

    def decide(self, decision: str = "confirm", reason: str = "one face throughout") -> Case:
        self.now += timedelta(minutes=5)
        service = self.service()
        case = service.review("c0ffee0123456789", "Li Na", decision, reason)
        service.close()
        return case

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    def bundle(self, name: str = "out") -> Path:
        service = self.service()
        try:
            return service.write_bundle(
                "c0ffee0123456789", self.settings.home / name, with_weights=False, pdf=False
            )
        finally:
            service.close()

    def problems(self) -> list[str]:
        service = self.service()
        try:
            return list(service.records.problems())
        finally:
            service.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "home")
    made.open()
    # Nobody of that name is registered: the case's person need not be for what is tested here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CaseService, "has_withdrawn", lambda *_: False)
        made.decide()
        yield made


def in_record(path: str, value: str) -> str:
    return f"update cases set record = json_set(record, '{path}', {value})"


FORGERIES = {
    "score": (in_record("$.score", "0.99"), "score"),
    "interval": (in_record("$.interval", "json('[0.97, 1.0]')"), "interval"),
    "a sample removed": (
        "update cases set record = json_remove(record, '$.samples[3]')",
        "samples",
    ),
    "a sample's hash": (in_record("$.samples[0].image_sha256", f"'{'00' * 32}'"), "samples"),
    "creator": (in_record("$.checkpoint.creator", "'somebody else'"), "checkpoint.creator"),
    "the date": (
        in_record("$.opened_at", "'2026-01-01T00:00:00+00:00'")
        + ", opened_at = '2026-01-01T00:00:00+00:00'",
        "opened_at",
    ),
    "whom it shows": (in_record("$.identity_name", "'Max'"), "identity_name"),
    "the column beside the record": ("update cases set outcome = 'possible'", "outcome"),
    "no record at all": ("update cases set record = '{'", "cannot be read"),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_case_changed_by_sql_is_not_exported(office: Office, how: str) -> None:
    statement, named = FORGERIES[how]
    office.sql(statement)
    service = office.service()
    for export in (
        lambda: service.write_bundle(
            "c0ffee0123456789", office.settings.home, with_weights=False, pdf=False
        ),
        lambda: service.write_report(
            "c0ffee0123456789", office.settings.home, "en", redacted=True, pdf=False
        ),
        lambda: service.exported("c0ffee0123456789"),
        lambda: service.case("c0ffee0123456789"),
        lambda: service.review("c0ffee0123456789", "Omar", "confirm", "I see it too"),
        lambda: service.amend("c0ffee0123456789", "correction", "Omar", "typo"),
    ):
        with pytest.raises(CaseAltered, match=named) as refused:
            export()
        assert "put its newest backup back" in str(refused.value)
    service.close()
    assert not list(office.settings.home.glob("evidence-*"))
    assert any(named in problem for problem in office.problems())


def reviews_by_sql(decision: str) -> tuple[str, ...]:
    details = json.dumps({"decision": decision, "reason": "x", "eyes": 1, "operator": "olga"})
    return (
        "drop trigger entries_no_update",
        "drop trigger entries_no_delete",
        f"update entries set details = '{details}' where kind = 'review'",
    )


@pytest.mark.parametrize(
    "statements",
    [
        reviews_by_sql("reject"),
        ("drop trigger entries_no_delete", "delete from entries"),
        (
            (
                "insert into entries (case_id, at, kind, actor, details) "
                "values ('c0ffee0123456789', '2026-11-23T13:00:00+00:00', 'review', 'Eve', "
                '\'{"decision": "reject", "reason": "", "eyes": 1}\')'
            ),
        ),
        ("delete from seals",),
    ],
    ids=["a decision changed", "a decision taken out", "a decision put in", "the seals taken out"],
)
def test_decisions_and_seals_changed_by_sql(office: Office, statements: tuple[str, ...]) -> None:
    office.sql(*statements)
    with pytest.raises(CaseAltered):
        office.bundle()
    assert office.problems()


def test_a_case_that_is_put_in_and_one_that_is_taken_out(office: Office, tmp_path: Path) -> None:
    elsewhere = Office(tmp_path / "elsewhere")
    elsewhere.open(case_id="decade0123456789")
    with closing(sqlite3.connect(office.path)) as db:
        db.execute("attach ? as other", [str(elsewhere.path)])
        for table in ("cases", "summaries", "seals"):
            db.execute(f"insert into {table} select * from other.{table}")
        db.commit()
    shutil.copytree(
        elsewhere.settings.evidence_path, office.settings.evidence_path, dirs_exist_ok=True
    )
    service = office.service()
    with pytest.raises(CaseAltered, match="this installation's vault"):
        service.exported("decade0123456789")
    service.close()
    office.sql("delete from cases where case_id = 'c0ffee0123456789'")
    problems = " ".join(office.problems())
    assert "decade0123456789" in problems
    assert "case c0ffee0123456789: the audit log knows it, and it is not in cases.db" in problems


def test_an_older_copy_put_back_is_noticed_and_may_be_accepted_by_name(
    office: Office, tmp_path: Path
) -> None:
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(office.path)) as db:
        db.execute("vacuum into ?", [str(older)])
    office.decide("reject", "it is somebody else after all")
    for ending in ("-wal", "-shm"):
        office.path.with_name(office.path.name + ending).unlink(missing_ok=True)
    shutil.copy(older, office.path)
    with pytest.raises(CaseAltered, match="an older copy was put back"):
        office.bundle()
    service = office.service()
    with pytest.raises(ReviewRefused, match="say why"):
        service.records.accept_set_back("olga", " ")
    assert service.records.accept_set_back("olga", "the disk died") == ["c0ffee0123456789"]
    case = service.case("c0ffee0123456789")
    assert case.custody[-1].event == "case-set-back-accepted"
    assert case.custody[-1].details["reason"] == "the disk died"
    # The log holds the decision that the older copy lacks; it must be made again before an export.
    with pytest.raises(
        CaseAltered, match="the newest decision is confirm, the audit log says reject"
    ):
        service.exported("c0ffee0123456789")
    service.close()
    office.decide("reject", "as decided before the disk died")
    assert all(one.ok for one in verify(office.bundle()))
    assert office.problems() == []


def test_what_somebody_forged_is_never_accepted(office: Office) -> None:
    office.sql(FORGERIES["score"][0])
    service = office.service()
    assert service.records.accept_set_back("olga", "let it pass") == []
    service.close()


def test_a_process_that_is_killed_between_both_databases(office: Office) -> None:
    """The case is written, the line in the log is not: the next look catches up."""
    with pytest.MonkeyPatch.context() as patch:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(CaseRecords, "note", killed)
        with pytest.raises(KeyboardInterrupt):
            office.decide("reject", "cut off")
    folder = office.bundle()
    assert all(one.ok for one in verify(folder))
    custody = json.loads((folder / "data/custody.json").read_bytes())
    assert [line["event"] for line in custody] == ["case-opened", "case-reviewed", "case-recorded"]
    assert json.loads((folder / "data/case.json").read_bytes())["status"] == "rejected"


def test_many_at_once_raise_no_false_alarm(office: Office) -> None:
    code = (
        "import sys; from pathlib import Path; from datetime import timedelta; "
        "from tests.test_forged_cases import Office, AT\n"
        "office = Office(Path(sys.argv[1])); office.now = AT + timedelta(hours=1); "
        "service = office.service()\n"
        "for number in range(15):\n"
        "    service.amend('c0ffee0123456789', 'correction', sys.argv[2], "
        "f'correction {number}'); service.case('c0ffee0123456789')\n"
    )
    home = str(office.settings.home)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, home, name])
        for name in ("Omar", "Ana", "Wei")
    ]
    assert [one.wait(120) for one in processes] == [0, 0, 0]
    office.now += timedelta(hours=2)
    service = office.service()
    assert (
        sum(entry.kind == "correction" for entry in service.exported("c0ffee0123456789").entries)
        == 45
    )
    service.close()


class TestVerify:
    def test_the_bundle_says_as_of_when(self, office: Office) -> None:
        folder = office.bundle()
        statement = json.loads((folder / "seal/statement.json").read_bytes())
        assert statement["chain"]["entry"] > 0
        assert len(statement["chain"]["sha256"]) == 64
        items = {one.item: one for one in verify(folder)}
        assert all(one.ok for one in items.values())
        assert "as of 2026-11-23T12:05:00" in str(
            items["the record is the one that the audit log names"].note
        )
        for language, words in (
            ("en", "What was decided later is not in it"),
            ("zh-CN", "此后的决定不在本报告内"),
        ):
            report = (folder / f"data/report.{language}.html").read_text("utf-8")
            assert words in report

    def test_a_signer_who_seals_another_record_than_the_log_names(self, office: Office) -> None:
        service = office.service()
        case = service.case("c0ffee0123456789")
        forged = replace(case, score=0.99)
        assert record_digest(case_to_dict(forged)) != record_digest(case_to_dict(case))
        from reports.errors import UnreadableBundle
        from reports.evidence.bundle import BundleRequest, write_bundle

        with pytest.raises(UnreadableBundle, match="names another record"):
            write_bundle(
                forged,
                service.case_store,
                office.settings.home / "b",
                BundleRequest(("en",), pdf=False),
                service.vault.keys.sign,
                [],
                AT,
            )
        service.close()

    @pytest.mark.parametrize("alone", [False, True], ids=["program", "single file"])
    @pytest.mark.parametrize(
        ("decision", "code"), [("reject", 1), ("authorised", 1), ("more-samples", 1), (None, 0)]
    )
    def test_a_later_decision_takes_a_bundle_back(
        self, office: Office, tmp_path: Path, decision: str | None, code: int, *, alone: bool
    ) -> None:
        folder = office.bundle()
        if decision:
            office.decide(decision, "looked again")
        service = office.service()
        revocations, _ = service.revocations()
        service.close()
        assert [one["case_id"] for one in revocations["cases"]] == (
            ["c0ffee0123456789"] if decision else []
        )
        path = tmp_path / "revocations.json"
        path.write_text(json.dumps(revocations))
        assert all(one.ok for one in verify(folder))
        if alone:
            done = run_both(folder, "--revocations", path)
            assert done.returncode == code, done.stdout
            assert ("PROBLEM no later decision" in done.stdout) == bool(code)
        else:
            last = verify(folder, revocations=path)[-1]
            assert last.ok == (not code)
            if decision:
                assert "since 2026-11-23T12:10:00" in str(last.problem)
                newer = verify(office.bundle("newer"), revocations=path)[-1]
                assert newer.ok

    @pytest.mark.parametrize(
        "change",
        [
            lambda revocations: revocations | {"cases": []},
            lambda revocations: revocations | {"issued_at": "2030-01-01T00:00:00+00:00"},
            lambda revocations: revocations | {"format": "something"},
            lambda revocations: {
                **revocations,
                "signature": revocations["signature"][:-8] + "AAAAAA==",
            },
            lambda _: [],
        ],
    )
    def test_a_list_that_is_not_the_signers(
        self, office: Office, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
    ) -> None:
        folder = office.bundle()
        office.decide("reject", "looked again")
        service = office.service()
        revocations, _ = service.revocations()
        service.close()
        path = tmp_path / "revocations.json"
        path.write_text(json.dumps(change(revocations)))
        assert not verify(folder, revocations=path)[-1].ok

    def test_a_list_of_another_signer(self, office: Office, tmp_path: Path) -> None:
        other = Office(tmp_path / "other").service()
        revocations, _ = other.revocations()
        other.close()
        path = tmp_path / "revocations.json"
        path.write_text(json.dumps(revocations))
        last = verify(office.bundle(), revocations=path)[-1]
        assert "another key" in str(last.problem)

    def test_a_correction_later_is_told_and_takes_nothing_back(
        self, office: Office, tmp_path: Path
    ) -> None:
        folder = office.bundle()
        office.now += timedelta(minutes=1)
        service = office.service()
        service.amend(
            "c0ffee0123456789", "correction", "Omar", "the uploader's name is spelt otherwise"
        )
        path = tmp_path / "revocations.json"
        path.write_text(json.dumps(service.revocations()[0]))
        service.close()
        last = verify(folder, revocations=path)[-1]
        assert last.ok
        assert "went on at" in str(last.note)


class TestUpgrade:
    """Cases of a version that sealed nothing."""

    @pytest.fixture
    def older(self, tmp_path: Path) -> Office:
        made = Office(tmp_path / "home")
        vault_only = open_service(made.settings, lambda: AT)
        vault_only.close()
        return made

    @staticmethod
    def as_before(office: Office, **changes: Any) -> Case:
        """Return a case as 0.1.0 wrote it.

        It has no seal, its line in the audit log does not name the record, and no entry says that
        records are kept.
        """
        from scanner.factories import open_vault

        case_store = CaseStore(office.path, office.settings.evidence_path)
        case = make_case(case_store, identity_id=WHO, **changes)
        case_store.close()
        vault = open_vault(office.settings)
        vault.audit.record(
            "case-opened", WHO, "olga", AT, case=case.case_id, checkpoint="ab" * 32, outcome="match"
        )
        vault.close()
        return case

    def test_they_are_recorded_once_as_they_are(self, tmp_path: Path) -> None:
        office = Office(tmp_path / "home")
        self.as_before(office)
        folder = office.bundle()
        assert all(one.ok for one in verify(folder))
        custody = json.loads((folder / "data/custody.json").read_bytes())
        assert [line["event"] for line in custody] == ["case-opened", AT_UPGRADE]
        assert "recorded at upgrade" in (folder / "data/report.en.html").read_text("utf-8")
        assert "升级时按当时状态登记" in (folder / "data/report.zh-CN.html").read_text("utf-8")
        office.sql("delete from seals", FORGERIES["score"][0])
        with pytest.raises(CaseAltered, match="never wrote it"):
            office.bundle("again")

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"opened_at": "2026-11-20T00:00:00+00:00"}, "audit log says 2026-11-23"),
            ({"opened_at": "2026-12-20T00:00:00+00:00"}, "after the audit log knew of it"),
            ({"outcome": "possible"}, "another outcome"),
        ],
    )
    def test_what_was_forged_before_is_found_by_the_log(
        self, tmp_path: Path, changes: dict[str, Any], problem: str
    ) -> None:
        office = Office(tmp_path / "home")
        environment = {"environment": None} if "2026-11-20" in str(changes) else {}
        self.as_before(office, **changes, **environment)
        with pytest.raises(CaseAltered, match=problem):
            office.bundle()

    def test_a_decision_that_the_log_knows_nothing_of(self, tmp_path: Path) -> None:
        office = Office(tmp_path / "home")
        case = self.as_before(office)
        case_store = CaseStore(office.path, office.settings.evidence_path)
        case_store.add(
            case.case_id, "review", "Eve", AT, {"decision": "confirm", "reason": "sure", "eyes": 1}
        )
        case_store.close()
        with pytest.raises(CaseAltered, match="nothing of the decision of Eve"):
            office.bundle()


@pytest.mark.parametrize(
    "command",
    [
        ("report", "c0ffee0123456789", "--bundle", "--no-pdf"),
        ("report", "c0ffee0123456789", "--no-pdf", "--redacted"),
        ("notice", "draft", "c0ffee0123456789", "prc-1195", "--out", "."),
        ("vault", "check"),
    ],
    ids=["bundle", "report", "notice", "check"],
)
def test_the_commands_say_what_differs(
    office: Office, tmp_path: Path, command: tuple[str, ...]
) -> None:
    office.sql(FORGERIES["creator"][0])
    program = [sys.executable, "-m", "scanner.cli.app", "--home", str(office.settings.home)]
    done = subprocess.run(
        [*program, *command], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 3
    assert "checkpoint.creator" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_audit_log_that_was_altered_stops_every_export(office: Office) -> None:
    with closing(sqlite3.connect(office.settings.vault_path)) as db:
        db.execute("drop trigger audit_no_delete")
        db.execute("delete from audit where event = 'case-reviewed'")
        db.commit()
    with pytest.raises(CaseAltered, match="audit log itself was altered"):
        office.bundle()
