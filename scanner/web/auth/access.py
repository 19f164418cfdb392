"""Roles, what each role may do, and the scopes of API tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    """What an account is for; an account may have several roles."""

    RIGHTS_HOLDER = "rights-holder"
    AGENT = "agent"
    REVIEWER = "reviewer"
    LEGAL = "legal"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a page or an API route requires."""

    # One's own identities, or one's clients'; each page checks which ones.
    LIKENESS = "likeness"
    CASES_READ = "cases:read"
    CASES_DECIDE = "cases:decide"
    IMAGES = "images"  # see a picture unblurred; each time is logged
    EXPORTS = "exports"
    NOTICES = "notices"
    STATEMENTS = "statements"  # statements of reasons to uploaders
    REGISTRATIONS = "registrations"
    SCANS_READ = "scans:read"
    SCANS_WRITE = "scans:write"
    CAPTURES = "captures"  # add, correct and remove captures
    TRANSPARENCY = "transparency"
    METRICS = "metrics"
    AUDIT = "audit"
    ACCOUNTS = "accounts"


ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.RIGHTS_HOLDER: frozenset({Permission.LIKENESS}),
    Role.AGENT: frozenset({Permission.LIKENESS}),
    Role.REVIEWER: frozenset(
        {
            Permission.CASES_READ,
            Permission.CASES_DECIDE,
            Permission.IMAGES,
            Permission.EXPORTS,
            Permission.SCANS_READ,
            Permission.CAPTURES,
        }
    ),
    Role.LEGAL: frozenset(
        {
            Permission.CASES_READ,
            Permission.CASES_DECIDE,
            Permission.IMAGES,
            Permission.EXPORTS,
            Permission.SCANS_READ,
            Permission.NOTICES,
            Permission.STATEMENTS,
            Permission.TRANSPARENCY,
            Permission.CAPTURES,
        }
    ),
    Role.OPERATOR: frozenset(
        {
            Permission.SCANS_READ,
            Permission.SCANS_WRITE,
            Permission.CASES_READ,
            Permission.STATEMENTS,
            Permission.REGISTRATIONS,
            Permission.TRANSPARENCY,
            Permission.METRICS,
        }
    ),
    Role.AUDITOR: frozenset(
        {
            Permission.CASES_READ,
            Permission.SCANS_READ,
            Permission.TRANSPARENCY,
            Permission.METRICS,
            Permission.AUDIT,
        }
    ),
    Role.ADMIN: frozenset(
        {Permission.ACCOUNTS, Permission.AUDIT, Permission.METRICS, Permission.TRANSPARENCY}
    ),
}


class Scope(StrEnum):
    """What an API token may be used for; it never has more permissions than its account."""

    SCANS_WRITE = "scans:write"
    SCANS_READ = "scans:read"
    CASES_READ = "cases:read"
    # Answers name the person; without this scope they contain the case id only.
    NAMES_READ = "names:read"
    STATEMENTS = "statements"
    TRANSPARENCY = "transparency"
    METRICS = "metrics"


NEEDED_FOR: Mapping[Scope, Permission] = {
    Scope.SCANS_WRITE: Permission.SCANS_WRITE,
    Scope.SCANS_READ: Permission.SCANS_READ,
    Scope.CASES_READ: Permission.CASES_READ,
    Scope.NAMES_READ: Permission.CASES_READ,
    Scope.STATEMENTS: Permission.STATEMENTS,
    Scope.TRANSPARENCY: Permission.TRANSPARENCY,
    Scope.METRICS: Permission.METRICS,
}


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """The permissions of an account with these roles."""
    return frozenset(permission for role in roles for permission in ALLOWED[role])


def scopes_for(roles: Iterable[Role]) -> tuple[Scope, ...]:
    """The scopes that an account with these roles may give to a token."""
    may = permissions_of(roles)
    return tuple(scope for scope, permission in NEEDED_FOR.items() if permission in may)
