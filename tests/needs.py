"""Says what `make test` takes from the system, and prints the Debian packages that are missing; `python tests/needs.py`.

It runs before anything is installed: with the standard library alone, and on any Python 3. Exit status 1 if something is
missing.
"""

import ctypes
import pathlib
import shutil
import subprocess
import sys
import sysconfig

TOLD = """make test installs the dev extras of pyproject.toml into .venv (about 3 GB with what running needs) and takes from
the system: a C++ compiler with Python's headers, Chromium, openssl, Pango, and fonts that have Chinese.
make demo takes none of them."""


def found(*names):
    """Whether a command of one of these names is here."""
    return any(shutil.which(name) for name in names)


def loads(*names):
    """Whether all of these shared libraries can be loaded."""
    try:
        for name in names:
            ctypes.CDLL(name)
    except OSError:
        return False
    return True


def has_font(language):
    """Whether fontconfig knows a font with that language's signs."""
    if not found("fc-list"):
        return False
    told = subprocess.run(
        ["fc-list", ":lang=" + language, "family"], stdout=subprocess.PIPE, check=False
    )
    return bool(told.stdout.strip())


def has_headers():
    """Whether this Python's headers are here; what has no wheel is compiled against them."""
    return (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()


# Debian's package and whether what it brings is here.
NEEDS = (
    ("libpango-1.0-0", lambda: loads("libpango-1.0.so.0")),
    ("libpangoft2-1.0-0", lambda: loads("libpangoft2-1.0.so.0")),
    ("libharfbuzz-subset0", lambda: loads("libharfbuzz-subset.so.0")),
    ("fontconfig", lambda: found("fc-list")),
    ("fonts-noto-cjk", lambda: has_font("zh-cn")),
    ("fonts-noto-core", lambda: has_font("en")),
    ("openssl", lambda: found("openssl")),
    ("chromium", lambda: found("chromium", "chromium-browser", "google-chrome")),
    ("g++", lambda: found("g++", "clang++")),
    ("python3-dev", has_headers),
)


def missing():
    """Debian's names of what is not here."""
    return [package for package, is_here in NEEDS if not is_here()]


if __name__ == "__main__":
    packages = missing()
    sys.stderr.write(
        TOLD
        + (" Missing here: " + ", ".join(packages) + ".\n" if packages else " All of it is here.\n")
    )
    sys.stdout.write(" ".join(packages) + "\n")
    sys.exit(bool(packages))
