"""`captures show`, `captures edit`: the pages of a capture, and corrections of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.captures import CaptureArgument, group
from scanner.cli.context import case_service_of, intake_of, settings_of
from scanner.cli.options import JsonFlag
from scanner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from crawlers.captures.capture_rows import ImageRow, PageRow
    from scanner.captures.intake import Intake

_EXCERPT_CHARACTERS = 300
_MOST_LINKS = 10


def add_to(_app: typer.Typer, _panel: str) -> None:
    """Add the commands of this module to the group `captures`."""
    group.command("show")(show)
    group.command("edit")(edit)


def show(context: typer.Context, capture: CaptureArgument, as_json: JsonFlag = False) -> None:
    """Show the pages and images of a capture, and their origins."""
    with intake_of(settings_of(context)) as intake:
        row = intake.captures.find(capture)
        pages = intake.captures.pages(row.capture_id)
        bag = intake.captures.bag(row.capture_id)
        content = [_page_document(intake, page) for page in pages]
    if as_json:
        print_json({**asdict(row), "bag": str(bag), "content": content})
        return
    print_line(
        f"{row.name} · {row.format or 'not read'} · taken in {row.taken_in_at[:16]} by "
        f"{row.taken_in_by}"
    )
    for sentence in (*row.checks, *row.notes, *([row.problem] if row.problem else [])):
        print_line(f"  {sentence}")
    print_line(f"  sealed original: {bag} (check it: portrait-scanner verify FOLDER)")
    for page in content:
        _print_page(page)


def _page_document(intake: Intake, page: PageRow) -> dict[str, Any]:
    from crawlers.captures.ties import ties_of_image, ties_of_page

    images = intake.captures.images(page.page_id)
    ties = [
        *ties_of_page(intake.store, page.facts),
        *(tie for image in images for tie in ties_of_image(intake.store, image.provenance)),
    ]
    sentences = (
        f"{tie.file} · {tie.hub} · {tie.sha256 or tie.listing_url} (by {tie.strength})"
        for tie in ties
    )
    return {
        "number": page.number,
        "page_id": page.page_id,
        "url": page.url,
        "saved_at": page.saved_at,
        "facts": asdict(page.facts),
        "edited_by": page.edited_by,
        "edited_at": page.edited_at,
        "as_read": dict(page.corrections),
        "notes": list(page.notes),
        "ties": list(dict.fromkeys(sentences)),
        "images": [_image_document(image) for image in images],
    }


def _image_document(image: ImageRow) -> dict[str, Any]:
    picture, provenance = image.picture, image.provenance
    return {
        "sha256": image.sha256,
        "url": image.url,
        "alt": image.alt,
        "width": picture.width,
        "height": picture.height,
        "pdq": picture.pdq,
        "problem": picture.problem,
        "belongs": image.belongs,
        "says": provenance.statements(),
        "ingredients": [asdict(ingredient) for ingredient in provenance.ingredients],
    }


def _print_page(page: dict[str, Any]) -> None:
    facts = page["facts"]
    typer.echo()
    print_line(f"page {page['number'] + 1}: {facts['title']}")
    address = page["url"] or "no address"
    print_line(
        f"  {address} · {facts['platform']} · {facts['kind']} · read by: {facts['extractor']}"
    )
    for name in ("account_name", "account_id", "price", "currency", "published_at"):
        if facts[name] is not None:
            print_line(f"  {name}: {facts[name]}")
    for name, value in (facts["counts"] or {}).items():
        print_line(f"  {name}: {value}")
    for name, before in page["as_read"].items():
        read = "nothing" if before in (None, "") else before
        edited = f"{page['edited_by']}, {page['edited_at'][:16]}"
        print_line(f"  {name} was read as {read}; corrected by {edited}")
    for link in facts["links"][:_MOST_LINKS]:
        print_line(f"  link: {link}")
    for sentence in page["ties"]:
        print_line(f"  points to a known checkpoint: {sentence}")
    print_line(f"  {facts['text'][:_EXCERPT_CHARACTERS].strip()}")
    for note in page["notes"]:
        print_line(f"  note: {note}", color="yellow")
    if page["images"]:
        _print_images(page["images"])
    else:
        typer.echo("  no images")


def _print_images(images: list[dict[str, Any]]) -> None:
    print_table(
        ("image", "size", "of the post or offer", "what the file says of itself"),
        [
            (
                image["sha256"][:12],
                image["problem"] or f"{image['width']}x{image['height']}",
                "yes" if image["belongs"] else "",
                "; ".join(f"{about}: {statement}" for about, statement in image["says"]),
            )
            for image in images
        ],
    )


def edit(
    context: typer.Context,
    capture: CaptureArgument,
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
    """Correct what was read of a page; what was read is kept."""
    settings = settings_of(context)
    with intake_of(settings) as intake, case_service_of(settings) as service:
        row = _page_of(intake, capture, page)
        wanted = _values(changes)
        try:
            cases = service.correct_capture(intake.captures, row, wanted, by or settings.operator)
        except (KeyError, ValueError) as error:
            raise typer.BadParameter(_problem_of(error), param_hint="FIELD=VALUE") from error
    typer.echo("Corrected. `captures judge` judges anew what this changes.")
    for case in cases:
        print_line(
            f"Case {case.case_id} rests on this capture and keeps what was read before; what you "
            "changed shows in a case that is opened from now on.",
            color="yellow",
        )


def _page_of(intake: Intake, capture: str, number: int) -> PageRow:
    pages = intake.captures.pages(intake.captures.find(capture).capture_id)
    if not pages:
        raise typer.BadParameter(
            "this capture could not be read, so it has no page to correct", param_hint="ID"
        )
    if number > len(pages):
        raise typer.BadParameter(f"this capture has {len(pages)} pages", param_hint="--page")
    return pages[number - 1]


def _values(changes: list[str]) -> dict[str, Any]:
    """The fields to change with their values, which are JSON or else text."""
    values: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise typer.BadParameter(f"{change!r} is not FIELD=VALUE", param_hint="FIELD=VALUE")
        try:
            values[name.strip()] = json.loads(value)
        except ValueError:
            values[name.strip()] = value or None
    return values


def _problem_of(error: KeyError | ValueError) -> str:
    """What is wrong with a field or value, without the wording of the library that checked it."""
    from pydantic import ValidationError

    from crawlers.captures.pages.facts import FIELDS

    if isinstance(error, KeyError):
        return f"there is no field {error.args[0]}; there are: {', '.join(FIELDS)}"
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    )
