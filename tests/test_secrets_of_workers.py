"""What a Ray cluster gets from the settings contains no secret of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr
from ray import cloudpickle

from scanner.factories import sampler_options, staging_of
from scanner.settings import OpenIdProvider, Settings, WebSettings

WRITTEN = b"hunter2"
SECRET = SecretStr(WRITTEN.decode())


def pickled(sent: Any) -> bytes:
    """An object in the form in which Ray sends it."""
    return bytes(cloudpickle.dumps(sent))


def kinds_of(annotation: Any) -> set[Any]:
    return {annotation}.union(*(kinds_of(one) for one in get_args(annotation)))


def secrets_below(model: type[BaseModel]) -> dict[str, Any]:
    """A secret for every field that can hold one, in nested models as well."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kinds = kinds_of(field.annotation)
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if name == "tokens":
            found[name] = {"civitai_token": SECRET, "github_token": SECRET}
        elif SecretStr in kinds:
            found[name] = (
                SECRET
                if name != "smtp_url"
                else SecretStr(f"smtps://u:{WRITTEN.decode()}@mail.example")
            )
        elif nested and (inside := secrets_below(nested[0])):
            found[name] = inside
    return found


def full_of_secrets(home: Path) -> Settings:
    """Settings with secrets of every kind: SecretStr, addresses with passwords, free text."""
    found = secrets_below(Settings)
    provider = {
        "name": "Company",
        "issuer": f"https://u:{SECRET.get_secret_value()}@sso.example",
        "client_id": "c",
    }
    web = {**found.pop("web"), "case_webhook": f"https://hooks.example/{SECRET.get_secret_value()}"}
    web["oidc"] = {**provider, **web["oidc"]}
    return Settings(
        home=home,
        contact=f"ops {SECRET.get_secret_value()}",
        operator=SECRET.get_secret_value(),
        base_model="b",
        fpir=0.01,
        ray_staging="s3://bucket/prefix",
        web=WebSettings.model_validate(web),
        **found,
    )


def test_every_secret_of_the_settings_is_found() -> None:
    assert set(secrets_below(Settings)) >= {
        "tokens",
        "master_key",
        "next_master_key",
        "webhook_secret",
        "web",
    }
    assert set(secrets_below(WebSettings)) == {"smtp_url", "oidc"}
    assert set(secrets_below(OpenIdProvider)) == {"client_secret"}


def test_nodes_get_no_settings_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTRAIT_SCANNER_GITHUB_TOKEN", SECRET.get_secret_value())
    settings = full_of_secrets(tmp_path)
    assert WRITTEN in pickled(settings)
    sent = pickled((sampler_options(settings), staging_of(settings)))
    assert WRITTEN not in sent
    assert b"Settings" not in sent


@pytest.mark.parametrize("place", ["/mnt/share", "s3://key:secret@bucket/prefix", "bucket"])
def test_a_staging_area_is_an_address_without_keys(tmp_path: Path, place: str) -> None:
    with pytest.raises(ValueError, match="without keys"):
        Settings(home=tmp_path, ray_staging=place)
