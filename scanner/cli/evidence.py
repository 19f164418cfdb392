"""`verify`, `revocations`, `reproduce`, `timestamp`: evidence bundles, checked by anybody."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import case_service_of, settings_of
from scanner.cli.options import BaseModelOption, FacePackOption, JsonFlag, SignerOption
from scanner.cli.output import print_error, print_json, print_line, print_table, write_text_file
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate

    from reports.verify.checks import Item
    from scanner.casework.reproduction import Reproduction

BundleArgument = Annotated[
    Path,
    typer.Argument(
        help="The folder of an evidence bundle.", metavar="BUNDLE", exists=True, file_okay=False
    ),
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("verify", rich_help_panel=panel)(verify)
    app.command("revocations", rich_help_panel=panel)(revocations)
    app.command("reproduce", rich_help_panel=panel)(reproduce)
    app.command("timestamp", rich_help_panel=panel)(timestamp)


def verify(
    bundle: BundleArgument,
    signer: SignerOption = None,
    tsa_root: Annotated[
        list[Path] | None,
        typer.Option(help="PEM file of roots that timestamps must chain to.", exists=True),
    ] = None,
    revocations: Annotated[
        Path | None,
        typer.Option(
            help="The signer's newest list of what was decided later.", exists=True, dir_okay=False
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check everything in an evidence bundle, offline.

    The exit code is 0 only if everything holds, and 1 otherwise.
    """
    from reports.verify.bundle import verify as verify_bundle

    roots = _certificates(tsa_root or [])
    try:
        items = verify_bundle(bundle, signer, roots, revocations)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--signer") from error
    ok = all(item.ok for item in items)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        print_json({"ok": ok, "items": [asdict(item) for item in items]})
    else:
        _print_items(items, ok=ok)
    raise typer.Exit(0 if ok else 1)


def _certificates(paths: list[Path]) -> tuple[Certificate, ...]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(
            certificate
            for path in paths
            for certificate in load_pem_x509_certificates(path.read_bytes())
        )
    except ValueError as error:
        raise typer.BadParameter(
            f"not a PEM file of certificates: {error}", param_hint="--tsa-root"
        ) from error


def _print_items(items: Sequence[Item], *, ok: bool) -> None:
    for item in items:
        if not item.ok:
            print_line(f"PROBLEM  {item.item}: {item.problem}", color="red")
    for item in items:
        if item.ok and item.note:
            print_line(f"note     {item.item}: {item.note}")
    sound = sum(item.ok for item in items)
    result = "Everything that can be checked holds" if ok else "This bundle does NOT hold"
    print_line(
        f"{result}: {sound} of {len(items)} items are sound.", color="green" if ok else "red"
    )


def revocations(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=True)] = Path(
        "revocations.json"
    ),
    as_json: JsonFlag = False,
) -> None:
    """Write the signed list of later decisions about cases.

    It lists the cases that went on after their evidence was given out. Publish it where your key
    is published.
    """
    with case_service_of(settings_of(context)) as service:
        document, unvouched = service.revocations()
    write_text_file(out, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    for error in unvouched:
        print_error(f"left out: {error}")
    if as_json:
        left_out = [error.case_id for error in unvouched]
        print_json({"revocations": str(out), "cases": document["cases"], "left_out": left_out})
    else:
        print_table(
            ("case", "status", "since (UTC)"),
            [(case["case_id"], case["status"], case["as_of"][:19]) for case in document["cases"]],
        )
        typer.echo(
            f"Revocations: {out}. Publish the newest one where you publish your key's fingerprint."
        )
    raise typer.Exit(3 if unvouched else 0)


def reproduce(
    context: typer.Context,
    bundle: BundleArgument,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="The weights file, if neither bundle nor store holds it.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    signer: SignerOption = None,
    base_model: BaseModelOption = None,
    face_pack: FacePackOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the samples of a bundle again and compare them.

    The exit code is 0 only if all that can be compared agree.
    """
    from scanner.casework.reproduction import pack_named_in
    from scanner.casework.reproduction import reproduce as reproduce_bundle
    from scanner.factories import reproduction_tools

    settings = settings_of(
        context, face_pack=face_pack or pack_named_in(bundle), base_model=base_model
    )
    with progress_bar("reproducing") as observer:
        result = reproduce_bundle(
            bundle, reproduction_tools(settings), checkpoint, observer, signer
        )
    if as_json:
        print_json(result.to_document())
    else:
        _print_reproduction(result)
    raise typer.Exit(0 if result.agrees else 1)


_AGREEMENT = {True: "agrees", False: "DIFFERS", None: "no picture"}


def _print_reproduction(result: Reproduction) -> None:
    rows = [
        (
            f"{sample.stage} {sample.number}{' control' if sample.control else ''}",
            "identical" if sample.identical else _AGREEMENT[sample.agrees],
            "" if sample.face_cosine is None else f"{sample.face_cosine:.3f}",
            "" if sample.shades is None else f"{sample.shades:.2f}",
        )
        for sample in result.samples
    ]
    print_table(("sample", "pixels", "face cosine", "shades"), rows)
    for difference in result.differences:
        print_line(f"note: {difference}")
    untold = sum(sample.agrees is None for sample in result.samples)
    compared = f"{len(result.samples) - untold} of {len(result.samples)} pictures"
    typer.echo(
        f"The bundle's samples were made again, and {compared} were compared and agree; scores "
        "against the person's template are not made again."
        if result.agrees
        else "The samples do NOT agree."
    )


def timestamp(
    context: typer.Context,
    bundles: Annotated[
        list[Path],
        typer.Argument(help="Folders of evidence bundles.", metavar="BUNDLE..."),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Ask for the timestamps that bundles still lack.

    The authorities that are configured are asked.
    """
    from reports.evidence.timestamping import pending

    with case_service_of(settings_of(context)) as service:
        problems = {
            str(bundle): [str(error) for error in service.stamp(bundle)] for bundle in bundles
        }
        configured = bool(service.rules.authorities)
    if as_json:
        documents = [
            {"bundle": name, "pending": pending(Path(name)), "problems": errors}
            for name, errors in problems.items()
        ]
        print_json({"bundles": documents})
    elif not configured:
        typer.echo(
            "No authority is configured: set timestamp_authorities in portrait-scanner.toml "
            "(docs/evidence.md)."
        )
    else:
        for name, errors in problems.items():
            result = f"{len(errors)} still pending, see above" if errors else "timestamped"
            print_line(f"{name}: {result}")
    raise typer.Exit(0 if configured and not any(problems.values()) else 3)
