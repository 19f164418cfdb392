"""Writes tests/data/golden: the JSON that the program prints and stores about a small world.

The world is fixed and its people are drawn. `python -m tests.golden_world FOLDER` builds it in
/tmp/portrait-scanner-golden, which must not exist, and writes the golden files again. Do that only
when a contract changes on purpose. tests/test_golden_json.py compares the files.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from scanner.cli.app import app
from scanner.miniature.demo import with_another_header
from scanner.miniature.hub import serve_hub
from scanner.miniature.world import ADAPTERS, load_world

GOLDEN = Path(__file__).parent / "data" / "golden"
MADE_IN = "/tmp/portrait-scanner-golden"  # paths in the golden files begin with it
SETTINGS = (
    'face_pack = "miniature"\noperator = "Olga"\ntwo_people = false\n'
    'samples.installation_id = "tests"\n'
)
MINOR = "Dvx Actor"
INSPECTED = (
    "ohwx_portrait_v1.safetensors",
    "hjd_person_loha.safetensors",
    "emb_tvm_s.safetensors",
    "classifier_head.safetensors",
    "broken_upload.safetensors",
    "old_embedding.pt",
)
SCANNED = (
    "ohwx_portrait_v1.safetensors",
    "teapot_object.safetensors",
    "broken_upload.safetensors",
    "dvx_actor.safetensors",
    "old_embedding.pt",
)
TABLES = {
    "scans": (
        "scans",
        "items",
        "item_listings",
        "verdicts",
        "triages",
        "samples",
        "sightings",
        "releases",
        "held_files",
        "held_looks",
    ),
    "cases": ("cases", "entries", "summaries", "seals"),
    "crawl": ("captures", "capture_pages", "capture_images", "listings"),
}


class World:
    """A folder with files and a home, and what commands printed about them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.files = folder, folder / "home", folder / "files"
        self.printed = dict[str, str]()
        for made in (self.home, self.files):
            made.mkdir(parents=True)
        (self.home / "portrait-scanner.toml").write_text(SETTINGS, "utf-8")

    def run(self, *arguments: str | Path, code: int = 0, **environment: str) -> str:
        """Return what a command prints on standard output."""
        with mock.patch.dict(os.environ, environment):
            done = CliRunner().invoke(app, ["--home", str(self.home), *map(str, arguments)])
        if done.exit_code != code:
            raise AssertionError(
                f"{arguments} ended with {done.exit_code}: {done.output} {done.exception!r}"
            )
        return done.stdout

    def keep(self, name: str, *arguments: str | Path, code: int = 0, **environment: str) -> str:
        """Keep the JSON that a command prints under a name."""
        self.printed[name] = self.run(*arguments, "--json", code=code, **environment)
        return self.printed[name]

    def file(self, name: str) -> Path:
        """Return a copy of a shipped file in the folder of this world's files."""
        path = self.files / name
        if not path.exists():
            shutil.copyfile(ADAPTERS / name, path)
        return path

    def stored(self) -> dict[str, str]:
        """Return the rows of the tables that hold JSON, one per line; texts are as stored."""
        found = {}
        for database, tables in TABLES.items():
            with closing(sqlite3.connect(self.home / f"{database}.db")) as db:
                db.row_factory = sqlite3.Row
                for table in tables:
                    order = "sha256, fingerprint, stage, number" if table == "samples" else "rowid"
                    rows = db.execute(f"select * from {table} order by {order}").fetchall()
                    lines = [json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows]
                    found[f"{database}.{table}"] = "".join(lines)
        return found


def small(world: World) -> None:
    """Build what the tests build again.

    It has a match, a clear file, two failures, a held file and an account that waits for release.
    """
    for name in INSPECTED:
        world.keep(f"inspect {name}", "inspect", world.file(name))
    enrol(world, "person-101", 101)
    consent = world.files / "consent.pdf"
    consent.write_bytes(b"%PDF-1.4 signed by a guardian")
    enrol(
        world,
        MINOR,
        110,
        "--born",
        "2015-01-31",
        "--guardian",
        "a guardian",
        "--consent-document",
        consent,
    )
    world.keep("scan", "scan", *(world.file(name) for name in SCANNED), code=1)
    world.keep(
        "intake",
        "intake",
        captured_account(world),
        "--by",
        "Li Na",
        "--made-with",
        "a drawn browser",
    )
    ask(world)


