"""Files that name a registered minor are held for reviewers, not sampled, and not disclosed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.http.destinations import Destinations
from crawlers.listing import Listing, RemoteFile, bare_listing
from face_index.consent import Consent, Signatory
from face_index.vault import Submission
from scanner.errors import HoldReviewRefused
from scanner.factories import open_objections
from scanner.identification.outcome import NEEDS_A_LOOK
from scanner.miniature.world import ADAPTERS
from scanner.scanning.held_files import HeldFile
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.identify_loop import IdentifyLoop
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.scan import run_scan, scan_listings
from scanner.scanning.session import ScanSession
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.settings import Settings
from scanner.triage.header import triage_file
from scanner.web.auth.access import Role
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.verdicts import CaseStandings, ScanSerializer
from tests.conftest import NOON, PHOTO, Silent, proof, prototypes_of
from tests.opening import open_session
from tests.servers.files import FileServer
from tests.test_cli import run
from tests.test_page_safety import Site

STYLE = ADAPTERS / "sepia_style.safetensors"
CHILD, NOBODY = "Mia Example", "Lia Another"


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(
        settings.model_copy(update={"allowed_hosts": ("127.0.0.1",)}), clock=lambda: NOON
    )
    yield opened
    opened.close()


def submitted(
    scan_session: ScanSession, consent: Consent, name: str = CHILD, *, approve: bool = True
) -> None:
    guardian = replace(consent, signatory=Signatory.GUARDIAN, document_sha256="ef" * 32)
    version = scan_session.faces.reader.version
    one = Submission(
        name,
        guardian,
        prototypes_of(len(name)),
        version,
        [PHOTO],
        2,
        "sam",
        born_on=date(2012, 3, 4),
    )
    identity = scan_session.vault.enrolments.submit(one, NOON)
    if approve:
        scan_session.vault.enrolments.approve(
            identity.identity_id, "olga", proof(), NOON, "told apart"
        )


def adult(scan_session: ScanSession, consent: Consent) -> None:
    version = scan_session.faces.reader.version
    one = scan_session.vault.enrolments.submit(
        Submission("Some Adult", consent, prototypes_of(9), version, [PHOTO], 2, "sam"), NOON
    )
    scan_session.vault.enrolments.approve(one.identity_id, "olga", proof(), NOON)


def sent(
    scan_session: ScanSession, title: str, path: Path, tags: tuple[str, ...] = (), number: int = 1
) -> dict[str, Any]:
    """The answer of the gate to a file that was sent with these words."""
    store: CheckpointStore = scan_session.acquisition.checkpoints
    copy = path.with_name(f"copy-{number}-{path.name}")
    shutil.copy(path, copy)
    sha256 = str(triage_file(path).sha256)
    store.adopt(copy, sha256, "upload.safetensors")
    file = RemoteFile(
        "upload.safetensors", f"https://upload.invalid/{sha256}", path.stat().st_size, sha256
    )
    listing = replace(bare_listing("upload", f"{number}", title, "upload:x", file), tags=tags)
    result = scan_listings(
        scan_session, f"job {number}", [listing], Silent(), supplied_by_caller=True
    )
    rows = [JobRow.of(reported.row) for reported in result.rows]
    standings = CaseStandings(scan_session.settings)
    document = (
        ScanSerializer("https://gate", standings, with_names=False)
        .verdict(rows)
        .model_dump(mode="json")
    )
    standings.close()
    return document


def held(scan_session: ScanSession) -> list[HeldFile]:
    return scan_session.held.all(scan_session.minors.ids)


class TestCallers:
    """The attack: junk bytes under one name after another, until the answer differs."""

    @pytest.mark.parametrize("where", ["title", "tags"])
    def test_junk_is_answered_as_junk_whoever_it_names(
        self, scan_session: ScanSession, consent: Consent, tmp_path: Path, where: str
    ) -> None:
        submitted(scan_session, consent)
        junk = tmp_path / "junk.safetensors"
        junk.write_bytes(b"no weights at all " * 9)
        words = [
            ("", (name,)) if where == "tags" else (f"{name} v1", ()) for name in (CHILD, NOBODY)
        ]
        answers = [
            sent(scan_session, title, junk, tags, number)
            for number, (title, tags) in enumerate(words)
        ]
        assert answers[0] == answers[1]
        assert answers[0]["outcome"] == "failed"
        assert [one.places for one in held(scan_session)] == [
            (where,)
        ]  # staff hear of it all the same

    @pytest.mark.parametrize("broken", ["not a number", "a module that is not there"])
    def test_junk_that_only_fails_when_it_is_loaded_is_answered_as_junk(
        self, scan_session: ScanSession, consent: Consent, tmp_path: Path, broken: str
    ) -> None:
        """The attack: a few hundred bytes that the header cannot refuse."""
        submitted(scan_session, consent)
        adult(scan_session, consent)
        tensors = load_file(STYLE)
        if broken == "not a number":
            tensors = {name: tensor * float("nan") for name, tensor in tensors.items()}
        else:
            tensors = {
                name.replace("down_blocks.0", "down_blocks.7"): tensor
                for name, tensor in tensors.items()
            }
        junk = tmp_path / "junk.safetensors"
        save_file(tensors, junk)
        answers = [
            sent(scan_session, title, junk, number=number)
            for number, title in enumerate((f"{CHILD} v1", f"{NOBODY} v1"))
        ]
        assert answers[0]["outcome"] == "failed"
        assert answers[0] == answers[1]
        assert len(held(scan_session)) == 1

    def test_the_commands_answer_alike(
        self, scan_session: ScanSession, consent: Consent, tmp_path: Path
    ) -> None:
        submitted(scan_session, consent)
        answers = []
        for name in (CHILD, NOBODY):
            folder = tmp_path / name
            folder.mkdir()
            (folder / f"{name}.safetensors").write_bytes(b"no weights at all " * 9)
            result = run_scan(scan_session, [str(folder)], Silent())
            answers.append(
                (
                    [{**row, "file": "", "seconds": 0} for row in result.to_json_rows()],
                    result.has_findings,
                )
            )
        assert json.dumps(answers[0]) == json.dumps(answers[1])
        assert len(held(scan_session)) == 1

    def test_a_held_adapter_is_answered_as_one_that_samples_do_not_decide(
        self, scan_session: ScanSession, consent: Consent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(scan_session, consent)
        adult(scan_session, consent)
        first = sent(scan_session, CHILD, STYLE)
        judge = CheckpointIdentifier.identify

        def undecided(
            identifier: CheckpointIdentifier, task: SamplingRequest, _: object = None
        ) -> WorkerAnswer:
            found = judge(identifier, task)
            return replace(
                found,
                verdict=replace(
                    found.verdict, outcome="inconclusive", reason="only 2 of 8 samples"
                ),
            )

        monkeypatch.setattr(CheckpointIdentifier, "identify", undecided)
        other = ADAPTERS / "teapot_object.safetensors"
        second = sent(scan_session, NOBODY, other, number=2)
        hide = {"file": "", "sha256": ""}
        alike = [
            {**document, "findings": [{**one, **hide} for one in document["findings"]]}
            for document in (first, second)
        ]
        assert alike[0] == alike[1]
        assert (first["outcome"], first["action"], first["reasons"]) == (
            "inconclusive",
            "review",
            [NEEDS_A_LOOK],
        )
        assert scan_session.scan_store.samples(str(triage_file(STYLE).sha256)) == []

    def test_bytes_that_are_held_are_held_under_another_name(
        self, scan_session: ScanSession, consent: Consent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(scan_session, consent)
        monkeypatch.setattr(
            IdentifyLoop, "identify", lambda *_: pytest.fail("it must not be sampled")
        )
        assert sent(scan_session, CHILD, STYLE)["outcome"] == "inconclusive"
        assert sent(scan_session, "an innocent title", STYLE, number=2)["outcome"] == "inconclusive"


class TestQueue:
    def test_a_name_in_tags_is_put_before_people_and_two_of_them_lift_it(
        self, scan_session: ScanSession, consent: Consent
    ) -> None:
        """The attack: a child's name in the tags of an adult's adapter hides it from every scan."""
        submitted(scan_session, consent)
        adult(scan_session, consent)
        assert sent(scan_session, "A style", STYLE, (CHILD,))["outcome"] == "inconclusive"
        [one] = held(scan_session)
        assert (one.places, one.settled, one.sha256) == (
            ("tags",),
            False,
            triage_file(STYLE).sha256,
        )
        for actor in ("rita", "RITA"):
            found = self.look(
                scan_session,
                one,
                actor,
                "somebody-else",
                "an adult painter of that name, Mia Example",
            )
            assert not found.lifted
        assert sent(scan_session, "A style", STYLE, (CHILD,), 2)["outcome"] == "inconclusive"
        assert self.look(scan_session, one, "li", "somebody-else").lifted
        assert sent(scan_session, "A style", STYLE, (CHILD,))["outcome"] == "clear"
        log = scan_session.vault.audit.found(event="held-file-looked-at")
        assert [entry.actor for entry in log] == ["li", "RITA", "rita"]
        assert CHILD not in json.dumps([entry.details for entry in log])
        assert not self.look(scan_session, one, "max", "keep").lifted  # whoever doubts it is heard

    def test_what_was_lifted_is_held_again_where_the_name_comes_up_elsewhere(
        self, scan_session: ScanSession, consent: Consent
    ) -> None:
        submitted(scan_session, consent)
        sent(scan_session, "A style", STYLE, (CHILD,))
        for actor in ("rita", "li"):
            self.look(scan_session, held(scan_session)[0], actor, "somebody-else")
        assert held(scan_session)[0].lifted
        assert (
            sent(scan_session, f"{CHILD} portraits", STYLE, (CHILD,), 1)["outcome"]
            == "inconclusive"
        )
        assert not held(scan_session)[0].lifted

    def test_a_file_that_names_the_child_itself_is_never_lifted(
        self, scan_session: ScanSession, consent: Consent, tmp_path: Path
    ) -> None:
        submitted(scan_session, consent)
        path = tmp_path / "a.safetensors"
        save_file(
            load_file(STYLE), path, {"ss_output_name": "mia_example_v2", "ss_tag_frequency": "{}"}
        )
        sent(scan_session, "A style", path)
        [one] = held(scan_session)
        with pytest.raises(HoldReviewRefused, match="itself names the child"):
            self.look(scan_session, one, "rita", "somebody-else")
        assert self.look(scan_session, one, "rita", "keep").settled

    def test_the_name_of_a_child_never_stands_in_a_prompt(
        self,
        scan_session: ScanSession,
        consent: Consent,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        submitted(scan_session, consent)
        adult(scan_session, consent)
        folder = tmp_path / "in"
        folder.mkdir()
        shutil.copy(STYLE, folder / "MiaExample_style.safetensors")
        run_scan(scan_session, [str(folder)], Silent())
        for actor in ("rita", "li"):
            self.look(scan_session, held(scan_session)[0], actor, "somebody-else")
        tasks: list[SamplingRequest] = []
        judge = CheckpointIdentifier.identify
        monkeypatch.setattr(
            CheckpointIdentifier,
            "identify",
            lambda identifier, task, *_: tasks.append(task) or judge(identifier, task),
        )
        assert (
            next(run_scan(scan_session, [str(folder)], Silent()).to_json_rows())["outcome"]
            == "clear"
        )
        assert not any(
            "mia" in word.casefold()
            for task in tasks
            for word in (*task.triggers, *task.candidates)
        )

    def test_on_the_command_line(self, scan_session: ScanSession, consent: Consent) -> None:
        submitted(scan_session, consent)
        sent(scan_session, "A style", STYLE, (CHILD,))
        home = scan_session.settings.home
        [one] = json.loads(run("held", "list", "--json", home=home).stdout)["held"]
        assert (one["child"], one["places"], one["looks"]) == (CHILD, ["tags"], [])
        look = ("held", "look", one["key"], "--reason", "a painter", "--decision")
        assert "second person" in run(*look, "somebody-else", "--by", "Rita", home=home).stdout
        assert run(*look, "nothing", "--by", "Li Na", home=home).returncode == 2
        message = run(*look, "somebody-else", "--by", "Li Na", home=home).stdout
        assert (
            "waits for a second person" in message
        )  # another name from the same login is the same person
        (home / "portrait-scanner.toml").write_text("two_people = false\n")
        for name in ("Rita", "Li Na"):
            message = run(*look, "somebody-else", "--by", name, home=home).stdout
        assert "next scan" in message
        assert "No held file waits" in run("held", "list", home=home).stdout
        assert "Rita: somebody-else" in run("held", "list", "--all", home=home).stdout

    def test_the_likeliest_likeness_comes_first(
        self, scan_session: ScanSession, consent: Consent, tmp_path: Path
    ) -> None:
        submitted(scan_session, consent)
        junk = tmp_path / "junk.safetensors"
        junk.write_bytes(b"no weights at all " * 9)
        sent(scan_session, CHILD, junk)
        path = tmp_path / "a.safetensors"
        tags = json.dumps({"10_mia woman": {"mia woman": 20, "1girl": 20, "photo": 20}})
        save_file(load_file(STYLE), path, {"ss_tag_frequency": tags, "ss_num_train_images": "20"})
        sent(scan_session, f"{CHILD} likeness LoRA, real person", path, number=2)
        assert [one.listing_id for one in held(scan_session)] == ["2", "1"]
        assert held(scan_session)[0].likeness > held(scan_session)[1].likeness

    def test_whoever_waits_for_approval_is_looked_for_unless_the_name_is_one_word(
        self, scan_session: ScanSession, consent: Consent
    ) -> None:
        adult(scan_session, consent)
        submitted(scan_session, consent, approve=False)
        submitted(scan_session, consent, "Portrait", approve=False)
        assert sent(scan_session, CHILD, STYLE)["outcome"] == "inconclusive"
        teapot = ADAPTERS / "teapot_object.safetensors"
        assert sent(scan_session, "Portrait of a teapot", teapot, number=2)["outcome"] == "clear"
        scan_session.vault.enrolments.reject(CHILD, "olga", "no papers", NOON)
        assert held(scan_session) == []
        assert sent(scan_session, CHILD, STYLE)["outcome"] == "clear"

    def look(
        self,
        scan_session: ScanSession,
        one: HeldFile,
        actor: str,
        decision: str,
        reason: str = "looked at the listing",
    ) -> HeldFile:
        return scan_session.held.look(
            one.key, scan_session.minors.ids, actor, actor, decision, reason, NOON
        )


class TestFetching:
    @pytest.mark.parametrize("words", [CHILD, "cute little girl"])
    def test_what_names_a_minor_is_not_fetched(
        self, scan_session: ScanSession, consent: Consent, file_server: FileServer, words: str
    ) -> None:
        submitted(scan_session, consent)
        file = RemoteFile("a.safetensors", file_server.url("a.safetensors"))
        listing: Listing = bare_listing("civitai", "1", words, "https://hub.example/1", file)
        with open_objections(scan_session.settings, lambda: NOON) as objections:
            assert objections.to(listing, file)
            assert objections.to(replace(listing, title=NOBODY), file) is None
        assert len(held(scan_session)) == (words == CHILD)

    def test_a_hubs_listing_that_names_a_minor_is_not_fetched_by_a_scan(
        self, scan_session: ScanSession, consent: Consent, file_server: FileServer, tmp_path: Path
    ) -> None:
        submitted(scan_session, consent)
        shutil.copy(STYLE, tmp_path / "served" / "a.safetensors")
        scan_session.transport.destinations = Destinations({"127.0.0.1"})
        file = RemoteFile("a.safetensors", file_server.url("a.safetensors"))
        listing = bare_listing("civitai", "1", CHILD, "https://hub.example/1", file)
        [row] = scan_listings(scan_session, "a hub", [listing], Silent()).to_json_rows()
        assert (row["outcome"], row["reason"]) == ("inconclusive", NEEDS_A_LOOK)
        assert file_server.requests == []
        assert len(held(scan_session)) == 1


class TestPages:
    def test_reviewers_see_the_queue_and_their_word_is_kept(
        self, settings: Settings, scan_session: ScanSession, consent: Consent
    ) -> None:
        submitted(scan_session, consent)
        sent(scan_session, "A style", STYLE, (CHILD,))
        [one] = held(scan_session)
        site = Site(scan_session.settings)
        reviewer, lawyer, operator = (
            site.browser(name, role)
            for name, role in (("rita", Role.REVIEWER), ("li", Role.LEGAL), ("olga", Role.OPERATOR))
        )
        assert "1 held file waits" in reviewer.get("/cases").text
        assert "held file" not in operator.get("/cases").text
        assert operator.get("/held").status_code == 403
        page = reviewer.get("/held").text
        assert CHILD in page
        assert "tags" in page
        assert "暂扣文件" in reviewer.get("/held?lang=zh-CN").text
        form = {"decision": "somebody-else", "reason": "a painter"}
        for browser in (reviewer, lawyer):
            for wrong in ({"reason": ""}, {"decision": "x"}):
                data = {**form, **wrong, "csrf": browser.csrf}  # type: ignore[attr-defined]
                assert browser.post(f"/held/{one.key}", data=data).status_code == 422
            assert (
                browser.post(f"/held/{one.key}", data={**form, "csrf": browser.csrf}).status_code
                == 303
            )  # type: ignore[attr-defined]
        assert held(scan_session)[0].lifted
        assert [look.by for look in held(scan_session)[0].looks] == ["rita", "li"]
        assert "held file" not in reviewer.get("/cases").text
        site.stranger.__exit__(None, None, None)
