"""The command line as a user meets it: contract, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from scanner.cli.app import PANELS, app
from scanner.cli.exit_codes import ExitCode
from tests.list_commands import shown_commands, with_tables

COMMANDS = Path(__file__).parent.parent / "docs" / "commands.md"


def run(*arguments: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The installed command in a process of its own."""
    options = ["--home", str(home)] if home else []
    command = [
        sys.executable,
        "-c",
        "from scanner.cli.app import main; main()",
        *options,
        *(str(argument) for argument in arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


HEAVY = (
    "PIL", "crawlers.hubs", "cv2", "diffusers", "faiss", "fsspec", "httpx", "insightface",
    "keyring", "numpy", "onnxruntime", "picklescan", "scanner.factories", "scanner.settings",
    "sqlite_utils", "torch", "transformers",
)  # fmt: skip


def loaded_by(*arguments: str | Path) -> tuple[str, set[str]]:
    """The output of a command, and which of the heavy modules it imported."""
    code = (
        f"import sys; sys.argv = ['portrait-scanner', *{[str(one) for one in arguments]!r}]\n"
        "from scanner.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout, {*HEAVY, "pydantic", "rich"} & set(done.stderr.split())


def test_help_loads_no_heavy_module() -> None:
    output, loaded = loaded_by("--help")
    assert "inspect" in output
    assert loaded == set()


def test_inspect_of_a_file_loads_no_heavy_module(make_lora: Callable[..., Path]) -> None:
    output, loaded = loaded_by("inspect", make_lora())
    assert "lora" in output
    assert loaded & set(HEAVY) == set()


def test_inspect_keeps_its_contract(make_lora: Callable[..., Path]) -> None:
    done = run("inspect", make_lora(), "--json")
    document = json.loads(done.stdout)
    assert done.returncode == ExitCode.DONE
    assert {
        "sha256",
        "weights_hash",
        "kind",
        "family",
        "triggers",
        "training",
        "bytes_read",
        "problems",
    } <= set(document)
    assert (document["kind"], document["family"]) == ("lora", "SD1")


def test_inspect_reads_a_url_by_range(file_server: object, make_lora: Callable[..., Path]) -> None:
    import numpy as np

    path = make_lora(change={"lora_unet_x.lora_down.weight": np.zeros((500, 2000), np.float32)})
    path.rename(file_server.folder / path.name)  # type: ignore[attr-defined]
    document = json.loads(run("inspect", file_server.url(path.name), "--json").stdout)  # type: ignore[attr-defined]
    assert document["bytes_read"] <= 64 * 1024
    assert document["size_bytes"] > 4_000_000


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["inspect", "no-such-file"], ExitCode.COULD_NOT_FINISH, "cannot be read"),
        (
            ["scan", "nowhere", "--face-pack", "miniature"],
            ExitCode.USAGE,
            "is no file or folder that is here",
        ),
        (["scan"], ExitCode.USAGE, "Missing argument"),
        (["withdraw", "nobody"], ExitCode.USAGE, "nobody"),
        (["report"], ExitCode.USAGE, "no scan"),
        (["report", "--lang", "fr"], ExitCode.USAGE, "zh-CN"),
        (["--use", "fun", "identities"], ExitCode.USAGE, "use"),
        (["--device", "tpu", "identities"], ExitCode.USAGE, "device"),
        (
            ["scan", ".", "--face-pack", "nothing"],
            ExitCode.COULD_NOT_FINISH,
            "neither a folder nor a known face pack",
        ),
        (["scan", ".", "--face-pack", "buffalo_l"], ExitCode.COULD_NOT_FINISH, "buffalo_l.zip"),
        (["scan", ".", "--face-pack", "auraface"], ExitCode.COULD_NOT_FINISH, "--face-pack"),
    ],
)
def test_errors_are_sentences(
    tmp_path: Path, arguments: list[str], code: ExitCode, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTRAIT_SCANNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = run(*arguments, home=tmp_path / "home")
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_counts_before_and_after_the_command() -> None:
    from scanner.cli.context import Flags

    flags = Flags({"use": "research", "home": None})
    assert flags.settings(use=None, face_pack=None).use == "research"
    assert flags.settings(use="commercial").use == "commercial"


def test_settings_come_from_flags_then_environment_then_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanner.settings import load_settings

    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / "portrait-scanner.toml").write_text('face_pack = "from-home"\nfpir = 0.01\n')
    assert load_settings({"home": home}).face_pack == "from-home"
    (tmp_path / "portrait-scanner.toml").write_text('face_pack = "from-folder"\n')
    assert load_settings({"home": home}).face_pack == "from-folder"
    assert load_settings({"home": home}).fpir == 0.01
    monkeypatch.setenv("PORTRAIT_SCANNER_FACE_PACK", "from-environment")
    assert load_settings({"home": home}).face_pack == "from-environment"
    assert load_settings({"home": home, "face_pack": "from-flag"}).face_pack == "from-flag"


