"""`inspect`: triage of one file or URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import Flags, JsonFlag, print_json, visible

if TYPE_CHECKING:
    from scanner.triage.header import Triage


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("inspect")(inspect)


def inspect(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(help="A checkpoint on disk or its http(s) URL.", metavar="FILE_OR_URL")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Say what a checkpoint is from its header, without loading or downloading it."""
    from scanner.network import allow_typed, open_transport
    from scanner.triage.header import triage_file, triage_url

    flags: Flags = context.obj
    if target.startswith(("http://", "https://")):
        transport = open_transport(flags.settings())
        allow_typed(transport, [target])
        triage = triage_url(transport, target)
        transport.close()
    else:
        triage = triage_file(Path(target))
    if as_json:
        print_json(as_document(triage))
    else:
        _print(target, triage)


def as_document(triage: Triage) -> dict[str, Any]:
    """The JSON contract of `inspect`."""
    return {
        "sha256": triage.sha256,
        "weights_hash": triage.weights_hash,
        "kind": triage.kind,
        "family": triage.family,
        "model": triage.model,
        "fits": list(triage.fits),
        "naming": triage.naming,
        "leftovers": list(triage.leftovers),
        "triggers": list(triage.triggers),
        "training": triage.training,
        "signals": list(triage.signals),
        "likeness": {
            "score": triage.likeness,
            "signals": [list(one) for one in triage.likeness_signals],
        },
        "size_bytes": triage.size_bytes,
        "bytes_read": triage.bytes_read,
        "problems": list(triage.problems),
    }


def _print(target: str, triage: Triage) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        show_header=False,
        box=None,
        title=escape(visible(target)),
        title_justify="left",
        title_style="bold",
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    size = "unknown" if triage.size_bytes is None else f"{triage.size_bytes:,} bytes"
    rows = [
        ("kind", triage.kind),
        ("family", triage.family if triage.model is None else f"{triage.family} ({triage.model})"),
        ("naming", triage.naming),
        ("triggers", ", ".join(triage.triggers) or "none named"),
        ("size", f"{size}, {triage.bytes_read:,} read"),
        ("sha256", triage.sha256 or "not read whole"),
        ("weights hash", triage.weights_hash or "not read whole"),
    ]
    rows += [
        (name.replace("_", " "), str(value))
        for name, value in triage.training.items()
        if value not in (None, {}, False)
    ]
    if triage.likeness is not None:
        told = "; ".join(f"{name}: {words}" for name, words in triage.likeness_signals)
        rows.append(("likeness", f"{triage.likeness:.2f} from words alone ({told or 'no signal'})"))
    rows += [("says", signal) for signal in triage.signals] + [
        ("problem", problem) for problem in triage.problems
    ]
    for name, value in rows:
        table.add_row(name, escape(visible(value)))
    Console().print(table)
