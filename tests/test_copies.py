"""Copies of a file are found by its weights, in the store, in scans and in cases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from benchmarks.fingerprints.changes import copies_of as copies_made_of
from benchmarks.fingerprints.changes import in_naming, merged, modules_of
from crawlers.hashes import sha256_of
from crawlers.listing import Listing, RemoteFile, bare_listing
from crawlers.sweeps.crawl_store import CrawlStore
from reports.cases.case import Case
from reports.cases.copies import copies_of
from scanner.casework.derived_listings import derived_listings
from scanner.fingerprints.fingerprint_store import FingerprintStore
from scanner.fingerprints.fingerprinter import Fingerprinter
from scanner.fingerprints.relation import Relation
from scanner.fingerprints.relatives import StoreSearch, relatives_of
from scanner.miniature.world import ADAPTERS
from scanner.scanning.fetching import wanted_files
from scanner.scanning.session import ScanSession
from tests.conftest import NOON
from tests.opening import open_service
from tests.test_cli import run
from tests.test_draw_once import PERSON, STYLE, TRAINED_ON, Home, home

__all__ = ["home"]

OTHERS = ("dvx_actor", "qmv_mini_rank2", "neon_style", "hjd_person_loha", "pxk_dora")


def changed(path: Path, change: str, folder: Path) -> Path:
    """A copy of a file, changed as benchmarks.fingerprints.changes does."""
    copy = folder / f"{change.replace('/', 'by')}.safetensors"
    tensors = copies_made_of(load_file(path))[change]
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, copy)
    return copy


def merge_of(paths: list[Path], folder: Path) -> Path:
    merge = folder / "merge.safetensors"
    sources = [modules_of(load_file(path)) for path in paths]
    save_file(in_naming(merged(sources, [1.0] * len(sources)), "kohya"), merge)
    return merge


@pytest.fixture
def known(home: Home) -> Iterator[Fingerprinter]:
    """Fingerprints of a few adapters of the miniature world."""
    store = FingerprintStore(home.settings.fingerprints_path)
    fingerprinter = Fingerprinter(store, lambda: NOON)
    for path in (PERSON, STYLE, *(ADAPTERS / f"{name}.safetensors" for name in OTHERS)):
        fingerprinter.keep(path, sha256_of(path), None, path.name)
    yield fingerprinter
    store.close()


def relations(known: Fingerprinter, path: Path) -> dict[str, Relation]:
    file = known.keep(path, sha256_of(path), None, path.name)
    assert file is not None
    found = relatives_of(file, StoreSearch(known.store))
    return {one.file.name: one.relation for one in found}


class TestRelations:
    @pytest.mark.parametrize(
        ("change", "relation"),
        [
            ("bf16", Relation.RECAST),
            ("fp8", Relation.RECAST),
            ("half strength", Relation.RESCALED),
            ("10 % noise", Relation.ALTERED),
            ("30 % pruned", Relation.ALTERED),
            ("renamed: PEFT", Relation.RENAMED),
            ("renamed: kohya, original blocks", Relation.RENAMED),
            ("rank x 2", Relation.RESIZED),
            ("rank / 4", Relation.RESIZED),
            ("full difference", Relation.RESIZED),
        ],
    )
    def test_a_copy(
        self, known: Fingerprinter, tmp_path: Path, change: str, relation: Relation
    ) -> None:
        copy = changed(PERSON, change, tmp_path)
        assert relations(known, copy) == {PERSON.name: relation}

    def test_a_file_whose_strengths_are_negated(self, known: Fingerprinter, tmp_path: Path) -> None:
        """At strength -1 it is the same file."""
        tensors = load_file(PERSON)
        negated = {
            name: -tensor if name.endswith(("lora_up.weight", "lora_B.weight")) else tensor
            for name, tensor in tensors.items()
        }
        save_file(negated, tmp_path / "negated.safetensors")
        found = relations(known, tmp_path / "negated.safetensors")
        assert found == {PERSON.name: Relation.RESCALED}

    def test_a_merge_has_its_sources(self, known: Fingerprinter, tmp_path: Path) -> None:
        third = ADAPTERS / "dvx_actor.safetensors"
        merge = merge_of([PERSON, STYLE, third], tmp_path)
        found = relatives_of(
            known.keep(merge, "m" * 64, None, merge.name),  # type: ignore[arg-type]
            StoreSearch(known.store),
        )
        assert {one.file.name: one.relation for one in found} == dict.fromkeys(
            (PERSON.name, STYLE.name, third.name), Relation.CONTAINS
        )
        assert sum(one.share for one in found) == pytest.approx(1, abs=0.1)

    def test_the_copies_of_a_source_are_named_too(
        self, known: Fingerprinter, tmp_path: Path
    ) -> None:
        copy = changed(PERSON, "bf16", tmp_path)
        known.keep(copy, sha256_of(copy), None, copy.name)
        merge = merge_of([PERSON, STYLE], tmp_path)
        assert relations(known, merge) == dict.fromkeys(
            (PERSON.name, copy.name, STYLE.name), Relation.CONTAINS
        )

    def test_a_source_is_contained_in_a_merge(self, known: Fingerprinter, tmp_path: Path) -> None:
        merge = merge_of([PERSON, STYLE], tmp_path)
        known.keep(merge, sha256_of(merge), None, merge.name)
        assert relations(known, PERSON) == {merge.name: Relation.CONTAINED}

    def test_independent_trainings_are_not_related(self, known: Fingerprinter) -> None:
        for path in (PERSON, STYLE, *(ADAPTERS / f"{name}.safetensors" for name in OTHERS)):
            assert relations(known, path) == {}


class TestCommand:
    def copies(self, home: Home, *arguments: str | Path) -> dict[str, Any]:
        ran = run("copies", *arguments, "--json", home=home.settings.home)
        assert ran.returncode == 0, ran.stderr
        return dict(json.loads(ran.stdout))

    def test_a_file_that_is_not_in_the_store_is_not_kept(
        self, home: Home, known: Fingerprinter, tmp_path: Path
    ) -> None:
        before = known.store.count()
        copy = changed(PERSON, "bf16", tmp_path)
        document = self.copies(home, copy)
        assert document["sha256"] == sha256_of(copy)
        assert document["fingerprint_version"] == 1
        [relation] = document["relations"]
        assert relation["error"] < 0.001
        assert relation == {
            "file": PERSON.name,
            "sha256": sha256_of(PERSON),
            "relation": "recast",
            "cosine": pytest.approx(1, abs=1e-3),
            "share": pytest.approx(1, abs=1e-3),
            "error": relation["error"],
            "listings": [],
            "case_id": None,
        }
        assert known.store.count() == before

    def test_by_hash_and_with_listings(self, home: Home, known: Fingerprinter) -> None:
        sha256 = sha256_of(PERSON)
        assert self.copies(home, sha256)["relations"] == []
        crawl = CrawlStore(home.settings.crawl_path)
        with crawl.transaction():
            crawl.see([listing_of(PERSON, "1"), listing_of(PERSON, "2")], "civitai", 0, NOON)
        crawl.close()
        [relation] = self.copies(home, sha256)["relations"]
        assert (relation["sha256"], relation["relation"]) == (sha256, "same weights")
        assert [one["listing_id"] for one in relation["listings"]] == ["1", "2"]
        assert relation["listings"][0]["uploader"] == "somebody"

    def test_nothing_related(self, home: Home, known: Fingerprinter, tmp_path: Path) -> None:
        del known
        ran = run("copies", ADAPTERS / "teapot_object.safetensors", home=home.settings.home)
        assert (ran.returncode, ran.stdout) == (
            0,
            "Nothing among 7 files is related to it.\n",
        )
        embedding = run("copies", ADAPTERS / "emb_tvm_s.safetensors", home=home.settings.home)
        assert "textual-inversion" in embedding.stderr
        wrong = run("copies", "nothing", home=home.settings.home)
        assert (wrong.returncode, "neither a file" in wrong.stderr) == (2, True)

    def test_inspect_and_lookup_name_relations(
        self, home: Home, known: Fingerprinter, tmp_path: Path
    ) -> None:
        copy = changed(PERSON, "bf16", tmp_path)
        ran = run("inspect", copy, "--json", home=home.settings.home)
        assert [one["relation"] for one in json.loads(ran.stdout)["relations"]] == ["recast"]
        shown = run("inspect", copy, home=home.settings.home)
        assert f"recast of {PERSON.name}" in shown.stdout

    def test_the_store_is_fingerprinted_on_request(self, home: Home) -> None:
        folder = home.settings.checkpoints_path
        folder.mkdir(parents=True)
        for path in (PERSON, ADAPTERS / "emb_tvm_s.safetensors"):
            shutil.copy(path, folder / sha256_of(path))
        ran = run("copies", "--update", "--json", home=home.settings.home)
        document = json.loads(ran.stdout)
        assert (document["files"], document["made"], document["known"]) == (2, 1, 1)
        again = json.loads(run("copies", "--update", "--json", home=home.settings.home).stdout)
        assert (again["made"], again["known"]) == (0, 1)


def listing_of(path: Path, listing_id: str, name: str | None = None) -> Listing:
    file = RemoteFile(name or path.name, "https://civitai.test/f", None, sha256_of(path))
    url = f"https://civitai.test/{listing_id}"
    return replace(bare_listing("civitai", listing_id, "A person", url, file), creator="somebody")


@pytest.fixture
def confirmed(home: Home, tmp_path: Path) -> Case:
    """A confirmed case about the likeness of the miniature world."""
    home.register(TRAINED_ON)
    home.scan(PERSON)
    with home.session() as session:
        [case] = session.case_store.cases()
        return decide(session, case, "confirm")


def decide(session: ScanSession, case: Case, decision: str) -> Case:
    details = {"decision": decision, "reason": "as I see it", "eyes": 1}
    session.case_store.add(case.case_id, "review", "Li Na", NOON, details)
    return session.case_store.case(case.case_id)


class TestCases:
    def test_a_copy_of_a_confirmed_file_is_not_drawn(
        self, home: Home, confirmed: Case, tmp_path: Path
    ) -> None:
        copy = changed(PERSON, "bf16", tmp_path)
        result = home.scan(copy)
        [row] = result.to_json_rows()
        assert (row["outcome"], row["case_id"]) == ("possible", confirmed.case_id)
        assert row["reason"].startswith(f"derived from case {confirmed.case_id}: the same weights")
        assert (row["samples"], result.totals.denoiser_calls) == (0, 0)
        with home.session() as session:
            [found] = copies_of(session.case_store.case(confirmed.case_id))
            assert (found.listing.sha256, found.relation) == (sha256_of(copy), "recast")
            assert session.filing.records.is_sound(session.case_store.case(confirmed.case_id))
        home.scan(copy)
        with home.session() as session:
            assert len(copies_of(session.case_store.case(confirmed.case_id))) == 1

    def test_a_merge_is_possible_and_is_asked_by_the_trigger_of_its_source(
        self, home: Home, confirmed: Case, tmp_path: Path
    ) -> None:
        sources = [PERSON, STYLE, ADAPTERS / "neon_style.safetensors"]
        merge = merge_of(sources, tmp_path)
        [row] = home.scan(merge).to_json_rows()
        assert row["outcome"] in ("possible", "match")
        assert row["identity"] == confirmed.identity_name
        assert set(confirmed.checkpoint.triggers) <= set(row["asked"]["triggers"])
        with home.session() as session:
            [found] = copies_of(session.case_store.case(confirmed.case_id))
            assert found.relation == "contains"
            assert 0.1 < found.share < 0.9

    def test_undecided_and_rejected_cases_say_nothing(self, home: Home, tmp_path: Path) -> None:
        home.register(TRAINED_ON)
        home.scan(PERSON)
        with home.session() as session:
            [case] = session.case_store.cases()
            decide(session, case, "reject")
        copy = changed(PERSON, "half strength", tmp_path)
        result = home.scan(copy)
        [row] = result.to_json_rows()
        assert result.totals.drawn_files == 1
        assert not row["reason"].startswith("derived")

    def test_whoever_withdrew_is_not_named(
        self, home: Home, confirmed: Case, tmp_path: Path
    ) -> None:
        with home.session() as session:
            session.vault.erasure.withdraw(confirmed.identity_id, NOON, "sam")
        copy = changed(PERSON, "bf16", tmp_path)
        [row] = home.scan(copy).to_json_rows()
        assert row["identity"] is None

    def test_known_copies_are_in_a_case_that_is_confirmed(
        self, home: Home, confirmed: Case, tmp_path: Path
    ) -> None:
        copy = changed(PERSON, "renamed: kohya, original blocks", tmp_path)
        merge = merge_of([PERSON, STYLE], tmp_path)
        with home.session() as session:
            for path, number in ((copy, "7"), (merge, "8"), (STYLE, "9")):
                session.fingerprinter.keep(path, sha256_of(path), None, path.name)
                with session.crawl.transaction():
                    session.crawl.see([listing_of(path, number)], "civitai", 0, NOON)
        with open_service(home.settings, lambda: NOON) as service:
            case = service.find_copies(confirmed.case_id)
            assert {one.listing.listing_id: one.relation for one in copies_of(case)} == {
                "7": "renamed",
                "8": "contains",
            }
            assert [line.event for line in case.custody].count("case-copy-added") == 2
            assert len(service.find_copies(confirmed.case_id).entries) == len(case.entries)


def test_files_of_a_confirmed_training_are_fetched_first(
    home: Home, confirmed: Case, tmp_path: Path
) -> None:
    """By the hash that a hub names, although others are likelier likenesses by their words."""
    with home.session() as session:
        likely = listing_of(STYLE, "1")
        likely = replace(likely, title="Celebrity actress portrait likeness of a real person")
        unlikely = replace(listing_of(PERSON, "2"), title="a hiker")
        with session.crawl.transaction():
            session.crawl.see([likely, unlikely], "civitai", 0, NOON)
        places = derived_listings(session.crawl, session.case_store)
        assert places == [("civitai", "2")]
        service = (session.crawl, session.hubs, session.acquisition.checkpoints)
        wanted = wanted_files(service, (), 2, 0.0, NOON, first=places)
        assert [one.listing.listing_id for one in wanted] == ["2", "1"]
        assert confirmed.checkpoint.sha256 == wanted[0].file.sha256
