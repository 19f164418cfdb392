"""The exact gallery and FAISS agree after adding, replacing and removing; packs never mix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_index.errors import PackMismatch, UnknownIdentity
from face_index.faces.face import PackVersion, Prototypes, unit
from face_index.gallery import faiss_gallery
from face_index.gallery.exact_gallery import MOST_PROTOTYPES, ExactGallery, Gallery
from face_index.gallery.faiss_gallery import ApproximateGallery, FaissGallery, IndexKind

VERSION = PackVersion("pack", "ab" * 32, 64)


def prototypes(seed: int, count: int = 1) -> Prototypes:
    rng = np.random.default_rng(seed)
    return np.stack([unit(rng.normal(size=64)) for _ in range(count)])


def people(count: int, seed: int = 0) -> list[tuple[str, Prototypes]]:
    return [(f"id-{number}", prototypes(seed * 100_000 + number)) for number in range(count)]


@pytest.mark.parametrize("build", [ExactGallery, FaissGallery, ApproximateGallery])
class TestGallery:
    def test_everyone_is_their_own_nearest(self, build: type[ExactGallery]) -> None:
        templates = people(50)
        gallery = build(VERSION, templates)
        found = gallery.search(np.concatenate([vectors for _, vectors in templates]), 1)
        for (identity_id, vectors), [best] in zip(templates, found, strict=True):
            assert best.identity_id == identity_id
            assert best.score == pytest.approx(1.0, abs=1e-5)
            np.testing.assert_allclose(gallery.vector_of(identity_id, vectors[0]), vectors[0])

    def test_an_empty_gallery_finds_nobody_until_someone_enters(
        self, build: type[ExactGallery]
    ) -> None:
        gallery = build(VERSION, [])
        assert len(gallery) == 0
        assert gallery.search(prototypes(1, 3)) == [[], [], []]

    def test_an_identity_counts_once_with_its_closest_prototype(
        self, build: type[ExactGallery]
    ) -> None:
        several = prototypes(7, 4)
        gallery = build(VERSION, [("several", several), *people(20)])
        [line] = gallery.search(several[2:3], 21)
        assert [one.identity_id for one in line].count("several") == 1
        assert line[0].identity_id == "several"
        assert len(line) == 21
        np.testing.assert_array_equal(gallery.vector_of("several", several[2]), several[2])

    def test_who_left_is_found_no_more(self, build: type[ExactGallery]) -> None:
        gallery = build(VERSION, people(30))
        gallery.remove("id-3")
        gallery.remove("nobody")
        assert len(gallery) == 29
        assert "id-3" not in {one.identity_id for one in gallery.search(prototypes(3), 30)[0]}
        with pytest.raises(UnknownIdentity):
            gallery.vector_of("id-3", prototypes(3)[0])

    def test_vectors_of_another_pack_are_refused(self, build: type[ExactGallery]) -> None:
        with pytest.raises(PackMismatch, match="64 values"):
            build(VERSION, [("id", np.ones((1, 128), np.float32))])
        with pytest.raises(PackMismatch, match="1 to 8"):
            build(VERSION, [("id", prototypes(1, MOST_PROTOTYPES + 1))])


changes = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove"]),
        st.integers(0, 12),
        st.integers(1, 3),
        st.integers(0, 500),
    ),
    max_size=40,
)


@pytest.mark.parametrize("kind", [IndexKind.EXACT, IndexKind.HALF])
@settings(max_examples=60, deadline=None)
@given(steps=changes)
def test_any_changes_leave_it_equal_to_the_plain_gallery(
    kind: IndexKind, steps: list[tuple[str, int, int, int]]
) -> None:
    faiss_gallery.BLOCK_ROWS, whole = 16, faiss_gallery.BLOCK_ROWS  # several blocks with few people
    try:
        fast: Gallery = FaissGallery(VERSION, people(5, seed=1), kind)
        plain: Gallery = ExactGallery(VERSION, people(5, seed=1))
        for change, number, count, seed in steps:
            for gallery in (fast, plain):
                if change == "add":
                    gallery.add(f"id-{number}", prototypes(seed, count))
                else:
                    gallery.remove(f"id-{number}")
        assert len(fast) == len(plain)
        probes = prototypes(900, 4)
        for ours, truth in zip(fast.search(probes, 6), plain.search(probes, 6), strict=True):
            tolerance = 1e-5 if kind == IndexKind.EXACT else 2e-3
            np.testing.assert_allclose(
                [one.score for one in ours], [one.score for one in truth], atol=tolerance
            )
            if kind == IndexKind.EXACT:
                # Of two with the same photo either may come last.
                last = truth[-1].score + tolerance if truth else 0.0
                assert {one.identity_id for one in ours if one.score > last} == {
                    one.identity_id for one in truth if one.score > last
                }
    finally:
        faiss_gallery.BLOCK_ROWS = whole


def test_the_approximate_index_measures_its_recall() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 64))
    templates = [
        (f"id-{n}", unit(centres[n % 40] + 0.7 * rng.normal(size=64))[None]) for n in range(4000)
    ]
    gallery = ApproximateGallery(VERSION, templates, wanted_recall=0.95)
    assert 0.95 <= gallery.recall <= 1.0
    probes = np.stack(
        [unit(vectors[0] + 0.11 * rng.normal(size=64)) for _, vectors in templates[:300]]
    )
    exact = FaissGallery(VERSION, templates)
    same = [
        ours[0].identity_id == truth[0].identity_id
        for ours, truth in zip(gallery.search(probes, 1), exact.search(probes, 1), strict=True)
    ]
    assert np.mean(same) == pytest.approx(gallery.recall, abs=0.05)


def test_packs_never_meet() -> None:
    for other in (replace(VERSION, sha256="cd" * 32), replace(VERSION, dimension=512)):
        with pytest.raises(PackMismatch, match="re-embed"):
            VERSION.must_be(other)
    VERSION.must_be(replace(VERSION, name="the same networks under another name"))
