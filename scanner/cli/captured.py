"""`captures`: what was captured, listed, shown, corrected, removed and judged anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.capturing import judge_all, judged_document, print_judged, row_document, say
from scanner.cli.context import (
    FacePackOption,
    Flags,
    JsonFlag,
    UseOption,
    command_group,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from crawlers.captures.capture_store import PageRow
    from scanner.captures.intake import Intake
    from scanner.captures.overview import CaptureLine
    from scanner.captures.releases import Releases
    from scanner.casework.service import CaseService

group = command_group("What was captured: list, show, correct, remove, judge.")
IdArgument = Annotated[
    str, typer.Argument(help="A capture's id, or at least 8 digits of it.", metavar="ID")
]
_EXCERPT = 300


@group.command("list")
def listed(
    context: typer.Context,
    find: Annotated[
        str,
        typer.Option(help="Only those with this in their name, title, account, site or address."),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """List what was captured, newest first: of which account, what its faces came to, which cases rest on it."""
    from reports.cases.case_store import CaseStore
    from scanner.captures.overview import overview
    from scanner.scanning.scan_store import ScanStore

    taking = _open(context)
    scan_store, case_store = (
        ScanStore(taking.settings.scans_path),
        CaseStore(taking.settings.cases_path, taking.settings.evidence_path),
    )
    lines = list(overview(taking.captures, taking.captures.all(find), scan_store, case_store))
    for one in (case_store, scan_store, taking):
        one.close()
    if as_json:
        print_json(
            {
                "captures": [
                    {
                        **row_document(one.capture), "title": one.title, "accounts": list(one.accounts), "outcome": one.outcome,
                        "waits": one.waits, "cases": list(one.cases),
                    }
                    for one in lines
                ]
            }
        )  # fmt: skip
        return
    if not lines:
        say(
            f"Nothing captured has {find!r} in it."
            if find
            else "Nothing was captured yet: portrait-scanner intake FILES"
        )
        return
    print_table(
        ("id", "taken in", "name", "account", "outcome", "case"),
        [
            (
                one.capture.capture_id[:12],
                one.capture.taken_in_at[:10],
                one.capture.name,
                _several(one.accounts),
                f"not read: {one.capture.problem}" if one.capture.problem else _result_of(one),
                " ".join(one.cases),
            )
            for one in lines
        ],
    )


@group.command("show")
def show(context: typer.Context, capture: IdArgument, as_json: JsonFlag = False) -> None:
    """Show one capture: its pages' facts, its images, and where those say they come from."""
    taking = _open(context)
    row = taking.captures.one(capture)
    pages = taking.captures.pages(row.capture_id)
    document = {
        **row_document(row),
        "bag": str(taking.captures.bag(row.capture_id)),
        "content": [_page_document(taking, page) for page in pages],
    }
    taking.close()
    if as_json:
        print_json(document)
        return
    say(
        f"{row.name} · {row.format or 'not read'} · taken in {row.taken_in_at[:16]} by {row.taken_in_by}"
    )
    for told in (*row.checks, *row.notes, *([row.problem] if row.problem else [])):
        say(f"  {told}")
    say(f"  sealed original: {document['bag']} (check it: portrait-scanner verify FOLDER)")
    for page in document["content"]:
        _print_page(page)


