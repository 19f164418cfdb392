"""Captures as evidence: seals, verdicts on accounts, ties to checkpoints, cases and reports."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crawlers.captures.capture_rows import ImageRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.images.pictures import copies_among, picture_from
from crawlers.captures.images.provenance import provenance_of
from crawlers.captures.locks import alone, shared
from crawlers.captures.pages.page import Limits
from crawlers.errors import CaptureRefused, CapturesBusy
from face_index.faces.capture_faces import Captured, faces_in
from face_index.faces.insight import InsightFaceReader
from face_index.faces.packs import FacePack
from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.review import require_confirmed
from reports.documents.case_report import case_html
from reports.errors import NotReviewed
from reports.evidence.sealing import seal_capture
from reports.verify.bundle import verify
from scanner.captures.image_search import SubjectResult, search_subjects
from scanner.captures.intake import TakenIn
from scanner.captures.isolated_reader import IsolatedReader
from scanner.captures.subjects import Subject
from scanner.factories import open_intake
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.posts import OFFERS, OTHER_ACCOUNTS, POSTS_EACH, MadePicture, write_posts
from scanner.miniature.world import load_world
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.settings import Settings
from tests.cases import make_sighted_case, reviewed
from tests.opening import judge_captures, open_service, open_session
from tests.registering import release_all
from tests.servers import pictures
from tests.test_cli import run
from tests.test_face_search import saved
from tests.test_scan import COMMAND

LABEL = {"Label": "1", "ContentProducer": "某公司", "ProduceID": "1"}


class TestProvenance:
    @pytest.mark.parametrize(
        ("data", "statements"),
        [
            (pictures.plain(), []),
            (
                pictures.a1111("ohwx", "abcdef012345"),
                [
                    ("generator", "AUTOMATIC1111"),
                    ("base model", "mini (aabbccddee)"),
                    ("adapter", "ohwx (abcdef012345)"),
                ],
            ),
            (
                pictures.comfyui("a/ohwx.safetensors"),
                [
                    ("generator", "ComfyUI"),
                    ("base model", "mini.safetensors"),
                    ("adapter", "a/ohwx.safetensors"),
                ],
            ),
            (
                pictures.comfyui("b.safetensors", workflow=False),
                [
                    ("generator", "ComfyUI"),
                    ("base model", "mini.safetensors"),
                    ("adapter", "b.safetensors"),
                ],
            ),
            (
                pictures.xmp(
                    Iptc4xmpExt__DigitalSourceType=pictures.TRAINED,
                    TC260__AIGC=json.dumps(LABEL, ensure_ascii=False),
                ),
                [
                    ("source type", "trainedAlgorithmicMedia"),
                    ("label", "1: made by AI / 属于, 某公司"),
                ],
            ),
            (
                pictures.xmp(
                    dc__description="a woman --v 6.1 Job ID: 123e4567-e89b-12d3-a456-426614174000"
                ),
                [("generator", "Midjourney")],
            ),
            (pictures.camera(), [("camera", "Canon, EOS R5")]),
        ],
        ids=["nothing", "a1111", "comfyui", "comfyui's api", "labels", "midjourney", "camera"],
    )
    def test_a_file_is_told_as_it_speaks_of_itself(
        self, data: bytes, statements: list[tuple[str, str]]
    ) -> None:
        assert provenance_of(data).statements() == statements

    def test_content_credentials_are_validated(self) -> None:
        signed = pictures.content_credentials()
        found = provenance_of(signed)
        assert found.credentials is not None
        assert (found.credentials.state, found.credentials.issuer) == ("Valid", "Imaginary Images")
        assert found.credentials.source_types == ("trainedAlgorithmicMedia",)
        assert found.says_ai
        changed = bytearray(signed)
        changed[-200] ^= 1
        damaged = provenance_of(bytes(changed)).credentials
        assert damaged is not None
        assert (damaged.state, "assertion.dataHash.mismatch" in damaged.problems) == (
            "Invalid",
            True,
        )

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x89PNG\r\n\x1a\n",
            pictures.plain()[:60],
            pictures.content_credentials()[:900],
            b"c2pa jumb" * 50,
            pictures.with_texts(parameters="Steps: " * 9000),
            pictures.with_texts(prompt="[" * 50_000),
            pictures.plain(
                "JPEG",
                xmp=b"<x:xmpmeta><!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;" * 50,
            ),
        ],
    )
    def test_what_cannot_be_read_says_nothing(self, data: bytes) -> None:
        assert not provenance_of(data).ingredients
        assert picture_from(data).width in (0, 64)


def photo(seed: int, number: int, size: int = 128) -> Image.Image:
    return Image.fromarray(draw_photo(person_of(seed), number, size).pixels)


def as_file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def test_one_picture_posted_many_times_is_one() -> None:
    first, other = photo(101, 1), photo(101, 2)
    again = [
        as_file(first),
        as_file(first, "JPEG", quality=60),
        as_file(first.resize((90, 90))),
        as_file(first.point(lambda value: min(255, value + 12))),
        as_file(other),
        as_file(first, "WEBP"),
    ]
    assert copies_among([picture_from(data).pdq for data in again]) == [0, 0, 0, 0, 4, 0]
    plain = picture_from(as_file(Image.new("RGB", (200, 200), "red"))).pdq
    assert plain is None
    assert copies_among([None, None]) == [0, 1]


def test_small_faces_in_long_screenshots_are_found(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    long = Image.new("RGB", (400, 3_000), "white")
    for number, top in enumerate((150, 900, 2_400)):
        long.paste(photo(101 + number, 3, 110), (60 + 70 * number, top))
    long.save(tmp_path / "long.png")
    (tmp_path / "broken.png").write_bytes(as_file(long)[:5_000])
    [seen, broken] = faces_in(
        miniature_reader,
        [
            Captured("long", tmp_path / "long.png", 1_200_000, thorough=True),
            Captured("broken", tmp_path / "broken.png", 1_200_000),
        ],
        max(miniature_pack.detection_size),
    )
    tops = sorted(face.box[1] for face in seen.faces if miniature_pack.bar.objection(face) is None)
    assert len(tops) == 3
    assert all(abs(top - wanted) < 90 for top, wanted in zip(tops, (150, 900, 2_400), strict=True))
    assert broken.problem is not None


@pytest.mark.parametrize("size", [140, 300, 400, 900])
def test_a_face_of_any_size_is_found_in_a_screenshot(
    size: int, miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    """The detector finds faces of some sizes only, and a screenshot may show faces of any size."""
    [[known]] = miniature_reader.read([np.asarray(photo(101, 1))])
    page = Image.new("RGB", (1_080, 2_000), "white")
    page.paste(photo(101, 703, 256).resize((size, size)), (89, 733))
    page.save(tmp_path / "shot.png")
    captured = Captured("shot", tmp_path / "shot.png", 2_160_000, thorough=True)
    [seen] = faces_in(miniature_reader, [captured], max(miniature_pack.detection_size))
    assert max(float(face.embedding @ known.embedding) for face in seen.faces) > 0.75


def screenshot(pictures: list[Image.Image]) -> bytes:
    """A phone's screenshot of pictures below one another."""
    page = Image.new("RGB", (400, 260 * len(pictures) + 80), "white")
    for number, picture in enumerate(pictures):
        page.paste(picture, (60 + 17 * number, 60 + 250 * number))
    return as_file(page, "JPEG", quality=85)


