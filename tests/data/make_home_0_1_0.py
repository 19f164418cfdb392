"""Make home_0_1_0.tar.xz with the code of version 0.1.0.

It holds databases, a vault, captures, a sealed bundle, a receipt and a backup. Run this script with
version 0.1.0 (commit eabeafd) on the path and its dependencies installed. One of them, sd-parsers,
is no dependency of later versions:

    git archive --prefix=portrait-scanner-0.1.0/ eabeafd | tar -x -C /tmp
    pip install --target /tmp/sd-parsers sd-parsers
    cp tests/data/make_home_0_1_0.py /tmp
    export PYTHONPATH=/tmp/portrait-scanner-0.1.0:/tmp/sd-parsers
    python /tmp/make_home_0_1_0.py /tmp/made-by-0.1.0 home_0_1_0.tar.xz

All people in it are drawn (the miniature world), and the master key belongs to this home only. The
scanned weights ship with the program, so the checkpoint store of the home is emptied and they are
not stored twice. Keys, ids and times differ at each run: the tests compare later versions with what
0.1.0 printed (printed.json), not with fixed values. The archive has sorted names, no times and no
owners, so that the same files always give the same bytes. The bundle describes the machine on which
it was made, including its name servers.
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
    """The command line of version 0.1.0; each command runs in its own process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed = folder, dict[str, Any]()

    def run(self, *arguments: str | Path, codes: tuple[int, ...] = (0,), **environment: str) -> str:
        """Return what a command prints on standard output."""
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
        """Return the JSON that a command prints; printed.json keeps it under this name."""
        self.printed[name] = json.loads(self.run(*arguments, "--json", codes=codes, **environment))
        return self.printed[name]


def make(folder: Path) -> None:
    """Fill a folder with `home`, `out` (exported files) and printed.json."""
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
    """Enrol four people; two of them grant a licence."""
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
    """Scan a hub and local files.

    The hub gives a match and a clear verdict. The local files give a possible match, an authorised
    one and a failure.
    """
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
    """Take in an account that posts pictures of a registered person and offers files for sale."""
    posts.POSTS_EACH, posts.OFFERS = POSTS, 10
    paths = posts.write_posts(program.folder / "work" / "posts", load_world(), {}, most=1)
    taken = [path for path in paths if not path.name.startswith("other")]
    program.keep("intake", "intake", *taken, "--by", "Li Na", "--made-with", "a drawn browser")


def decide(program: Program) -> None:
    """Confirm a case, seal it and draft a notice; add a correction to another case."""
    cases = program.run("cases", "--json")
    ids = {
        (case["identity_name"], case["outcome"], case["file"]): case["case_id"]
        for case in json.loads(cases)["cases"]
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
    """Make a backup, withdraw a person and add an account for the API."""
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
    """Keep what commands of 0.1.0 print at the end."""
    for name in (
        "identities",
        "cases",
        "captures list",
        "captures judge",
        "notice list",
        "vault status",
        "vault check",
        "audit verify",
        "account list",
        "listings",
    ):
        program.keep(name, *name.split())


def shrink(folder: Path) -> None:
    """Delete what the tests do not need, and the free pages of the databases."""
    for name in ("home/reports", "work"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.rglob("*.db"):
        if path.parent.name != "backups":
            with closing(sqlite3.connect(path)) as db:
                db.execute("pragma wal_checkpoint(truncate)")
                db.execute("vacuum")


def pack(folder: Path, archive: Path) -> None:
    """Pack the folder into an archive; the same files give the same bytes."""
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