@group.command("edit")
def edit(
    context: typer.Context,
    capture: IdArgument,
    changes: Annotated[
        list[str],
        typer.Argument(
            help="As field=value; `captures show --json` has the fields' names.",
            metavar="FIELD=VALUE...",
        ),
    ],
    page: Annotated[int, typer.Option(help="Which of its pages.", min=1)] = 1,
    by: Annotated[str | None, typer.Option(help="Who corrects them.")] = None,
) -> None:
    """Correct what was read of a page; what was read before stays beside it."""
    import json

    from crawlers.captures.pages.facts import FIELDS

    taking, service = _open(context), _service(context)
    pages = taking.captures.pages(taking.captures.one(capture).capture_id)
    if not pages:
        raise typer.BadParameter(
            "this capture could not be read, so it has no page to correct", param_hint="ID"
        )
    if page > len(pages):
        raise typer.BadParameter(f"this capture has {len(pages)} pages", param_hint="--page")
    wanted: dict[str, Any] = {}
    for change in changes:
        name, mark, value = change.partition("=")
        if not mark:
            raise typer.BadParameter(f"{change!r} is not FIELD=VALUE", param_hint="FIELD=VALUE")
        try:
            wanted[name.strip()] = json.loads(value)
        except ValueError:
            wanted[name.strip()] = value or None
    try:
        resting = service.correct_capture(
            taking.captures, pages[page - 1], wanted, by or taking.settings.operator
        )
    except KeyError as error:
        told = f"there is no field {error.args[0]}; there are: {', '.join(FIELDS)}"
        raise typer.BadParameter(told, param_hint="FIELD=VALUE") from error
    except ValueError as error:
        raise typer.BadParameter(_told_of(error), param_hint="FIELD=VALUE") from error
    finally:
        service.close()
        taking.close()
    say("Corrected. `captures judge` judges anew what this changes.")
    for case in resting:
        say(
            f"Case {case.case_id} rests on this capture and keeps what was read before; what you changed shows in a case that is opened from now on.",
            fg="yellow",
        )


@group.command("remove")
def remove(
    context: typer.Context,
    capture: IdArgument,
    reason: Annotated[
        str, typer.Option(help="Why; it stays in the audit log, with the file's SHA-256.")
    ],
) -> None:
    """Delete a capture that was taken in by mistake: original, seal, pages and images. Not one that a case rests on."""
    taking, service = _open(context), _service(context)
    try:
        row = service.remove_capture(taking.captures, capture, reason)
    finally:
        service.close()
        taking.close()
    say(f"Removed {row.name}. Its SHA-256 and the reason are in the audit log.")


@group.command("waiting")
def waiting(context: typer.Context, as_json: JsonFlag = False) -> None:
    """What waits for a second person: captured by whom, of which account or page. Whom it may show is not said."""
    taking = _open(context)
    found: list[dict[str, Any]] = [
        {
            "name": one.subject.name, "captures": sorted({page.capture_id for page in one.subject.pages.values()}),
            "pages": len(one.subject.pages), "images": len(one.subject.images), "searched": one.searched,
            "brought_by": sorted(one.brought_by),
        }
        for one in _releases(taking).waiting()
    ]  # fmt: skip
    taking.close()
    if as_json:
        print_json({"waiting": found})
        return
    if not found:
        say("Nothing waits for a second person.")
        return
    print_table(
        ("account or capture", "capture", "pages", "images", "searched", "brought by"),
        [
            (
                str(one["name"]), str(one["captures"][0])[:12], str(one["pages"]), str(one["images"]),
                "yes" if one["searched"] else "not yet", ", ".join(one["brought_by"]),
            )
            for one in found
        ],
    )  # fmt: skip
    say(
        "Somebody else looks at the pages (captures show ID) and decides: portrait-scanner captures release ID --help"
    )


@group.command("release")
def release(
    context: typer.Context,
    capture: IdArgument,
    by: Annotated[str, typer.Option(help="Who decides: not whoever took it in or corrected it.")],
    reason: Annotated[
        str, typer.Option(help="Why these pages may be searched for registered people, or may not.")
    ],
    refuse: Annotated[bool, typer.Option("--refuse", help="Do not release it.")] = False,
) -> None:
    """Release what a capture may show, as a second person; `captures judge` then tells whom."""
    from scanner.captures.releases import Person, ReleaseDecision
    from scanner.errors import ReleaseRefused
    from scanner.factories import utc_now

    taking = _open(context)
    try:
        row = taking.captures.one(capture)
        releases, decision = (
            _releases(taking),
            ReleaseDecision.REFUSE if refuse else ReleaseDecision.RELEASE,
        )
        found = list(releases.waiting(row.capture_id))
        if not found:
            raise ReleaseRefused(
                f"nothing of {row.name} waits for a second person; `captures waiting` lists what does"
            )
        for one in found:
            releases.decide(
                one,
                Person(by, by, taking.vault.audit.login if taking.settings.two_people else ()),
                decision,
                reason,
                utc_now(),
            )
    finally:
        taking.close()
    told = "Not released" if refuse else "Released"
    say(
        f"{told}: {', '.join(one.subject.name for one in found)}. `captures judge` goes on with it."
    )


