"""`intake`, `captures`: pages and pictures that people captured, as evidence, and whom they show."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import (
    FacePackOption,
    Flags,
    JsonFlag,
    UseOption,
    print_json,
    print_table,
    progress_bar,
    visible,
)

if TYPE_CHECKING:
    from crawlers.saved.captures import PageRow
    from scanner.capture_cases import JudgedSubject
    from scanner.intake import Intake, TakenIn

group = typer.Typer(help="What was captured: list, show, correct, judge.", no_args_is_help=True)
IdArgument = Annotated[str, typer.Argument(help="A capture's id, or at least 8 digits of it.", metavar="ID")]
_EXCERPT = 300
_MOST_ROWS = 60


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("intake")(intake)


def intake(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="WARC, WACZ, HAR, MHTML, SingleFile or saved HTML, PDF, pictures, CSV of screenshots; folders of them.",
            metavar="FILES...",
            exists=True,
        ),
    ],
    by: Annotated[
        str | None, typer.Option(help="Who captured them (取证人). Default: the configured operator.")
    ] = None,
    made_with: Annotated[str | None, typer.Option(help="With what, such as a browser and its version.")] = None,
    account: Annotated[
        str | None, typer.Option(help="The account that all of them are of, for files that do not say.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="The site of that account.")] = None,
    search: Annotated[bool, typer.Option("--search/--no-search", help="Search the faces in them afterwards.")] = True,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take captures in: seal the originals, read pages and images, tell whom they show. Run again to go on after a stop."""  # fmt: skip
    if (account is None) != (platform is None):
        raise typer.BadParameter(
            "an account needs its site, and the other way round", param_hint="--account, --platform"
        )
    from crawlers.saved.reading import ENDINGS, captures_in, left_out_of
    from scanner.intake import Intake

    flags: Flags = context.obj
    settings = flags.settings(face_pack=face_pack, use=use)
    taking = Intake(settings)
    paths = captures_in(files)
    if not paths:
        raise typer.BadParameter(
            f"there is no file of a kind that is read; kinds: {', '.join(sorted(ENDINGS))}", param_hint="FILES..."
        )
    skipped = left_out_of(files)
    if skipped:
        names = ", ".join(path.name for path in skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        typer.secho(visible(f"left out, {len(skipped)} of kinds that are not read: {names}"), err=True, fg="yellow")
    taken: list[TakenIn] = []
    left_out: list[str] = []
    try:
        with progress_bar("taking in") as observer:
            for number, path in enumerate(paths):
                observer.step(number, len(paths), path.name)
                try:
                    taken.append(
                        taking.take_one(
                            path,
                            by or settings.operator,
                            made_with,
                            (platform, account) if platform and account else None,
                        )
                    )
                except OSError as error:
                    left_out.append(f"{path.name}: {error.strerror or error}")
            observer.step(len(paths), len(paths), "taken in")
    finally:
        taking.close()
    for told in left_out:
        typer.secho(visible(f"not taken in: {told}"), err=True, fg="red")
    sealed = [one for one in taken if not one.new]
    if sealed and (by or made_with):
        typer.secho(
            f"{len(sealed)} were sealed before, by {visible(sealed[0].capture.taken_in_by)}; --by and --made-with change nothing in a seal.",
            err=True,
            fg="yellow",
        )
    judged = judge_all(flags, face_pack, use) if search else []
    unread = [one for one in taken if one.capture.problem]
    if as_json:
        print_json(
            {
                "captures": [_capture_document(one) for one in taken],
                "judged": [judged_document(one) for one, _ in judged],
            }
        )
    else:
        _print_taken(taken, judged)
    raise typer.Exit(3 if left_out or (unread and len(unread) == len(taken)) else 0)


@group.command("list")
def listed(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List what was captured, newest first."""
    taking = _open(context)
    rows = list(taking.captures.all())
    taking.close()
    if as_json:
        print_json({"captures": [_row_document(row) for row in rows]})
        return
    print_table(
        ("id", "taken in", "format", "name", "pages", "problem"),
        [
            (row.capture_id[:12], row.taken_in_at[:16], row.format, row.name, str(row.pages), row.problem or "")
            for row in rows
        ],
    )


@group.command("show")
def show(context: typer.Context, capture: IdArgument, as_json: JsonFlag = False) -> None:
    """Show one capture: its pages' facts, its images, and where those say they come from."""
    taking = _open(context)
    row = taking.captures.one(capture)
    pages = taking.captures.pages(row.capture_id)
    document = {
        **_row_document(row),
        "bag": str(taking.captures.bag(row.capture_id)),
        "content": [_page_document(taking, page) for page in pages],
    }
    taking.close()
    if as_json:
        print_json(document)
        return
    say(f"{row.name} · {row.format or 'not read'} · taken in {row.taken_in_at[:16]} by {row.taken_in_by}")
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
        typer.Argument(help="As field=value; `captures show --json` has the fields' names.", metavar="FIELD=VALUE..."),
    ],
    page: Annotated[int, typer.Option(help="Which of its pages.", min=1)] = 1,
    by: Annotated[str | None, typer.Option(help="Who corrects them.")] = None,
) -> None:
    """Correct what was read of a page; what was read before stays beside it."""
    import json

    from crawlers.saved.facts import FIELDS

    taking = _open(context)
    pages = taking.captures.pages(taking.captures.one(capture).capture_id)
    if not pages:
        raise typer.BadParameter("this capture could not be read, so it has no page to correct", param_hint="ID")
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
        at = taking.clock().isoformat()
        taking.captures.edit(pages[page - 1].page_id, wanted, by or taking.settings.operator, at)
    except KeyError as error:
        told = f"there is no field {error.args[0]}; there are: {', '.join(FIELDS)}"
        raise typer.BadParameter(told, param_hint="FIELD=VALUE") from error
    except ValueError as error:
        raise typer.BadParameter(_told_of(error), param_hint="FIELD=VALUE") from error
    finally:
        taking.close()
    say("Corrected. `captures judge` judges anew what this changes.")


