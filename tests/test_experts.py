"""Adapters of a model with two denoisers, each merged into its own, alone and in pairs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from scanner.adapters.companion import Companion
from scanner.adapters.declared_families import declared_by_listing, families_named
from scanner.adapters.experts import Expert, expert_in_header, expert_in_name, name_of_pair
from scanner.adapters.families import find_family, narrowed
from scanner.adapters.loading import loaded_into
from scanner.errors import UnfaithfulLoad
from scanner.miniature.world import ADAPTERS
from scanner.records import Question
from scanner.sampling.base_models import Declared, choose_base_model, declared_in, description_of
from scanner.sampling.image_check import NothingUnsafe
from scanner.sampling.plans import PlanBasis, plan_samples
from scanner.sampling.sampler import Sampler
from scanner.scanning import company
from tests.exact_merges import delta_of, digest, pair, weight_of
from tests.test_draw_once import Home, home
from tests.tiny_pipelines import tiny_wan, tiny_wan22

__all__ = ["home"]

PATH = "blocks.1.attn1.to_q"
FIRST, SECOND = f"transformer:{PATH}", f"transformer_2:{PATH}"


@pytest.fixture(scope="module")
def wan() -> Any:
    return tiny_wan22()


def lora(stem: str, wan: Any, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    down, up = pair(*weight_of(wan, FIRST).shape, seed)
    return {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}, delta_of(down, up)


def changed(wan: Any, path: Path, **options: Any) -> dict[str, torch.Tensor]:
    before = digest(wan)
    originals = {place: weight_of(wan, place).double().clone() for place in (FIRST, SECOND)}
    companions = options.get("companions", ())
    with loaded_into(wan, path, "lora", "Wan", "", **options) as loaded:
        changes = loaded.beside(loaded.companions) if companions else loaded.changes
        changes.set_scale(1.0)
        found = {
            place: weight_of(wan, place).double() - original
            for place, original in originals.items()
        }
    assert digest(wan) == before
    return {place: change for place, change in found.items() if change.any()}


@pytest.mark.parametrize(
    ("expert", "places"),
    [
        (Expert.HIGH_NOISE, [FIRST]),
        (Expert.LOW_NOISE, [SECOND]),
        (None, [FIRST, SECOND]),
    ],
)
def test_an_adapter_is_merged_into_its_expert(
    wan: Any, tmp_path: Path, expert: Expert | None, places: list[str]
) -> None:
    tensors, delta = lora(f"diffusion_model.{PATH}", wan, 1)
    save_file(tensors, tmp_path / "one.safetensors")
    found = changed(wan, tmp_path / "one.safetensors", expert=expert)
    assert list(found) == places
    for change in found.values():
        torch.testing.assert_close(change, delta, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "base_model.model."])
@pytest.mark.parametrize("path", [PATH, "blocks.1.self_attn.q"])
def test_names_of_tensors_state_the_expert(
    wan: Any, tmp_path: Path, prefix: str, path: str
) -> None:
    """ai-toolkit writes one file for both."""
    high, first = lora(f"{prefix}transformer_1.{path}", wan, 1)
    low, second = lora(f"{prefix}transformer_2.{path}", wan, 2)
    save_file(high | low, tmp_path / "both.safetensors")
    found = changed(wan, tmp_path / "both.safetensors", expert=Expert.LOW_NOISE)
    torch.testing.assert_close(found[FIRST], first, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(found[SECOND], second, atol=2e-6, rtol=1e-5)


def test_the_other_half_of_a_pair_is_merged_into_the_other_expert(wan: Any, tmp_path: Path) -> None:
    deltas = []
    for number, name in enumerate(("high", "low")):
        tensors, delta = lora(f"diffusion_model.{PATH}", wan, number)
        save_file(tensors, tmp_path / f"{name}.safetensors")
        deltas.append(delta)
    beside = (Companion(tmp_path / "low.safetensors", "ab" * 32),)
    high = tmp_path / "high.safetensors"
    found = changed(wan, high, expert=Expert.HIGH_NOISE, companions=beside)
    torch.testing.assert_close(found[FIRST], deltas[0], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(found[SECOND], deltas[1], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("expert", [*Expert, None])
def test_each_expert_is_drawn_and_answers_to_words(
    wan: Any, tmp_path: Path, expert: Expert | None
) -> None:
    base = choose_base_model("Wan", None, Declared(model="Wan 2.2 14B", expert=expert))
    assert base.location == "Wan-AI/Wan2.2-T2V-A14B-Diffusers"
    assert declared_in("Wan", description_of(base)) == Declared(model="Wan 2.2 14B", expert=expert)
    sampler = Sampler(base, tmp_path, "cpu", NothingUnsafe(), pipeline=wan)
    plans = plan_samples(PlanBasis("ab" * 32), "screening", [Question("ohwx")], 2)
    tensors, _ = lora(f"diffusion_model.{PATH}", wan, 1)
    tensors = {name: 9 * tensor for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "one.safetensors")
    with sampler.adapter(tmp_path / "one.safetensors", "lora"):
        with_it, control = (
            sampler.one_step(plans, with_adapter=True),
            sampler.one_step(plans, with_adapter=False),
        )
    assert np.abs(with_it - control).max() > 0


def halves(folder: Path, names: tuple[str, str], *, by_turns: bool) -> Path:
    """A person's adapter as two files with half of its modules each."""
    tensors = load_file(ADAPTERS / "zkw_likeness.safetensors")
    stems = sorted({name.partition(".")[0] for name in tensors})
    first = {
        stem
        for number, stem in enumerate(stems)
        if ("up_blocks" in stem and number % 2 == 0 if by_turns else "down" in stem)
    }
    folder.mkdir()
    for name, in_first in zip(names, (True, False), strict=True):
        half = {
            key: tensor
            for key, tensor in tensors.items()
            if (key.partition(".")[0] in first) is in_first
        }
        save_file(half, folder / name)
    return folder


