"""Builds the single-file verifier, reports/verify_bundle.py, into wheel and sdist.

All other packaging metadata is in pyproject.toml.
"""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

# An isolated build does not have the checkout on its path.
sys.path.insert(0, str(Path(__file__).parent))

from reports.verify.build import single_file

VERIFIER = Path("reports", "verify_bundle.py")


class BuildWithVerifier(build_py):
    """Copies the packages and writes the verifier beside them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            _write(Path(self.build_lib) / VERIFIER)


class SdistWithVerifier(sdist):
    """Writes the verifier into the source distribution."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        _write(Path(base_dir) / VERIFIER)


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # in an sdist it may be a hard link to the checkout
    path.write_bytes(single_file())


setup(cmdclass={"build_py": BuildWithVerifier, "sdist": SdistWithVerifier})
