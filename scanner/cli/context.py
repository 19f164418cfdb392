"""What a command works with: settings from its flags, and the stores and services it opens.

Each function opens one thing for the duration of a with-block. Commands open nothing themselves.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scanner.cli.output import print_warning

if TYPE_CHECKING:
    from crawlers.http.transport import Transport
    from crawlers.hubs.registry import HubRegistry
    from crawlers.sweeps.crawl_store import CrawlStore
    from face_index.vault import Vault
    from face_index.vault.logins import Login
    from scanner.captures.intake import Intake
    from scanner.captures.releases import Releases
    from scanner.casework.service import CaseService
    from scanner.factories import EnrolmentSession
    from scanner.scanning.held_files import HeldFiles
    from scanner.scanning.scan_store import ScanStore
    from scanner.scanning.session import ScanSession
    from scanner.settings import Settings
    from scanner.triage.minors import RegisteredMinors
    from scanner.web.context import AppContext


@dataclass(frozen=True, slots=True)
class Flags:
    """The global options that were given, before the command or behind it."""

    given: Mapping[str, Any] = field(default_factory=dict)
    debug: bool = False

    def joined(self, more: Mapping[str, Any]) -> Flags:
        """These flags and others; None stands for an option that was not given."""
        settings = {
            name: value
            for name, value in more.items()
            if name not in ("debug", "version") and value is not None
        }
        return Flags({**self.given, **settings}, debug=self.debug or bool(more.get("debug")))

    def settings(self, **more: Any) -> Settings:
        """Settings from these flags, a command's own options, the environment and the files.

        Raises:
            SettingsInvalid: a value is not valid, the home cannot be used, or the user has no name.
        """
        from scanner.errors import SettingsInvalid
        from scanner.settings import load_settings

        own = {name: value for name, value in more.items() if value is not None}
        try:
            settings = load_settings({**self.given, **own})
        except (KeyError, OSError) as error:
            if _has_user_name():
                raise
            raise SettingsInvalid(
                f"this system has no name for the user id {os.getuid()}; set "
                "PORTRAIT_SCANNER_OPERATOR, or operator in portrait-scanner.toml, to the name "
                "that the audit log is to hold"
            ) from error
        _check_home(settings.home)
        return settings

    def as_arguments(self) -> list[str]:
        """These flags as arguments for another process of this program."""
        given = ((name, value) for name, value in self.given.items() if value is not None)
        return [part for name, value in given for part in (f"--{name}", str(value))]


def flags_of(context: typer.Context) -> Flags:
    """The global options of a command."""
    flags: Flags = context.obj
    return flags


def settings_of(context: typer.Context, **more: Any) -> Settings:
    """A command's settings: its global options and `more`, in which None stands for not given."""
    return flags_of(context).settings(**more)


def may_be_in_home(context: typer.Context, name: str) -> bool:
    """Whether the home may hold a file of this name, as far as it shows without the settings.

    Loading them takes longer than reading a header.
    """
    from platformdirs import user_data_path

    if Path("portrait-scanner.toml").exists():
        return True
    given = flags_of(context).given.get("home") or os.environ.get("PORTRAIT_SCANNER_HOME")
    return (
        (Path(given) if given else user_data_path("portrait-scanner") / "").joinpath(name).exists()
    )


def _has_user_name() -> bool:
    try:
        return bool(getpass.getuser())
    except (ImportError, KeyError, OSError):
        return False


def _check_home(home: Path) -> None:
    """Raise SettingsInvalid where no installation can be: a mistyped --home gives one sentence."""
    from scanner.errors import SettingsInvalid

    try:
        if home.is_dir():
            return
        parent = next(folder for folder in home.absolute().parents if folder.exists())
        if not home.exists() and parent.is_dir():
            return  # commands that only read need no home
        problem = f"{home if home.exists() else parent} is a file"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    raise SettingsInvalid(f"the home {home} is no folder and cannot be made: {problem}")


def _warn_of_new_home(home: Path) -> None:
    """Warn where a store is made in a new folder; the vault has a warning of its own."""
    if not home.exists():
        print_warning(f"a new installation begins in {home}; is --home the right one?")


