"""Signing in with an organisation's account (OpenID Connect, code flow with PKCE).

Nobody gets an account this way: the provider says who somebody is, an invitation says what they
may do. The subject is bound to the account at the first sign-in, which needs a verified address.
"""

from __future__ import annotations

from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, Request, Response
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool

from scanner.settings import OpenIdProvider
from scanner.web.auth.accounts import Account
from scanner.web.context import AppContext
from scanner.web.dependencies import app_context_of
from scanner.web.errors import NotThere, OpenIdRefused
from scanner.web.views.signing_in import start_session

router = APIRouter(include_in_schema=False, prefix="/sign-in/openid")
# Authentication methods (RFC 8176) that are a second factor or stronger.
_SECOND_FACTORS = frozenset({"mfa", "otp", "hwk", "sms", "fpt", "face", "iris", "swk"})


@router.get("")
async def send_on(request: Request) -> Response:
    """Redirect to the provider, with state and nonce in a signed cookie of ten minutes."""
    context = app_context_of(request)
    try:
        response: Response = await _client(context).authorize_redirect(
            request, f"{context.settings.web.url}/sign-in/openid/back"
        )
    except (AuthlibBaseError, OSError, ValueError) as error:
        raise OpenIdRefused("no-answer") from error
    return response


@router.get("/back")
async def come_back(request: Request) -> Response:
    """Check the provider's answer, and sign in the account that it names."""
    context = app_context_of(request)
    context.rate_limiter.check(20, "openid", request.client.host if request.client else "")
    try:
        tokens = await _client(context).authorize_access_token(request)
        claims: dict[str, Any] = dict(tokens["userinfo"])
    except (AuthlibBaseError, JoseError, OSError, ValueError, KeyError) as error:
        raise OpenIdRefused("no-answer") from error
    request.session.clear()
    account = await run_in_threadpool(_account_of, context, claims)
    has_second_factor = bool(_SECOND_FACTORS & {str(one) for one in claims.get("amr") or ()})
    return await run_in_threadpool(_admitted, request, context, account, has_second_factor)


def _admitted(
    request: Request, context: AppContext, account: Account, second_factor: bool
) -> Response:
    return start_session(request, context, account, second_factor=second_factor, next_path="")


def _account_of(context: AppContext, claims: dict[str, Any]) -> Account:
    email = str(claims.get("email") or "") if claims.get("email_verified") is True else None
    account = context.accounts.by_openid(f"{claims['iss']} {claims['sub']}", email)
    if account is None or account.disabled:
        raise OpenIdRefused("nobody")
    return account


def _client(context: AppContext) -> Any:
    provider = context.settings.web.oidc
    if provider is None:
        raise NotThere("no OpenID provider is set up")
    if context.openid_client is None:
        context.openid_client = _registered(provider)
    return context.openid_client


def _registered(provider: OpenIdProvider) -> Any:
    registry = OAuth()
    return registry.register(
        "provider",
        client_id=provider.client_id,
        client_secret=provider.client_secret.get_secret_value(),
        server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid email profile",
            "code_challenge_method": "S256",
            "timeout": 10.0,
        },
    )