@group.command("remove")
def remove(
    context: typer.Context,
    capture: IdArgument,
    reason: Annotated[str, typer.Option(help="Why; it stays in the audit log, with the file's SHA-256.")],
) -> None:
    """Delete a capture that was taken in by mistake: original, seal, pages and images. Not one that a case rests on."""
    from scanner.casework import CaseDesk

    taking = _open(context)
    desk = CaseDesk(taking.settings)
    try:
        row = desk.remove_capture(taking.captures, capture, reason)
    finally:
        desk.close()
        taking.close()
    say(f"Removed {row.name}. Its SHA-256 and the reason are in the audit log.")


@group.command("judge")
def judge(
    context: typer.Context, face_pack: FacePackOption = None, use: UseOption = None, as_json: JsonFlag = False
) -> None:
    """Search the faces of everything captured; what was judged before and did not change is not read again."""
    judged = judge_all(context.obj, face_pack, use)
    if as_json:
        print_json({"judged": [judged_document(one) for one, _ in judged]})
    else:
        print_judged(judged)


def say(text: str, fg: str | None = None) -> None:
    """A line on the terminal; pages, files and sites wrote parts of it."""
    typer.secho(visible(text), fg=fg)


def judge_all(flags: Flags, face_pack: str | None, use: str | None) -> list[tuple[JudgedSubject, list[str]]]:
    """Everything captured as it was judged, with the names of those who were found."""
    from crawlers.saved.captures import Captures
    from scanner.capture_cases import judge_captures
    from scanner.workshop import Workshop

    workshop = Workshop(flags.settings(face_pack=face_pack, use=use))
    captures = Captures(workshop.crawl, workshop.settings.captures_path)
    judged: list[tuple[JudgedSubject, list[str]]] = []
    try:
        with progress_bar("searching faces") as observer:
            for one in judge_captures(workshop, captures):
                judged.append((one, [workshop.vault.find(identity).name for identity in one.identities]))
                observer.step(len(judged), None, one.name)
    finally:
        workshop.close()
    return judged