@contextmanager
def vault_of(settings: Settings) -> Iterator[Vault]:
    """The vault of a home."""
    from scanner.factories import open_vault

    vault = open_vault(settings)
    try:
        yield vault
    finally:
        vault.close()


@contextmanager
def enrolment_session_of(settings: Settings) -> Iterator[EnrolmentSession]:
    """The vault with a face pack, for commands that read photos."""
    from scanner.factories import open_enrolment_session

    with open_enrolment_session(settings) as session:
        yield session


@contextmanager
def case_service_of(settings: Settings) -> Iterator[CaseService]:
    """Cases, their evidence and the vault."""
    from scanner.factories import open_case_service

    with open_case_service(settings) as service:
        yield service


@contextmanager
def scan_store_of(settings: Settings) -> Iterator[ScanStore]:
    """The scans and verdicts of a home."""
    from scanner.factories import open_scan_store

    _warn_of_new_home(settings.home)
    store = open_scan_store(settings)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def scan_session_of(
    settings: Settings, *, redraw: bool = False, erase_expired: bool = True
) -> Iterator[ScanSession]:
    """Everything that a scan needs; the options are those of `open_scan_session`.

    It is closed only where the block ends well: closing waits for the workers, and after Ctrl-C
    or an error one of them may still be sampling. The process ends then, and a scan goes on from
    what its store holds.
    """
    from scanner.factories import open_scan_session

    session = open_scan_session(settings, redraw=redraw, erase_expired=erase_expired)
    yield session
    session.close()


@contextmanager
def intake_of(settings: Settings) -> Iterator[Intake]:
    """The captures of a home."""
    from scanner.factories import open_intake

    with open_intake(settings) as intake:
        yield intake


@contextmanager
def releases_of(settings: Settings, intake: Intake) -> Iterator[Releases]:
    """Captures that wait for a second person, and the decisions about them."""
    from scanner.captures.releases import Releases

    with scan_store_of(settings) as scan_store:
        yield Releases(intake.captures, scan_store.captures, intake.vault)


@dataclass(frozen=True, slots=True)
class HeldFilesSession:
    """Files that name a registered minor, with what a command needs to list and decide.

    Attributes:
        login: of whoever runs the command; empty where one login may decide twice.
    """

    held: HeldFiles
    minors: RegisteredMinors
    vault: Vault
    login: Login


@contextmanager
def held_files_of(settings: Settings) -> Iterator[HeldFilesSession]:
    """The files of a home that are never sampled because they name a registered minor."""
    from scanner.clock import utc_now
    from scanner.scanning.held_files import HeldFiles
    from scanner.triage.minors import RegisteredMinors

    with vault_of(settings) as vault, scan_store_of(settings) as scan_store:
        minors = RegisteredMinors(vault, utc_now)
        login = vault.audit.login if settings.two_people else ()
        yield HeldFilesSession(HeldFiles(scan_store.held, vault), minors, vault, login)


@dataclass(frozen=True, slots=True)
class CrawlSession:
    """What a crawling command works with."""

    settings: Settings
    transport: Transport
    hubs: HubRegistry
    store: CrawlStore


@contextmanager
def crawl_session_of(settings: Settings, targets: Iterable[str]) -> Iterator[CrawlSession]:
    """The crawl store, the HTTP client and the hubs; hosts that the user typed are allowed."""
    from crawlers.sweeps.crawl_store import CrawlStore
    from scanner.factories.network import allow_typed, open_hubs, open_transport

    _warn_of_new_home(settings.home)
    transport, store = open_transport(settings), CrawlStore(settings.crawl_path)
    allow_typed(transport, targets)
    try:
        yield CrawlSession(settings, transport, open_hubs(settings, transport), store)
    finally:
        transport.close()
        store.close()


@contextmanager
def app_context_of(settings: Settings) -> Iterator[AppContext]:
    """The accounts and stores of the web app."""
    from scanner.web.context import AppContext

    app_context = AppContext(settings)
    try:
        yield app_context
    finally:
        app_context.close()


def this_program(flags: Flags) -> list[str]:
    """The command that starts this program again with the same global options."""
    return [sys.executable, "-m", "scanner.cli.app", *flags.as_arguments()]
