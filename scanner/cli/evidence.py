"""`verify`, `revocations`, `reproduce`, `timestamp`: what a stranger, an opponent or a court does with a bundle."""

from __future__ import annotations

import io
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.context import (
    BaseModelOption,
    FacePackOption,
    Flags,
    JsonFlag,
    print_json,
    print_table,
    progress_bar,
    write_text_file,
)

BundleArgument = Annotated[
    Path, typer.Argument(help="The folder of an evidence bundle.", metavar="BUNDLE", exists=True, file_okay=False)
]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("verify")(verify)
    app.command("revocations")(revocations)
    app.command("reproduce")(reproduce)
    app.command("timestamp")(timestamp)


def verify(
    bundle: BundleArgument,
    signer: Annotated[str | None, typer.Option(help="Fingerprint of the key that must have signed it.")] = None,
    tsa_root: Annotated[
        list[Path] | None, typer.Option(help="PEM file of roots that timestamps must chain to.", exists=True)
    ] = None,
    revocations: Annotated[
        Path | None,
        typer.Option(help="The signer's newest list of what was decided later.", exists=True, dir_okay=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check everything in an evidence bundle, offline; exit code 0 only when everything holds, 1 otherwise."""
    from cryptography.x509 import load_pem_x509_certificates

    from reports.verify.bundle import verify as check

    try:
        roots = tuple(one for path in tsa_root or () for one in load_pem_x509_certificates(path.read_bytes()))
    except ValueError as error:
        raise typer.BadParameter(f"not a PEM file of certificates: {error}", param_hint="--tsa-root") from error
    try:
        items = check(bundle, signer, roots, revocations)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--signer") from error
    ok = all(item.ok for item in items)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        print_json({"ok": ok, "items": [asdict(item) for item in items]})
    else:
        for item in items:
            if not item.ok:
                typer.secho(f"PROBLEM  {item.item}: {item.problem}", fg="red")
        for item in items:
            if item.ok and item.note:
                typer.echo(f"note     {item.item}: {item.note}")
        sound = sum(item.ok for item in items)
        typer.secho(
            f"{'Everything that can be checked holds' if ok else 'This bundle does NOT hold'}: {sound} of {len(items)} items are sound.",
            fg="green" if ok else "red",
        )
    raise typer.Exit(0 if ok else 1)


def revocations(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=True)] = Path("revocations.json"),
    as_json: JsonFlag = False,
) -> None:
    """Write the signed list of cases that went on after their evidence was given out; publish it where your key is published."""
    import json

    from scanner.cases.desk import CaseDesk

    flags: Flags = context.obj
    desk = CaseDesk(flags.settings())
    told, unvouched = desk.revocations()
    desk.close()
    write_text_file(out, json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    for error in unvouched:
        typer.secho(f"left out: {error}", err=True, fg="red")
    if as_json:
        print_json({"revocations": str(out), "cases": told["cases"], "left_out": [one.case_id for one in unvouched]})
    else:
        print_table(
            ("case", "status", "since (UTC)"),
            [(one["case_id"], one["status"], one["as_of"][:19]) for one in told["cases"]],
        )
        typer.echo(f"Revocations: {out}. Publish the newest one where you publish your key's fingerprint.")
    raise typer.Exit(3 if unvouched else 0)


def reproduce(
    context: typer.Context,
    bundle: BundleArgument,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The weights file, if neither bundle nor store holds it.", exists=True, dir_okay=False),
    ] = None,
    signer: Annotated[str | None, typer.Option(help="Fingerprint of the key that must have signed it.")] = None,
    base_model: BaseModelOption = None,
    face_pack: FacePackOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the samples of a bundle again and say of each whether it agrees; exit code 0 only when all do."""
    from scanner.cases.reproduction import pack_named_in
    from scanner.cases.reproduction import reproduce as again

    flags: Flags = context.obj
    settings = flags.settings(face_pack=face_pack or pack_named_in(bundle), base_model=base_model)
    with progress_bar("reproducing") as observer:
        result = again(bundle, settings, checkpoint, observer, signer)
    if as_json:
        print_json(result.to_document())
    else:
        rows = [
            (
                f"{one.stage} {one.number}{' control' if one.control else ''}",
                "identical" if one.identical else "agrees" if one.agrees else "DIFFERS",
                "" if one.face_cosine is None else f"{one.face_cosine:.3f}",
                "" if one.shades is None else f"{one.shades:.2f}",
            )
            for one in result.samples
        ]
        print_table(("sample", "pixels", "face cosine", "shades"), rows)
        for difference in result.differences:
            typer.echo(f"note: {difference}")
        typer.echo(
            "The bundle's samples were made again and agree; scores against the person's template are not made again."
            if result.agrees
            else "The samples do NOT agree."
        )
    raise typer.Exit(0 if result.agrees else 1)


def timestamp(context: typer.Context, bundles: list[Path], as_json: JsonFlag = False) -> None:
    """Ask configured authorities for the timestamps that bundles still lack."""
    from reports.timestamping import pending
    from scanner.cases.desk import CaseDesk

    flags: Flags = context.obj
    desk = CaseDesk(flags.settings())
    failed = {str(bundle): [str(error) for error in desk.stamp(bundle)] for bundle in bundles}
    none_set = not desk.authorities
    desk.close()
    if as_json:
        print_json(
            {
                "bundles": [
                    {"bundle": name, "pending": pending(Path(name)), "problems": told} for name, told in failed.items()
                ]
            }
        )
    elif none_set:
        typer.echo("No authority is configured: set timestamp_authorities in portrait-scanner.toml (docs/evidence.md).")
    else:
        for name, told in failed.items():
            typer.echo(f"{name}: {f'{len(told)} still pending, see above' if told else 'timestamped'}")
    raise typer.Exit(3 if none_set or any(failed.values()) else 0)