def _told_of(error: ValueError) -> str:
    """What is wrong with a value, field by field, without the words of the library that checked it."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))


def _open(context: typer.Context) -> Intake:
    from scanner.intake import Intake

    flags: Flags = context.obj
    return Intake(flags.settings())


def _print_taken(taken: list[TakenIn], judged: list[tuple[JudgedSubject, list[str]]]) -> None:
    new = [one for one in taken if one.new]
    say(
        f"{len(new)} captures taken in and sealed, {len(taken) - len(new)} known already; {sum(one.capture.pages for one in new)} pages."
    )
    for one in taken:
        if one.capture.problem:
            say(f"kept but not read: {one.capture.name}: {one.capture.problem}", fg="yellow")
        for note in one.capture.notes if one.new else ():
            say(f"{one.capture.name}: {note}", fg="yellow")
        for listing in one.listings:
            say(
                f"offer for sale, now a listing: {listing.title} · {listing.hub} {listing.listing_id} · {listing.creator or ''} · {listing.url}"
            )
    print_judged(judged)


def print_judged(judged: list[tuple[JudgedSubject, list[str]]]) -> None:
    if not judged:
        return
    new = [pair for pair in judged if not pair[0].known]
    rows = sorted(new, key=lambda pair: (not pair[0].cases, pair[0].outcome, pair[0].name))
    if rows:
        print_table(
            ("outcome", "account or capture", "images", "faces", "person", "case", "why"),
            [
                (
                    one.outcome,
                    one.name,
                    str(one.images),
                    str(one.faces),
                    ", ".join(names),
                    " ".join(case[:12] for case in one.cases) or ("authorised" if one.authorised else ""),
                    one.reason,
                )
                for one, names in rows[:_MOST_ROWS]
            ],
        )
    if len(rows) > _MOST_ROWS:
        say(f"and {len(rows) - _MOST_ROWS} more; `captures judge --json` has them all.")
    say(f"{len(new)} accounts and captures judged now: {_counted(new)}." if new else "Nothing new to judge.")
    if len(judged) > len(new):
        known = [pair for pair in judged if pair[0].known]
        say(
            f"{len(known)} were judged before and did not change: {_counted(known)}. `captures judge --json` has them all."
        )


def _counted(judged: list[tuple[JudgedSubject, list[str]]]) -> str:
    counts = Counter(one.outcome for one, _ in judged)
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


def _print_page(page: dict[str, Any]) -> None:
    facts = page["facts"]
    typer.echo()
    say(f"page {page['number'] + 1}: {facts['title']}")
    say(f"  {page['url'] or 'no address'} · {facts['platform']} · {facts['kind']} · read by: {facts['extractor']}")
    for name in ("account_name", "account_id", "price", "currency", "published_at"):
        if facts[name] is not None:
            say(f"  {name}: {facts[name]}")
    for name, value in (facts["counts"] or {}).items():
        say(f"  {name}: {value}")
    for link in facts["links"][:10]:
        say(f"  link: {link}")
    for told in page["ties"]:
        say(f"  points to a known checkpoint: {told}")
    say(f"  {facts['text'][:_EXCERPT].strip()}")
    for note in page["notes"]:
        say(f"  note: {note}", fg="yellow")
    print_table(
        ("image", "size", "its own", "says"),
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


def _capture_document(one: TakenIn) -> dict[str, Any]:
    return {
        **_row_document(one.capture), "new": one.new,
        "listings": [{"hub": listing.hub, "listing_id": listing.listing_id, "title": listing.title} for listing in one.listings],
    }  # fmt: skip


def _row_document(row: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(row)


def judged_document(one: JudgedSubject) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _page_document(taking: Intake, page: PageRow) -> dict[str, Any]:
    from dataclasses import asdict

    from crawlers.saved.ties import ties_of_image, ties_of_page

    images = taking.captures.images(page.page_id)
    ties = [
        *ties_of_page(taking.store, page.facts),
        *(tie for image in images for tie in ties_of_image(taking.store, image.provenance)),
    ]
    return {
        "number": page.number, "page_id": page.page_id, "url": page.url, "saved_at": page.saved_at, "facts": asdict(page.facts),
        "edited_by": page.edited_by, "notes": list(page.notes),
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