class TestFewImages:
    """Where there are too few images to compare their mean, a person must look at a near one."""

    @pytest.mark.parametrize(
        ("images", "outcome"), [(1, "possible"), (2, "possible"), (4, "clear")]
    )
    def test_a_single_image_between_the_thresholds_is_possible_and_says_so(
        self, identifier: CheckpointIdentifier, tmp_path: Path, images: int, outcome: str
    ) -> None:
        snapshot = identifier.snapshot
        between = replace(snapshot.thresholds, match=0.995, possible=0.3)
        strict = identifier.with_snapshot(replace(snapshot, thresholds=between, calibration=None))
        pictures = [as_file(photo(101, 1, 110))]
        pictures += [as_file(photo(9_000 + number, 1, 110)) for number in range(1, images)]
        sighting = TestScreenshots().judged(strict, tmp_path, pictures, [])
        assert sighting.outcome == outcome
        if outcome == "possible":
            assert "between 0.30 and the threshold" in sighting.reason
            assert "a match needs 3 different pictures" in sighting.reason


class TestScreenshots:
    """Prints and screenshots repeat pictures: each different picture on them counts once."""

    def judged(
        self,
        identifier: CheckpointIdentifier,
        folder: Path,
        pictures: list[bytes],
        screenshots: list[bytes],
    ) -> SubjectResult:
        rows: list[ImageRow] = []
        for place, data in enumerate([*pictures, *screenshots]):
            (folder / str(place)).write_bytes(data)
            rows.append(
                ImageRow(
                    "page",
                    place,
                    str(place),
                    None,
                    "",
                    picture_from(data),
                    provenance_of(b""),
                    belongs=True,
                )
            )
        captures = CaptureStore(None, folder)
        captures.image_path = lambda sha256: folder / sha256  # type: ignore[method-assign]
        shown = frozenset(row.sha256 for row in rows[len(pictures) :])
        subject = Subject(
            "account x y",
            "y",
            ("x", "y"),
            {},
            tuple(rows),
            {row.sha256: 1 for row in rows},
            {},
            shown,
        )
        return next(
            iter(
                search_subjects(
                    [subject], captures, identifier.reader, identifier.pack, identifier.snapshot
                )
            )
        )

    def test_three_screenshots_of_three_pictures_are_a_match(
        self, identifier: CheckpointIdentifier, tmp_path: Path
    ) -> None:
        shots = [screenshot([photo(101, number, 110)]) for number in (1, 2, 3, 4)]
        sighting = self.judged(identifier, tmp_path, [], shots)
        assert (sighting.outcome, [one.identity_id for one in sighting.found]) == ("match", ["101"])

    def test_many_screenshots_of_one_picture_are_one(
        self, identifier: CheckpointIdentifier, tmp_path: Path
    ) -> None:
        """As an account's portrait on every page of its own, at another size each time."""
        sizes = (96, 104, 110, 116, 122)
        shots = [
            screenshot([photo(101, 1, 256).resize((size, size)), photo(102, 3 + size, 110)])
            for size in sizes
        ]
        sighting = self.judged(identifier, tmp_path, [], shots)
        found = {one.identity_id: one for one in sighting.found}
        assert found["101"].outcome == "possible"
        assert "a match needs 3 different pictures" in found["101"].reason
        assert found["102"].outcome == "match"  # the others differ from page to page

    def test_beside_the_pictures_themselves_they_count_for_nothing(
        self, identifier: CheckpointIdentifier, tmp_path: Path
    ) -> None:
        own = [photo(101, number, 110) for number in (1, 2)]
        shots = [screenshot(own), screenshot(own[:1])]
        sighting = self.judged(identifier, tmp_path, [as_file(one) for one in own], shots)
        assert {one.outcome for one in sighting.found} == {"possible"}
        assert "images scores" in sighting.reason
        sighting = self.judged(
            identifier, tmp_path, [as_file(one) for one in [*own, photo(101, 3, 110)]], shots
        )
        assert sighting.outcome == "match"
        assert sum(image.in_mean for image in sighting.found[0].images) == 3


