"""Accounts, sessions, tokens and invitations: what signs somebody in, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path

import pyotp
import pytest
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po

from scanner.web.auth.access import Role, Scope
from scanner.web.auth.accounts import STAFF, Account, Accounts
from scanner.web.auth.invitations import Invitations
from scanner.web.auth.lockout import FAILURES_UNTIL_LOCKED, LOCKED_S
from scanner.web.auth.second_factors import SecondFactors
from scanner.web.auth.sessions import IDLE_S, Sessions
from scanner.web.auth.tokens import Tokens
from scanner.web.errors import AccountRefused, LinkExpired, NotThere, PasswordRefused
from scanner.web.store import WebStore, web_key
from tests.conftest import NOON

PASSWORD = "correct horse battery staple"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web_store(tmp_path: Path) -> Iterator[WebStore]:
    opened = WebStore(tmp_path / "web" / "web.db")
    yield opened
    opened.close()


@pytest.fixture
def accounts(web_store: WebStore, clock: Clock) -> Accounts:
    return Accounts(web_store, clock)


@pytest.fixture
def factors(web_store: WebStore, accounts: Accounts, tmp_path: Path, clock: Clock) -> SecondFactors:
    return SecondFactors(web_store, web_key(tmp_path / "web" / "web.key"), clock, accounts.lockout)


@pytest.fixture
def sessions(web_store: WebStore, accounts: Accounts, clock: Clock) -> Sessions:
    return Sessions(web_store, accounts, clock)


@pytest.fixture
def tokens(web_store: WebStore, accounts: Accounts, clock: Clock) -> Tokens:
    return Tokens(web_store, accounts, clock)


@pytest.fixture
def invitations(web_store: WebStore, accounts: Accounts, clock: Clock) -> Invitations:
    return Invitations(web_store, accounts, clock)


@pytest.fixture
def ann(accounts: Accounts) -> Account:
    return accounts.create("Ann@Hub.example", "Ann", [Role.OPERATOR], PASSWORD)


def test_every_sentence_of_the_pages_is_translated() -> None:
    folder = Path(str(resources.files("scanner.web")))
    methods = [("templates/**.html", "jinja2"), ("**.py", "python")]
    keywords = {**DEFAULT_KEYWORDS, "t": None, "translate": None}
    options = {"templates/**.html": {"newstyle_gettext": "true"}}
    found = {
        message[2] if isinstance(message[2], str) else message[2][0]
        for message in extract_from_dir(folder, methods, options, keywords)
    }
    with (folder / "locales/zh_CN/LC_MESSAGES/web.po").open("rb") as stream:
        catalogue = {
            message.id if isinstance(message.id, str) else message.id[0]: message.string
            for message in read_po(stream)
            if message.id
        }
    assert len(found) > 300
    assert found - {told for told, chinese in catalogue.items() if chinese} == set()
    assert set(catalogue) - found == set()


class TestPasswords:
    def test_the_right_one_lets_in_and_no_other(self, accounts: Accounts, ann: Account) -> None:
        assert accounts.authenticate(" ANN@hub.example", PASSWORD) == ann
        assert accounts.authenticate("ann@hub.example", PASSWORD + "x") is None
        assert accounts.authenticate("bob@hub.example", PASSWORD) is None

    @pytest.mark.parametrize(
        ("password", "why"),
        [
            ("short", "short"),
            ("a" * 20, "guessed"),
            ("x1" * 200, "long"),
            ("ann@hub.example", "guessed"),
        ],
    )
    def test_bad_ones_are_refused(
        self, accounts: Accounts, ann: Account, password: str, why: str
    ) -> None:
        with pytest.raises(PasswordRefused) as caught:
            accounts.set_password(ann.account_id, password)
        assert caught.value.why == why

    def test_guessing_locks_for_a_while_even_the_right_one(
        self, accounts: Accounts, ann: Account, clock: Clock
    ) -> None:
        for _ in range(FAILURES_UNTIL_LOCKED):
            accounts.authenticate(ann.email, "a wrong password")
        assert accounts.authenticate(ann.email, PASSWORD) is None
        clock.now += timedelta(seconds=LOCKED_S + 1)
        assert accounts.authenticate(ann.email, PASSWORD)

    def test_a_strangers_wrong_tries_do_not_keep_the_owners_browser_out(
        self, accounts: Accounts, ann: Account
    ) -> None:
        device = accounts.lockout.trust(ann.account_id, "")
        for _ in range(FAILURES_UNTIL_LOCKED):
            accounts.authenticate(ann.email, "a wrong password")
        assert accounts.authenticate(ann.email, PASSWORD) is None
        assert accounts.authenticate(ann.email, PASSWORD, device)
        # Nor may that browser, or one of another account, guess without a limit.
        for _ in range(FAILURES_UNTIL_LOCKED):
            accounts.authenticate(ann.email, "a wrong password", device)
        assert accounts.authenticate(ann.email, PASSWORD, device) is None
        bob = accounts.create("bob@hub.example", "Bob", [Role.OPERATOR], PASSWORD)
        assert (
            accounts.authenticate(ann.email, PASSWORD, accounts.lockout.trust(bob.account_id, ""))
            is None
        )

    def test_an_account_has_five_known_browsers_at_most(
        self, accounts: Accounts, ann: Account, web_store: WebStore, clock: Clock
    ) -> None:
        devices = []
        for _ in range(8):
            devices.append(accounts.lockout.trust(ann.account_id, ""))
            clock.now += timedelta(seconds=1)
        assert web_store.db.table("devices").count == 5
        assert accounts.lockout.trust(ann.account_id, devices[-1]) == devices[-1]

    def test_nothing_of_it_is_stored(self, ann: Account, web_store: WebStore) -> None:
        [row] = web_store.db.table("accounts").rows
        assert row["password"].startswith("$argon2id$")
        assert PASSWORD not in str(row)


class TestSecondFactor:
    def test_a_code_counts_once(
        self, accounts: Accounts, factors: SecondFactors, ann: Account
    ) -> None:
        code = pyotp.TOTP(factors.begin(ann.account_id)).at(NOON)
        assert factors.confirm(ann.account_id, code)
        assert not factors.check(ann.account_id, code)
        assert accounts.get(ann.account_id).totp_on

    def test_it_cannot_be_replaced_while_it_is_on(
        self, factors: SecondFactors, ann: Account
    ) -> None:
        factors.confirm(ann.account_id, pyotp.TOTP(factors.begin(ann.account_id)).at(NOON))
        with pytest.raises(AccountRefused):
            factors.begin(ann.account_id)

    def test_a_recovery_code_lets_in_once(
        self, factors: SecondFactors, ann: Account, web_store: WebStore
    ) -> None:
        factors.confirm(ann.account_id, pyotp.TOTP(factors.begin(ann.account_id)).at(NOON))
        first, second, *_ = factors.new_recovery_codes(ann.account_id)
        assert first not in str(list(web_store.db.table("recovery_codes").rows))
        assert factors.check(ann.account_id, f" {first.lower().replace('-', ' ')} ")
        assert not factors.check(ann.account_id, first)
        newer = factors.new_recovery_codes(ann.account_id)
        assert not factors.check(ann.account_id, second)
        factors.remove(ann.account_id)
        assert not factors.check(ann.account_id, newer[0])

    def test_its_secret_is_sealed(
        self, factors: SecondFactors, ann: Account, web_store: WebStore
    ) -> None:
        secret = factors.begin(ann.account_id)
        [row] = web_store.db.table("accounts").rows
        assert secret.encode() not in row["totp"]


class TestInvitations:
    def test_one_opens_one_account_once(self, invitations: Invitations, accounts: Accounts) -> None:
        secret = invitations.create("eve@law.example", [Role.LEGAL], "Ann", identity_id="id-1")
        account = invitations.accept(secret, "Eve", PASSWORD)
        assert account.roles == (Role.LEGAL,)
        assert accounts.identities_of(account.account_id) == {"id-1": "self"}
        with pytest.raises(LinkExpired):
            invitations.accept(secret, "Eve", PASSWORD)

    def test_an_old_one_is_refused(self, invitations: Invitations, clock: Clock) -> None:
        secret = invitations.create("eve@law.example", [Role.LEGAL], "Ann")
        clock.now += timedelta(days=8)
        with pytest.raises(LinkExpired):
            invitations.accept(secret, "Eve", PASSWORD)

    def test_a_new_password_ends_what_let_in_before(
        self, invitations: Invitations, tokens: Tokens, sessions: Sessions, ann: Account
    ) -> None:
        before = sessions.begin(ann, second_factor=True)
        token = tokens.issue(ann, "gate", [Scope.SCANS_WRITE], date(2027, 1, 1))
        invitations.accept(
            invitations.create(ann.email, ann.roles, "Ann"), "", "another long passphrase"
        )
        assert sessions.session(before) is None
        assert tokens.find(token) is None

    def test_a_link_from_before_an_account_was_made_changes_it_no_more(
        self, invitations: Invitations, accounts: Accounts
    ) -> None:
        secret = invitations.create("eve@law.example", [Role.LEGAL], "Ann")
        accounts.create("eve@law.example", "Eve", [Role.LEGAL], None)
        with pytest.raises(LinkExpired):
            invitations.accept(secret, "Eve", PASSWORD)

    def test_two_of_the_staff_have_two_names(self, accounts: Accounts, ann: Account) -> None:
        with pytest.raises(AccountRefused, match="name-taken"):
            accounts.create("other@hub.example", "ＡＮＮ", [Role.REVIEWER], PASSWORD)
        holder = accounts.create("holder@hub.example", "Ann", [Role.RIGHTS_HOLDER], PASSWORD)
        with pytest.raises(AccountRefused, match="name-taken"):
            accounts.set_roles(holder.account_id, [Role.RIGHTS_HOLDER, Role.REVIEWER])
        accounts.set_roles(ann.account_id, [Role.ADMIN])


class TestSessions:
    def test_they_end_when_idle_revoked_or_disabled(
        self, accounts: Accounts, sessions: Sessions, ann: Account, clock: Clock
    ) -> None:
        one, other, third = (sessions.begin(ann, second_factor=True) for _ in range(3))
        known = sessions.session(one)
        assert known is not None
        sessions.end(ann.account_id, known.session_id)
        assert sessions.session(one) is None
        assert sessions.session(other) is not None
        accounts.set_disabled(ann.account_id, disabled=True)
        assert sessions.session(other) is None
        accounts.set_disabled(ann.account_id, disabled=False)
        clock.now += timedelta(seconds=IDLE_S + 1)
        assert sessions.session(third) is None

    def test_their_secret_is_not_stored(
        self, sessions: Sessions, ann: Account, web_store: WebStore
    ) -> None:
        secret = sessions.begin(ann, second_factor=True)
        assert secret not in str(list(web_store.db.table("sessions").rows))


class TestTokens:
    def test_one_has_its_scopes_until_its_last_day(
        self, tokens: Tokens, ann: Account, clock: Clock
    ) -> None:
        secret = tokens.issue(ann, "gate", [Scope.SCANS_READ], date(2026, 11, 24))
        token = tokens.find(secret)
        assert token is not None
        assert token.scopes == (Scope.SCANS_READ,)
        clock.now += timedelta(days=2)
        assert tokens.find(secret) is None

    def test_it_never_has_more_than_its_account(
        self, tokens: Tokens, accounts: Accounts, ann: Account
    ) -> None:
        with pytest.raises(AccountRefused):
            tokens.issue(
                accounts.create("r@x.example", "R", [Role.REVIEWER], None),
                "x",
                [Scope.SCANS_WRITE],
                date(2026, 12, 1),
            )
        secret = tokens.issue(ann, "gate", [Scope.SCANS_WRITE, Scope.SCANS_READ], date(2026, 12, 1))
        accounts.set_roles(ann.account_id, [Role.AUDITOR])
        token = tokens.find(secret)
        assert token is not None
        assert token.scopes == (Scope.SCANS_READ,)

    def test_it_can_be_revoked_by_its_account_only(
        self, tokens: Tokens, accounts: Accounts, ann: Account
    ) -> None:
        secret = tokens.issue(ann, "gate", [Scope.SCANS_READ], date(2026, 12, 1))
        [token] = tokens.of_account(ann.account_id)
        bob = accounts.create("bob@x.example", "Bob", [Role.OPERATOR], None)
        with pytest.raises(NotThere):
            tokens.revoke(bob.account_id, token.token_id)
        tokens.revoke(ann.account_id, token.token_id)
        assert tokens.find(secret) is None


class TestLists:
    def test_pages_go_on_after_an_address(self, accounts: Accounts) -> None:
        made = [
            accounts.create(
                f"{number:03d}@hub.example", f"Ötzi {number}", [Role.RIGHTS_HOLDER], None
            )
            for number in range(7)
        ]
        pages = [accounts.page(limit=3)]
        while page := accounts.page(after=pages[-1][-1].email, limit=3):
            pages.append(page)
        assert [account for page in pages for account in page] == made
        assert [len(page) for page in pages] == [3, 3, 1]
        assert accounts.count() == 7

    def test_words_are_found_in_names_and_addresses(self, accounts: Accounts) -> None:
        umlaut = accounts.create("a@hub.example", "ÖTZI", [Role.AGENT], None)
        other = accounts.create("oetzi@hub.example", "Ann", [Role.AGENT], None)
        assert accounts.page("ötzi") == [umlaut]
        assert accounts.page("OETZI") == [other]
        assert (accounts.count("hub"), accounts.count("nobody"), accounts.count("\0")) == (2, 0, 2)

    def test_staff_is_whoever_has_a_role_of_staff(self, accounts: Accounts) -> None:
        accounts.create("a@hub.example", "A", [Role.RIGHTS_HOLDER, Role.AGENT], None)
        for role in STAFF:
            accounts.create(f"{role}@hub.example", role, [Role.RIGHTS_HOLDER, role], None)
        assert [account.name for account in accounts.staff()] == sorted(STAFF)