def enrol(world: World, name: str, seed: int, *more: str | Path) -> None:
    """Register and approve a drawn person."""
    photos = world.files / f"photos of {seed}"
    world.run("miniature", "photos", str(seed), photos, "--count", "4")
    world.run(
        "enroll", name, photos, "--yes", "--submitted-by", "Sam", "--expires", "2099-12-31", *more
    )
    world.run("approve", name, "--operator", "Olga", "--proof", "passport")


def ask(world: World) -> None:
    """Keep what the commands of the contract print at the end."""
    for name in (
        "identities",
        "cases",
        "held list",
        "captures list",
        "captures waiting",
        "listings",
    ):
        world.keep(name, *name.split())
    capture = json.loads(world.printed["captures list"])["captures"][0]["capture_id"]
    world.keep("captures show", "captures", "show", capture)
    world.keep("summary", "summary")
    out = world.files / "verdicts.csv"
    world.keep("export", "export", out)
    world.printed["export.csv"] = out.read_bytes().decode("utf-8-sig")


def captured_account(world: World) -> Path:
    """Write a WARC of an account whose notes show person-101, with the same bytes at each run."""
    photos = sorted((world.files / "photos of 101").iterdir())
    pages = []
    for number, photo in enumerate(photos):
        note, image = f"note{number:0>20}", f"http://sns-webpic.xhscdn.com/golden/{number}.png"
        user = {"userId": f"{'golden':0>24}", "nickname": "账号 golden"}
        content = {
            "noteId": note,
            "title": f"日常 {number}",
            "desc": "今天也要开心",
            "time": 1_772_355_600_000 + number,
            "user": user,
            "interactInfo": {"likedCount": "10", "collectedCount": "3", "commentCount": "1"},
            "imageList": [{"urlDefault": image}],
            "tagList": [],
        }
        details = {"note": {"noteDetailMap": {note: {"note": content}}}}
        state = json.dumps(details, ensure_ascii=False)
        page = (
            f"<!doctype html><meta charset=utf-8><title>日常 {number}</title><img src='{image}'>"
            f"<script>window.__INITIAL_STATE__={state}</script>"
        )
        pages.append(
            (
                f"http://www.xiaohongshu.com/explore/{note}",
                "text/html; charset=utf-8",
                page.encode(),
            )
        )
        pages.append((image, "image/png", photo.read_bytes()))
    return written(world.files / "account.warc.gz", pages)


def captured_page(world: World) -> Path:
    """Write a WARC of a page that names no account and shows two people."""
    photos = [
        *sorted((world.files / "photos of 104").iterdir())[:3],
        *sorted((world.files / "photos of 101").iterdir())[:2],
    ]
    images = [f"https://shop.example/{number}.png" for number in range(len(photos))]
    shown = "".join(f"<img src='{image}'>" for image in images)
    page = (
        "<!doctype html><meta charset=utf-8><title>Portraits</title>"
        f"<body><article>{shown}</article></body>"
    ).encode()
    bodies = [
        (image, "image/png", photo.read_bytes())
        for image, photo in zip(images, photos, strict=True)
    ]
    return written(
        world.files / "page.warc.gz",
        [("https://shop.example/portraits", "text/html", page), *bodies],
    )


def written(path: Path, answers: list[tuple[str, str, bytes]]) -> Path:
    """Write a WARC file of these addresses, media types and bodies."""
    with path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for number, (url, kind, body) in enumerate(answers):
            headers = StatusAndHeaders("200 OK", [("Content-Type", kind)], protocol="HTTP/1.1")
            fixed = {
                "WARC-Date": "2026-03-11T09:00:00Z",
                "WARC-Record-ID": f"<urn:uuid:{number:0>32}>",
            }
            record = writer.create_warc_record(
                url,
                "response",
                payload=io.BytesIO(body),
                http_headers=headers,
                warc_headers_dict=fixed,
            )
            writer.write_record(record)
    return path


