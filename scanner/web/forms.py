"""Forms that browsers send: limited in size, kept in memory, accepted from our own pages only.

A request that changes something must come from this site (Origin or Sec-Fetch-Site) and, if
somebody is signed in, carry the form token of the session. Photos and documents never touch the
disk, where Starlette would spool them. They are read only by pages that ask for them, only after
the token, and only a few forms at a time.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from scanner.web.auth.sessions import Session
from scanner.web.dependencies import SignedIn, app_context_of
from scanner.web.errors import FormExpired, FormRefused
from scanner.web.queue.uploads import safe_name

MAX_TEXT_BYTES = 128_000
MAX_FORM_BYTES = 200_000_000
MAX_FILES = 60
MAX_FILE_BYTES = 64_000_000
MAX_UPLOAD_S = 600.0


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of a form, in memory."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """The fields and files of a form."""

    fields: Mapping[str, list[str]]
    files: Mapping[str, list[SentFile]] = field(default_factory=dict)

    def text(self, name: str, max_length: int = 4_000) -> str:
        """A field, stripped; "" if it is missing. Raises FormRefused if it is too long."""
        text = self.fields.get(name, [""])[-1].replace("\r\n", "\n").strip()
        if len(text) > max_length:
            raise FormRefused("too-long", name)
        return text

    def secret(self, name: str) -> str:
        """A field exactly as it was typed."""
        return self.fields.get(name, [""])[-1]

    def day(self, name: str) -> date:
        """A field as a date; raises FormRefused."""
        try:
            return date.fromisoformat(self.text(name, 10))
        except ValueError as error:
            raise FormRefused("no-date", name) from error

    def all(self, name: str) -> list[str]:
        return list(self.fields.get(name, []))

    def ticked(self, name: str) -> bool:
        return name in self.fields

    def sent(self, name: str) -> list[SentFile]:
        """The files of a field; an empty choice gives none."""
        return [file for file in self.files.get(name, []) if file.data or file.name]


class _InMemory(MultiPartParser):
    """Keeps files in memory, and accepts none before the form token.

    The token is the first field of every form.
    """

    spool_max_size = MAX_FORM_BYTES
    accepts_files: Callable[[str], bool]

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        token = next(
            (value for name, value in self.items if name == "csrf" and isinstance(value, str)), ""
        )
        if self._current_part.file is not None and not self.accepts_files(token):
            raise _form_expired()


async def posted(request: Request, session: SignedIn) -> Form:
    """The form of an account that is signed in; raises FormExpired, FormRefused."""
    require_same_origin(request)
    form = await _read_urlencoded(request)
    if not has_form_token(request, session, form.secret("csrf")):
        raise _form_expired()
    return form


async def posted_with_files(request: Request, session: SignedIn) -> AsyncIterator[Form]:
    """A form with files of an account that is signed in.

    It holds a slot until the request is answered.

    Raises:
        FormExpired, FormRefused, GateRefused.
    """
    require_same_origin(request)
    if _media_type(request) != "multipart/form-data":
        yield await posted(request, session)
        return
    async with app_context_of(request).photo_slots.acquire(session.account.account_id):
        try:
            async with asyncio.timeout(MAX_UPLOAD_S):
                form = await _read_multipart(
                    request, lambda token: has_form_token(request, session, token)
                )
        except TimeoutError:
            raise FormRefused("too-slow", "form") from None
        if not has_form_token(request, session, form.secret("csrf")):
            raise _form_expired()
        yield form


async def posted_openly(request: Request) -> Form:
    """The form of a browser that is not signed in yet; raises FormExpired, FormRefused."""
    require_same_origin(request)
    return await _read_urlencoded(request)


def has_form_token(request: Request, session: Session, token: str = "") -> bool:
    """Whether a request carries the form token of the session, in a header or as `token`."""
    token = request.headers.get("x-csrf") or token
    return hmac.compare_digest(token.encode(), session.csrf.encode())


def _form_expired() -> FormExpired:
    return FormExpired(
        "this form is older than your sign-in; go back, load the page again and repeat it"
    )


def require_same_origin(request: Request) -> None:
    """Raise FormExpired unless the browser says that one of our own pages sent the request."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    web = app_context_of(request).settings.web
    # The browser sets these headers; a page of another site can choose neither. Without https
    # people may reach this machine by another name than the configured one.
    own = web.url if web.secure else f"http://{request.headers.get('host')}"
    if not (origin == own if origin is not None else site == "same-origin"):
        raise FormExpired("this request did not come from a page of this site")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip()


async def _read_urlencoded(request: Request) -> Form:
    if _media_type(request) != "application/x-www-form-urlencoded":
        raise FormRefused("unreadable", "form")
    body = b"".join([chunk async for chunk in _limited(request, MAX_TEXT_BYTES)])
    try:
        return Form(parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=500))
    except ValueError as error:
        raise FormRefused("unreadable", "form") from error


async def _read_multipart(request: Request, accepts_files: Callable[[str], bool]) -> Form:
    parser = _InMemory(
        request.headers,
        _limited(request, MAX_FORM_BYTES),
        max_files=MAX_FILES,
        max_fields=200,
        max_part_size=MAX_TEXT_BYTES,
    )
    parser.accepts_files = accepts_files
    try:
        parts = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError, LookupError) as error:
        raise FormRefused("unreadable", "form") from error
    fields: dict[str, list[str]] = {}
    files: dict[str, list[SentFile]] = {}
    try:
        for name, value in parts.multi_items():
            if isinstance(value, UploadFile):
                files.setdefault(name, []).append(await _sent_file(value))
            else:
                fields.setdefault(name, []).append(value)
    finally:
        await parts.close()
    return Form(fields, files)


async def _sent_file(part: UploadFile) -> SentFile:
    if (part.size or 0) > MAX_FILE_BYTES:
        raise FormRefused("too-large", part.filename or "")
    return SentFile(safe_name(part.filename) if part.filename else "", await part.read())


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise FormRefused("too-large", "form")
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise FormRefused("too-large", "form")
        yield chunk


Posted = Annotated[Form, Depends(posted)]
PostedWithFiles = Annotated[Form, Depends(posted_with_files)]
PostedOpenly = Annotated[Form, Depends(posted_openly)]
