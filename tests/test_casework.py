"""From a scan's case to review, report, bundle, notice and statistics, by commands."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from face_index.vault.vault import Vault
from reports.cases.case_store import CaseStore
from reports.evidence.bundle import BundleRequest, write_bundle
from scanner.factories import open_checkpoints, open_vault
from scanner.settings import Settings
from tests.opening import open_service
from tests.servers.files import FileServer
from tests.servers.timestamps import serve_timestamps
from tests.test_cli import run

DSA_FIELDS = (
    'recipient = "Hub"\nright_holder = "Erika Mustermann"\nagent = "none"\n'
    'email = "a@example.org"\nground = "portrait right"\n'
    'request = "remove"\nfair_use = "none"\ngood_faith = "yes"\nsignature = "Li Na"\n'
)
CONFIRM = ("--decision", "confirm", "--reviewer", "Li Na", "--reason", "one face throughout")


@pytest.fixture
def home(demo: dict[str, Any], demo_home: Path, tmp_path: Path) -> Path:
    assert demo["results"]
    return Path(shutil.copytree(demo_home, tmp_path / "home"))


def told(*arguments: str | Path, home: Path, code: int = 0) -> dict[str, Any]:
    done = run(*arguments, "--json", home=home)
    assert done.returncode == code, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def case_of(home: Path, file: str) -> str:
    return str(
        next(one["case_id"] for one in told("cases", home=home)["cases"] if one["file"] == file)
    )


def confirm(home: Path, case_id: str, *decision: str) -> dict[str, Any]:
    """Look at the report, then confirm."""
    told("report", case_id, "--no-pdf", "--out", home / "seen", home=home)
    return told("review", case_id, *(decision or CONFIRM), home=home)


def vault_of(home: Path) -> Vault:
    return open_vault(Settings(home=home))


class TestCase:
    def test_a_match_opens_a_complete_case(self, home: Path) -> None:
        case_store = CaseStore(home / "cases.db", home / "evidence")
        case = next(
            one for one in case_store.cases() if one.checkpoint.file == "zkw_likeness.safetensors"
        )
        case_store.close()
        checkpoint, method = case.checkpoint, case.method
        assert (checkpoint.listing_id, checkpoint.creator, checkpoint.downloads is not None) == (
            "910002",
            "likeness_maker",
            True,
        )
        assert [event.what for event in checkpoint.timeline][:1] == ["published"]
        assert {"seen", "first seen"} <= {event.what for event in checkpoint.timeline}
        assert checkpoint.header_sha256
        assert len(checkpoint.captures) == 1
        assert method.calibration_sha256
        assert method.cllr is not None
        assert method.fpir_interval is not None
        assert method.fpir_interval[0] < method.fpir < method.fpir_interval[1]
        assert len(method.impostor_rates) > 10
        assert {sample.stage for sample in case.samples} == {"screening", "evidence"}
        assert method.sampled == len(case.samples)
        assert all(sample.batch and sample.pixels_sha256 for sample in case.samples)
        assert all(sample.trigger for sample in case.samples if sample.stage == "evidence")
        assert any(sample.in_mean for sample in case.samples)
        assert case.environment
        assert len(case.environment.tool_sha256) == 64
        assert "no licence" in case.authorisation

    def test_every_picture_is_marked_as_generated(self, home: Path) -> None:
        pictures = sorted((home / "evidence").glob("*.png"))
        assert pictures
        for path in pictures:
            with Image.open(path) as image:
                assert "trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
                assert json.loads(image.info["AIGC"])["AIGC"]["Label"] == "1"

    def test_what_is_done_stands_in_the_audit_log_without_a_name(self, home: Path) -> None:
        case_id = case_of(home, "zkw_likeness.safetensors")
        confirm(home, case_id)
        told("amend", case_id, "--kind", "correction", "--by", "Omar", "--text", "typo", home=home)
        vault = vault_of(home)
        entries = [entry for entry in vault.audit.entries() if entry.details.get("case") == case_id]
        assert [entry.event for entry in entries] == [
            "case-opened",
            "case-exported",
            "case-reviewed",
            "case-amended",
        ]
        assert "person-102" not in json.dumps([entry.details for entry in entries])
        assert vault.audit.problems() == []
        vault.close()


class TestCommands:
    def test_review_report_bundle_verify_timestamp(self, home: Path, tmp_path: Path) -> None:
        case_id, out = case_of(home, "zkw_likeness.safetensors"), tmp_path / "out"
        assert confirm(home, case_id[:8])["status"] == "confirmed"
        with serve_timestamps(tmp_path / "tsa", "ec") as authority:
            authority.failures = [503]
            with (home / "portrait-scanner.toml").open("a") as settings:
                settings.write(
                    f'[[timestamp_authorities]]\nname = "ec"\nurl = "{authority.url}"\n'
                    f'certificates = "{authority.root}"\n'
                )
            written = told(
                "report", case_id, "--out", out, "--lang", "zh-CN", "--bundle", home=home
            )
            assert {"html", "pdf", "bundle"} <= set(written)
            assert written["pending_timestamps"] == ["ec"]
            assert "Li Na" in Path(written["html"]).read_text("utf-8")
            bundle = Path(written["bundle"])
            assert {path.name for path in (bundle / "data").glob("report.*")} == {
                "report.en.html",
                "report.en.pdf",
                "report.zh-CN.html",
                "report.zh-CN.pdf",
            }
            assert told("timestamp", bundle, home=home)["bundles"][0]["pending"] == []
            vault = vault_of(home)
            fingerprint = vault.keys.fingerprint
            vault.close()
            checked = told(
                "verify", bundle, "--signer", fingerprint, "--tsa-root", authority.root, home=home
            )
            assert checked["ok"]
            assert set(checked["items"][0]) >= {"item", "ok", "problem"}
        custody = json.loads((bundle / "data/custody.json").read_bytes())
        assert [line["event"] for line in custody] == ["case-opened", "case-reviewed"]
        (bundle / "data/header.json").write_bytes(b"{}")
        damaged = told("verify", bundle, home=home, code=1)
        assert [one["item"] for one in damaged["items"] if not one["ok"]] == ["data/header.json"]
        again = run("report", case_id, "--out", out, "--bundle", home=home)
        assert (again.returncode, "exists already" in again.stderr) == (3, True)

    def test_reproduce_from_the_bundle_alone(self, home: Path, tmp_path: Path) -> None:
        case_id = case_of(home, "zkw_likeness.safetensors")
        written = told(
            "report",
            case_id,
            "--out",
            tmp_path / "out",
            "--bundle",
            "--with-weights",
            "--no-pdf",
            home=home,
        )
        result = told("reproduce", written["bundle"], home=tmp_path / "another-home")
        assert result["agrees"]
        assert len(result["samples"]) > 10
        assert all(one["identical"] for one in result["samples"])
        # A damaged bundle is not even tried.
        (Path(written["bundle"]) / "data" / "header.json").write_text("{}")
        refused = run("reproduce", written["bundle"], home=tmp_path / "another-home")
        assert (refused.returncode, "does not verify" in refused.stderr) == (3, True)

    def test_a_sealed_record_that_does_not_make_its_pictures(
        self, home: Path, tmp_path: Path
    ) -> None:
        settings = Settings(home=home)
        service = open_service(settings)
        case = service.case(case_of(home, "zkw_likeness.safetensors"))
        first, second, *rest = case.samples
        # Without custody: the log names the earlier record, and such a bundle does not verify.
        samples = (replace(first, seed=first.seed + 1), replace(second, batch=None), *rest)
        wrong = replace(case, samples=samples, custody=())
        weights = open_checkpoints(settings).path_of(case.checkpoint.sha256)
        folder = write_bundle(
            wrong,
            service.case_store,
            tmp_path / "b",
            BundleRequest(("en",), weights, pdf=False),
            service.vault.keys.sign,
            [],
            service.clock(),
        )
        service.close()
        assert told("verify", folder, home=home)["ok"]
        result = told("reproduce", folder, home=tmp_path / "another-home", code=1)
        differs = [one for one in result["samples"] if not one["agrees"]]
        assert [(one["stage"], one["number"], one["control"]) for one in differs] == [
            ("screening", 0, False)
        ]
        assert result["differences"][0].startswith("screening 1 has no record")

    def test_samples_without_a_picture_are_compared_by_their_hash(
        self, home: Path, tmp_path: Path
    ) -> None:
        """Screening that was drawn before the person registered has no pictures."""
        settings = Settings(home=home)
        with closing(open_service(settings)) as service:
            case = service.case(case_of(home, "zkw_likeness.safetensors"))
            screening = [
                replace(sample, image_sha256=None)
                for sample in case.samples
                if sample.stage == "screening"
            ]
            first, *others = screening
            confirmation = [sample for sample in case.samples if sample.stage == "evidence"]
            weights = open_checkpoints(settings).path_of(case.checkpoint.sha256)
            request = BundleRequest(("en",), weights, pdf=False)
            folders = []
            for name, sample in {"same": first, "other": replace(first, seed=7)}.items():
                written = replace(case, samples=(sample, *others, *confirmation), custody=())
                folders.append(
                    write_bundle(
                        written,
                        service.case_store,
                        tmp_path / name,
                        request,
                        service.vault.keys.sign,
                        [],
                        service.clock(),
                    )
                )
        same = told("reproduce", folders[0], home=tmp_path / "another-home")
        assert same["agrees"]
        assert all(one["identical"] for one in same["samples"])
        # This machine draws the pixels of the case, so another hash is a difference.
        other = told("reproduce", folders[1], home=tmp_path / "another-home", code=1)
        assert [(one["stage"], one["number"]) for one in other["samples"] if not one["agrees"]] == [
            ("screening", 0)
        ]

    def test_reproduce_without_the_weights_says_what_to_bring(
        self, home: Path, tmp_path: Path
    ) -> None:
        case_id = case_of(home, "zkw_likeness.safetensors")
        written = told(
            "report", case_id, "--out", tmp_path / "out", "--bundle", "--no-pdf", home=home
        )
        done = run("reproduce", written["bundle"], home=tmp_path / "another-home")
        assert (done.returncode, "--checkpoint" in done.stderr) == (3, True)

    def test_nothing_leaves_a_draft_and_four_eyes_are_two_people(
        self, home: Path, tmp_path: Path
    ) -> None:
        case_id = case_of(home, "zkw_likeness.safetensors")
        refused = run("notice", "draft", case_id, "prc-1195", "--out", tmp_path, home=home)
        assert (refused.returncode, "must confirm it first" in refused.stderr) == (3, True)
        with (home / "portrait-scanner.toml").open("a") as settings:
            settings.write("four_eyes = true\n")
        assert confirm(home, case_id)["status"] == "second-review"
        assert run("review", case_id, *CONFIRM, home=home).returncode == 2
        second = ("--decision", "confirm", "--reviewer", "Omar", "--reason", "I see it too")
        assert told("review", case_id, *second, home=home)["status"] == "confirmed"

    def test_a_notice_and_what_becomes_of_it(
        self, home: Path, tmp_path: Path, file_server: FileServer
    ) -> None:
        case_id, out = case_of(home, "zkw_likeness.safetensors"), tmp_path / "notices"
        confirm(home, case_id)
        incomplete = run("notice", "draft", case_id, "eu-dsa-16", "--out", out, home=home)
        assert (incomplete.returncode, "good_faith" in incomplete.stderr, out.exists()) == (
            3,
            True,
            False,
        )
        (file_server.folder / "listing").write_text("still there")
        fields = tmp_path / "fields.toml"
        fields.write_text(DSA_FIELDS)
        made = told(
            "notice",
            "draft",
            case_id,
            "eu-dsa-16",
            "--out",
            out,
            "--fields",
            fields,
            "--set",
            f"urls={file_server.url('listing')}",
            home=home,
        )
        assert {Path(made[suffix]).suffix for suffix in ("txt", "docx", "pdf")} == {
            ".txt",
            ".docx",
            ".pdf",
        }
        with (home / "portrait-scanner.toml").open("a") as settings:
            settings.write('allowed_hosts = ["127.0.0.1"]\n')
        assert told("notice", "mark", made["notice"], "sent", home=home)["state"] == "sent"
        assert told("notice", "recheck", home=home)["notices"][0]["found"] == "there"
        (file_server.folder / "listing").unlink()
        assert told("notice", "recheck", home=home)["notices"][0]["state"] == "removed"
        (file_server.folder / "listing").write_text("back")
        assert told("notice", "recheck", home=home)["notices"][0]["state"] == "reinstated"
        listed = told("notice", "list", home=home)["notices"][0]
        assert [one["event"] for one in listed["history"]] == [
            "drafted",
            "sent",
            "removed",
            "reinstated",
        ]
        counted = told("transparency", home=home)
        assert counted["notices"] == {"drafted": 1, "sent": 1, "removed": 1, "reinstated": 1}
        assert counted["decisions_by_people"] == {"confirm": 1}
        assert counted["median_hours_from_sent_to_removed"] == 0.0
        assert "person-102" not in json.dumps(counted)
        months = {
            one["name"]: one
            for one in told("summary", "--out", tmp_path / "months", home=home)["holders"]
        }
        assert months["person-102"]["statuses"] == {"confirmed": 1}
        assert Path(months["person-102"]["page"]).is_file()
        assert months["person-110"]["opened"] == {}

    def test_a_notice_for_two_addresses_stays_open_until_both_are_gone(
        self, home: Path, tmp_path: Path, file_server: FileServer
    ) -> None:
        case_id, fields = case_of(home, "zkw_likeness.safetensors"), tmp_path / "fields.toml"
        confirm(home, case_id)
        fields.write_text(DSA_FIELDS)
        for name in ("listing", "copy"):
            (file_server.folder / name).write_text("still there")
        both = f"urls={file_server.url('listing')}, {file_server.url('copy')}"
        made = told(
            "notice",
            "draft",
            case_id,
            "eu-dsa-16",
            "--out",
            tmp_path,
            "--fields",
            fields,
            "--set",
            both,
            home=home,
        )
        with (home / "portrait-scanner.toml").open("a") as settings:
            settings.write('allowed_hosts = ["127.0.0.1"]\n')
        told("notice", "mark", made["notice"], "sent", home=home)
        for gone, found, state in (("listing", "there", "sent"), ("copy", "gone", "removed")):
            (file_server.folder / gone).unlink()
            seen = told("notice", "recheck", home=home)["notices"][0]
            assert (seen["found"], seen["state"], seen["addresses"][file_server.url(gone)]) == (
                found,
                state,
                "gone",
            )

    def test_verdicts_for_analysts(self, home: Path, tmp_path: Path) -> None:
        from pyarrow import parquet

        rows = told("export", tmp_path / "v.csv", home=home)["rows"]
        assert told("export", tmp_path / "v.parquet", home=home)["rows"] == rows
        read = list(csv.DictReader(io.StringIO((tmp_path / "v.csv").read_text("utf-8-sig"))))
        table = parquet.read_table(tmp_path / "v.parquet").to_pylist()
        assert [one["file"] for one in read] == [one["file"] for one in table]
        assert {one["outcome"] for one in table} == {"match", "clear", "failed"}
        assert run("export", tmp_path / "v.xls", home=home).returncode == 2

    def test_cells_of_strangers_are_no_formulas(self) -> None:
        from scanner.casework.exports import COLUMNS, as_csv

        row = dict.fromkeys(COLUMNS)
        text = as_csv(
            [{**row, "file": '=HYPERLINK("http://x")', "reason": "-1+1", "score": -0.5}]
        ).decode("utf-8-sig")
        read = next(csv.DictReader(io.StringIO(text)))
        assert (read["file"][0], read["reason"], read["score"]) == ("'", "'-1+1", "-0.5")

    @pytest.mark.parametrize("start", "=+-@\t\r\n|%＝＋－＠")
    def test_no_sign_that_begins_a_formula_begins_a_cell(self, start: str) -> None:
        from scanner.casework.exports import as_csv

        text = as_csv([{"file": f"{start}1|2", "reason": "1|2"}], ("file", "reason")).decode(
            "utf-8-sig"
        )
        read = next(csv.DictReader(io.StringIO(text, newline="")))
        assert (read["file"], read["reason"]) == (f"'{start}1|2", "1|2")

    def test_the_databases_open_in_datasette(self, home: Path) -> None:
        from datasette.app import Datasette

        metadata = json.loads(
            resources.files("scanner").joinpath("datasette.json").read_text("utf-8")
        )
        names = sorted(metadata["databases"])

        async def look() -> list[tuple[str, int]]:
            datasette = Datasette([str(home / f"{name}.db") for name in names], metadata=metadata)
            pages = []
            for name in names:
                for table in metadata["databases"][name]["tables"]:
                    answer = await datasette.client.get(f"/{name}/{table}")
                    pages.append((f"{name}/{table}", answer.status_code))
            return pages

        assert [page for page in asyncio.run(look()) if page[1] != 200] == []

    def test_a_killed_bundle_leaves_nothing_that_looks_whole(
        self, home: Path, tmp_path: Path
    ) -> None:
        case_id, out = case_of(home, "zkw_likeness.safetensors"), tmp_path / "out"
        code = (
            "import os, signal, sys\n"
            "import reports.evidence.bundle as bundle\n"
            "bundle.write_timestamps = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"sys.argv = ['p', '--home', {str(home)!r}, 'report', {case_id!r}, "
            f"'--out', {str(out)!r}, '--bundle', '--no-pdf']\n"
            "from scanner.cli.app import main; main()"
        )
        assert (
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, check=False
            ).returncode
            == -9
        )
        assert not (out / f"evidence-{case_id}").exists()
        written = told("report", case_id, "--out", out, "--bundle", "--no-pdf", home=home)
        assert told("verify", written["bundle"], home=home)["ok"]
        assert not list(out.glob("*.part"))