def test_a_mistake_in_the_settings_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanner.errors import SettingsInvalid
    from scanner.settings import load_settings

    monkeypatch.chdir(tmp_path)
    for text, told in (
        ("fpir = 2\n", "fpir"),
        ("face_pak = 'x'\n", "face_pak"),
        ("= broken", "cannot be read"),
    ):
        (tmp_path / "portrait-scanner.toml").write_text(text)
        with pytest.raises(SettingsInvalid, match=told):
            load_settings({"home": tmp_path})


def test_a_removed_setting_is_named_and_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from scanner.settings import load_settings

    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "portrait-scanner.toml").write_text("compile_models = true\nfpir = 0.01\n")
    assert load_settings({"home": tmp_path / "home"}).fpir == 0.01
    assert "compile_models in" in caplog.text
    assert "has no effect any more" in caplog.text
    caplog.clear()
    monkeypatch.setenv("PORTRAIT_SCANNER_COMPILE_MODELS", "true")
    assert load_settings({"home": tmp_path}).fpir == 0.001
    assert "PORTRAIT_SCANNER_COMPILE_MODELS has no effect any more" in caplog.text


def test_every_command_has_an_example() -> None:
    page = COMMANDS.read_text("utf-8")
    names = [name for name, _ in shown_commands(typer.main.get_command(app))]
    assert [name for name in names if f"\nportrait-scanner {name}" not in page] == []


def test_the_tables_of_commands_are_those_of_the_help() -> None:
    page = COMMANDS.read_text("utf-8")
    assert with_tables(page) == page
    headings = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert headings[1:] == [panel for panel, _ in PANELS]


def test_exit_codes_are_documented() -> None:
    page = COMMANDS.read_text("utf-8")
    assert all(f"| {code.value} |" in page for code in ExitCode)


def test_a_damaged_database_is_told_and_named_by_doctor(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("listings", home=home).returncode == 0
    damaged = home / "crawl.db"
    for suffix in ("-wal", "-shm"):
        damaged.with_name(damaged.name + suffix).unlink(missing_ok=True)
    damaged.write_bytes(damaged.read_bytes()[:4096] + b"noise" * 4000)
    told = run("listings", home=home)
    assert (told.returncode, "portrait-scanner doctor" in told.stderr) == (
        ExitCode.COULD_NOT_FINISH,
        True,
    )
    document = json.loads(run("doctor", "--json", home=home).stdout)
    assert document["databases"]["crawl.db"].startswith("DAMAGED")
    assert any("put its backup there" in sentence for sentence in document["missing"])


def test_doctor_tells_what_is_missing_without_fetching_it(tmp_path: Path) -> None:
    document = json.loads(run("doctor", "--json", home=tmp_path / "home").stdout)
    assert document["libraries"]["torch"]
    assert any("auraface" in sentence for sentence in document["missing"])
    assert any("SDXL" in sentence for sentence in document["missing"])
    assert not (tmp_path / "home").exists()
