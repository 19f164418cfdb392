"""The single-file verifier is built reproducibly from the modules and needs only `cryptography`."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import resources, util
from pathlib import Path

import pytest

from reports.verify import case_schema, files, revocations, seal
from reports.verify.build import NotSelfContained, join, single_file
from tests.test_moved_bundles import BESIDE, sealed  # noqa: F401  a fixture
from tests.verifiers import SINGLE_FILE, run_both, single_file_module

ROOT = Path(__file__).parent.parent
MAIN = '"""Run it."""\n\nfrom reports.verify.one import value\n\nprint(value)\n'
ONE = '"""One value."""\n\nimport sys\n\nvalue = sys.path\n'
# cryptography and what it imports itself; the last is made by its binary and has no file.
ALLOWED = ("cryptography", "cffi", "_cffi_backend", "pycparser", "typing_extensions", "_openssl")


def test_both_print_the_same_and_end_with_the_same_code(sealed: Path, tmp_path: Path) -> None:  # noqa: F811
    assert run_both(sealed).returncode == 0
    assert run_both(sealed, "--json").returncode == 0
    assert run_both(sealed, "--signer", "00" * 32).returncode == 1
    assert run_both(sealed, "--signer", "00").returncode == 2
    assert run_both(sealed, "--tsa-root", tmp_path / "absent.pem").returncode == 2
    assert run_both(sealed, "--revocations", tmp_path / "absent.json").returncode == 1
    assert run_both(sealed / BESIDE).returncode == 1
    assert run_both(tmp_path / "absent").returncode == 1


@pytest.mark.parametrize(
    "module", [case_schema, files, revocations, seal], ids=lambda module: module.__name__
)
def test_constants_are_the_same(module: object) -> None:
    constants = {name: value for name, value in vars(module).items() if name.isupper()}
    assert constants
    assert {name: getattr(single_file_module(), name) for name in constants} == constants


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for number in range(2):
        command = [sys.executable, "-m", "reports.verify.build", str(tmp_path / f"{number}.py")]
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (tmp_path / "0.py").read_bytes() == (tmp_path / "1.py").read_bytes() == single_file()


def test_it_imports_the_standard_library_and_cryptography() -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(single_file()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    roots = {name.partition(".")[0] for name in imported}
    assert roots - set(sys.stdlib_module_names) == {"cryptography"}


def test_it_runs_with_nothing_else_installed(sealed: Path, tmp_path: Path) -> None:  # noqa: F811
    """Run without site-packages; a folder links only cryptography and what it needs."""
    for name in ALLOWED[:-1]:
        spec = util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            found = origin.parent if origin.name == "__init__.py" else origin
            (tmp_path / found.name).symlink_to(found)
    code = (
        "import runpy, sys\n"
        "folder, sys.argv = sys.argv[1], sys.argv[2:]\n"
        "sys.path.append(folder)\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n"
        "    loaded = {name.partition('.')[0] for name in sys.modules}"
        " - {*sys.stdlib_module_names, '__main__'}\n"
        "    print('LOADED', *sorted(loaded))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, tmp_path, SINGLE_FILE, sealed],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert "Everything that can be checked holds" in done.stdout
    loaded = done.stdout.splitlines()[-1].split()[1:]
    assert "cryptography" in loaded
    assert set(loaded) <= set(ALLOWED)


def test_lines_are_short_and_the_usage_comes_first() -> None:
    lines = single_file().decode().splitlines()
    assert max(map(len, lines)) <= 100
    assert "python -I verify_bundle.py BUNDLE" in "\n".join(lines[:5])
    assert "reports.verify" not in single_file().decode().replace("reports.verify.build", "")


def test_an_installed_package_holds_the_same_file() -> None:
    """A wheel has it beside the modules; a checkout does not."""
    packaged = resources.files("reports").joinpath("verify_bundle.py")
    if packaged.is_file():
        assert packaged.read_bytes() == single_file()


@pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="the packages are not built here")
def test_a_build_writes_it(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    code = (
        "import runpy, setuptools\n"
        "setuptools.setup = lambda **_: None\n"
        "command = runpy.run_path('setup.py')['BuildWithVerifier'](setuptools.Distribution())\n"
        f"command.build_lib = {str(tmp_path)!r}\n"
        "command.ensure_finalized()\n"
        "command.run()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    assert (tmp_path / "reports/verify_bundle.py").read_bytes() == single_file()


class TestJoin:
    def test_needed_modules_come_first(self) -> None:
        joined = join({"__main__": MAIN, "one": ONE})
        assert joined.startswith('"""Run it."""\n')
        assert (
            joined.index("import sys")
            < joined.index("value = sys.path")
            < joined.index("print(value)")
        )
        assert "from reports" not in joined

    @pytest.mark.parametrize(
        ("one", "problem"),
        [
            (ONE.replace("sys", "numpy"), "imports numpy"),
            (ONE.replace("import sys", "from reports.case import Case"), "imports reports.case"),
            (ONE.replace("import sys", "from . import two"), "imports ."),
            (ONE.replace("import sys", "import sys as system"), "in a form that cannot be joined"),
            (ONE.replace("import sys", "import os.path"), "in a form that cannot be joined"),
            (ONE.replace("import sys", "from os import *"), "in a form that cannot be joined"),
            (
                ONE.replace("import sys", "from reports.verify.__main__ import x"),
                "need one another",
            ),
            (ONE.replace("import sys", "from reports.verify.two import x"), "which is no module"),
            (ONE + "import os\n", "does not begin with a docstring and all its imports"),
            (
                ONE + "def late():\n    import os\n",
                "does not begin with a docstring and all its imports",
            ),
            (ONE.removeprefix('"""One value."""\n'), "does not begin with a docstring"),
            (ONE + "print = 1\n", "print is of builtins"),
            (ONE + "sys = 1\n", "sys is of an import of sys"),
        ],
    )
    def test_what_cannot_be_joined_is_refused(self, one: str, problem: str) -> None:
        with pytest.raises(NotSelfContained, match=problem):
            join({"__main__": MAIN, "one": one})

    def test_a_name_of_two_modules_is_refused(self) -> None:
        with pytest.raises(NotSelfContained, match="value is of one and of __main__"):
            join({"__main__": MAIN + "value = 1\n", "one": ONE})

    def test_a_module_that_nothing_needs_is_refused(self) -> None:
        with pytest.raises(NotSelfContained, match="nothing needs two"):
            join({"__main__": MAIN, "one": ONE, "two": ONE})
