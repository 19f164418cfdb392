"""`enroll`, `enroll-many`: bringing people in."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import (
    FacePackOption,
    Flags,
    JsonFlag,
    LanguageOption,
    OperatorOption,
    UseOption,
    check_language,
    day_of,
    print_json,
    print_table,
    progress_bar,
    visible,
)

if TYPE_CHECKING:
    from face_index.consent import Consent
    from face_index.identity import Identity
    from face_index.registration.report import EnrolmentReport
    from scanner.factories import Reception


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("enroll")(enroll)
    app.command("enroll-many")(enroll_many)


def enroll(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name results will carry.")],
    photos: Annotated[
        list[Path], typer.Argument(help="Photos of this person, or folders of them.", exists=True)
    ],
    signed_by: Annotated[str | None, typer.Option(help="Who consents. Default: NAME.")] = None,
    guardian: Annotated[
        str | None, typer.Option(help="A guardian who consents for someone under 18.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="An agent who consents with a power of attorney.")
    ] = None,
    born: Annotated[
        str | None, typer.Option(help="Birth date, YYYY-MM-DD; needed under 18, not stored.")
    ] = None,
    consent_document: Annotated[
        Path | None,
        typer.Option(help="The signed consent; its SHA-256 is kept.", exists=True, dir_okay=False),
    ] = None,
    terms: Annotated[
        str, typer.Option(help="prohibited, permitted-with-terms or permitted: what others may do.")
    ] = "prohibited",
    territories: Annotated[str, typer.Option(help="Countries, separated by commas.")] = "worldwide",
    expires: Annotated[
        str | None,
        typer.Option(help="Last day of the consent, YYYY-MM-DD. Default: two years from today."),
    ] = None,
    pick: Annotated[
        list[str] | None,
        typer.Option(
            help="PHOTO=NUMBER: which face of a photo of several; 1 is the largest. PHOTO is a file name, or a path "
            "where several have that name."
        ),
    ] = None,
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
    use: UseOption = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Submit a person's likeness, with their consent, from three or more photos; another operator approves."""
    from face_index.consent import Signatory
    from face_index.errors import PickRefused
    from face_index.faces.photos import files_in, hidden_in
    from face_index.registration.photo_names import picked_numbers
    from face_index.registration.registration import Request
    from face_index.registration.report import EnrolmentRefused
    from scanner.factories import Reception

    check_language(lang)
    if guardian and agent:
        raise typer.BadParameter(
            "a consent is signed by a guardian or an agent, not both", param_hint="--guardian"
        )
    role = Signatory.GUARDIAN if guardian else Signatory.AGENT if agent else Signatory.SELF
    flags: Flags = context.obj
    reception = Reception(flags.settings(face_pack=face_pack, use=use))
    today = reception.clock().date()
    last_day = day_of(expires, "--expires") if expires else today + timedelta(days=730)
    signer = guardian or agent or signed_by or name
    consent = _consent(signer, role, today, last_day, consent_document, terms, territories)
    born_on = day_of(born, "--born") if born else None
    agree(consent, yes, lang)
    files, picks = files_in(photos), _picks(pick or [])
    try:
        picked_numbers(picks, files)
    except PickRefused as error:
        raise typer.BadParameter(str(error), param_hint="--pick") from None
    for path in hidden_in(photos):
        typer.echo(
            f"  {visible(path.name)}: left out, since it is hidden (its name begins with a dot)",
            err=True,
        )
    request = Request(
        name=name,
        photos=files,
        consent=consent,
        submitted_by=reception.settings.operator if submitted_by is None else submitted_by,
        born_on=born_on,
        reference=reference,
        keep_photos=not discard_photos,
        picks=picks,
    )
    try:
        identity, report = reception.registrar.register(request, reception.clock())
    except EnrolmentRefused as error:
        _print_photos(error.report, lang)
        raise
    _tell_submitted(reception, identity, report, lang, as_json)
    reception.close()


def _consent(
    signer: str,
    role: Any,
    today: date,
    last_day: date,
    document: Path | None,
    terms: str,
    territories: str,
) -> Consent:
    from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms

    if terms not in list(Terms):
        raise typer.BadParameter(
            f"{terms!r} is not one of {', '.join(Terms)}", param_hint="--terms"
        )
    sha256 = hashlib.sha256(document.read_bytes()).hexdigest() if document else None
    places = tuple(place.strip() for place in territories.split(",") if place.strip())
    return Consent(
        signer,
        today,
        last_day,
        sha256,
        CONSENT_TEXT_VERSION,
        Terms(terms),
        signatory=role,
        territories=places,
    )


def agree(consent: Consent, yes: bool, language: str) -> None:
    """Show the consent text and ask, unless a signed document or --yes stands for the answer; raises ConsentMissing."""
    from face_index.consent import CONSENT_TEXT
    from face_index.errors import ConsentMissing

    if consent.document_sha256 is not None or yes:
        return
    typer.echo(f"{CONSENT_TEXT['en']}\n\n{CONSENT_TEXT['zh-CN']}\n", err=True)
    question = "Does {} agree?" if language == "en" else "{} 是否同意？"
    if not asked(question.format(consent.signed_by)):
        raise ConsentMissing("without consent nobody is registered")


