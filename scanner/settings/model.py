"""The settings and their defaults."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from platformdirs import user_cache_path, user_data_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from scanner.settings.hosts import Hosts
from scanner.settings.sources import ENVIRONMENT_PREFIX, HubTokenSource, environment_tokens
from scanner.settings.web import WebSettings


class TimestampAuthority(BaseModel):
    """A timestamp authority (RFC 3161).

    Attributes:
        certificates: PEM file with its root and intermediate certificates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    url: str = Field(pattern=r"^https?://")
    certificates: Path | None = None


class SampleSettings(BaseModel):
    """What is kept of the images that checkpoints draw.

    Attributes:
        keep_days: days for which faces are kept; 0 keeps none.
        budget_gb: room for them; the oldest are destroyed first.
        installation_id: from which the prompts and seeds of samples follow; None for the one that
            is chosen at random at the first scan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_days: int = Field(90, ge=0, le=365)
    budget_gb: float = Field(20.0, gt=0, allow_inf_nan=False)
    installation_id: str | None = Field(None, pattern=r"^[0-9A-Za-z-]{1,64}$")


class Settings(BaseSettings):
    """Everything that can be set; environment names start with PORTRAIT_SCANNER_."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    home: Path = Field(default_factory=lambda: user_data_path("portrait-scanner"))
    cache: Path = Field(default_factory=lambda: user_cache_path("portrait-scanner"))
    face_pack: str = "auraface"
    second_pack: str | None = Field(None, min_length=1)
    base_model: str | None = None
    image_check: str | None = None
    batch: int | None = Field(None, ge=1, le=256)
    ray: str | None = None
    ray_staging: str | None = None
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
    # False for somebody who works alone: one login may submit and approve; the audit log notes it.
    two_people: bool = True
    timestamp_authorities: tuple[TimestampAuthority, ...] = ()
    searches_per_day: int = Field(200, ge=1)
    checkpoint_budget_gb: float = Field(20.0, gt=0, allow_inf_nan=False)
    country: str | None = Field(None, pattern=r"^[A-Z]{2}$")  # ISO 3166-1, where this machine is
    samples: SampleSettings = Field(default_factory=lambda: SampleSettings.model_validate({}))
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

    @field_validator("ray_staging")
    @classmethod
    def _is_in_object_storage(cls, value: str | None) -> str | None:
        from crawlers.hubs.storage import is_storage

        if value is not None and (not is_storage(value) or "@" in value):
            raise ValueError(
                "it must be an address in object storage such as s3://bucket/prefix, without keys; "
                "keys come from the environment of each machine"
            )
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.web.case_webhook is not None and self.webhook_secret is None:
            raise ValueError(
                "web.case_webhook needs webhook_secret, so that whoever receives can check who "
                "posts; set PORTRAIT_SCANNER_WEBHOOK_SECRET"
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
        sources = (init_settings, environment_tokens, env_settings)
        return tuple(HubTokenSource(settings_cls, source) for source in sources)

    @property
    def sample_keep_days(self) -> int:
        """Days for which faces that checkpoints draw are kept.

        In mainland China none are kept: its law has no ground on which faces of strangers may be
        stored before somebody asks (PIPL, articles 13 and 28).
        """
        return 0 if self.country == "CN" else self.samples.keep_days

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
        """The record of erasures outside the vault's folder, which reveals an older copy of it."""
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
    def fingerprints_path(self) -> Path:
        return self.home / "fingerprints.db"

    @property
    def samples_path(self) -> Path:
        return self.home / "samples" / "samples.db"

    @property
    def sample_keys_path(self) -> Path:
        return self.home / "samples" / "sample_keys.db"

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
