"""Settings: flags over environment over portrait-scanner.toml over defaults, read once at the door."""

from __future__ import annotations

import getpass
import json
import logging
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_data_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from scanner.errors import SettingsInvalid

log = logging.getLogger(__name__)

FILE_NAME = "portrait-scanner.toml"
_ENVIRONMENT = "PORTRAIT_SCANNER_"
# Settings of earlier releases. They have no effect, and a file that names them is still read.
REMOVED = frozenset({"compile_models"})

_HOST = re.compile(r"[\w.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?")


def _hosts(value: Any) -> Any:
    """A list of hosts, from the environment also as `one, other`."""
    hosts = value
    if isinstance(value, str):
        hosts = (
            json.loads(value)
            if value.strip().startswith("[")
            else [one.strip() for one in value.split(",") if one.strip()]
        )
    odd = (
        [one for one in hosts if not isinstance(one, str) or not _HOST.fullmatch(one)]
        if isinstance(hosts, list | tuple)
        else [hosts]
    )
    if odd:
        # An address may hold a password: it is not repeated.
        shown = "one of them" if "@" in str(odd[0]) else repr(odd[0])
        raise ValueError(f"{shown} is no host; write host or host:port")
    return hosts


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]


class TimestampAuthority(BaseModel):
    """Where trusted time is asked for (RFC 3161); `certificates` is a PEM file of its root and what lies between."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    url: str = Field(pattern=r"^https?://")
    certificates: Path | None = None


class OpenIdProvider(BaseModel):
    """Where staff sign in with their organisation's account (OpenID Connect); found by `issuer`'s discovery document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    issuer: str = Field(pattern=r"^https?://")
    client_id: str
    client_secret: SecretStr


class WebSettings(BaseModel):
    """The web app: the [web] table, in the environment PORTRAIT_SCANNER_WEB__URL and so on.

    Attributes:
        url: as people reach it; links in answers begin with it; https turns on HSTS.
        hub_name: what the uploads of the gate are listed under; licences name it.
        max_upload_mb: of one file; more is answered with 413.
        upload_slots: uploads that are read at a time; others wait for `upload_wait_s`, then are told to come again.
        upload_budget_gb: of files that wait for the worker; beyond it the gate answers 503.
        most_waiting_jobs: beyond it the gate answers 503.
        requests_per_minute: of one API token.
        retention_days: how long ended scans are kept.
        open_sign_up: rights holders may open an account themselves, by a link that is mailed to them; needs smtp_url.
        smtp_url: smtps://user:password@host or smtp://host:587 (STARTTLS where offered); without it nobody is mailed.
        mail_from: the sender of mails.
        scan_roots: folders and buckets (s3://bucket) that operators may have scanned from the web; no other can be named.
        trusted_proxies: addresses whose X-Forwarded-For is believed; by default 127.0.0.1 where `url` is https, since a proxy must
            stand there, and none otherwise.
        case_webhook: where every new case is posted, signed with webhook_secret: its id, outcome and page; nobody's name.
        oidc: an OpenID provider; accounts are found by verified address and must exist.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field("http://127.0.0.1:8420", pattern=r"^https?://[^/]+$")
    hub_name: str = Field("upload", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    max_upload_mb: int = Field(4096, ge=1)
    upload_slots: int = Field(8, ge=1)
    upload_wait_s: float = Field(60.0, ge=0)
    upload_budget_gb: float = Field(20.0, gt=0)
    most_waiting_jobs: int = Field(10_000, ge=1)
    requests_per_minute: int = Field(6_000, ge=1)
    retention_days: int = Field(90, ge=1)
    open_sign_up: bool = False
    smtp_url: SecretStr | None = Field(None)
    mail_from: str = "portrait-scanner <noreply@localhost>"
    scan_roots: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] | None = None
    case_webhook: str | None = Field(None, pattern=r"^https?://")
    oidc: OpenIdProvider | None = None

    @field_validator("smtp_url")
    @classmethod
    def _names_a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                place = urlsplit(value.get_secret_value())
                sound = (
                    place.scheme in ("smtp", "smtps")
                    and bool(place.hostname)
                    and (place.port or 1) > 0
                )
            except ValueError:  # the address may hold a password: it is not repeated
                sound = False
            if not sound:
                raise ValueError("write smtps://user:password@host or smtp://host:587")
        return value

    @model_validator(mode="after")
    def _mails_where_they_are_needed(self) -> Self:
        if self.open_sign_up and self.smtp_url is None:
            raise ValueError("open_sign_up mails links: set smtp_url too")
        return self

    @property
    def secure(self) -> bool:
        return self.url.startswith("https://")

    @property
    def proxies(self) -> tuple[str, ...]:
        if self.trusted_proxies is not None:
            return self.trusted_proxies
        return ("127.0.0.1",) if self.secure else ()


_TOKEN_VARIABLE = re.compile(r"portrait_scanner_([a-z0-9]+(?:_[a-z0-9]+)*_token)", re.IGNORECASE)


def _environment_tokens() -> dict[str, Any]:
    """Every variable of the form PORTRAIT_SCANNER_CIVITAI_TOKEN, under its setting's name."""
    found = ((_TOKEN_VARIABLE.fullmatch(name), value) for name, value in os.environ.items())
    return {match[1].lower(): value for match, value in found if match}


