"""Ties between pictures and checkpoints: all forms of hashes, numbers of listings, unique names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from crawlers.captures.images.generators.ingredients import (
    Ingredient,
    hashes_of,
    joined,
    listing_of,
    named,
)
from crawlers.captures.images.provenance import Provenance, provenance_of
from crawlers.captures.ties import Tie, ties_of_image
from crawlers.hubs.civitai_listings import file_from
from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.crawl_store import CrawlStore
from tests.servers.parameters import chunked

SHA256, WEIGHTS, BLAKE3 = "ab" * 32, "cd" * 32, "ef" * 32
NOW = datetime(2026, 11, 29, tzinfo=UTC)
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def listing(number: str, *files: RemoteFile, hub: str = "civitai") -> Listing:
    return Listing(
        hub=hub,
        listing_id=number,
        title=f"Model {number}",
        url=f"https://{hub}.com/models/{number}",
        creator=None,
        triggers=(),
        tags=(),
        base_model=None,
        published_at=None,
        downloads=None,
        real_person_flag=False,
        minor_flag=False,
        files=files,
        raw="{}",
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CrawlStore]:
    found = CrawlStore(tmp_path / "crawl.db")
    others = (f"blake3:{BLAKE3}", "autov1:81761151", "crc32:deadbeef")
    found.record(
        listing("67890", RemoteFile("ohwx_v2.safetensors", "x", 1, SHA256, WEIGHTS[:12], others)),
        NOW,
    )
    found.record(
        listing(
            "owner/repo",
            RemoteFile("sub/only_name.safetensors", "x", 1, "12" * 32),
            hub="huggingface",
        ),
        NOW,
    )
    yield found
    found.close()


def ties(store: CrawlStore, *ingredients: Ingredient) -> list[Tie]:
    return ties_of_image(store, Provenance(ingredients=ingredients))


def adapter(
    name: str | None = None, told: str | None = None, number: str | None = None
) -> Ingredient:
    found = named("adapter", name, told, number)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "told",
    [
        SHA256,
        SHA256.upper(),
        f"0x{SHA256}",
        f"0X{SHA256.upper()}",
        f"sha256:{SHA256}",
        SHA256[:10],
        SHA256[:10].upper(),
        SHA256[:12],  # AutoV2 and longer
        WEIGHTS[:12],
        WEIGHTS[:12].upper(),
        WEIGHTS,
        f"0x{WEIGHTS}",
        WEIGHTS[:10],  # AutoV3, of which the hub has 12 digits and SwarmUI all
        f"blake3:{BLAKE3}",
        f"blake3:{BLAKE3.upper()}",
        f"blake3_single:{BLAKE3}",
        f"BLAKE3:{BLAKE3}",
    ],
)
def test_every_form_of_hash_ties_to_the_file(told: str, store: CrawlStore) -> None:
    [tie] = ties(store, adapter("another name", told))
    assert (tie.strength, tie.sha256, tie.listing_id) == ("hash", SHA256, "67890")


@pytest.mark.parametrize("told", ["81761151", "0x81761151", "crc32:deadbeef"])
def test_a_hash_of_eight_digits_says_that_it_is_short(told: str, store: CrawlStore) -> None:
    [tie] = ties(store, adapter("another name", told))
    assert (tie.strength, tie.sha256) == ("short hash", SHA256)


@pytest.mark.parametrize(
    "told",
    [
        BLAKE3,
        f"blake3:{SHA256}",
        f"blake3:{WEIGHTS}",
        f"md5:{SHA256[:32]}",
        f"random:{SHA256}",
        "deadbeef",  # of another algorithm than it seems
        SHA256[:9],
        "00000000",
        "0" * 64,
        NOTHING,
        NOTHING[:12],
        NOTHING[:10],
        f"0x{NOTHING}",
        NOTHING[:8],
    ],
)
def test_hashes_that_are_not_the_files_tie_to_nothing(told: str, store: CrawlStore) -> None:
    for number in ("1", "2"):  # hubs give the hash of zero bytes for files without tensors
        store.record(
            listing(
                number,
                RemoteFile(
                    f"{number}.ckpt", "x", 1, number * 64, NOTHING[:12], (f"autov1:{NOTHING[:8]}",)
                ),
            ),
            NOW,
        )
    assert ties(store, adapter("another name", told)) == []


def test_a_listing_is_named_by_its_number(store: CrawlStore) -> None:
    for one in (
        adapter("urn:air:sdxl:lora:civitai:12345@67890"),
        adapter("Ohwx", None, "civitai:67890"),
    ):
        [tie] = ties(store, one)
        assert (tie.strength, tie.sha256, tie.said) == ("link", SHA256, "civitai:67890")
    assert [
        tie.hub for tie in ties(store, adapter("urn:air:flux1:lora:huggingface:owner/repo@main"))
    ] == ["huggingface"]
    assert ties(store, adapter("Ohwx", SHA256, "civitai:67890")) == ties(
        store, adapter("Ohwx", SHA256)
    )  # once, by the stronger tie


@pytest.mark.parametrize(
    "air",
    [
        "urn:air:sdxl:lora:civitai:12345@67890",
        "air:sdxl:lora:civitai:12345@67890",
        "urn:air:sdxl:lora:civitai:12345@67890.safetensors",
        "URN:AIR:sdxl:LORA:CivitAI:12345@67890",
    ],
)
def test_numbers_in_airs(air: str) -> None:
    assert listing_of(air) == "civitai:67890"
    assert listing_of(f"{air} and more") is None


class TestNames:
    @pytest.mark.parametrize(
        "name",
        ["ohwx_v2", "people/ohwx_v2.safetensors", "people\\ohwx_v2.safetensors", "ohwx_v2.ckpt"],
    )
    def test_a_name_ties_where_nothing_is_said_against_it(
        self, name: str, store: CrawlStore
    ) -> None:
        [tie] = ties(store, adapter(name))
        assert (tie.strength, tie.sha256) == ("name", SHA256)

    @pytest.mark.parametrize(
        "told", ["0123456789", "0123456789ab", "01" * 32, f"blake3:{'01' * 32}"]
    )
    def test_a_file_that_has_other_hashes_is_not_the_one_meant(
        self, told: str, store: CrawlStore
    ) -> None:
        assert ties(store, adapter("ohwx_v2", told)) == []

    def test_a_hash_that_cannot_be_compared_says_nothing_against_it(
        self, store: CrawlStore
    ) -> None:
        assert [tie.strength for tie in ties(store, adapter("only_name", "0123456789ab"))] == [
            "name"
        ]  # AutoV3, which this hub does not give
        assert ties(store, adapter("only_name", "0123456789")) == []

    def test_a_name_of_many_files_means_none(self, store: CrawlStore) -> None:
        for number in range(9):
            store.record(
                listing(
                    f"r/{number}",
                    RemoteFile("pytorch_lora_weights.safetensors", "x", 1, f"{number:064x}"),
                    hub="huggingface",
                ),
                NOW,
            )
        assert ties(store, adapter("pytorch_lora_weights.safetensors")) == []

    def test_one_file_in_many_places_is_one(self, store: CrawlStore) -> None:
        for number in range(9):
            store.record(
                listing(
                    f"r/{number}",
                    RemoteFile("copied_lora.safetensors", "x", 1, "34" * 32),
                    hub="huggingface",
                ),
                NOW,
            )
        assert {tie.sha256 for tie in ties(store, adapter("copied_lora"))} == {"34" * 32}

    def test_signs_of_patterns_are_signs(self, store: CrawlStore) -> None:
        store.record(
            listing(
                "p/q", RemoteFile("sub/50%_off.safetensors", "x", 1, "56" * 32), hub="huggingface"
            ),
            NOW,
        )
        assert len(ties(store, adapter("50%_off"))) == 1
        assert ties(store, adapter("50%%off")) == []
        assert ties(store, adapter("%%%%")) == []

    def test_base_models_are_not_tied_by_name(self, store: CrawlStore) -> None:
        base = named("base model", "ohwx_v2")
        assert base is not None
        assert ties(store, base) == []


def test_pictures_of_each_generator_are_tied(store: CrawlStore) -> None:
    swarm = {
        "sui_image_params": {"model": "x", "loras": ["a/b"]},
        "sui_models": [{"name": "a/b.safetensors", "param": "loras", "hash": f"0x{WEIGHTS}"}],
    }
    invoke = {
        "generation_mode": "txt2img",
        "app_version": "5",
        "model": None,
        "loras": [{"model": {"name": "b", "hash": f"blake3:{BLAKE3}"}, "weight": 1}],
    }
    text = (
        'portrait\nSteps: 20, Sampler: Euler a, Seed: 1, Model: x, Lora hashes: "b: '
        f'{WEIGHTS[:12]}"'
    )
    for data in (
        chunked(parameters=json.dumps(swarm)),
        chunked(invokeai_metadata=json.dumps(invoke)),
        chunked(parameters=text),
    ):
        [tie] = ties_of_image(store, provenance_of(data))
        assert (tie.sha256, tie.strength) == (SHA256, "hash")


def test_hashes_that_civitai_tells_are_kept(tmp_path: Path) -> None:
    hashes = {
        "SHA256": SHA256.upper(),
        "AutoV3": WEIGHTS[:12].upper(),
        "BLAKE3": BLAKE3.upper(),
        "AutoV1": "81761151",
        "CRC32": "DEADBEEF",
        "AutoV2": SHA256[:10],
    }
    entry = {"name": "x.safetensors", "hashes": hashes, "downloadUrl": ""}
    file = file_from("https://hub.invalid", entry)
    assert file.other_hashes == (f"blake3:{BLAKE3}", "autov1:81761151", "crc32:deadbeef")
    path = tmp_path / "crawl.db"
    store = CrawlStore(path)
    raw = json.dumps(
        {"model": {}, "version": {"id": 7, "files": [{"name": "x.safetensors", "hashes": hashes}]}}
    )
    store.db.execute(
        (
            "insert into listings (hub, listing_id, content_sha256, title, url, raw) "
            "values ('civitai', '7', '', 't', 'u', ?), ('civitai', '8', '', 't', 'u', 'no "
            "JSON')"
        ),
        [raw],
    )
    store.db.conn.commit()
    store.close()
    forget_the_last_migration(path)
    store = CrawlStore(path)
    [tie] = ties(store, adapter("x", f"blake3:{BLAKE3}"))
    assert (tie.listing_id, tie.sha256) == ("7", SHA256)
    store.close()


def forget_the_last_migration(path: Path) -> None:
    """A database that an earlier version of the program made."""
    db = Database(path)
    db.table("file_hashes").drop()
    db.execute("delete from _sqlite_migrations where name = 'other_hashes_of_files'")
    db.conn.commit()
    db.close()


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("AABBCCDDEE", ("aabbccddee", None)),
        ("0xaabbccddee", ("aabbccddee", None)),
        ('"aabbccddee"', ("aabbccddee", None)),
        ("blake3:" + "ab" * 32, (None, "blake3:" + "ab" * 32)),
        ("sha512:" + "ab" * 64, (None, "sha512:" + "ab" * 64)),
        ("ab" * 64, (None, None)),
        ("no hash", (None, None)),
        ("abc", (None, None)),
        (None, (None, None)),
        (12345678, (None, None)),
    ],
)
def test_hashes_are_told_from_other_words(told: Any, known: tuple[str | None, str | None]) -> None:
    assert hashes_of(told) == known


def test_what_is_said_of_one_model_is_put_together() -> None:
    tag, hashed, other = (
        Ingredient("adapter", "ohwx"),
        Ingredient("adapter", "people/ohwx.safetensors", "0123456789ab"),
        Ingredient("adapter", "ohwx", "ffffffffffff"),
    )
    assert joined([tag, hashed]) == (Ingredient("adapter", "ohwx", "0123456789ab"),)
    assert len(joined([hashed, other])) == 2  # two different files of one name
    assert len(joined([tag, Ingredient("base model", "ohwx")])) == 2