@pytest.fixture(scope="module")
def captured_home(
    demo: dict[str, Any], demo_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The demo's home, and 31 captures of the miniature world's posts beside it."""
    base = tmp_path_factory.mktemp("captured")
    shutil.copytree(demo_home, base / "home")
    service = open_service(Settings(home=base / "home", face_pack="miniature"))
    world, made = load_world(), dict[int, list[MadePicture]]()
    for case in service.case_store.cases():
        seed = next((one.seed for one in world.registered if one.name == case.identity_name), None)
        if seed is not None and not made.get(seed):
            name, digest = (
                case.checkpoint.file.removesuffix(".safetensors"),
                (case.checkpoint.weights_hash or "")[:12],
            )
            shown = [one.image_sha256 for one in case.samples if one.image_sha256 and one.in_mean]
            made[seed] = [
                MadePicture(service.case_store.kept(sha256), name, digest) for sha256 in shown
            ]
    service.close()
    assert len(made) == 7
    write_posts(base / "posts", world, made)
    return base


@pytest.fixture(scope="module")
def taken(captured_home: Path) -> dict[str, Any]:
    done = run(
        "intake",
        captured_home / "posts",
        "--by",
        "olga",
        "--made-with",
        "Browsertrix 1.5",
        "--json",
        home=captured_home / "home",
    )
    assert done.returncode == 0, done.stderr
    told = dict(json.loads(done.stdout))
    assert not any(one["identities"] or one["cases"] for one in told["judged"])
    settings = Settings(home=captured_home / "home", face_pack="miniature", device="cpu")
    scan_session = open_session(settings)
    release_all(scan_session)
    judged = list(judge_captures(scan_session))
    scan_session.close()
    return {**told, "judged": json.loads(json.dumps([asdict(one) for one in judged]))}


class TestWorld:
    def test_all_impostors_are_found_and_nobody_else(self, taken: dict[str, Any]) -> None:
        assert len(taken["captures"]) == 10 + OTHER_ACCOUNTS + 1
        assert (
            sum(one["pages"] for one in taken["captures"])
            == (10 + OTHER_ACCOUNTS) * POSTS_EACH + OFFERS
        )
        matched = {
            one["name"].split(" ·")[0] for one in taken["judged"] if one["outcome"] == "match"
        }
        assert matched == {f"账号 imp{seed}" for seed in range(101, 111)}

    def test_pictures_are_tied_to_the_adapter_that_made_them(
        self, taken: dict[str, Any], captured_home: Path
    ) -> None:
        case_store = CaseStore(
            captured_home / "home" / "cases.db", captured_home / "home" / "evidence"
        )
        files = {seed: file for file in load_world().files for seed in file.person_seeds}
        for seed in range(101, 108):
            [judged] = [one for one in taken["judged"] if f"imp{seed} " in one["name"]]
            case = next(
                case_store.case(one)
                for one in judged["cases"]
                if case_store.case(one).outcome == "match"
            )
            assert case.identity_name == f"person-{seed}"
            assert case.sighting is not None
            [tie] = case.sighting.ties
            assert (tie.file, tie.where) == (files[seed].file, "image")
            made = [image for image in case.sighting.images if image.says]
            assert len(made) == POSTS_EACH // 2
            assert all(image.says[2][0] == "adapter" for image in made)
            assert max(image.copies for image in case.sighting.images) == 2
        case_store.close()

    def test_offers_of_likeness_models_become_listings(
        self, taken: dict[str, Any], captured_home: Path
    ) -> None:
        [offers] = [one for one in taken["captures"] if one["name"] == "offers.warc.gz"]
        assert len(offers["listings"]) == OFFERS // 10
        found = json.loads(
            run("listings", "--hub", "xianyu", "--json", home=captured_home / "home").stdout
        )
        assert len(found["listings"]) == OFFERS // 10

    def test_the_second_time_nothing_is_read_or_told_again(
        self, taken: dict[str, Any], captured_home: Path
    ) -> None:
        again = json.loads(
            run("intake", captured_home / "posts", "--json", home=captured_home / "home").stdout
        )
        assert not any(one["new"] for one in again["captures"])
        assert all(one["known"] for one in again["judged"])
        assert {case for one in again["judged"] for case in one["cases"]} == {
            case for one in taken["judged"] for case in one["cases"]
        }

    def test_captures_are_sealed_as_they_came(
        self, taken: dict[str, Any], captured_home: Path
    ) -> None:
        for one in taken["captures"][:3]:
            bag = captured_home / "home" / "captures" / one["capture_id"]
            assert all(item.ok for item in verify(bag))
            assert (bag / "data" / "original").read_bytes() == (
                captured_home / "posts" / one["name"]
            ).read_bytes()
            told = json.loads((bag / "data" / "capture.json").read_text())
            assert (told["taken_in_by"], told["made_with"]) == ("olga", "Browsertrix 1.5")
        copy = captured_home / "bag"
        shutil.copytree(bag, copy)
        with (copy / "data" / "original").open("ab") as stream:
            stream.write(b"x")
        assert not all(item.ok for item in verify(copy))

    def test_of_strangers_no_vector_and_no_picture_of_a_face_is_kept(
        self,
        taken: dict[str, Any],
        captured_home: Path,
        miniature_reader: InsightFaceReader,
    ) -> None:
        home = captured_home / "home"
        [other] = [one for one in taken["judged"] if "oth00 " in one["name"]]
        assert (other["outcome"], other["cases"]) == ("clear", [])
        pixels = np.asarray(photo(3_095_100, 0))
        [[face, *_]] = miniature_reader.read([pixels])
        raw = face.embedding.astype(np.float32).tobytes()
        for path in (home / "scans.db", home / "cases.db", home / "crawl.db"):
            assert raw[:64] not in path.read_bytes()

    def test_review_report_bundle_and_notice_of_an_account(
        self, taken: dict[str, Any], captured_home: Path, tmp_path: Path
    ) -> None:
        home = captured_home / "home"
        [judged] = [one for one in taken["judged"] if "imp103 " in one["name"]]
        case_id = judged["cases"][0]
        assert (
            run("report", case_id, "--out", tmp_path / "seen", "--no-pdf", home=home).returncode
            == 0
        )
        assert (
            run(
                "review",
                case_id,
                "--reviewer",
                "Li Na",
                "--decision",
                "confirm",
                "--reason",
                "the same face",
                home=home,
            ).returncode
            == 0
        )
        bundle = run("report", case_id, "--out", tmp_path, "--bundle", "--no-pdf", home=home)
        assert bundle.returncode == 0, bundle.stderr
        folder = next(tmp_path.glob("evidence-*"))
        assert run("verify", folder).returncode == 0
        assert list((folder / "data" / "captures").iterdir())
        again = run("reproduce", folder, home=home)
        assert (again.returncode, "nothing was generated" in again.stderr) == (3, True)


class TestIntake:
    def test_what_cannot_be_read_is_kept_and_told(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
        (tmp_path / "in" / "shot.png").write_bytes(as_file(photo(101, 1)))
        done = run("intake", tmp_path / "in", "--no-search", "--json", home=tmp_path / "home")
        assert done.returncode == 0, done.stderr
        problems = {one["name"]: one["problem"] for one in json.loads(done.stdout)["captures"]}
        assert "no PDF that can be read" in problems["broken.pdf"]
        assert problems["shot.png"] is None
        bags = [
            path
            for path in (tmp_path / "home" / "captures").iterdir()
            if (path / "bagit.txt").exists()
        ]
        assert len(bags) == 2
        assert (
            run(
                "intake", tmp_path / "in" / "broken.pdf", "--no-search", home=tmp_path / "home"
            ).returncode
            == 3
        )

    def test_a_hostile_file_ends_for_itself_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "a-wrong.wacz").write_bytes(b"PK\x03\x04 and no zip")
        (folder / "b-odd.har").write_text(
            '{"log": {"entries": [{"request": {"url": "http://[x"}, "response": '
            '{"status": Infinity, "content": {"text": "x", "mimeType": "text/html"}}}]}}'
        )
        (folder / "c-good.html").write_text("<html><title>Good</title><p>Words</p></html>")
        done = run("intake", folder, "--no-search", "--json", home=tmp_path / "home")
        told = {one["name"]: one["problem"] for one in json.loads(done.stdout)["captures"]}
        assert told["c-good.html"] is None
        assert told["a-wrong.wacz"]
        assert told["b-odd.har"]
        assert len(list((tmp_path / "home" / "captures").glob("*/bagit.txt"))) == 3

    def test_a_file_that_wants_too_much_is_refused_and_the_next_one_read(
        self, tmp_path: Path
    ) -> None:
        captures = CaptureStore(None, tmp_path / "captures")
        (tmp_path / "long.warc.gz").write_bytes(
            gzip.compress(b"WARC/1.1\r\nX: " + b"y" * 450_000_000, 1)
        )
        (tmp_path / "many.har").write_bytes(b'{"log": [' + b"[]," * 40_000_000 + b"[]]}")
        (tmp_path / "good.html").write_text("<html><title>Good</title></html>")
        room = IsolatedReader(memory_bytes=1_100_000_000)
        refused = {
            "long.warc.gz": "it ends inside a record",
            "many.har": "memory|process down|cannot be read",
        }
        for name, problem in (*refused.items(), ("good.html", None)):
            (tmp_path / f"room-{name}").mkdir()
            if problem is None:
                content = room.read(
                    tmp_path / name, tmp_path / f"room-{name}", Limits(), captures, "x"
                )
                assert content.pages[0][0].title == "Good"
            else:
                with pytest.raises(CaptureRefused, match=problem):
                    room.read(tmp_path / name, tmp_path / f"room-{name}", Limits(), captures, "x")
        room.close()
        late = IsolatedReader(seconds=0.01)
        (tmp_path / "late").mkdir()
        with pytest.raises(CaptureRefused, match="took longer"):
            late.read(tmp_path / "good.html", tmp_path / "late", Limits(), captures, "x")
        late.close()

    def test_what_belongs_to_a_page_is_sealed_with_it_and_nothing_else(
        self, tmp_path: Path
    ) -> None:
        folder, secret = tmp_path / "in", tmp_path / "secret"
        for place in (folder / "page_files", secret):
            place.mkdir(parents=True)
        (folder / "page.html").write_text(
            '<html><title>P</title><img src="page_files/a.png">'
            '<img src="page_files/link.png"></html>'
        )
        (folder / "page_files" / "a.png").write_bytes(as_file(photo(101, 1)))
        (secret / "b.png").write_bytes(as_file(photo(102, 1)))
        (folder / "page_files" / "link.png").symlink_to(secret / "b.png")
        (folder / "other.html").write_text(
            "<html><title>O</title><img src='other_files/b.png'></html>"
        )
        (folder / "other_files").symlink_to(secret)
        done = run("intake", folder, "--no-search", "--json", home=tmp_path / "home")
        first = {one["name"]: one["capture_id"] for one in json.loads(done.stdout)["captures"]}
        bag = tmp_path / "home" / "captures" / first["page.html"]
        assert (bag / "data" / "beside" / "page_files" / "a.png").read_bytes() == as_file(
            photo(101, 1)
        )
        assert all(item.ok for item in verify(bag))
        assert not any(
            path.read_bytes() == as_file(photo(102, 1))
            for path in (tmp_path / "home").rglob("*")
            if path.is_file()
        )
        (folder / "page_files" / "a.png").write_bytes(as_file(photo(103, 1)))
        again = json.loads(
            run("intake", folder, "--no-search", "--json", home=tmp_path / "home").stdout
        )["captures"]
        assert {one["name"]: one["new"] for one in again} == {
            "page.html": True,
            "other.html": False,
        }

    def comes_up_once_in_the_queue(self, home: Path, folder: Path) -> None:
        """An undecided case is superseded by the case with all captures; a decided case stands."""
        settings = Settings(home=home, face_pack="miniature", device="cpu")

        def took_in(number: int) -> list[Case]:
            (folder / f"more{number}.png").write_bytes(as_file(photo(108, 800 + number)))
            taking = open_intake(settings)
            taking.take_one(folder / f"more{number}.png", "olga", None, ("wechat", "小王"))
            taking.close()
            scan_session = open_session(settings)
            release_all(scan_session)
            list(judge_captures(scan_session))
            cases = [case for case in scan_session.case_store.cases() if case.sighting is not None]
            scan_session.close()
            return cases

        service = open_service(settings)
        before = [case for case in service.case_store.cases() if case.sighting is not None]
        assert [case.status for case in before] == ["draft"]
        after = took_in(1)
        assert sorted(case.status for case in after) == ["draft", "superseded"]
        [stands] = [case for case in after if case.status == "draft"]
        assert stands.sighting is not None
        assert len(stands.sighting.images) == 5
        with pytest.raises(NotReviewed, match="decide about that one"):
            require_confirmed(next(case for case in after if case.status == "superseded"))
        service.write_report(stands.case_id, home / "seen", "en", redacted=False, pdf=False)
        service.review(stands.case_id, "Rita", "confirm", "it is her")
        assert len(took_in(2)) == len(after)  # no second case of what is decided
        note = service.case_store.entries(stands.case_id)[-1]
        assert (note.kind, "6 images" in note.details["text"]) == ("note", True)
        service.close()

    def test_a_file_taken_in_by_mistake_is_removed_and_what_a_case_rests_on_is_not(
        self, taken: dict[str, Any], captured_home: Path, tmp_path: Path
    ) -> None:
        home, page, again = (
            captured_home / "home",
            tmp_path / "private.html",
            tmp_path / "again.html",
        )
        for path in (page, again):
            path.write_text(f'<html><title>{path.name}</title><img src="a.png"></html>')
        (tmp_path / "a.png").write_bytes(as_file(photo(3_000_001, 1)))
        told = json.loads(run("intake", page, again, "--no-search", "--json", home=home).stdout)[
            "captures"
        ]
        wrong = next(one["capture_id"] for one in told if one["name"] == "private.html")
        bag = home / "captures" / wrong
        assert bag.is_dir()
        done = run("captures", "remove", wrong, "--reason", "not ours to keep", home=home)
        assert done.returncode == 0, done.stderr
        assert not bag.exists()
        assert run("captures", "show", wrong, home=home).returncode == 3
        cited = next(one for one in taken["judged"] if one["outcome"] == "match")["cases"][0]
        case_store = CaseStore(home / "cases.db", home / "evidence")
        sighting = case_store.case(cited).sighting
        case_store.close()
        assert sighting is not None
        kept = sighting.captures[0].capture_id
        done = run("captures", "remove", kept, "--reason", "x", home=home)
        assert (done.returncode, "rests on this capture" in done.stderr) == (2, True)
        assert (home / "captures" / kept).is_dir()

    def test_two_processes_that_take_in_one_file_make_one_seal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "shot.png").write_bytes(as_file(photo(101, 1)))

        def slowly(*told: Any) -> None:  # as a time authority makes it
            time.sleep(1.0)
            seal_capture(*told)

        def take() -> TakenIn:
            taking = open_intake(Settings(home=tmp_path / "home"))
            try:
                return taking.take_one(tmp_path / "shot.png", "olga")
            finally:
                taking.close()

        monkeypatch.setattr("scanner.captures.intake.seal_capture", slowly)
        open_intake(Settings(home=tmp_path / "home")).close()
        with ThreadPoolExecutor(2) as pool:
            took = [work.result() for work in [pool.submit(take), pool.submit(take)]]
        assert sorted(one.new for one in took) == [False, True]
        assert all(
            item.ok for item in verify(tmp_path / "home" / "captures" / took[0].capture.capture_id)
        )

    def test_what_is_removed_while_it_is_judged_gets_no_case(
        self, demo: dict[str, Any], demo_home: Path, tmp_path: Path
    ) -> None:
        home, folder = tmp_path / "home", tmp_path / "in"
        shutil.copytree(demo_home, home)
        folder.mkdir()
        settings = Settings(home=home, face_pack="miniature", device="cpu")
        taking, service = open_intake(settings), open_service(settings)
        paths = [
            saved(folder, str(seed), [photo(seed, 700 + number) for number in range(4)])
            for seed in (108, 109)
        ]
        first, second = (taking.take_one(path, "olga").capture.capture_id for path in paths)
        scan_session = open_session(settings)
        assert [one.held for one in judge_captures(scan_session)] == [True, True]
        release_all(scan_session)

        def remove_the_first(name: str) -> None:
            if name == "108.html":
                service.remove_capture(taking.captures, first, "not ours")

        judged = judge_captures(scan_session, remove_the_first)
        assert [one.name for one in judged] == ["109.html"]
        assert not service.case_store.resting_on(first)
        assert len(service.case_store.resting_on(second)) == 1
        with (
            shared(taking.captures.folder),
            pytest.raises(CapturesBusy),
            alone(taking.captures.folder, wait_s=0),
        ):
            pass
        for one in (scan_session, service, taking):
            one.close()

    def test_a_killed_removal_is_finished_by_the_next_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "shot.png").write_bytes(as_file(photo(101, 1)))
        settings = Settings(home=tmp_path / "home")
        taking = open_intake(settings)
        capture_id = taking.take_one(tmp_path / "shot.png", "olga").capture.capture_id
        with monkeypatch.context() as broken:
            broken.setattr(
                CaptureStore,
                "_delete_what_left",
                lambda _: (_ for _ in ()).throw(KeyboardInterrupt),
            )
            with pytest.raises(KeyboardInterrupt):
                taking.captures.forget(capture_id)
        assert taking.captures.bag(capture_id).is_dir()
        taking.close()
        (settings.captures_path / ".reading-left").mkdir()
        taking = open_intake(settings)
        assert [path.name for path in settings.captures_path.iterdir() if path.is_dir()] == [
            "images"
        ]
        assert not [
            path for path in (settings.captures_path / "images").rglob("*") if path.is_file()
        ]
        assert taking.take_one(tmp_path / "shot.png", "olga").new
        taking.close()

    def test_an_account_can_be_named_for_loose_pictures(
        self, demo: dict[str, Any], demo_home: Path, tmp_path: Path
    ) -> None:
        home, folder = tmp_path / "home", tmp_path / "in"
        shutil.copytree(demo_home, home)
        folder.mkdir()
        for number in range(4):
            (folder / f"{number}.png").write_bytes(as_file(photo(108, 700 + number)))
        alone = json.loads(run("intake", folder, "--json", home=home).stdout)["judged"]
        assert {(one["outcome"], one["searched"]) for one in alone} == {
            ("inconclusive", False)
        }  # nor are bare pictures
        first, *others = [
            one["capture_id"]
            for one in json.loads(run("captures", "list", "--json", home=home).stdout)["captures"]
        ]
        edited = run(
            "captures",
            "edit",
            first,
            "account_name=小王",
            "platform=wechat",
            "price=9.9",
            home=home,
        )
        assert edited.returncode == 0, edited.stderr
        taking = open_intake(Settings(home=home, face_pack="miniature"))
        for one in others:
            [page] = taking.captures.pages(one)
            taking.captures.edit(
                page.page_id, {"account_name": "小王", "platform": "wechat"}, "olga", "2026-11-25"
            )
        taking.close()
        [waits] = json.loads(run("captures", "judge", "--json", home=home).stdout)["judged"]
        assert (waits["searched"], waits["identities"]) == (False, [])
        assert (
            run(
                "captures",
                "release",
                first,
                "--by",
                "Rita Mann",
                "--reason",
                "an impostor",
                home=home,
            ).returncode
            == 0
        )
        [together] = json.loads(run("captures", "judge", "--json", home=home).stdout)["judged"]
        assert (together["outcome"], together["images"], together["name"]) == (
            "match",
            4,
            "小王 · wechat",
        )
        self.comes_up_once_in_the_queue(home, tmp_path)
        shown = json.loads(run("captures", "show", first[:12], "--json", home=home).stdout)
        assert (
            shown["content"][0]["facts"]["price"],
            shown["content"][0]["edited_by"] is not None,
        ) == (9.9, True)
        assert shown["content"][0]["as_read"]["price"] is None
        found = json.loads(run("captures", "list", "--find", "小王", "--json", home=home).stdout)[
            "captures"
        ]
        assert {first, *others} <= {one["capture_id"] for one in found}
        assert {(*one["accounts"], one["outcome"]) for one in found} == {("小王 · wechat", "match")}
        assert all(one["cases"] for one in found if one["capture_id"] in (first, *others))
        assert (
            json.loads(run("captures", "list", "--find", "100%", "--json", home=home).stdout)[
                "captures"
            ]
            == []
        )
        late = run("captures", "edit", first, "price=8", home=home)
        assert (late.returncode, together["cases"][0] in late.stdout) == (0, True)
        assert "capture-corrected" in run("audit", "show", "--json", home=home).stdout
        unknown = run("captures", "edit", first, "nonsense=1", home=home)
        assert (unknown.returncode, "account_name" in unknown.stderr) == (2, True)
        wrong = run("captures", "edit", first, "price=many", home=home)
        assert (wrong.returncode, "price:" in wrong.stderr, "pydantic" in wrong.stderr) == (
            2,
            True,
            False,
        )
        (folder / "notes.docx").write_bytes(b"x")
        again = run("intake", folder, home=home)
        assert "notes.docx" in again.stderr
        assert "Nothing new to judge." in again.stdout

    def test_killed_in_the_middle_it_goes_on(self, captured_home: Path, tmp_path: Path) -> None:
        home = tmp_path / "home"
        command = [
            *COMMAND,
            "--home",
            str(home),
            "intake",
            str(captured_home / "posts"),
            "--no-search",
            "--json",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if len(list((home / "captures").glob("*/bagit.txt"))) >= 8:
                break
            time.sleep(0.05)
        readers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and any(Path(f"/proc/{one}").exists() for one in readers):
            time.sleep(0.1)
        assert readers
        assert not any(Path(f"/proc/{one}").exists() for one in readers)  # nobody waits for ever
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)["captures"]
        assert 0 < sum(not one["new"] for one in told) < len(told)
        place = command.index("--home") + 1
        elsewhere = [*command[:place], str(tmp_path / "other"), *command[place + 1 :]]
        undisturbed = subprocess.run(elsewhere, capture_output=True, text=True, check=True)
        assert [(one["name"], one["pages"]) for one in told] == [
            (one["name"], one["pages"]) for one in json.loads(undisturbed.stdout)["captures"]
        ]
        assert len(list((home / "captures").glob("*/bagit.txt"))) == len(told)


class TestReport:
    @pytest.fixture
    def case(self, case_store: CaseStore) -> Case:
        return reviewed(case_store, make_sighted_case(case_store))

    @pytest.mark.parametrize("language", ["en", "zh-CN"])
    def test_all_that_a_reader_needs_is_there(
        self, case_store: CaseStore, case: Case, language: str
    ) -> None:
        text = case_html(case, case_store, language, fingerprint="fe" * 32)
        for told in (
            "Erika Mustermann",
            "https://social.example/post/3",
            "ab" * 32,
            "abcdef0123",
            "erika.safetensors",
            "AUTOMATIC1111",
            "Chromium 140",
            "Li Na",
            "fe" * 32,
        ):
            assert told in text, told
        assert "<script>" not in text.replace("<script>alert", "")
        assert "Post <i>" not in text
        assert ("所固定的页面" in text) == (language == "zh-CN")

    def test_a_redacted_copy_shows_no_face(self, case_store: CaseStore, case: Case) -> None:
        plain, redacted = (case_html(case, case_store, redacted=told) for told in (False, True))
        assert (
            plain.count("data:image/jpeg;base64,") == redacted.count("data:image/jpeg;base64,") == 4
        )
        assert not set(plain.split("data:image/jpeg;base64,")[1:]) & set(
            redacted.split("data:image/jpeg;base64,")[1:]
        )
        assert "Li Na" not in redacted