def whole(world: World) -> None:
    """Add what is stored in the golden files and is not built again by the tests.

    It has possible and authorised findings, a merged listing and released captures.
    """
    enrol(world, "person-104", 104)
    enrol(world, "person-105", 105)
    sepia = json.loads(world.run("inspect", world.file("sepia_dream_merge.safetensors"), "--json"))[
        "sha256"
    ]
    world.run("licence", "grant", "person-105", "--until", "2099-12-31", "--model", sepia)
    again = world.files / "evening_light.safetensors"
    again.write_bytes(with_another_header(world.file("ohwx_portrait_v1.safetensors").read_bytes()))
    world.keep(
        "scan of an authorised file and of a copy",
        "scan",
        world.file("sepia_dream_merge.safetensors"),
        again,
        code=1,
    )
    with served() as (target, trust):
        world.keep("scan of a hub", "scan", target, code=1, **trust)
    possible = world.file("qmv_mini_rank2.safetensors")
    world.keep(
        "scan with a high threshold", "scan", possible, code=1, PORTRAIT_SCANNER_FPIR="1e-10"
    )
    photos = json.loads(
        world.keep("intake of a page", "intake", captured_page(world), "--by", "Li Na")
    )
    accounts = json.loads(world.run("captures", "waiting", "--json"))["waiting"]
    assert photos["captures"]
    for capture in sorted({account["captures"][0] for account in accounts}):
        world.run(
            "captures",
            "release",
            capture,
            "--by",
            "Omar",
            "--reason",
            "it poses as a registered person",
        )
    world.keep("captures judge", "captures", "judge")
    decide(world)
    ask(world)


@contextlib.contextmanager
def served() -> Iterator[tuple[str, dict[str, str]]]:
    """Serve a hub with one matching file; yield its target and the settings that allow access."""
    with serve_hub(
        [file for file in load_world().files if file.file == "ohwx_portrait_v1.safetensors"]
    ) as host:
        hosts = ",".join(f"{name}:{host.rpartition(':')[2]}" for name in ("127.0.0.1", "localhost"))
        yield (
            f"civitai={host}",
            {"PORTRAIT_SCANNER_ALLOWED_HOSTS": hosts, "PORTRAIT_SCANNER_ROBOTS_EXEMPT": hosts},
        )


def decide(world: World) -> None:
    """Confirm a case, reject another, and add a correction and a notice."""
    cases = json.loads(world.run("cases", "--json"))["cases"]
    matched = next(
        case["case_id"] for case in cases if case["file"] == "ohwx_portrait_v1.safetensors"
    )
    possible = next(case["case_id"] for case in cases if case["outcome"] == "possible")
    out = world.files / "out"
    world.run("report", matched, "--out", out, "--no-pdf")
    reason = "one face in every sample, and none of it without the file"
    world.keep(
        "review",
        "review",
        matched,
        "--decision",
        "confirm",
        "--reviewer",
        "Li Na",
        "--reason",
        reason,
    )
    world.keep(
        "amend",
        "amend",
        matched,
        "--kind",
        "correction",
        "--by",
        "maker",
        "--text",
        "the title was changed",
    )
    reason = "too far below the threshold to say so"
    world.run("review", possible, "--decision", "reject", "--reviewer", "Omar", "--reason", reason)
    given = {
        "recipient": "微型平台",
        "right_holder": "person-101",
        "right_holder_id": "微型世界中的绘制人物",
        "contact": "微型世界",
        "agent": "无",
        "request": "删除该文件及其副本",
        "fair_use": "已考虑",
        "truthful": "yes",
        "signature": "李娜",
    }
    fields = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
    world.keep(
        "notice draft",
        "notice",
        "draft",
        matched,
        "prc-1195",
        "--out",
        out,
        "--operator",
        "Li Na",
        *fields,
    )
    world.keep("notice list", "notice", "list")


def write(world: World, folder: Path) -> None:
    """Write the printed and stored JSON of a world as golden files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in world.printed.items():
        path = folder / (name if name.endswith(".csv") else f"{name.replace(' ', '-')}.json")
        path.write_text(text, "utf-8")
    for name, text in world.stored().items():
        if text:
            (folder / f"{name}.jsonl").write_text(text, "utf-8")


if __name__ == "__main__":
    made = World(Path(sys.argv[1]))
    small(made)
    write(made, GOLDEN / "small")
    made.printed.clear()
    whole(made)
    write(made, GOLDEN / "whole")
