"""Previews of crawled listings: fetched once, sealed, and searched before any file is fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.captures.capture_store import CaptureStore
from crawlers.listing import RemoteFile, bare_listing
from crawlers.sweeps.previews import MOST_PREVIEWS, Preview, previews_of
from crawlers.sweeps.sweep import sweep
from face_index.vault.licences import LicenceKind
from reports.verify.bundle import verify
from scanner.captures.previews import PreviewsTaken, take_previews
from scanner.clock import utc_now
from scanner.factories import open_intake
from scanner.factories.network import allow_typed
from scanner.miniature.demo import register_world
from scanner.miniature.hub import PREVIEWS, serve_hub
from scanner.miniature.world import load_world
from scanner.records import CaptureVerdict
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from tests.conftest import Silent
from tests.opening import judge_captures, open_session
from tests.registering import release_all

# Keys that the reader of previews looks for.
KEYS = ["version", "images", "url", "cardData", "widget", "output", "type"]


def listing_with(
    raw: Any, hub: str = "civitai", url: str = "https://hub.example/owner/model"
) -> Any:
    return replace(bare_listing(hub, "1", "A model", url, RemoteFile("a", "")), raw=json.dumps(raw))


class TestNames:
    def test_civitai_names_pictures_and_videos(self) -> None:
        images = [
            {"url": "https://image.example/a.jpeg", "type": "image", "minor": True},
            {"url": "https://image.example/b.mp4", "type": "video"},
            {"url": "https://image.example/a.jpeg"},
            {"url": "javascript:alert(1)"},
            {"url": None},
            *({"url": f"https://image.example/{number}.png"} for number in range(20)),
        ]
        found = previews_of(listing_with({"version": {"images": images}}))
        assert found[1] == Preview("https://image.example/0.png")
        assert (len(found), {one.url for one in found if "b.mp4" in one.url}) == (
            MOST_PREVIEWS,
            set(),
        )

    def test_a_model_card_names_examples_beside_the_files(self) -> None:
        widget = [
            {"text": "x", "output": {"url": "images/an example.png"}},
            {"output": {"url": "https://cdn.example/2.png"}},
            {"output": "none"},
        ]
        found = previews_of(listing_with({"cardData": {"widget": widget}}, "huggingface"))
        assert [one.url for one in found] == [
            "https://hub.example/owner/model/resolve/main/images/an%20example.png",
            "https://cdn.example/2.png",
        ]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
        )
    )
    def test_whatever_a_hub_answers_is_no_accident(self, raw: Any) -> None:
        assert all(one.url.startswith("http") for one in previews_of(listing_with(raw)))


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScanSession, Any]]:
    """A home with the world's people, the miniature hub swept, and its server to change."""
    settings = Settings(
        home=tmp_path_factory.mktemp("previews"), face_pack="miniature", device="cpu"
    )
    scan_session = open_session(settings)
    register_world(scan_session, Silent())
    with serve_hub(load_world().files) as url:
        allow_typed(scan_session.transport, [f"civitai={url}"])
        for _ in sweep(
            scan_session.hubs.open(f"civitai={url}"), "civitai", scan_session.crawl, utc_now
        ):
            pass
        yield scan_session, url
    scan_session.close()


def took(scan_session: ScanSession, *, again: bool = False) -> list[PreviewsTaken]:
    taking = open_intake(scan_session.settings)
    try:
        return list(
            take_previews(
                taking, scan_session.transport, scan_session.crawl.latest("civitai"), again=again
            )
        )
    finally:
        taking.close()


def judged(scan_session: ScanSession) -> dict[str, CaptureVerdict]:
    """The verdicts after a second person released the findings."""
    CaptureStore(scan_session.crawl, scan_session.settings.captures_path)
    list(judge_captures(scan_session))
    release_all(scan_session)
    return {one.name.split(" - ")[0]: one for one in judge_captures(scan_session)}


class TestWorld:
    def test_registered_people_are_found_without_a_gpu(
        self, crawled: tuple[ScanSession, Any]
    ) -> None:
        scan_session, _ = crawled
        taken = took(scan_session)
        assert {one.problem for one in taken} == {None}
        assert {one.taken.capture.pages for one in taken if one.taken} == {1}
        assert took(scan_session) == []  # once is enough
        files = {file.title: file for file in load_world().files}
        CaptureStore(scan_session.crawl, scan_session.settings.captures_path)
        assert not any(one.identities or one.cases for one in judge_captures(scan_session))
        told = judged(scan_session)
        assert set(told) == {file.title for file in files.values() if file.person_seeds}
        registered = {person.seed for person in load_world().registered}
        for title, one in told.items():
            seeds = set(files[title].person_seeds) & registered
            wanted = (
                "clear"
                if not seeds
                else "match"
                if len(files[title].person_seeds) == 1
                else "possible"
            )
            assert (one.outcome, len(one.identities)) == (wanted, len(seeds)), title
        fetched = scan_session.acquisition.checkpoints
        assert not any(
            fetched.path_of(file.sha256)
            for listing in scan_session.crawl.latest("civitai")
            for file in listing.files
            if file.sha256
        )
        case = scan_session.case_store.case(told["Ohwx portrait"].cases[0])
        assert (case.checkpoint.hub, case.checkpoint.creator) == (
            "civitai",
            files["Ohwx portrait"].creator,
        )
        assert case.sighting is not None
        assert case.sighting.pages[0].kind == "model"
        assert {tie.hub for tie in case.sighting.ties} == {"civitai"}
        bag = scan_session.settings.captures_path / case.sighting.captures[0].capture_id
        assert all(item.ok for item in verify(bag))

    def test_a_licence_of_the_file_covers_what_it_shows(
        self, crawled: tuple[ScanSession, Any]
    ) -> None:
        scan_session, _ = crawled
        sha256 = next(
            one.files[0].sha256
            for one in scan_session.crawl.latest("civitai")
            if one.title.startswith("QMV")
        )
        person = scan_session.vault.people.find("person-104").identity_id
        until = scan_session.clock().date() + timedelta(days=30)
        scan_session.vault.licences.grant(
            person,
            LicenceKind.MODEL,
            str(sha256),
            until,
            note="",
            actor="olga",
            now=scan_session.clock(),
        )
        scan_session.scan_store._db.execute("delete from sightings")
        one = judged(scan_session)["QMV tiny (rank 2)"]
        assert (one.outcome, one.cases, len(one.authorised)) == ("clear", (), 1)

    def test_minors_are_left_alone_and_what_is_gone_is_counted(
        self, crawled: tuple[ScanSession, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scan_session, url = crawled

        def changed(listing: Any) -> tuple[Preview, ...]:
            found = previews_of(listing)
            if listing.title.startswith("Ohwx"):
                return (*found[:-1], Preview(found[-1].url, minor=True))
            if listing.title.startswith("ZKW"):
                return (
                    *found[:2],
                    Preview(f"{url}/previews/1/1.jpeg"),
                    Preview("http://169.254.169.254/latest"),
                )
            return (Preview(f"{url}/previews/1/1.jpeg"),) if listing.title.startswith("DVX") else ()

        monkeypatch.setattr("scanner.captures.previews.previews_of", changed)
        told = {one.listing.title.split(" - ")[0]: one for one in took(scan_session, again=True)}
        assert "showing a minor" in str(told["Ohwx portrait"].problem)
        assert told["ZKW likeness SD"].missing == 2
        assert told["ZKW likeness SD"].taken is not None
        assert re.search(
            "none of its 1 pictures could be fetched: .*404.*crawl", str(told["DVX actor"].problem)
        )
        assert PREVIEWS == 4