class HubTokenSource(PydanticBaseSettingsSource):
    """Another source of settings, with its hub tokens gathered in the mapping `tokens`.

    `civitai_token = "..."` becomes `tokens = {"civitai_token": "..."}`. So a hub needs no field of
    its own, and a token that belongs to no hub is refused.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], source: Callable[[], dict[str, Any]]
    ) -> None:
        super().__init__(settings_cls)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # __call__ is overridden, which alone would need it

    def __call__(self) -> dict[str, Any]:
        values = dict(self._source())
        tokens = {name: values.pop(name) for name in list(values) if name.endswith("_token")}
        return {**values, "tokens": {**values.get("tokens", {}), **tokens}} if tokens else values


class Settings(BaseSettings):
    """Everything that can be set; environment names start with PORTRAIT_SCANNER_."""

    model_config = SettingsConfigDict(
        env_prefix=_ENVIRONMENT, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    home: Path = Field(default_factory=lambda: user_data_path("portrait-scanner"))
    cache: Path = Field(default_factory=lambda: user_cache_path("portrait-scanner"))
    face_pack: str = "auraface"
    base_model: str | None = None
    image_check: str | None = None
    batch: int | None = Field(None, ge=1, le=256)
    ray: str | None = None
    use: Literal["commercial", "research"] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    fpir: float = Field(0.001, gt=0, lt=0.5)
    possible_fpir: float = Field(0.02, gt=0, lt=0.5)
    tokens: Mapping[str, SecretStr] = Field(default_factory=dict)  # gathered by HubTokenSource
    hub_tokens: Literal["environment", "keyring"] = "environment"
    allowed_hosts: Hosts = ()
    robots_exempt: Hosts = ()
    requests_per_second: float = Field(2.0, ge=0, allow_inf_nan=False)
    workers: int = Field(4, ge=1, le=64)
    contact: str | None = Field(None, max_length=200, pattern=r"^[\x20-\x7e]+$")
    webhook_secret: SecretStr | None = None
    master_key: SecretStr | None = None
    next_master_key: SecretStr | None = None
    key_store: Literal["file", "keyring"] = "file"
    operator: str = Field(default_factory=getpass.getuser)
    gallery_index: Literal["exact", "half", "approximate"] = "exact"
    four_eyes: bool = False
    two_people: bool = True  # False where somebody works alone: one login may submit and approve, and the audit log says so
    timestamp_authorities: tuple[TimestampAuthority, ...] = ()
    searches_per_day: int = Field(200, ge=1)
    checkpoint_budget_gb: float = Field(20.0, gt=0, allow_inf_nan=False)
    web: WebSettings = Field(default_factory=lambda: WebSettings.model_validate({}))

    @field_validator("tokens")
    @classmethod
    def _belong_to_hubs(cls, value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        if value:
            from crawlers.hubs.registry import REMOTE_HUBS

            known = [hub.token_setting for hub in REMOTE_HUBS.values()]
            if unknown := sorted(set(value) - set(known)):
                raise ValueError(
                    f"{', '.join(unknown)} belongs to no hub; known are {', '.join(known)}"
                )
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.web.case_webhook is not None and self.webhook_secret is None:
            raise ValueError(
                "web.case_webhook needs webhook_secret, so that whoever receives can check who posts; set "
                "PORTRAIT_SCANNER_WEBHOOK_SECRET"
            )
        if self.possible_fpir < self.fpir:
            raise ValueError(
                f"possible_fpir ({self.possible_fpir}) is smaller than fpir ({self.fpir})"
            )
        if self.next_master_key is not None and self.master_key is None:
            raise ValueError("next_master_key is for a rotation of master_key, which is not set")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  nor secret files
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = (init_settings, _environment_tokens, env_settings)
        return tuple(HubTokenSource(settings_cls, source) for source in sources)

    @property
    def vault_path(self) -> Path:
        return self.home / "vault" / "vault.db"

    @property
    def key_path(self) -> Path:
        return self.home / "vault" / "master.key"

    @property
    def backups_path(self) -> Path:
        return self.home / "vault" / "backups"

    @property
    def receipts_path(self) -> Path:
        """Where erasures are written down apart from the vault, so that an older copy of its folder is noticed."""
        return self.home / "erasures"

    @property
    def calibrations_path(self) -> Path:
        return self.home / "calibrations"

    @property
    def base_models_path(self) -> Path:
        return self.home / "base_models"

    @property
    def crawl_path(self) -> Path:
        return self.home / "crawl.db"

    @property
    def scans_path(self) -> Path:
        return self.home / "scans.db"

    @property
    def cases_path(self) -> Path:
        return self.home / "cases.db"

    @property
    def evidence_path(self) -> Path:
        return self.home / "evidence"

    @property
    def web_path(self) -> Path:
        return self.home / "web" / "web.db"

    @property
    def web_key_path(self) -> Path:
        return self.home / "web" / "web.key"

    @property
    def uploads_path(self) -> Path:
        return self.home / "web" / "uploads"

    @property
    def captures_path(self) -> Path:
        return self.home / "captures"

    @property
    def checkpoints_path(self) -> Path:
        return self.home / "checkpoints"

    @property
    def reports_path(self) -> Path:
        return self.home / "reports"


def load_settings(flags: dict[str, Any]) -> Settings:
    """Settings from all sources; flags that are None were not given.

    portrait-scanner.toml is taken from the working folder, then from the home folder.

    Raises:
        SettingsInvalid: a value or a file is not valid; the message names it.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        home = _settings_from(given, [Path(FILE_NAME)]).home
        settings = _settings_from(given, [Path(FILE_NAME), home / FILE_NAME])
        _must_keep_two_people(settings)
        _warn_of_removed([Path(FILE_NAME), home / FILE_NAME])
        return settings
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsInvalid(f"settings are not valid: {problems}") from error
    except ValueError as error:
        raise SettingsInvalid(f"{FILE_NAME} cannot be read: {error}") from error


