"""A mail server on loopback that keeps its mails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.servers.serving import free_port


@dataclass
class Mailbox:
    """The mails received; the first `refuse` ones get a temporary failure."""

    url: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    refuse: int = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        if self.refuse > 0:
            self.refuse -= 1
            return "451 come again later"
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"


@contextmanager
def serve_mail() -> Iterator[Mailbox]:
    """Serve a mailbox on a free port."""
    box = Mailbox()
    controller = Controller(
        box, hostname="127.0.0.1", port=free_port()
    )  # it connects to itself, which port 0 does not allow
    controller.start()
    box.url = f"smtp://127.0.0.1:{controller.port}"
    try:
        yield box
    finally:
        controller.stop()