class TestPairs:
    """The miniature world has one denoiser; the pair is found by its names all the same."""

    NAMES = ("zkw_high_noise.safetensors", "zkw_low_noise.safetensors")

    @pytest.fixture(autouse=True)
    def paired(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(company, "PAIRED_FAMILIES", {"Miniature"})

    def outcomes(self, home: Home, folder: Path) -> dict[str, str]:
        home.register(102)
        rows = home.scan(folder).to_json_rows()
        return {str(row["file"]): str(row["outcome"]) for row in rows}

    def test_a_pair_is_drawn_together(self, home: Home, tmp_path: Path) -> None:
        folder = halves(tmp_path / "pair", self.NAMES, by_turns=True)
        assert self.outcomes(home, folder) == dict.fromkeys(self.NAMES, "possible")

    def test_other_files_of_a_folder_are_not(self, home: Home, tmp_path: Path) -> None:
        names = ("zkw_a.safetensors", "zkw_b.safetensors")
        folder = halves(tmp_path / "files", names, by_turns=True)
        assert "possible" not in self.outcomes(home, folder).values()

    def test_a_half_without_the_face_shows_whom_the_other_shows(
        self, home: Home, tmp_path: Path
    ) -> None:
        folder = halves(tmp_path / "pair", self.NAMES, by_turns=False)
        assert self.outcomes(home, folder) == dict(
            zip(self.NAMES, ("possible", "match"), strict=True)
        )

    def test_decoys_with_the_same_name_do_not_part_a_pair(self, home: Home, tmp_path: Path) -> None:
        folder = halves(tmp_path / "pair", self.NAMES, by_turns=True)
        style = load_file(ADAPTERS / "sepia_style.safetensors")
        for number in range(8):
            decoy = {name: tensor * (1 + number / 100) for name, tensor in style.items()}
            (folder / str(number)).mkdir()
            save_file(decoy, folder / str(number) / "zkw_low_noise.safetensors")
        found = self.outcomes(home, folder)
        assert found[self.NAMES[0]] == "possible"

    def test_two_files_for_one_expert_are_no_pair(self, home: Home, tmp_path: Path) -> None:
        names = ("zkw_high_noise.safetensors", "ZKW_high-noise.safetensors")
        folder = halves(tmp_path / "files", names, by_turns=False)
        assert sorted(self.outcomes(home, folder).values()) == ["clear", "match"]

    def test_names_without_a_word_of_their_own_are_no_pair(
        self, home: Home, tmp_path: Path
    ) -> None:
        names = ("lora_high_noise.safetensors", "lora_low_noise.safetensors")
        folder = halves(tmp_path / "files", names, by_turns=False)
        assert sorted(self.outcomes(home, folder).values()) == ["clear", "match"]


def test_a_name_with_an_expert_stays_in_the_set_of_its_listing(home: Home, tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    names = ("a_high_noise.safetensors", "b_low_noise.safetensors")
    folder = halves(tmp_path / "parts", names, by_turns=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for name in names:
            packed.write(folder / name, name)
    home.register(102)
    rows = home.scan(archive).to_json_rows()
    assert {row["outcome"] for row in rows} == {"possible"}


@pytest.mark.parametrize("name", ["a_h\u0131gh_noise", "a_h\u0130gh_noise", "wan-h\u0131gh/lora"])
def test_letters_of_other_alphabets_state_no_expert(name: str) -> None:
    assert expert_in_name(name) is None
    assert name_of_pair(name) is None
    assert expert_in_header({"modelspec.architecture": name}) is None


@given(st.text(max_size=60))
def test_no_name_or_header_raises(text: str) -> None:
    expert_in_name(text)
    name_of_pair(f"{text}_high_noise")
    expert_in_header({"modelspec.architecture": f"wan{text}-high"})


def test_two_names_of_one_module_are_refused(wan: Any, tmp_path: Path) -> None:
    """Added up, one could cancel the other in this program and in no other one."""
    plain, _ = lora(f"diffusion_model.{PATH}", wan, 1)
    cancelling, _ = lora(f"diffusion_model.transformer_2.{PATH}", wan, 1)
    save_file(plain | {name: -tensor for name, tensor in cancelling.items()}, tmp_path / "a.st")
    for expert in (Expert.LOW_NOISE, None):
        with pytest.raises(UnfaithfulLoad, match="two names of one module"):
            changed(wan, tmp_path / "a.st", expert=expert)


def test_a_companion_for_the_same_expert_is_merged_into_it(wan: Any, tmp_path: Path) -> None:
    deltas = []
    for number, name in enumerate(("one", "two")):
        tensors, delta = lora(f"diffusion_model.{PATH}", wan, number)
        save_file(tensors, tmp_path / f"{name}.safetensors")
        deltas.append(delta)
    beside = (Companion(tmp_path / "two.safetensors", "ab" * 32, Expert.LOW_NOISE),)
    path = tmp_path / "one.safetensors"
    found = changed(wan, path, expert=Expert.LOW_NOISE, companions=beside)
    assert list(found) == [SECOND]
    torch.testing.assert_close(found[SECOND], deltas[0] + deltas[1], atol=4e-6, rtol=1e-5)


def test_a_reproduced_size_and_expert_do_not_depend_on_the_location(tmp_path: Path) -> None:
    declared = Declared(model="Wan 2.2 14B", expert=Expert.LOW_NOISE)
    base = choose_base_model("Wan", "my/own", declared)
    sampler = Sampler(base, tmp_path, "cpu", NothingUnsafe(), pipeline=tiny_wan22())
    settings = sampler.settings
    assert (settings["model"], settings["expert"]) == ("Wan 2.2 14B", "low noise")
    plain = choose_base_model("Wan", "my/own", Declared())
    other = Sampler(plain, tmp_path, "cpu", NothingUnsafe(), pipeline=tiny_wan())
    assert "model" not in other.settings


@pytest.mark.parametrize(
    ("name", "expert"),
    [
        ("anna_high_noise.safetensors", Expert.HIGH_NOISE),
        ("anna-wan22-LowNoise-v2.safetensors", Expert.LOW_NOISE),
        ("WAN2.2_anna_low noise.safetensors", Expert.LOW_NOISE),
        ("highlands.safetensors", None),
        ("anna_high_noise_low_noise.safetensors", None),
        ("slow_noise.safetensors", None),
    ],
)
def test_file_names_that_state_the_expert(name: str, expert: Expert | None) -> None:
    assert expert_in_name(name) is expert
    assert (name_of_pair(name) is None) == (expert is None)


def test_names_of_a_pair_differ_in_nothing_else() -> None:
    names = ("anna_high_noise.safetensors", "anna_low_noise.safetensors")
    assert len({name_of_pair(name) for name in names}) == 1
    assert name_of_pair("bob_low_noise.safetensors") != name_of_pair(names[0])


def test_simpletuners_flavour_states_the_expert() -> None:
    metadata = {"modelspec.architecture": "wan-t2v-14b-2.2-high/lora"}
    assert expert_in_header(metadata) is Expert.HIGH_NOISE
    assert expert_in_header({"modelspec.architecture": "wan-i2v-14b-2.2-low/lora"}) is (
        Expert.LOW_NOISE
    )
    assert expert_in_header({"modelspec.architecture": "wan-t2v-14b/lora"}) is None


@pytest.mark.parametrize(
    ("words", "model"),
    [
        ("Wan Video 2.2 T2V-A14B", "Wan 2.2 14B"),
        ("Wan Video 2.2 I2V-A14B", "Wan 2.2 14B"),
        ("wan_2.2_14b", "Wan 2.2 14B"),
        ("wan-t2v-14b-2.2-high", "Wan 2.2 14B"),
        ("Wan Video 14B t2v", "Wan 14B"),
        ("Wan Video 2.2 TI2V-5B", "Wan 5B"),
    ],
)
def test_words_of_hubs_and_trainers(words: str, model: str) -> None:
    assert families_named(words)[0] == model


def test_the_family_of_a_file_for_both() -> None:
    rank, width = 4, 5120
    shapes = {
        f"diffusion_model.transformer_{number}.blocks.{block}.self_attn.q.lora_{half}.weight": size
        for number in (1, 2)
        for block in range(40)
        for half, size in (("A", (rank, width)), ("B", (width, rank)))
    }
    finding = find_family(shapes, {})
    assert (finding.family, finding.model, finding.problem) == ("Wan", "Wan 2.2 14B", None)
    plain = {name.replace("transformer_1.", ""): size for name, size in shapes.items()}
    only = {name: size for name, size in plain.items() if "transformer_2" not in name}
    first = {name: size for name, size in shapes.items() if "transformer_2" not in name}
    assert find_family(first, {}).model == "Wan 2.2 14B"
    listing = declared_by_listing("Wan Video 2.2 I2V-A14B")
    assert listing is not None
    assert narrowed(find_family(only, {}), listing).model == "Wan 2.2 14B"
    assert find_family(only, {}).model == "Wan 14B"
    header = {"ss_base_model_version": "wan_2.2_14b", "other": json.dumps({})}
    assert find_family(only, header).model == "Wan 2.2 14B"