def _must_keep_two_people(settings: Settings) -> None:
    """Refuse what a command's environment or folder says against a rule that needs two people: the home's own file decides.

    Raises:
        SettingsInvalid: it was turned off elsewhere.
    """
    # The file beside the vault itself: a folder of links with a file of its own decides nothing.
    file = settings.vault_path.resolve().parent.parent / FILE_NAME
    told = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    for name, off in (
        ("two_people", told.get("two_people") is False),
        ("four_eyes", told.get("four_eyes") is not True),
    ):
        if not getattr(settings, name) and not off:
            raise SettingsInvalid(
                f"{name} can be turned off in {file} only: whoever may change that file decides it for all"
            )
    most = int(told.get("searches_per_day", Settings.model_fields["searches_per_day"].default))
    if settings.searches_per_day > most:
        raise SettingsInvalid(
            f"searches_per_day is {most}; more can be allowed in {file} only: whoever may change that file decides it for all"
        )


def _warn_of_removed(files: list[Path]) -> None:
    """Log where a setting is still named that has no effect any more."""
    for file in dict.fromkeys(file.resolve() for file in files):
        named = REMOVED & tomllib.loads(file.read_text("utf-8")).keys() if file.exists() else ()
        for name in sorted(named):
            log.warning("%s in %s has no effect any more; delete the line", name, file)
    for name in sorted(REMOVED):
        variable = _ENVIRONMENT + name.upper()
        if variable in os.environ:
            log.warning("the environment variable %s has no effect any more", variable)


class _TomlFile(TomlConfigSettingsSource):
    """A settings file without the settings that were removed."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if name not in REMOVED}


def _settings_from(given: dict[str, Any], files: list[Path]) -> Settings:
    class FromFiles(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: Any, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            in_files = (_TomlFile(settings_cls, file) for file in files)
            return (
                *super().settings_customise_sources(settings_cls, *sources, **named),
                *(HubTokenSource(settings_cls, source) for source in in_files),
            )

    return FromFiles(**given)
