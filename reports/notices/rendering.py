"""A notice as plain text for web forms, as DOCX to edit, and as PDF/A to file.

The markup of a draft: a line that begins with "# " is the title, with "## " a heading, with "- " a
list item; every other line is a paragraph.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from markupsafe import escape

from reports.documents.pdf import html_to_pdf
from reports.errors import PdfUnavailable
from reports.notices.drafting import Draft

_MARKS = (("# ", "title"), ("## ", "heading"), ("- ", "item"))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line.strip():
            mark, kind = next(
                ((mark, kind) for mark, kind in _MARKS if line.startswith(mark)), ("", "paragraph")
            )
            yield kind, line.removeprefix(mark).strip()


def as_text(draft: Draft) -> str:
    """Plain text, for a web form or an e-mail."""
    parts = {"title": "{0}\n", "heading": "\n{0}", "item": "- {0}", "paragraph": "{0}"}
    return "\n".join(parts[kind].format(text) for kind, text in _lines(draft.text)) + "\n"


def as_docx(draft: Draft) -> bytes:
    """A Word document, to be edited before it is sent."""
    from docx import Document
    from docx.oxml.ns import qn

    document = Document()
    styles = {
        "title": "Title",
        "heading": "Heading 2",
        "item": "List Bullet",
        "paragraph": "Normal",
    }
    for kind, text in _lines(draft.text):
        paragraph = document.add_paragraph(style=styles[kind])
        run = paragraph.add_run(text)
        if draft.language == "zh-CN":
            # python-docx sets no East Asian font.
            fonts: Any = run._element.get_or_add_rPr().get_or_add_rFonts()  # noqa: SLF001
            fonts.set(qn("w:eastAsia"), "Noto Sans CJK SC")
    properties = document.core_properties
    properties.author, properties.title = "portrait-scanner", draft.template.title[draft.language]
    properties.created = properties.modified = datetime.now(UTC)
    properties.comments = ""
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def as_pdf(draft: Draft) -> bytes:
    """PDF/A-3a; raises PdfUnavailable."""
    return html_to_pdf(as_html(draft), draft.language, draft.text)


def printable(draft: Draft) -> tuple[str, bytes, str | None]:
    """A file to print: suffix, bytes, and why it is HTML where this machine can make no PDF."""
    try:
        return "pdf", as_pdf(draft), None
    except PdfUnavailable as error:
        return "html", as_html(draft).encode(), str(error)


def as_html(draft: Draft) -> str:
    """One self-contained page."""
    tags = {"title": "h1", "heading": "h2", "item": "li", "paragraph": "p"}
    body, in_list = [], False
    for kind, text in _lines(draft.text):
        if (kind == "item") != in_list:
            in_list = not in_list
            body.append("<ul>" if in_list else "</ul>")
        body.append(f"<{tags[kind]}>{escape(text)}</{tags[kind]}>")
    body.append("</ul>" if in_list else "")
    style = resources.files("reports").joinpath("templates/notice.css").read_text("utf-8")
    title = escape(draft.template.title[draft.language])
    return (
        f'<!doctype html><html lang="{draft.language}"><head><meta charset="utf-8">'
        f"<title>{title}</title>"
        f"<style>\n{style}</style></head><body>{''.join(body)}</body></html>"
    )
