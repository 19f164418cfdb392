"""Settings: flags over environment over portrait-scanner.toml over defaults."""

from scanner.settings.loading import load_settings
from scanner.settings.model import SampleSettings, Settings, TimestampAuthority
from scanner.settings.sources import FILE_NAME
from scanner.settings.web import OpenIdProvider, WebSettings

__all__ = [
    "FILE_NAME",
    "OpenIdProvider",
    "SampleSettings",
    "Settings",
    "TimestampAuthority",
    "WebSettings",
    "load_settings",
]
