"""Make home_0_1_0.tar.xz with version 0.1.0 itself: databases, vault, captures, a sealed bundle, a receipt and a backup.

Run it with the program's files of version 0.1.0 (commit eabeafd) on the path, and with its dependencies installed; one of
them, sd-parsers, is no dependency of later versions:

    git archive --prefix=portrait-scanner-0.1.0/ eabeafd | tar -x -C /tmp
    pip install --target /tmp/sd-parsers sd-parsers
    cp tests/data/make_home_0_1_0.py /tmp
    PYTHONPATH=/tmp/portrait-scanner-0.1.0:/tmp/sd-parsers python /tmp/make_home_0_1_0.py /tmp/made-by-0.1.0 home_0_1_0.tar.xz

Everybody in it is drawn (the miniature world), and the master key belongs to this home only. The weights that are scanned
ship with the program and are not stored again: the checkpoint store of the home is emptied. Keys, ids and times differ at
each run; the tests compare later versions with what 0.1.0 printed (printed.json), not with fixed values. The archive is
packed the same way each time: sorted names, no times, no owners. The bundle says on which kind of machine it was made, its
name servers among it.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

from scanner.miniature import posts
from scanner.miniature.hub import serve_hub
from scanner.miniature.world import ADAPTERS, load_world

SETTINGS = 'face_pack = "miniature"\noperator = "Olga"\n'
ENROLLED = {"person-101": 101, "person-104": 104, "person-105": 105, "person-107": 107}
ON_HUB = ("ohwx_portrait_v1.safetensors", "teapot_object.safetensors")
POSTS = 6
_LEFT_OUT = (".db-wal", ".db-shm", ".lock", ".locks")
FIELDS = """\
recipient = "微型平台"
right_holder = "person-101"
right_holder_id = "微型世界中的绘制人物"
contact = "微型世界中的绘制人物"
agent = "无"
request = "删除该文件及其副本"
fair_use = "已考虑；对私人肖像模型不适用例外"
truthful = "yes"
signature = "李娜（演示）"
"""


class Program:
    """The command line of version 0.1.0, in a process for each command."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed = folder, dict[str, Any]()

    def run(self, *arguments: str | Path, codes: tuple[int, ...] = (0,), **environment: str) -> str:
        """What a command prints on standard output."""
        command = [
            sys.executable,
            "-m",
            "scanner.cli.app",
            "--home",
            *map(str, (self.folder / "home", *arguments)),
        ]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            raise SystemExit(f"{arguments} ended with {done.returncode}")
        return done.stdout

    def keep(
        self, name: str, *arguments: str | Path, codes: tuple[int, ...] = (0,), **environment: str
    ) -> Any:
        """What a command prints as JSON; it goes into printed.json under this name."""
        self.printed[name] = json.loads(self.run(*arguments, "--json", codes=codes, **environment))
        return self.printed[name]


