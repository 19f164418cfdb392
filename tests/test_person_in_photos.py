"""Whom photos show: bystanders, friends who come along, two people, faces to be picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_index.faces.face import Face, unit
from face_index.faces.refusals import Refusal, Why
from face_index.registration.person_in_photos import (
    Candidate,
    PersonInPhotos,
    find_person,
    most_prominent,
    prominence_of,
)
from face_index.registration.photo_checks import (
    CheckedPhotos,
    UnusableFace,
    choose_person,
    refuse_lost_picks,
)
from tests.test_faces import GOOD

ALIKE = 0.4


def face_of(person: int, turn: int = 0) -> Face:
    """A face of a person; two of one person have a cosine of about 0.75."""
    noise = unit(np.random.default_rng([person, turn]).normal(size=128))
    return replace(GOOD, embedding=unit(np.eye(128)[person] + 0.6 * noise))


def photos_of(*people: Sequence[int], sizes: Sequence[float] = (0.5, 0.4, 0.3)) -> list[Candidate]:
    """Photos, each with the faces of these people, the first the most prominent."""
    return [
        Candidate(photo, number, face_of(person, photo), sizes[number - 1])
        for photo, shown in enumerate(people)
        for number, person in enumerate(shown, 1)
    ]


def who(person: PersonInPhotos) -> dict[int, int]:
    return {photo: int(np.argmax(one.face.embedding)) for photo, one in person.faces.items()}


def test_the_face_on_which_the_photos_agree_is_the_subject_wherever_it_stands() -> None:
    person = find_person(photos_of([1], [2, 1], [1, 3], [4, 5, 1]), ALIKE)
    assert who(person) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert not person.people
    assert not person.rival_photos


def test_a_friend_in_some_of_the_photos_is_no_second_person() -> None:
    person = find_person(photos_of([1], [2, 1], [2, 1], [1, 2], [1], [1]), ALIKE)
    assert set(who(person).values()) == {1}
    assert not person.people
    assert not person.rival_photos


def test_two_people_with_photos_of_their_own_are_questioned() -> None:
    person = find_person(photos_of([1], [1], [1], [2], [2], [1, 2]), ALIKE)
    assert person.people == [[0, 1, 2, 5], [3, 4]]
    assert -1 < person.cosine < ALIKE


def test_a_single_photo_of_somebody_else_is_left_out() -> None:
    person = find_person(photos_of([1], [1], [1], [2]), ALIKE)
    assert sorted(person.faces) == [0, 1, 2]
    assert not person.people


def test_of_two_in_every_photo_the_one_who_is_clearly_more_prominent_is_meant() -> None:
    together = ([1, 2], [1, 2], [1, 2])
    assert find_person(photos_of(*together), ALIKE).rival_photos == {0, 1, 2}
    clear = find_person(photos_of(*together, sizes=(0.6, 0.3)), ALIKE)
    assert not clear.rival_photos
    assert set(who(clear).values()) == {1}


def test_a_pick_says_who_is_meant() -> None:
    candidates = photos_of([1, 2], [1, 2], [1, 2])
    picked = [replace(one, is_picked=one.photo == 0) for one in candidates[1:]]
    person = find_person(picked, ALIKE)
    assert set(who(person).values()) == {2}
    assert not person.rival_photos


def test_without_faces_there_is_nobody() -> None:
    assert find_person([], ALIKE).faces == {}


@settings(max_examples=60, deadline=None)
@given(
    strangers=st.lists(st.lists(st.integers(10, 60), max_size=3, unique=True), min_size=3),
    seed=st.integers(0, 100),
)
def test_whatever_strangers_stand_beside_the_subject_is_found(
    strangers: list[list[int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    seen: set[int] = set()
    candidates = []
    for photo, others in enumerate(strangers):
        shown = [1, *(other for other in others if other not in seen)]
        seen.update(others)  # each stranger is in one photo only
        for number, person in enumerate(rng.permutation(shown), 1):
            candidates.append(Candidate(photo, number, face_of(int(person), photo), 0.3))
    person = find_person(candidates, ALIKE)
    assert who(person) == dict.fromkeys(range(len(strangers)), 1)
    assert not person.people
    assert not person.rival_photos
    assert find_person(candidates[::-1], ALIKE).faces.keys() == person.faces.keys()


@pytest.mark.parametrize(
    ("box", "expected"),
    [((50, 50, 150, 150), 0.5), ((0, 0, 100, 100), 0.375), ((0, 0, 200, 200), 1.0)],
)
def test_a_large_face_in_the_middle_is_prominent(
    box: tuple[float, float, float, float], expected: float
) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    assert prominence_of(replace(GOOD, box=box), image) == pytest.approx(expected)


def test_one_photo_is_about_its_most_prominent_face() -> None:
    assert most_prominent(photos_of([1, 2], sizes=(0.5, 0.45))) is None
    first = most_prominent(photos_of([1, 2], sizes=(0.6, 0.3)))
    assert first is not None
    assert first.number == 1


class TestWhoeverCannotBeUsed:
    """A bystander does not stand for somebody whose face cannot be used."""

    def checked(self, blurred_in: int) -> CheckedPhotos:
        checked = CheckedPhotos([f"{number}.jpg" for number in range(8)])
        for number in range(4):
            checked.candidates.append(Candidate(number, 2, face_of(2, number), 0.1))
            checked.counts[number] = 2
            if number < blurred_in:
                unusable = UnusableFace(face_of(1, number), Refusal(Why.BLURRED), 0.6)
                checked.unusable[number] = [unusable]
        return checked

    @pytest.mark.parametrize("blurred_in", [3, 4])
    def test_photos_that_are_about_somebody_else_are_questioned(self, blurred_in: int) -> None:
        checked = self.checked(blurred_in)
        choose_person(checked, ALIKE)
        assert len(checked.faces) == 4 - blurred_in
        assert [checked.refusals[number].why for number in range(blurred_in)] == [
            Why.SEVERAL_FACES
        ] * blurred_in

    def test_a_few_such_photos_change_nothing(self) -> None:
        checked = self.checked(2)
        choose_person(checked, ALIKE)
        assert len(checked.faces) == 4

    def test_a_pick_that_cannot_be_taken_refuses_everything(self) -> None:
        checked = self.checked(0)
        choose_person(checked, ALIKE)
        refuse_lost_picks(checked, {3})
        assert len(checked.faces) == 4
        refuse_lost_picks(checked, {7})
        assert not checked.faces
        assert all(refusal.why == Why.PICK_LOST for refusal in checked.refusals.values())
        assert all(refusal.text("zh-CN") for refusal in checked.refusals.values())
