"""Forms that browsers send: read within limits, in memory only, and only from our own pages.

A request that changes something must come from this site (Origin or Sec-Fetch-Site) and, once somebody is signed in,
carry the token of their session. Photos and papers in a form never touch the disk: Starlette would spool them.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from scanner.web.errors import FormExpired, FormRefused
from scanner.web.sessions import Session
from scanner.web.visitors import signed_in

MOST_TEXT_BYTES = 128_000
MOST_FORM_BYTES = 200_000_000
MOST_FILES = 60
MOST_FILE_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of a form, in memory."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """What a form says."""

    fields: Mapping[str, list[str]]
    files: Mapping[str, list[SentFile]] = field(default_factory=dict)

    def text(self, name: str, longest: int = 4_000) -> str:
        """A field without outer blanks, "" if it is not there; raises FormRefused if it is endless."""
        told = self.fields.get(name, [""])[-1].replace("\r\n", "\n").strip()
        if len(told) > longest:
            raise FormRefused("too-long", name)
        return told

    def secret(self, name: str) -> str:
        """A field as it was typed."""
        return self.fields.get(name, [""])[-1]

    def all(self, name: str) -> list[str]:
        return list(self.fields.get(name, []))

    def ticked(self, name: str) -> bool:
        return name in self.fields

    def sent(self, name: str) -> list[SentFile]:
        """Files of a field; an empty choice is none."""
        return [one for one in self.files.get(name, []) if one.data or one.name]


class _InMemory(MultiPartParser):
    spool_max_size = MOST_FORM_BYTES


async def posted(request: Request, session: Annotated[Session, Depends(signed_in)]) -> Form:
    """The form of somebody who is signed in; raises FormExpired, FormRefused."""
    must_be_from_here(request)
    form = await _read(request)
    token = request.headers.get("x-csrf") or form.secret("csrf")
    if not hmac.compare_digest(token.encode(), session.csrf.encode()):
        raise FormExpired("this form is older than your sign-in; go back, load the page again and repeat it")
    return form


async def posted_openly(request: Request) -> Form:
    """The form of somebody who is not signed in yet; raises FormExpired, FormRefused."""
    must_be_from_here(request)
    return await _read(request, files=False)


def must_be_from_here(request: Request) -> None:
    """Raise FormExpired unless a browser says that the request came from one of our own pages."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    # Both as the browser wrote them: another site's page can choose neither.
    try:
        here = urlsplit(origin).netloc == request.headers.get("host") if origin is not None else site == "same-origin"
    except ValueError:
        here = False
    if not here:
        raise FormExpired("this request did not come from a page of this site")


async def _read(request: Request, *, files: bool = True) -> Form:
    kind = request.headers.get("content-type", "").split(";")[0].strip()
    if kind == "application/x-www-form-urlencoded":
        body = b"".join([chunk async for chunk in _within(request, MOST_TEXT_BYTES)])
        try:
            return Form(parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=500))
        except ValueError as error:
            raise FormRefused("unreadable", "form") from error
    if kind == "multipart/form-data" and files:
        return await _read_parts(request)
    raise FormRefused("unreadable", "form")


async def _read_parts(request: Request) -> Form:
    parser = _InMemory(
        request.headers, _within(request, MOST_FORM_BYTES), max_files=MOST_FILES, max_fields=200, max_part_size=MOST_TEXT_BYTES
    )  # fmt: skip
    try:
        parts = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError, LookupError) as error:
        raise FormRefused("unreadable", "form") from error
    fields: dict[str, list[str]] = {}
    sent: dict[str, list[SentFile]] = {}
    try:
        for name, value in parts.multi_items():
            if isinstance(value, UploadFile):
                sent.setdefault(name, []).append(await _file(value))
            else:
                fields.setdefault(name, []).append(value)
    finally:
        await parts.close()
    return Form(fields, sent)


async def _file(part: UploadFile) -> SentFile:
    from scanner.web.uploads import safe_name

    if (part.size or 0) > MOST_FILE_BYTES:
        raise FormRefused("too-large", part.filename or "")
    return SentFile(safe_name(part.filename) if part.filename else "", await part.read())


async def _within(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    if int(request.headers.get("content-length") or 0) > most_bytes:
        raise FormRefused("too-large", "form")
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > most_bytes:
            raise FormRefused("too-large", "form")
        yield chunk


Posted = Annotated[Form, Depends(posted)]
PostedOpenly = Annotated[Form, Depends(posted_openly)]
