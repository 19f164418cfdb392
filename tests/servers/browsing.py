"""A real browser on the real server: Chromium, driven by Playwright, checked by axe-core."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from scanner.settings import Settings
from scanner.web.auth.access import Role
from scanner.web.context import AppContext

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PASSWORD = "violet kettle seven lanterns"
# The longest wait for one step; a busy machine takes half a minute for an evidence bundle
PATIENCE_MS = 90_000
# A folder for a picture of every page: LOOK=folder make test
LOOK = os.environ.get("LOOK")


@contextmanager
def open_browser(*arguments: str) -> Iterator[Browser]:
    """Headless Chromium; skips the test if it is not installed."""
    found = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if found is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*quiet, *arguments])
        yield browser
        browser.close()


@dataclass
class User:
    """Somebody with an account and a browser."""

    email: str
    context: BrowserContext
    page: Page
    url: str
    totp: str | None = None

    def open(self, path: str) -> Page:
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.ok, (answer.status, path)
        return self.page


class Users:
    """Creates accounts in a home and signs their browsers in without the pages.

    The pages for signing in have tests of their own.
    """

    def __init__(self, browser: Browser, home: Path, url: str) -> None:
        self.browser, self.home, self.url = browser, home, url
        self._known: dict[str, User] = {}

    def get(self, name: str, *roles: Role, language: str = "en", **options: Any) -> User:
        """The browser of a person; the same one for the same language and screen."""
        key = f"{name} {language} {options}"
        if key not in self._known:
            email = f"{name.lower().replace(' ', '.')}@example.org"
            app_context = AppContext(Settings(home=self.home))
            account = app_context.accounts.by_email(email) or app_context.accounts.create(
                email, name, roles, PASSWORD, language
            )
            secret = app_context.sessions.begin(account, second_factor=True, agent="test browser")
            app_context.close()
            context = self.browser.new_context(
                **{"viewport": DESKTOP, "locale": language, **options}
            )
            context.set_default_timeout(PATIENCE_MS)
            context.add_cookies([{"name": "session", "value": secret, "url": self.url}])
            self._known[key] = User(email, context, context.new_page(), self.url)
        return self._known[key]

    def close(self) -> None:
        for one in self._known.values():
            one.context.close()


def code_of(secret: str) -> str:
    """The code that an authenticator app shows now."""
    return pyotp.TOTP(secret).now()


def keep_picture(page: Page, name: str) -> None:
    """Store a picture of the page if LOOK is set."""
    if LOOK:
        Path(LOOK).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{LOOK}/{name}.png", full_page=True)


def serious_faults(page: Page) -> list[str]:
    """The serious and critical faults that axe-core finds on a page."""
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {one['id']}: {node['target']} {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


__all__ = [
    "DESKTOP",
    "PASSWORD",
    "PHONE",
    "User",
    "Users",
    "code_of",
    "keep_picture",
    "open_browser",
    "serious_faults",
]
