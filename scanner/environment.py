"""The machine: the current login, and the record of system, clock, network and program."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import shutil
import subprocess
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from face_index.vault.logins import Login
from reports.cases.method_record import EnvironmentRecord

_OWN_NAMES = {
    "localhost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-localnet",
}
_PACKAGES = ("crawlers", "face_index", "reports", "scanner")
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_LOGIN_UID = Path("/proc/self/loginuid")
_UID_MAP = Path("/proc/self/uid_map")
_UNSET = 2**32 - 1  # no login session: a container, a service


def environment_now(operator: str, now: datetime) -> EnvironmentRecord:
    """The record of this machine that a court may ask for.

    See PRC Online Litigation Rules, article 17, and ISO/IEC 27037.
    """
    hosts, entries = _hosts(Path("/etc/hosts"))
    return EnvironmentRecord(
        checked_at=now.isoformat(timespec="seconds"),
        operator=operator,
        system=f"{platform.system()} {platform.release()}",
        machine=f"{platform.machine()}, {os.cpu_count()} processors",
        python=platform.python_version(),
        clock_source=_CLOCK_SOURCE.read_text().strip() if _CLOCK_SOURCE.exists() else None,
        clock_synchronised=_synchronised(),
        name_servers=_name_servers(Path("/etc/resolv.conf")),
        hosts_sha256=hosts,
        hosts_entries=entries,
        proxies=tuple(
            sorted(
                name
                for name in os.environ
                if name.lower() in ("http_proxy", "https_proxy", "all_proxy")
            )
        ),
        tool=f"portrait-scanner {version('portrait-scanner')}",
        tool_sha256=program_sha256(),
        accelerator=_accelerator(),
    )


@cache
def program_sha256() -> str:
    """SHA-256 over the names and bytes of the program's own Python files."""
    root, digest = Path(__file__).parent.parent, hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _hosts(path: Path) -> tuple[str | None, int | None]:
    if not path.exists():
        return None, None
    data = path.read_bytes()
    lines = [line.split("#")[0].split() for line in data.decode("utf-8", "replace").splitlines()]
    own = _OWN_NAMES | {platform.node()}
    return hashlib.sha256(data).hexdigest(), sum(
        bool(set(words[1:]) - own) for words in lines if len(words) > 1
    )


def _name_servers(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    lines = (line.split() for line in path.read_text("utf-8", "replace").splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")


@cache
def _synchronised() -> bool | None:
    return {"yes": True, "no": False}.get(
        _output_of("timedatectl", "show", "-p", "NTPSynchronized", "--value")
    )


@cache
def _accelerator() -> str | None:
    gpus = _output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return gpus.replace("\n", "; ") or None


def _output_of(command: str, *words: str) -> str:
    """The output of a system tool; empty if it is missing or does not answer."""
    if (tool := shutil.which(command)) is None:
        return ""
    try:
        result = subprocess.run(  # noqa: S603  fixed words
            [tool, *words], capture_output=True, text=True, timeout=15, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()


def system_login() -> Login:
    """The system's user, with the user who signed in and the one who called sudo.

    Environment variables alone identify nobody: USER and LOGNAME are not read, and SUDO_UID and
    SUDO_USER only add marks to the system's user. The kernel's loginuid only adds marks too,
    because a process without a login session may write any user there without a privilege. So two
    people who share a service's user count as one.
    """
    try:
        import pwd
    except ImportError:  # Windows
        return (f"user {getpass.getuser()}",)

    def marks(uid: int) -> Login:
        try:
            return f"uid {uid}", f"user {pwd.getpwuid(uid).pw_name}"
        except KeyError:
            return (f"uid {uid}",)

    signed_in = _signed_in()
    through, name = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_USER", "")
    sudo = marks(int(through)) if through.isdecimal() and len(through) < 11 else ()
    of_machine = marks(signed_in) if signed_in is not None else ()
    named = (f"user {name[:64]}",) if name else ()
    return tuple(dict.fromkeys((*marks(_outside(os.getuid())), *of_machine, *sudo, *named)))


def _outside(uid: int) -> int:
    """The id outside the user namespace (user_namespaces(7)), in which anybody may be any user."""
    try:
        lines = [
            [int(word) for word in line.split()]
            for line in _UID_MAP.read_text("ascii").splitlines()
        ]
    except (OSError, ValueError):
        return uid
    return next(
        (outer + uid - inner for inner, outer, count in lines if inner <= uid < inner + count), uid
    )


def _signed_in() -> int | None:
    """The user id of the login session, which sudo and su do not change; None without a session."""
    try:
        uid = int(_LOGIN_UID.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _UNSET else uid
