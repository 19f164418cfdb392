"""`enroll`: submitting a person with their consent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import enrolment_session_of, settings_of
from scanner.cli.options import (
    FacePackOption,
    JsonFlag,
    LanguageOption,
    OperatorOption,
    check_language,
    date_from,
)
from scanner.cli.output import print_json, print_line, print_warning, visible

if TYPE_CHECKING:
    from face_index.consent import Consent
    from face_index.identity import Identity
    from face_index.registration.registration import Request
    from face_index.registration.report import EnrolmentReport
    from scanner.factories import EnrolmentSession

CONSENT_DAYS = 730

GuardianOption = Annotated[
    str | None, typer.Option(help="A guardian who consents for someone under 18.")
]
AgentOption = Annotated[
    str | None, typer.Option(help="An agent who consents with a power of attorney.")
]
BornOption = Annotated[
    str | None, typer.Option(help="Birth date, YYYY-MM-DD; needed under 18, not stored.")
]
ConsentDocumentOption = Annotated[
    Path | None,
    typer.Option(help="The signed consent; its SHA-256 is kept.", exists=True, dir_okay=False),
]
TermsOption = Annotated[
    str, typer.Option(help="prohibited, permitted-with-terms or permitted: what others may do.")
]
ExpiresOption = Annotated[
    str | None,
    typer.Option(help="Last day of the consent, YYYY-MM-DD. Default: two years from today."),
]
PickOption = Annotated[
    list[str] | None,
    typer.Option(
        help="PHOTO=NUMBER: which face of a photo of several; 1 is the largest. PHOTO is a file "
        "name, or a path where several have that name."
    ),
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("enroll", rich_help_panel=panel)(enroll)


@dataclass(frozen=True, slots=True)
class ConsentOptions:
    """What the command line says about a consent; `signed_by` is the person's name by default."""

    signed_by: str
    guardian: str | None
    agent: str | None
    expires: str | None
    document: Path | None
    terms: str
    territories: str

    def to_consent(self, today: date) -> Consent:
        """The consent, signed today; raises typer.BadParameter."""
        from face_index.consent import CONSENT_TEXT_VERSION, Consent, Signatory, Terms

        if self.guardian and self.agent:
            raise typer.BadParameter(
                "a consent is signed by a guardian or an agent, not both", param_hint="--guardian"
            )
        if self.terms not in list(Terms):
            raise typer.BadParameter(
                f"{self.terms!r} is not one of {', '.join(Terms)}", param_hint="--terms"
            )
        last_day = date_from(self.expires, "--expires") if self.expires else None
        role = (
            Signatory.GUARDIAN
            if self.guardian
            else Signatory.AGENT
            if self.agent
            else Signatory.SELF
        )
        document = self.document
        sha256 = hashlib.sha256(document.read_bytes()).hexdigest() if document else None
        places = (place.strip() for place in self.territories.split(","))
        return Consent(
            self.guardian or self.agent or self.signed_by,
            today,
            last_day or today + timedelta(days=CONSENT_DAYS),
            sha256,
            CONSENT_TEXT_VERSION,
            Terms(self.terms),
            signatory=role,
            territories=tuple(place for place in places if place),
        )


