"""Opening the fingerprints of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.clock import Clock, utc_now

if TYPE_CHECKING:
    from scanner.casework.copies import RelatedFiles
    from scanner.fingerprints.fingerprint_store import FingerprintStore
    from scanner.fingerprints.fingerprinter import Fingerprinter
    from scanner.fingerprints.full_model import BaseOf
    from scanner.settings import Settings


def open_fingerprint_store(settings: Settings) -> FingerprintStore:
    """fingerprints.db."""
    from scanner.fingerprints.fingerprint_store import FingerprintStore

    return FingerprintStore(settings.fingerprints_path)


def base_denoisers(settings: Settings) -> BaseOf:
    """A function that finds the denoiser of a family's base model; nothing is downloaded."""

    def base_of(family: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        from scanner.errors import NotScannable
        from scanner.sampling.base_models import choose_base_model

        shelf = settings.base_models_path
        try:
            location = choose_base_model(family, settings.base_model, shelf=shelf).location
        except NotScannable:
            return None
        for name in _DENOISER_FILES:
            if (Path(location) / name).is_file():
                return Path(location) / name
            if location.count("/") == 1 and not Path(location).exists():
                cached = try_to_load_from_cache(
                    location, name, cache_dir=settings.cache / "huggingface"
                )
                if isinstance(cached, str):
                    return Path(cached)
        return Path(location) if Path(location).is_file() else None

    return base_of


_DENOISER_FILES = (
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
)


@contextmanager
def open_fingerprinter(settings: Settings, clock: Clock = utc_now) -> Iterator[Fingerprinter]:
    """What makes and keeps the fingerprints of files."""
    from scanner.fingerprints.fingerprinter import Fingerprinter

    with closing(open_fingerprint_store(settings)) as store:
        yield Fingerprinter(store, clock, base_denoisers(settings))


@contextmanager
def open_related_files(settings: Settings) -> Iterator[RelatedFiles]:
    """What finds related files with their listings and cases. Nothing is written."""
    from crawlers.sweeps.crawl_store import CrawlStore
    from reports.cases.case_store import CaseStore
    from scanner.casework.copies import RelatedFiles
    from scanner.fingerprints.relatives import StoreSearch

    with ExitStack() as stack:
        store = stack.enter_context(closing(open_fingerprint_store(settings)))
        crawl = stack.enter_context(closing(CrawlStore(settings.crawl_path)))
        case_store = stack.enter_context(
            closing(CaseStore(settings.cases_path, settings.evidence_path))
        )
        search = StoreSearch(store)
        yield RelatedFiles(store, search, crawl, case_store, base_denoisers(settings))