@group.command("judge")
def judge(
    context: typer.Context,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Search the faces of everything captured; what was judged before and did not change is not read again."""
    judged = judge_all(context.obj, face_pack, use)
    if as_json:
        print_json({"judged": [judged_document(one) for one, _ in judged]})
    else:
        print_judged(judged)


def _told_of(error: ValueError) -> str:
    """What is wrong with a value, field by field, without the words of the library that checked it."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)
    )


def _open(context: typer.Context) -> Intake:
    from scanner.captures.intake import Intake

    flags: Flags = context.obj
    return Intake(flags.settings())


def _service(context: typer.Context) -> CaseService:
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    return CaseService(flags.settings())


def _releases(taking: Intake) -> Releases:
    from scanner.captures.releases import Releases
    from scanner.scanning.scan_store import ScanStore

    return Releases(taking.captures, ScanStore(taking.settings.scans_path), taking.vault)


def _result_of(one: CaptureLine) -> str:
    return "waits for a second person" if one.waits else one.outcome or "not searched"


def _several(names: tuple[str, ...]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else "".join(names)


def _print_page(page: dict[str, Any]) -> None:
    facts = page["facts"]
    typer.echo()
    say(f"page {page['number'] + 1}: {facts['title']}")
    say(
        f"  {page['url'] or 'no address'} · {facts['platform']} · {facts['kind']} · read by: {facts['extractor']}"
    )
    for name in ("account_name", "account_id", "price", "currency", "published_at"):
        if facts[name] is not None:
            say(f"  {name}: {facts[name]}")
    for name, value in (facts["counts"] or {}).items():
        say(f"  {name}: {value}")
    for name, before in page["as_read"].items():
        say(
            f"  {name} was read as {before if before not in (None, '') else 'nothing'}; corrected by {page['edited_by']}, {page['edited_at'][:16]}"
        )
    for link in facts["links"][:10]:
        say(f"  link: {link}")
    for told in page["ties"]:
        say(f"  points to a known checkpoint: {told}")
    say(f"  {facts['text'][:_EXCERPT].strip()}")
    for note in page["notes"]:
        say(f"  note: {note}", fg="yellow")
    if not page["images"]:
        say("  no images")
        return
    print_table(
        ("image", "size", "of the post or offer", "what the file says of itself"),
        [
            (
                one["sha256"][:12],
                one["problem"] or f"{one['width']}x{one['height']}",
                "yes" if one["belongs"] else "",
                "; ".join(f"{about}: {what}" for about, what in one["says"]),
            )
            for one in page["images"]
        ],
    )


def _page_document(taking: Intake, page: PageRow) -> dict[str, Any]:
    from dataclasses import asdict

    from crawlers.captures.ties import ties_of_image, ties_of_page

    images = taking.captures.images(page.page_id)
    ties = [
        *ties_of_page(taking.store, page.facts),
        *(tie for image in images for tie in ties_of_image(taking.store, image.provenance)),
    ]
    return {
        "number": page.number, "page_id": page.page_id, "url": page.url, "saved_at": page.saved_at, "facts": asdict(page.facts),
        "edited_by": page.edited_by, "edited_at": page.edited_at, "as_read": dict(page.corrections), "notes": list(page.notes),
        "ties": list(dict.fromkeys(f"{tie.file} · {tie.hub} · {tie.sha256 or tie.listing_url} (by {tie.strength})" for tie in ties)),
        "images": [
            {
                "sha256": image.sha256, "url": image.url, "alt": image.alt, "width": image.picture.width, "height": image.picture.height,
                "pdq": image.picture.pdq, "problem": image.picture.problem, "belongs": image.belongs, "says": image.provenance.statements(),
                "ingredients": [asdict(one) for one in image.provenance.ingredients],
            }
            for image in images
        ],
    }  # fmt: skip
