"""Who is logged in on this machine, for rules that need two people and for the audit log."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from face_index.vault.logins import Login

_LOGIN_UID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1  # no login session: a container, a service


def system_login() -> Login:
    """The user of the system, and whoever became that user through sudo.

    Environment variables name nobody by themselves: USER and LOGNAME are not read, and SUDO_UID and SUDO_USER only add to
    what the system says. Where the kernel knows who signed in to the machine (loginuid), that stands for all of it: two
    people who share a service's user are two then.
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
    if signed_in is not None:
        return marks(signed_in)
    through, name = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_USER", "")
    sudo = marks(int(through)) if through.isdecimal() and len(through) < 11 else ()
    return tuple(dict.fromkeys((*marks(os.getuid()), *sudo, *((f"user {name[:64]}",) if name else ()))))


def _signed_in() -> int | None:
    """The user id of whoever signed in to the machine, which sudo and su do not change; None if nobody did."""
    try:
        uid = int(_LOGIN_UID.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _UNSET else uid
