"""The errors of this package.

ReportError
├── UnknownCase          no case of that id
├── CasesLost            cases.db was emptied, its evidence is still there
├── CaseAltered          a case's record is not what the audit log vouches for; no export
├── EvidenceAltered      a stored file no longer has the bytes the case names
├── NotReviewed          no reviewer has decided, or too few of them; nothing leaves a draft
├── ReviewRefused        a decision that may not be recorded
│   └── ConfirmationRefused  a case that may not be confirmed
├── PdfUnavailable       this machine cannot make a PDF
│   ├── PangoMissing     the libraries that set text are not installed
│   └── FontMissing      no installed font has the signs a PDF needs
├── BundleExists         the folder for a bundle exists
├── UnreadableBundle     a folder is not an evidence bundle
├── AuthorityFailed      a timestamp authority gave no valid answer
├── UnknownNotice        no notice template, or no notice, of that name
├── NoticeIncomplete     a notice lacks required fields, which are named
└── NoticeRefused        a notice that may not be made for this case
"""

from __future__ import annotations

from collections.abc import Sequence


class ReportError(Exception):
    """Root of the errors of this package."""


class UnknownCase(ReportError):
    """No case of that id."""

    def __init__(self, case_id: str) -> None:
        super().__init__(
            f"no case has the id {case_id!r}; or more than one begins so; "
            "`portrait-scanner cases` lists them"
        )
        self.case_id = case_id


class CasesLost(ReportError):
    """cases.db was emptied; nothing was written to it."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is empty, but the evidence of its cases is still here; nothing was written to "
            "it. Put its backup back (docs/deployment.md), or move it away to begin anew"
        )
        self.path = path


class CaseAltered(ReportError):
    """The record of a case is not what the audit log vouches for."""

    def __init__(self, case_id: str, what: str) -> None:
        super().__init__(
            f"case {case_id} is not what the audit log vouches for, and nothing of it is exported "
            f"or decided: {what}. Find out who changed cases.db outside this program; then put its "
            "newest backup back (docs/deployment.md), or scan the file again, which opens a new "
            "case"
        )
        self.case_id, self.what = case_id, what


class EvidenceAltered(ReportError):
    """A stored file no longer has the bytes that the case names."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is missing or was altered since the scan; scan the checkpoint again"
        )
        self.path = path


class NotReviewed(ReportError):
    """No reviewer has decided, or not enough of them."""

    def __init__(self, case_id: str, status: str) -> None:
        command = (
            f"`portrait-scanner review {case_id} --decision confirm --reviewer NAME --reason TEXT`"
        )
        advice = {
            "draft": f"a named reviewer must confirm it first, with {command}",
            "second-review": (
                f"another person than the first must confirm it as well, with {command}"
            ),
            "appealed": f"it was appealed and must be reviewed again, with {command}",
            "more-samples": (
                f"a reviewer asked for more samples; scan the file again, then {command}"
            ),
            "superseded": "a later case shows the same with more captures; decide about that one",
            "rejected": "a reviewer found no infringement, so nothing is asked of anybody",
            "authorised": "a reviewer found the use authorised, so nothing is asked of anybody",
        }
        super().__init__(f"case {case_id} is {status!r}: {advice.get(status, command)}")
        self.case_id, self.status = case_id, status


class ReviewRefused(ReportError):
    """A decision that may not be recorded as it was given."""


class ConfirmationRefused(ReviewRefused):
    """A case may not be confirmed.

    Its person has withdrawn, nobody has looked at its pictures, or the reason is a copy.

    Attributes:
        why: "withdrawn", "unseen" or "same-words".
    """

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class PdfUnavailable(ReportError):
    """A PDF cannot be made on this machine; HTML can."""


class PangoMissing(PdfUnavailable):
    """WeasyPrint finds no Pango, which sets the text of PDFs."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            "no PDF can be made, because Pango is not installed (Debian: libpango-1.0-0, "
            "libpangoft2-1.0-0 and libharfbuzz-subset0); the HTML says the same, and --no-pdf asks "
            f"for it alone. WeasyPrint says: {problem}"
        )


class FontMissing(PdfUnavailable):
    """No font on this machine has the signs a PDF needs."""

    def __init__(self, language: str) -> None:
        super().__init__(
            f"no font for {language} is installed, so the PDF would show boxes; install one "
            "(Debian: fonts-noto-cjk and fonts-noto-core), or ask for HTML only with --no-pdf"
        )


class BundleExists(ReportError):
    """The folder for a bundle is there already."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} exists already; sealed evidence is not overwritten: name another folder "
            "with --out"
        )


class UnreadableBundle(ReportError):
    """A folder is not an evidence bundle."""


class AuthorityFailed(ReportError):
    """A timestamp authority gave no answer that holds."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"timestamp authority {name}: {cause}")
        self.name, self.cause = name, cause


class UnknownNotice(ReportError):
    """No notice template, or no notice, of that name."""


class NoticeIncomplete(ReportError):
    """A notice lacks required fields."""

    def __init__(self, template: str, missing: Sequence[tuple[str, str, str]]) -> None:
        """`missing`: name, label in the notice's language, label in English."""
        self.descriptions = tuple(
            f"{name}: {label}" if label == english else f"{name}: {label} / {english}"
            for name, label, english in missing
        )
        fields = "; ".join(self.descriptions)
        super().__init__(f"the notice {template} cannot be made without {fields}")
        self.template, self.missing = template, tuple(name for name, _, _ in missing)
        self.labels = tuple(label for _, label, _ in missing)


class NoticeRefused(ReportError):
    """A notice that may not be made for this case."""
