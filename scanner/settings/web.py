"""Settings of the web app: the [web] table."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)


class OpenIdProvider(BaseModel):
    """An OpenID Connect provider with which staff sign in; configured by its discovery document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    issuer: str = Field(pattern=r"^https?://")
    client_id: str
    client_secret: SecretStr


class WebSettings(BaseModel):
    """The web app: the [web] table, in the environment PORTRAIT_SCANNER_WEB__URL and so on.

    Attributes:
        url: the public address; links in answers begin with it, and https turns on HSTS.
        hub_name: hub name of the gate's uploads in listings and licences.
        max_upload_mb: size limit of one file; larger files are answered with 413.
        upload_slots: uploads that are read at a time. Others wait for `upload_wait_s` and are then
            asked to try again.
        upload_budget_gb: total size of files that wait for the worker; beyond it the gate answers
            503.
        most_waiting_jobs: number of waiting jobs beyond which the gate answers 503.
        requests_per_minute: limit for one API token.
        retention_days: how long ended scans are kept.
        open_sign_up: rights holders may open an account themselves with a link that is mailed to
            them; needs smtp_url.
        smtp_url: smtps://user:password@host, or smtp://host:587 with STARTTLS if the server offers
            it; without it no mail is sent.
        mail_from: the sender of mails.
        scan_roots: folders and buckets (s3://bucket) that operators may scan from the web app.
        trusted_proxies: addresses whose X-Forwarded-For is trusted. The default is 127.0.0.1 if
            `url` is https, because a proxy must be there, and none otherwise.
        case_webhook: address to which every new case is posted, signed with webhook_secret; with
            its id, outcome and page, without names.
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
            except ValueError:  # the address may hold a password, so it is not repeated
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
