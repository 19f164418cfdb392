"""`serve`, `work`: the pages and the API, and the worker that scans what they take in."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from scanner.cli.context import flags_of, settings_of, this_program
from scanner.cli.output import print_warning

if TYPE_CHECKING:
    from scanner.settings import Settings

_LARGEST_HEADER_BYTES = 32_768


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("serve", rich_help_panel=panel)(serve)
    app.command("work", rich_help_panel=panel)(work)


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; use a reverse proxy for any other.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8420,
    worker: Annotated[
        bool,
        typer.Option("--worker/--no-worker", help="Also run the worker, as a process of its own."),
    ] = True,
) -> None:
    """Serve the pages and the API, and run their worker.

    The worker scans what is sent. Ctrl-C ends both.
    """
    from scanner.web.queue.supervision import WorkerProcess
    from scanner.web.start_checks import check_at_start

    settings = settings_of(context)
    for sentence in check_at_start(settings):
        print_warning(sentence)
    process = WorkerProcess([*this_program(flags_of(context)), "work"]) if worker else None
    typer.echo(
        f"Open http://{host}:{port} in a browser; the API is described at /api/v1/openapi.json. "
        "Ctrl-C ends it.",
        err=True,
    )
    if not settings.web.secure and urlsplit(settings.web.url).port not in (port, None):
        print_warning(
            f"Links in invitations and mails begin with {settings.web.url}: set url in [web] of "
            f"portrait-scanner.toml, or PORTRAIT_SCANNER_WEB__URL=http://{host}:{port}, for "
            "`account invite` too."
        )
    # uvicorn raises the signal again once it has ended; then the worker must end too.
    signal.signal(signal.SIGTERM, _end)
    try:
        _run_server(settings, host, port)
    finally:
        if process is not None:
            process.stop()


def _run_server(settings: Settings, host: str, port: int) -> None:
    import uvicorn

    from scanner.web.app import create_app

    uvicorn.run(
        create_app(settings),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        proxy_headers=bool(settings.web.proxies),
        forwarded_allow_ips=list(settings.web.proxies),
        h11_max_incomplete_event_size=_LARGEST_HEADER_BYTES,
    )


def _end(*_: object) -> None:
    raise SystemExit(0)


def work(context: typer.Context) -> None:
    """Scan what `serve` takes in.

    One process works for a home at a time; a second one waits for the first to end.
    """
    from scanner.web.queue.worker import work as run_worker

    run_worker(settings_of(context))
