"""`serve`, `work`, `account`: the API for hubs, its worker, and who may use it."""

from __future__ import annotations

import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from scanner.cli.context import Flags, JsonFlag, command_group, day_of, print_json, print_table

if TYPE_CHECKING:
    from scanner.web.auth.access import Role
    from scanner.web.auth.accounts import Account
    from scanner.web.context import AppContext

group = command_group("Who may use pages and API, and with which tokens.")
EmailArgument = Annotated[
    str, typer.Argument(help="The account's e-mail address.", metavar="EMAIL")
]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("serve")(serve)
    app.command("work")(work)


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; a reverse proxy stands before any other.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8420,
    worker: Annotated[
        bool,
        typer.Option("--worker/--no-worker", help="Also run the worker, as a process of its own."),
    ] = True,
) -> None:
    """Serve the pages and the API of the upload gate, with the worker that scans what is sent. Ctrl-C ends both."""
    import uvicorn

    from scanner.web.app import create_app
    from scanner.web.queue.supervision import WorkerProcess
    from scanner.web.start_checks import check_at_start

    flags: Flags = context.obj
    settings = flags.settings()
    for sentence in check_at_start(settings):
        typer.secho(sentence, err=True, fg="yellow")
    process = (
        WorkerProcess([sys.executable, "-m", "scanner.cli.app", *_flags(flags), "work"])
        if worker
        else None
    )
    typer.echo(
        f"Open http://{host}:{port} in a browser; the API is described at /api/v1/openapi.json. Ctrl-C ends it.",
        err=True,
    )
    if not settings.web.secure and urlsplit(settings.web.url).port not in (port, None):
        typer.secho(
            f"Links in invitations and mails begin with {settings.web.url}: set url in [web] of portrait-scanner.toml, or "
            f"PORTRAIT_SCANNER_WEB__URL=http://{host}:{port}, for `account invite` too.",
            err=True,
            fg="yellow",
        )
    signal.signal(
        signal.SIGTERM, _end
    )  # uvicorn raises the signal again once it has ended: the worker must end too
    try:
        uvicorn.run(
            create_app(settings),
            host=host,
            port=port,
            log_level="warning",
            server_header=False,
            proxy_headers=bool(settings.web.proxies),
            forwarded_allow_ips=list(settings.web.proxies),
            h11_max_incomplete_event_size=32_768,
        )
    finally:
        if process is not None:
            process.stop()


def _end(*_: object) -> None:
    raise SystemExit(0)


def work(context: typer.Context) -> None:
    """Scan what `serve` takes in; one process at a time per home, a second one waits for the first to end."""
    from scanner.web.queue.worker import work as run

    flags: Flags = context.obj
    run(flags.settings())


def _flags(flags: Flags) -> list[str]:
    return [
        part
        for name, value in flags.given.items()
        if value is not None
        for part in (f"--{name}", str(value))
    ]


