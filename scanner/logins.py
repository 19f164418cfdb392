"""Who is logged in on this machine, for rules that need two people and for the audit log."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from face_index.vault.logins import Login

_LOGIN_UID = Path("/proc/self/loginuid")
_UID_MAP = Path("/proc/self/uid_map")
_UNSET = 2**32 - 1  # no login session: a container, a service


def system_login() -> Login:
    """The user of the system, and whoever became that user through sudo.

    Environment variables name nobody by themselves: USER and LOGNAME are not read, and SUDO_UID and SUDO_USER only add to
    what the system says. So does who signed in to the machine, where the kernel knows it (loginuid): a process that nobody
    signed in to may write any user there, without a privilege. Two people who share a service's user are one therefore.
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
    at_the_door = marks(signed_in) if signed_in is not None else ()
    named = (f"user {name[:64]}",) if name else ()
    return tuple(dict.fromkeys((*marks(_outside(os.getuid())), *at_the_door, *sudo, *named)))


def _outside(uid: int) -> int:
    """A user id as it is outside a user namespace (user_namespaces(7)), in which anybody may be any user."""
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
    """The user id of whoever signed in to the machine, which sudo and su do not change; None if nobody did."""
    try:
        uid = int(_LOGIN_UID.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _UNSET else uid
