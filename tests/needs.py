"""Lists what `make test` needs from the system, and prints the Debian packages that are missing.

It runs before anything is installed, so it uses only the standard library and works on any
Python 3. The exit status is 1 if something is missing.

Run: python tests/needs.py
"""

import ctypes
import pathlib
import shutil
import subprocess
import sys
import sysconfig

MESSAGE = (
    "make test installs the dev extras of pyproject.toml into .venv (about 3 GB with what running "
    "needs) and takes from\nthe system: a C++ compiler with Python's headers, Chromium, openssl, "
    "Pango, and fonts that have Chinese.\nmake demo takes none of them."
)


def found(*names):
    """Return whether one of these commands is installed."""
    return any(shutil.which(name) for name in names)


def loads(*names):
    """Return whether all of these shared libraries can be loaded."""
    try:
        for name in names:
            ctypes.CDLL(name)
    except OSError:
        return False
    return True


def has_font(language):
    """Return whether fontconfig knows a font with the characters of a language."""
    if not found("fc-list"):
        return False
    listed = subprocess.run(
        ["fc-list", ":lang=" + language, "family"], stdout=subprocess.PIPE, check=False
    )
    return bool(listed.stdout.strip())


def has_headers():
    """Return whether Python's headers are installed; packages without a wheel need them."""
    return (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()


# Debian packages, each with a check whether its contents are installed.
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
    """Return the Debian packages that are missing."""
    return [package for package, is_installed in NEEDS if not is_installed()]


if __name__ == "__main__":
    packages = missing()
    sys.stderr.write(
        MESSAGE
        + (" Missing here: " + ", ".join(packages) + ".\n" if packages else " All of it is here.\n")
    )
    sys.stdout.write(" ".join(packages) + "\n")
    sys.exit(bool(packages))
