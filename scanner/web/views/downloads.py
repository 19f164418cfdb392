"""Reports, evidence bundles and tables as downloads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from reports.cases.case import Case
from scanner.web.errors import NotThere
from scanner.web.service_pool import PageCaseService

_MEDIA = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}


def report_response(
    service: PageCaseService, case: Case, kind: str, language: str, *, redacted: bool
) -> Response:
    """The report of a case as a file; `kind` is html or pdf."""
    if kind not in _MEDIA:
        raise NotThere("no such report")
    with tempfile.TemporaryDirectory(prefix="portrait-scanner-") as folder:
        paths = service.write_report(
            case.case_id, Path(folder), language, redacted=redacted, pdf=kind == "pdf"
        )
        data = paths[kind].read_bytes()
    return attachment(data, paths[kind].name, _MEDIA[kind])


def bundle_response(service: PageCaseService, case: Case) -> Response:
    """The sealed evidence of a case as a zip archive, from a folder that is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="portrait-scanner-"))
    try:
        bundle = service.write_bundle(case.case_id, folder / "out", with_weights=False, pdf=True)
        archive = shutil.make_archive(str(folder / bundle.name), "zip", bundle.parent, bundle.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(
        archive, media_type="application/zip", filename=Path(archive).name, background=gone
    )


def attachment(data: bytes | Iterable[bytes], name: str, media_type: str) -> Response:
    """A file that browsers save and never show in place of a page."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if isinstance(data, bytes):
        return Response(data, media_type=media_type, headers=headers)
    return StreamingResponse(data, media_type=media_type, headers=headers)