def make(folder: Path) -> None:
    """Fill a folder: `home`, `out` with what was given out, and printed.json."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "home").mkdir(parents=True)
    (folder / "home" / "portrait-scanner.toml").write_text(SETTINGS, "utf-8")
    program = Program(folder)
    enrol(program)
    scan(program)
    capture(program)
    decide(program)
    leave(program)
    ask(program)
    (folder / "printed.json").write_text(
        json.dumps(program.printed, ensure_ascii=False, indent=1) + "\n", "utf-8"
    )


def enrol(program: Program) -> None:
    """Four people, two of whom allow something."""
    for name, seed in ENROLLED.items():
        photos = program.folder / "work" / f"{seed}"
        program.run("miniature", "photos", seed, photos, "--count", "3")
        program.run(
            "enroll", name, photos, "--yes", "--submitted-by", "Sam", "--expires", "2099-12-31"
        )
        program.run("approve", name, "--operator", "Olga", "--proof", "passport")
    sha256 = json.loads(
        program.run("inspect", ADAPTERS / "sepia_dream_merge.safetensors", "--json")
    )["sha256"]
    program.run("licence", "grant", "person-105", "--until", "2099-12-31", "--model", sha256)
    program.run(
        "licence", "grant", "person-104", "--until", "2099-12-31", "--uploader", "civitai:friend"
    )


def scan(program: Program) -> None:
    """A match and a clear verdict on a hub; a possible match, one that is allowed and a failure in local files."""
    files = [file for file in load_world().files if file.file in ON_HUB]
    with serve_hub(files) as host:
        hosts = ",".join(f"{name}:{host.rpartition(':')[2]}" for name in ("127.0.0.1", "localhost"))
        trust = {"PORTRAIT_SCANNER_ALLOWED_HOSTS": hosts, "PORTRAIT_SCANNER_ROBOTS_EXEMPT": hosts}
        program.keep("scan of a hub", "scan", f"civitai={host}", codes=(1,), **trust)
    local = ("sepia_dream_merge.safetensors", "broken_upload.safetensors")
    program.keep("scan of files", "scan", *(ADAPTERS / name for name in local), codes=(0, 1))
    possible = ADAPTERS / "qmv_mini_rank2.safetensors"
    program.keep(
        "scan with a high threshold", "scan", possible, codes=(1,), PORTRAIT_SCANNER_FPIR="1e-10"
    )
    shutil.rmtree(program.folder / "home" / "checkpoints")


def capture(program: Program) -> None:
    """An account that posts pictures of a registered person, and offers for sale."""
    posts.POSTS_EACH, posts.OFFERS = POSTS, 10
    paths = posts.write_posts(program.folder / "work" / "posts", load_world(), {}, most=1)
    taken = [path for path in paths if not path.name.startswith("other")]
    program.keep("intake", "intake", *taken, "--by", "Li Na", "--made-with", "a drawn browser")


def decide(program: Program) -> None:
    """One case confirmed, sealed and put into a notice; an appeal in another."""
    cases = program.run("cases", "--json")
    ids = {
        (one["identity_name"], one["outcome"], one["file"]): one["case_id"]
        for one in json.loads(cases)["cases"]
    }
    confirmed = ids["person-101", "match", ON_HUB[0]]
    reason = "one and the same face in every sample, and none of it without the file"
    program.run(
        "review", confirmed, "--decision", "confirm", "--reviewer", "Li Na", "--reason", reason
    )
    program.run("report", confirmed, "--out", "out", "--bundle", "--no-pdf")
    fields = program.folder / "work" / "fields.toml"
    fields.write_text(FIELDS, "utf-8")
    program.run(
        "notice",
        "draft",
        confirmed,
        "prc-1195",
        "--out",
        "work",
        "--fields",
        fields,
        "--operator",
        "Li Na",
    )
    possible = next(case for (name, *_), case in ids.items() if name == "person-104")
    program.run(
        "amend",
        possible,
        "--kind",
        "correction",
        "--by",
        "maker",
        "--text",
        "the title was changed",
    )
    bundle = Path("out") / f"evidence-{confirmed}"
    weights = ADAPTERS / ON_HUB[0]
    program.keep("verify", "verify", bundle)
    program.keep("reproduce", "reproduce", bundle, "--checkpoint", weights)
    program.printed["confirmed"] = confirmed


def leave(program: Program) -> None:
    """A backup, then a person who withdraws; an account for the API."""
    program.keep("backup", "vault", "backup", "--operator", "Olga")
    program.run(
        "withdraw",
        "person-107",
        "--yes",
        "--receipt",
        "out/erased-person-107.json",
        "--operator",
        "Olga",
    )
    program.run("account", "add", "gate@hub.example", "--name", "Upload gate", "--role", "operator")


def ask(program: Program) -> None:
    """What 0.1.0 says of it all at the end."""
    for name in ("identities", "cases", "captures list", "captures judge", "notice list", "vault status", "vault check",
                 "audit verify", "account list", "listings"):  # fmt: skip
        program.keep(name, *name.split())


def shrink(folder: Path) -> None:
    """Only what the tests need, with databases that hold no free page."""
    for name in ("home/reports", "work"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.rglob("*.db"):
        if path.parent.name != "backups":
            with closing(sqlite3.connect(path)) as db:
                db.execute("pragma wal_checkpoint(truncate)")
                db.execute("vacuum")


def pack(folder: Path, archive: Path) -> None:
    """The folder as an archive: the same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _LEFT_OUT or path.parent.suffix in _LEFT_OUT:
                continue
            info = tar.gettarinfo(path, str(path.relative_to(folder)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = 0
            info.mode = 0o700 if path.is_dir() else 0o600
            with path.open("rb") if path.is_file() else io.BytesIO() as stream:
                tar.addfile(info, stream if path.is_file() else None)
    archive.write_bytes(lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    made = Path(sys.argv[1]).resolve()
    make(made)
    shrink(made)
    pack(made, Path(sys.argv[2]))
