"""PDF/A from self-contained HTML, and what this machine needs for it."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from PIL import ImageFile

from reports.errors import FontMissing, PangoMissing, PdfUnavailable

PDF_VARIANT = "pdf/a-3a"  # archival, tagged; accessibility level A


def html_to_pdf(html: str, language: str, identifier: str) -> bytes:
    """PDF/A-3a from self-contained HTML; nothing is fetched.

    Raises:
        PdfUnavailable: Pango or a font with the signs of that language is not installed.
    """
    _require_pango()
    _require_font(language)
    from weasyprint import HTML
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    # A report refers to nothing outside itself: requests for files and addresses are refused.
    document = HTML(
        string=html, url_fetcher=URLFetcher(allowed_protocols={"data"}, fail_on_errors=True)
    )
    return bytes(
        document.write_pdf(
            pdf_variant=PDF_VARIANT,
            pdf_identifier=hashlib.sha256(identifier.encode()).digest()[:16],
            font_config=FontConfiguration(),
            custom_metadata=False,
        )
    )


def pdf_problem(language: str) -> str | None:
    """Why this machine can make no PDF in that language, as a sentence; None if it can."""
    try:
        _require_pango()
        _require_font(language)
    except PdfUnavailable as error:
        return str(error)
    return None


def _require_pango() -> None:
    try:
        # Without Pango, WeasyPrint prints a banner, which would spoil the output of --json.
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            import weasyprint  # noqa: F401  it loads Pango when it is imported
    except OSError as error:
        raise PangoMissing(str(error).partition(":")[0].strip()) from error
    # WeasyPrint makes Pillow accept truncated images in the whole process. Photos and evidence
    # must not be accepted so.
    ImageFile.LOAD_TRUNCATED_IMAGES = False


def _require_font(language: str) -> None:
    if not _has_font({"zh-CN": "zh-cn"}.get(language, "en")):
        raise FontMissing(language)


def _has_font(code: str) -> bool:
    if tool := shutil.which("fc-list"):
        answer = subprocess.run(  # noqa: S603
            [tool, f":lang={code}", "family"], capture_output=True, text=True, check=False
        )
        return bool(answer.stdout.strip())
    return _fontconfig_has(code)


def _fontconfig_has(code: str) -> bool:
    """Ask the fontconfig library, which WeasyPrint loads; its tools may not be installed.

    See FcFontList on fontconfig.org.
    """

    class FontSet(ctypes.Structure):
        _fields_ = (("count", ctypes.c_int), ("size", ctypes.c_int), ("fonts", ctypes.c_void_p))

    library = ctypes.CDLL("libfontconfig.so.1")
    for name in ("FcNameParse", "FcObjectSetCreate", "FcFontList"):
        getattr(library, name).restype = ctypes.c_void_p
    library.FcFontList.argtypes = (ctypes.c_void_p,) * 3
    library.FcFontSetDestroy.argtypes = (ctypes.c_void_p,)
    pattern = library.FcNameParse(f":lang={code}".encode())
    found = library.FcFontList(None, pattern, library.FcObjectSetCreate())
    if not found:
        return False
    count = FontSet.from_address(found).count
    library.FcFontSetDestroy(found)
    return bool(count)