@group.command("add")
def add(
    context: typer.Context,
    email: EmailArgument,
    name: Annotated[str, typer.Option(help="Who it is.")],
    role: Annotated[
        list[str],
        typer.Option(help="operator, auditor, reviewer, legal or admin; as often as needed."),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Add an account that API tokens can be made for."""
    app_context = _app_context(context)
    account = app_context.accounts.create(email, name, _roles(role), None)
    app_context.close()
    if as_json:
        print_json({"email": account.email, "roles": list(account.roles)})
    else:
        typer.echo(
            f"Added {account.email}. Make a token: portrait-scanner account token {account.email} --name NAME --scope scans:write"
        )


@group.command("invite")
def invite(
    context: typer.Context,
    email: EmailArgument,
    role: Annotated[
        list[str],
        typer.Option(help="rights-holder, agent, operator, reviewer, legal, auditor or admin."),
    ],
    identity: Annotated[
        str | None,
        typer.Option(help="Somebody registered already, whom the account acts for; name or id."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a link with which somebody opens an account for the pages, or sets a new password; good for a week, once."""
    from scanner.factories import open_vault

    roles = _roles(role)
    app_context = _app_context(context)
    identity_id = None
    if identity is not None:
        vault = open_vault(app_context.settings)
        identity_id = vault.people.find(identity).identity_id
        vault.close()
    secret = app_context.accounts.invite(email, roles, app_context.settings.operator, identity_id)
    link = f"{app_context.settings.web.url}/invitation/{secret}"
    app_context.close()
    if as_json:
        print_json({"link": link})
    else:
        typer.echo(link)
        typer.echo(
            f"Give it to {email}; it is good for a week and counts once. It begins with url in [web] of portrait-scanner.toml "
            f"({app_context.settings.web.url}): where the pages are served elsewhere, set that first.",
            err=True,
        )


@group.command("list")
def listed(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List accounts and their tokens."""
    app_context = _app_context(context)
    rows: list[dict[str, Any]] = [
        {
            "email": one.email, "name": one.name, "roles": list(one.roles), "disabled": one.disabled,
            "tokens": [
                {
                    "token_id": token.token_id, "name": token.name, "scopes": list(token.scopes),
                    "expires_on": token.expires_on, "used_at": token.used_at,
                }
                for token in app_context.sessions.tokens_of(one.account_id)
            ],
        }
        for one in app_context.accounts.all()
    ]  # fmt: skip
    app_context.close()
    if as_json:
        print_json({"accounts": rows})
        return
    print_table(
        ("account", "roles", "token", "scopes", "until", "last used"),
        [
            (str(row["email"]), " ".join(row["roles"]), f"{token['token_id']} {token['name']}", " ".join(token["scopes"]), str(token["expires_on"]), str(token["used_at"] or ""))
            for row in rows
            for token in row["tokens"] or [{"token_id": "", "name": "", "scopes": [], "expires_on": "", "used_at": ""}]
        ],
    )  # fmt: skip


@group.command("token")
def token(
    context: typer.Context,
    email: EmailArgument,
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="scans:write, scans:read, cases:read, names:read, transparency, metrics."
        ),
    ],
    expires: Annotated[
        str | None, typer.Option(help="Last day, YYYY-MM-DD. Default: 90 days from today.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an API token and show it once; only its hash is kept."""
    from scanner.web.auth.access import Scope

    unknown = [one for one in scope if one not in list(Scope)]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(Scope)}", param_hint="--scope"
        )
    app_context = _app_context(context)
    account = _account(app_context, email)
    last_day = (
        day_of(expires, "--expires") if expires else app_context.clock().date() + timedelta(days=90)
    )
    secret = app_context.sessions.issue_token(
        account, name, [Scope(one) for one in scope], last_day
    )
    app_context.close()
    if as_json:
        print_json({"token": secret, "expires_on": last_day})
    else:
        typer.echo(secret)
        typer.echo(f"Good until {last_day}; it is not shown again.", err=True)


@group.command("revoke")
def revoke(
    context: typer.Context,
    email: EmailArgument,
    token_id: Annotated[str, typer.Argument(help="As `account list` shows it.")],
) -> None:
    """End a token now."""
    app_context = _app_context(context)
    app_context.sessions.revoke_token(_account(app_context, email).account_id, token_id)
    app_context.close()
    typer.echo(f"Token {token_id} has ended.")


@group.command("disable")
def disable(context: typer.Context, email: EmailArgument) -> None:
    """Refuse an account and all its tokens from now on."""
    app_context = _app_context(context)
    app_context.accounts.set_disabled(_account(app_context, email).account_id, disabled=True)
    app_context.close()
    typer.echo(f"{email} is disabled.")


def _roles(given: list[str]) -> list[Role]:
    from scanner.web.auth.access import Role

    unknown = [one for one in given if one not in list(Role)]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(Role)}", param_hint="--role"
        )
    return [Role(one) for one in given]


def _app_context(context: typer.Context) -> AppContext:
    from scanner.web.context import AppContext

    flags: Flags = context.obj
    return AppContext(flags.settings())


def _account(app_context: AppContext, email: str) -> Account:
    account = app_context.accounts.by_email(email)
    if account is None:
        raise typer.BadParameter(
            f"no account has the address {email}; `portrait-scanner account list` lists them",
            param_hint="EMAIL",
        )
    return account
