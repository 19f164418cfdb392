"""`account`: who may use the pages and the API, and with which tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.commands import CommandGroup
from scanner.cli.context import app_context_of, settings_of, vault_of
from scanner.cli.options import AfterOption, JsonFlag, LimitOption, date_from, page_size
from scanner.cli.output import print_json, print_line, print_page_end, print_table

if TYPE_CHECKING:
    from scanner.web.auth.access import Role, Scope
    from scanner.web.auth.accounts import Account
    from scanner.web.context import AppContext

TOKEN_DAYS = 90
_NO_TOKEN = {"token_id": "", "name": "", "scopes": [], "expires_on": "", "used_at": ""}

group = CommandGroup("Who may use the pages and the API, and with which tokens.")
EmailArgument = Annotated[
    str, typer.Argument(help="The account's e-mail address.", metavar="EMAIL")
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the group `account` to a panel."""
    app.add_typer(group, name="account", rich_help_panel=panel)


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
    with app_context_of(settings_of(context)) as app_context:
        account = app_context.accounts.create(email, name, _roles(role), None)
    if as_json:
        print_json({"email": account.email, "roles": list(account.roles)})
    else:
        print_line(
            f"Added {account.email}. Make a token: portrait-scanner account token "
            f"{account.email} --name NAME --scope scans:write"
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
    """Make a link that opens an account or resets a password.

    The link is valid for a week and can be used once.
    """
    settings, roles, identity_id = settings_of(context), _roles(role), None
    with app_context_of(settings) as app_context:
        if identity is not None:
            with vault_of(settings) as vault:
                identity_id = vault.people.find(identity).identity_id
        secret = app_context.invitations.create(email, roles, settings.operator, identity_id)
    link = f"{settings.web.url}/invitation/{secret}"
    if as_json:
        print_json({"link": link})
        return
    typer.echo(link)
    typer.echo(
        f"Give it to {email}; it is valid for a week and can be used once. It begins with url in "
        f"[web] of portrait-scanner.toml ({settings.web.url}): where the pages are served "
        "elsewhere, set that first.",
        err=True,
    )


@group.command("list")
def list_accounts(
    context: typer.Context,
    words: Annotated[str, typer.Option("--search", help="A part of the name or address.")] = "",
    after: AfterOption = None,
    limit: LimitOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List accounts and their tokens."""
    size = page_size(limit, as_json=as_json) or -1
    with app_context_of(settings_of(context)) as app_context:
        accounts = app_context.accounts
        found, total = accounts.page(words, after=after or "", limit=size), accounts.count(words)
        documents = [_document(app_context, account) for account in found]
    if as_json:
        print_json({"accounts": documents, "total": total})
        return
    print_table(
        ("account", "roles", "token", "scopes", "until", "last used"),
        [
            (
                document["email"],
                " ".join(document["roles"]),
                f"{token['token_id']} {token['name']}",
                " ".join(token["scopes"]),
                str(token["expires_on"]),
                str(token["used_at"] or ""),
            )
            for document in documents
            for token in document["tokens"] or [_NO_TOKEN]
        ],
    )
    if len(found) == size:
        print_page_end(len(found), total, f"--after {found[-1].email}")


def _document(app_context: AppContext, account: Account) -> dict[str, Any]:
    return {
        "email": account.email,
        "name": account.name,
        "roles": list(account.roles),
        "disabled": account.disabled,
        "tokens": [
            {
                "token_id": token.token_id,
                "name": token.name,
                "scopes": list(token.scopes),
                "expires_on": token.expires_on,
                "used_at": token.used_at,
            }
            for token in app_context.tokens.of_account(account.account_id)
        ],
    }


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
    """Make an API token and show it once.

    Only the hash of the token is kept.
    """
    scopes = _scopes(scope)
    with app_context_of(settings_of(context)) as app_context:
        account = _account(app_context, email)
        default_day = app_context.clock().date() + timedelta(days=TOKEN_DAYS)
        last_day = date_from(expires, "--expires") if expires else default_day
        secret = app_context.tokens.issue(account, name, scopes, last_day)
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
    with app_context_of(settings_of(context)) as app_context:
        app_context.tokens.revoke(_account(app_context, email).account_id, token_id)
    print_line(f"Token {token_id} has ended.")


@group.command("disable")
def disable(context: typer.Context, email: EmailArgument) -> None:
    """Refuse an account and all its tokens from now on."""
    with app_context_of(settings_of(context)) as app_context:
        account = _account(app_context, email)
        app_context.accounts.set_disabled(account.account_id, disabled=True)
    print_line(f"{email} is disabled.")


def _roles(given: list[str]) -> list[Role]:
    from scanner.web.auth.access import Role

    unknown = [name for name in given if name not in list(Role)]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(Role)}", param_hint="--role"
        )
    return [Role(name) for name in given]


def _scopes(given: list[str]) -> list[Scope]:
    from scanner.web.auth.access import Scope

    unknown = [name for name in given if name not in list(Scope)]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(Scope)}", param_hint="--scope"
        )
    return [Scope(name) for name in given]


def _account(app_context: AppContext, email: str) -> Account:
    account = app_context.accounts.by_email(email)
    if account is None:
        raise typer.BadParameter(
            f"no account has the address {email}; `portrait-scanner account list` lists them",
            param_hint="EMAIL",
        )
    return account