def enroll(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name results will carry.")],
    photos: Annotated[
        list[Path], typer.Argument(help="Photos of this person, or folders of them.", exists=True)
    ],
    signed_by: Annotated[str | None, typer.Option(help="Who consents. Default: NAME.")] = None,
    guardian: GuardianOption = None,
    agent: AgentOption = None,
    born: BornOption = None,
    consent_document: ConsentDocumentOption = None,
    terms: TermsOption = "prohibited",
    territories: Annotated[str, typer.Option(help="Countries, separated by commas.")] = "worldwide",
    expires: ExpiresOption = None,
    pick: PickOption = None,
    reference: Annotated[str | None, typer.Option(help="Your own number for this person.")] = None,
    discard_photos: Annotated[
        bool,
        typer.Option(
            "--discard-photos",
            help="Keep only the template; another face pack then needs new photos.",
        ),
    ] = False,
    submitted_by: OperatorOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="The consent text was read and agreed to; do not ask.")
    ] = False,
    face_pack: FacePackOption = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Submit a person with their consent and three or more photos.

    Another operator approves the person before anything is searched for them.
    """
    from face_index.registration.registration import Request

    check_language(lang)
    options = ConsentOptions(
        signed_by or name, guardian, agent, expires, consent_document, terms, territories
    )
    with enrolment_session_of(
        settings_of(context, face_pack=face_pack, operator=submitted_by)
    ) as session:
        consent = options.to_consent(session.clock().date())
        born_on = date_from(born, "--born") if born else None
        agree(consent, lang, agreed=yes)
        files, picks = _photos_and_picks(photos, pick or [])
        submitter = session.settings.operator
        request = Request(
            name, files, consent, submitter, born_on, reference, not discard_photos, picks
        )
        identity, report = _registered(session, request, lang)
        _print_submitted(session, identity, report, lang, as_json=as_json)


def _photos_and_picks(photos: list[Path], given: list[str]) -> tuple[list[Path], dict[str, int]]:
    """The photo files, and which face to take of those that show several people."""
    from face_index.errors import PickRefused
    from face_index.faces.photos import files_in, hidden_in
    from face_index.registration.photo_names import picked_numbers, picks_from

    files = files_in(photos)
    try:
        picks = picks_from(given)
        picked_numbers(picks, files)
    except PickRefused as error:
        raise typer.BadParameter(str(error), param_hint="--pick") from None
    for path in hidden_in(photos):
        typer.echo(
            f"  {visible(path.name)}: left out, since it is hidden (its name begins with a dot)",
            err=True,
        )
    return files, picks


def agree(consent: Consent, language: str, *, agreed: bool) -> None:
    """Show the consent text and ask, unless there is a signed document or `agreed` is set.

    Raises:
        ConsentMissing: the answer is no, or nobody answers.
    """
    from face_index.errors import ConsentMissing

    if consent.document_sha256 is not None or agreed:
        return
    print_consent_text()
    question = "Does {} agree?" if language == "en" else "{} 是否同意？"
    if not confirmed(question.format(consent.signed_by)):
        raise ConsentMissing("without consent nobody is registered")


def print_consent_text() -> None:
    """Print the consent text in both languages on standard error."""
    from face_index.consent import CONSENT_TEXT

    typer.echo(f"{CONSENT_TEXT['en']}\n\n{CONSENT_TEXT['zh-CN']}\n", err=True)


def confirmed(question: str) -> bool:
    """The answer of the person at the terminal; raises ConsentMissing where there is none."""
    from face_index.errors import ConsentMissing

    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise ConsentMissing(
            "nobody answered; run it in a terminal, pass --yes once the consent text was agreed "
            "to, or give the signed document"
        ) from None


def _registered(
    session: EnrolmentSession, request: Request, language: str
) -> tuple[Identity, EnrolmentReport]:
    """Register a person; where that is refused, say of each photo why."""
    from face_index.registration.report import EnrolmentRefused

    try:
        return session.registrar.register(request, session.clock())
    except EnrolmentRefused as error:
        _print_photos(error.report, language)
        raise


def _print_submitted(
    session: EnrolmentSession,
    identity: Identity,
    report: EnrolmentReport,
    language: str,
    *,
    as_json: bool,
) -> None:
    from face_index.vault.duties import duties

    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id,
                "name": identity.name,
                "status": "pending",
                "accepted": report.accepted,
                "photos": [verdict.to_document(language) for verdict in report.photos],
                "face_pack": session.faces.pack.name,
                "licence": session.faces.pack.licence,
                "expires_on": identity.consent.expires_on.isoformat(),
            }
        )
        return
    _print_photos(report, language)
    print_line(
        f"{identity.name} is submitted as {identity.identity_id} from {report.accepted} photos, "
        f"with consent until {identity.consent.expires_on}."
    )
    # Only an operator who decides learns whether the face resembles a registered person's.
    # Otherwise anybody could submit photos to find out whom they show.
    typer.echo(
        "Not searched yet. Another operator looks (identities --waiting --operator NAME) and "
        "approves, from a login of their own: portrait-scanner approve "
        f"{identity.identity_id[:8]} --operator NAME --proof passport"
    )
    typer.echo(f"Face pack {session.faces.pack.name}: {session.faces.pack.licence}.")
    for sentence in duties(session.vault.people.count(), language):
        print_warning(sentence)


def _print_photos(report: EnrolmentReport, language: str) -> None:
    accepted = "accepted" if language == "en" else "已接受"
    for verdict in report.photos:
        chosen = verdict.choice.text(language) if verdict.choice else ""
        told = f"{accepted} ({chosen})" if chosen else accepted
        reason = verdict.refusal.text(language) if verdict.refusal else told
        typer.echo(f"  {visible(verdict.name)}: {reason}", err=True)