def asked(question: str) -> bool:
    """The answer of whoever sits there; raises ConsentMissing where nobody does."""
    from face_index.errors import ConsentMissing

    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise ConsentMissing(
            "nobody answered; run it in a terminal, pass --yes once the consent text was agreed to, or give the signed document"
        ) from None


def _picks(given: list[str]) -> dict[str, int]:
    picks: dict[str, int] = {}
    for item in given:
        name, equals, number = item.rpartition("=")
        if not equals or not number.isdigit():
            raise typer.BadParameter(f"{item!r} is not PHOTO=NUMBER", param_hint="--pick")
        if name in picks:
            raise typer.BadParameter(
                f"{name} is picked twice; say once which face it is", param_hint="--pick"
            )
        picks[name] = int(number)
    return picks


def _tell_submitted(
    reception: Reception, identity: Identity, report: EnrolmentReport, language: str, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id, "name": identity.name, "status": "pending",
                "accepted": report.accepted, "photos": [verdict.to_document(language) for verdict in report.photos],
                "face_pack": reception.pack.name, "licence": reception.pack.licence,
                "expires_on": identity.consent.expires_on.isoformat(),
            }
        )  # fmt: skip
        return
    _print_photos(report, language)
    typer.echo(
        f"{identity.name} is submitted as {identity.identity_id} from {report.accepted} photos, "
        f"with consent until {identity.consent.expires_on}."
    )
    # Whether the face is somebody's who is registered is told to whoever decides: else photos could be asked who they show.
    typer.echo(
        "Not searched yet. Another operator looks (identities --waiting --operator NAME) and approves, from a login of "
        f"their own: portrait-scanner approve {identity.identity_id[:8]} --operator NAME --proof passport"
    )
    typer.echo(f"Face pack {reception.pack.name}: {reception.pack.licence}.")
    from face_index.vault.duties import duties

    for sentence in duties(reception.vault.people.count(), language):
        typer.secho(sentence, err=True, fg="yellow")


def _print_photos(report: EnrolmentReport, language: str) -> None:
    accepted = "accepted" if language == "en" else "已接受"
    for verdict in report.photos:
        reason = verdict.refusal.text(language) if verdict.refusal else accepted
        typer.echo(f"  {visible(verdict.name)}: {reason}", err=True)


def enroll_many(
    context: typer.Context,
    manifest: Annotated[
        Path,
        typer.Argument(help="CSV or JSON Lines; columns are in docs/face_index.md.", exists=True),
    ],
    report: Annotated[
        Path | None,
        typer.Option(
            help="Where results are written, one line a person. Default: beside the list."
        ),
    ] = None,
    discard_photos: Annotated[
        bool, typer.Option("--discard-photos", help="Keep only templates.")
    ] = False,
    submitted_by: OperatorOption = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Everyone in the list has agreed to the consent text; do not ask."
        ),
    ] = False,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Submit an agency's people from a list; can be stopped and run again."""
    from face_index.consent import CONSENT_TEXT
    from face_index.errors import ConsentMissing
    from face_index.registration.manifest import read_manifest, register_all
    from scanner.factories import Reception

    flags: Flags = context.obj
    reception = Reception(flags.settings(face_pack=face_pack, use=use))
    clock = reception.clock
    submitter = submitted_by or reception.settings.operator
    requests = read_manifest(manifest, submitter, clock().date(), keep_photos=not discard_photos)
    undocumented = sum(entry.request.consent.document_sha256 is None for entry in requests)
    if undocumented and not yes:
        typer.echo(f"{CONSENT_TEXT['en']}\n\n{CONSENT_TEXT['zh-CN']}\n", err=True)
    if (
        undocumented
        and not yes
        and not asked(
            f"{undocumented} of {len(requests)} people have no consent_document. Have they all agreed to the consent text?"
        )
    ):
        raise ConsentMissing("without consent nobody is registered")
    target = report or manifest.with_name(manifest.name + ".report.jsonl")
    results = []
    with progress_bar("enrolling") as observer:
        for result in register_all(reception.vault, reception.registrar, requests, target, clock):
            results.append(result)
            observer.step(len(results), len(requests), result.name)
    reception.close()
    counts: dict[str, int] = {}
    for result in results:
        counts[result.status] = counts.get(result.status, 0) + 1
    refused = [result for result in results if result.status == "refused"]
    if as_json:
        print_json(
            {
                "counts": counts,
                "report": str(target),
                "refused": [[one.line, one.name, one.reason] for one in refused],
            }
        )
    else:
        if refused:
            print_table(
                ["line", "name", "why"],
                [[str(one.line), one.name, one.reason or ""] for one in refused],
            )
        told = ", ".join(f"{count} {status}" for status, count in counts.items())
        typer.echo(f"{len(results)} people: {told}. Every photo's reason is in {target}.")
    if refused:
        raise typer.Exit(1)
