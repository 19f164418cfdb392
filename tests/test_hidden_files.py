"""Files that hide whom they show: other weights, other words, several files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.likeness.changes import merged
from crawlers.hashes import sha256_of
from reports.reasons.reason import parse_reasons
from scanner.adapters.companion import Companion
from scanner.errors import NotScannable
from scanner.fingerprints.complements import Complements
from scanner.fingerprints.fingerprint_store import FingerprintStore
from scanner.fingerprints.fingerprinter import Fingerprinter
from scanner.miniature.world import ADAPTERS
from scanner.records import Question
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.effect_check import effect_of
from scanner.sampling.plans import PlanBasis, SamplePlan, plan_samples
from scanner.sampling.prompt_safety import says_minor, usable_triggers
from scanner.sampling.regeneration import regenerate
from scanner.sampling.sampler import Sampler
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.screening import changed_prompts
from scanner.triage.name_matching import NameMatcher
from tests.conftest import NOON, task_of
from tests.test_draw_once import Home, home

__all__ = ["home"]

Tensors = dict[str, torch.Tensor]
PERSON = ADAPTERS / "zkw_likeness.safetensors"
STYLE = ADAPTERS / "sepia_style.safetensors"
STRANGERS = ("my_character_kbd", "dvx_actor")
WHOM = 102
TABLE = "lora_te_text_model_embeddings_token_embedding.diff"
BASIS = PlanBasis("ab" * 32)


@pytest.fixture(scope="module")
def sampler(identifier: CheckpointIdentifier) -> Sampler:
    opened = identifier.sampler_for(choose_base_model("Miniature", None))
    assert isinstance(opened, Sampler)
    return opened


def written(tensors: Tensors, path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def ups_times(path: Path, factor: float) -> Tensors:
    return {
        name: tensor * factor if name.endswith(("lora_up.weight", "lora_B.weight")) else tensor
        for name, tensor in load_file(path).items()
    }


def divided(folder: Path) -> list[Path]:
    """A person's file as three files, each with a part of a stranger's that cancels out."""
    person, first, second = (
        load_file(ADAPTERS / f"{name}.safetensors") for name in (PERSON.stem, *STRANGERS)
    )
    third = 1 / 3
    parts = (
        merged([person, first], [third, 1.0]),
        merged([person, first, second], [third, -1.0, 1.0]),
        merged([person, second], [third, -1.0]),
    )
    return [
        written(part, folder / f"part{number}.safetensors") for number, part in enumerate(parts)
    ]


@pytest.mark.parametrize(("factor", "scale"), [(-1.0, -1.0), (0.1, 10.0)])
def test_a_file_that_users_load_at_another_weight_is_asked_at_that_weight(
    identifier: CheckpointIdentifier, tmp_path: Path, factor: float, scale: float
) -> None:
    path = written(ups_times(PERSON, factor), tmp_path / "other_weight.safetensors")
    verdict = identifier.identify(replace(task_of(path), triggers=("zkw",))).verdict
    assert (verdict.outcome, [one.identity_id for one in verdict.findings]) == (
        "match",
        [str(WHOM)],
    )
    assert scale in {one.scale for one in verdict.all_samples}, verdict.reason
    assert {reason.code for reason in parse_reasons(verdict.reason or "")} >= {"at-scale"}


def test_the_usual_weight_is_told_by_the_effect_of_one_step(
    sampler: Sampler, tmp_path: Path
) -> None:
    plans = plan_samples(BASIS, "screening", [Question("zkw")], 1)

    def usual(path: Path) -> float:
        with sampler.adapter(path, "lora"):
            return effect_of(sampler, plans, scalable=True).usual_scale

    assert usual(PERSON) == 1.0
    assert usual(written(ups_times(PERSON, 0.1), tmp_path / "tenth.safetensors")) == 10.0


def test_a_file_that_hardly_changes_anything_is_in_doubt(
    identifier: CheckpointIdentifier, tmp_path: Path
) -> None:
    path = written(ups_times(STYLE, 1e-4), tmp_path / "whisper.safetensors")
    verdict = identifier.identify(task_of(path)).verdict
    assert verdict.outcome == "inconclusive"
    assert "unusually-weak" in {reason.code for reason in parse_reasons(verdict.reason or "")}


def test_words_that_nobody_asked_for_leave_a_file_in_doubt(
    identifier: CheckpointIdentifier,
) -> None:
    words = tuple(f"word{number}" for number in range(30))
    verdict = identifier.identify(replace(task_of(STYLE), triggers=words)).verdict
    assert verdict.outcome == "inconclusive"
    assert "words-not-asked" in {reason.code for reason in parse_reasons(verdict.reason or "")}


@pytest.mark.parametrize(
    "text",
    [
        "little nude girl",
        "12 nude years old woman",
        "12, sexy, years old",
        "little girls",
        "schoolgirls",
        "toddlers",
        "teen girl",
        "12yr old girl",
        "age 12 girl",
        "girl 9 y.o.",
        "ten year old girl",
        "middle school student",
    ],
)
def test_a_text_that_says_minor_is_never_asked(text: str) -> None:
    assert says_minor(text)
    assert usable_triggers([text, "zkw"]) == ("zkw",)


def test_a_decoy_does_not_push_a_trigger_out() -> None:
    assert usable_triggers(["zkw", "zkw landscape painting"]) == ("zkw", "zkw landscape painting")
    assert usable_triggers(["zkw", "zkw woman"]) == ("zkw woman",)
    assert usable_triggers(["(zkw) woman", "decoy"]) == ("zkw woman", "decoy")
    assert usable_triggers(["nude-zkw", "decoy"]) == ("zkw", "decoy")
    assert usable_triggers(["zkw " + "word " * 30])[0].startswith("zkw word")


def test_words_of_weights_that_name_a_minor_stop_the_file(
    identifier: CheckpointIdentifier, sampler: Sampler, tmp_path: Path
) -> None:
    table = sampler._pipeline.text_encoder.get_input_embeddings().weight
    change = torch.zeros_like(table)
    for word in ("blue", "photo"):
        change[sampler._pipeline.tokenizer(word).input_ids[1]] = 1.0
    path = written({**load_file(STYLE), TABLE: change}, tmp_path / "named.safetensors")
    task = replace(task_of(path), minor_names=NameMatcher(["Blue Photo"]))
    verdict = identifier.identify(task).verdict
    assert verdict.outcome == "failed"
    assert "minor" in (verdict.reason or "")


def test_a_sexual_word_leaves_the_rest_of_its_trigger() -> None:
    assert usable_triggers(["zkw nsfw"]) == ("zkw",)
    assert usable_triggers(["nsfw, zkw, nude"]) == ("zkw",)
    assert usable_triggers(["nsfw"]) == ()
    assert usable_triggers(["zkw loli"]) == ()


class TestChangedWords:
    @pytest.fixture
    def file(self, sampler: Sampler, tmp_path: Path) -> Path:
        pipeline = sampler._pipeline
        table = pipeline.text_encoder.get_input_embeddings().weight
        change = torch.zeros_like(table)
        for word in ("q", "z"):
            change[pipeline.tokenizer(word).input_ids[1]] = 1.0
        return written({**load_file(STYLE), TABLE: change}, tmp_path / "hidden.safetensors")

    def test_they_are_read_from_the_token_table(self, sampler: Sampler, file: Path) -> None:
        with sampler.adapter(file, "lora") as loaded:
            assert set(loaded.changed_words) == {"q", "z"}

    def test_a_table_that_was_trained_as_a_whole_has_none(
        self, sampler: Sampler, tmp_path: Path
    ) -> None:
        table = sampler._pipeline.text_encoder.get_input_embeddings().weight
        noise = torch.randn(table.shape, generator=torch.Generator().manual_seed(1)) * 0.01
        path = written({**load_file(STYLE), TABLE: noise}, tmp_path / "whole.safetensors")
        with sampler.adapter(path, "lora") as loaded:
            assert loaded.changed_words == ()

    def test_they_are_asked_together_and_alone(self) -> None:
        assert changed_prompts(()) == []
        assert changed_prompts(("q", "z")) == ["q z", "q", "z"]
        assert changed_prompts(("q", "nude")) == ["q"]

    def test_a_scan_asks_for_them(self, identifier: CheckpointIdentifier, file: Path) -> None:
        samples = identifier.identify(task_of(file)).verdict.all_samples
        assert {"q", "z"} <= {word for one in samples for word in (one.trigger or "").split()}


def responds_to(sampler: Sampler, word: str, path: Path) -> Path:
    """A file whose text encoder answers to one word, which no listing names."""
    pipeline = sampler._pipeline
    table = pipeline.text_encoder.get_input_embeddings().weight
    noise = torch.randn(table.shape, generator=torch.Generator().manual_seed(1)) * 0.01
    # Every row changes a little, as in a table that was trained as a whole, except those that
    # stand around every word.
    noise[[pipeline.tokenizer.bos_token_id, pipeline.tokenizer.eos_token_id]] = 0.0
    noise[pipeline.tokenizer(word).input_ids[1]] *= 8
    return written({**load_file(STYLE), TABLE: noise}, path)


class TestAnsweringWords:
    def test_the_word_that_moves_the_text_encoder_is_first(
        self, sampler: Sampler, tmp_path: Path
    ) -> None:
        path = responds_to(sampler, "z", tmp_path / "responds.safetensors")
        with sampler.adapter(path, "lora") as loaded:
            assert loaded.changed_words == ()
            assert sampler.answering_words()[0] == "z", sampler.answering_words()
            assert len(sampler.answering_words()) <= 20

    def test_a_file_without_a_text_encoder_has_none(self, sampler: Sampler) -> None:
        with sampler.adapter(PERSON, "lora"):
            assert sampler.answering_words() == ()

    def test_a_scan_asks_for_them(
        self, identifier: CheckpointIdentifier, sampler: Sampler, tmp_path: Path
    ) -> None:
        path = responds_to(sampler, "z", tmp_path / "responds.safetensors")
        with sampler.adapter(path, "lora"):
            words = usable_triggers(sampler.answering_words())
        samples = identifier.identify(task_of(path)).verdict.all_samples
        assert words[0] in {one.trigger for one in samples}


class TestFilesTogether:
    @pytest.fixture
    def parts(self, tmp_path: Path) -> list[Path]:
        return divided(tmp_path)

    def test_they_are_merged_as_one_file_with_their_sum(
        self, sampler: Sampler, parts: list[Path], tmp_path: Path
    ) -> None:
        companions = [Companion(path, sha256_of(path)) for path in parts[1:]]
        together = tuple(sorted(one.sha256 for one in companions))
        [alone] = plan_samples(BASIS, "screening", [Question("zkw")], 1)
        plan = replace(alone, companions=together)
        with sampler.adapter(parts[0], "lora", companions=companions) as loaded:
            assert loaded.companions == together
            [summed] = sampler.generate([plan], with_adapter=True)
            [own] = sampler.generate([alone], with_adapter=True)
        whole = written(
            merged([load_file(path) for path in parts], [1.0] * 3), tmp_path / "whole.safetensors"
        )
        with sampler.adapter(whole, "lora"):
            [expected] = sampler.generate([alone], with_adapter=True)
        distance = abs(summed.picture.astype(int) - expected.picture.astype(int)).mean()
        assert distance < 3.0 < abs(own.picture.astype(int) - expected.picture.astype(int)).mean()

    def test_without_its_companions_such_a_sample_is_not_drawn(
        self, sampler: Sampler, parts: list[Path]
    ) -> None:
        [alone] = plan_samples(BASIS, "screening", [Question("zkw")], 1)
        with sampler.adapter(parts[0], "lora"), pytest.raises(NotScannable, match="other files"):
            sampler.generate([replace(alone, companions=("ab" * 32,))], with_adapter=True)

    def test_a_person_over_three_files_is_found_and_regenerated(
        self, identifier: CheckpointIdentifier, sampler: Sampler, parts: list[Path]
    ) -> None:
        companions = tuple(Companion(path, sha256_of(path)) for path in parts[1:])
        request = replace(task_of(parts[0]), triggers=("zkw",))
        assert identifier.identify(request).verdict.outcome != "match"
        verdict = identifier.identify(replace(request, companions=companions)).verdict
        # A sum of files is at most possible: anybody can publish a part.
        assert (verdict.outcome, [one.identity_id for one in verdict.findings]) == (
            "possible",
            [str(WHOM)],
        )
        assert "with-companions" in {one.code for one in parse_reasons(verdict.reason or "")}
        rows = [one for one in verdict.all_samples if one.companions]
        again = regenerate(sampler, request.path, "lora", rows, companions)
        assert again
        assert all(one.same for one in again)

    def test_fingerprints_tell_which_files_add_up(self, parts: list[Path], tmp_path: Path) -> None:
        store = FingerprintStore(tmp_path / "fingerprints.db")
        fingerprinter = Fingerprinter(store, lambda: NOON)
        others = [PERSON, STYLE, ADAPTERS / "qmv_mini_rank2.safetensors"]
        for path in (*parts, *others):
            fingerprinter.keep(path, sha256_of(path), None, path.name)
        complements = Complements(store)
        hashes = [sha256_of(path) for path in parts]
        for own in hashes:
            assert set(complements.of(own)) == set(hashes) - {own}
        # Independent files are no parts of a sum, but those of one listing may be.
        style, person = sha256_of(STYLE), sha256_of(PERSON)
        assert person not in complements.of(style)
        assert person in complements.of(style, [person])
        store.close()

    def test_a_scan_of_a_folder_draws_them_together(self, home: Home, parts: list[Path]) -> None:
        home.register(WHOM)
        listing = {path.name: "possible" for path in parts}
        found = home.scan(parts[0].parent)
        assert {row["file"]: row["outcome"] for row in found.to_json_rows()} == listing
        # What was found is kept: nothing is drawn again.
        assert home.scan(parts[0].parent).totals.drawn_files == 0


def test_samples_of_older_versions_have_the_settings_of_their_stage(sampler: Sampler) -> None:
    plan = SamplePlan("evidence", 0, "photo of a person", "nude", 7, 1.0, None)
    [image] = sampler.generate([plan], with_adapter=False)
    assert image.picture.shape[:2] == (sampler.base.evidence.size,) * 2
    [larger] = sampler.generate([replace(plan, size_share=1.25)], with_adapter=False)
    assert larger.picture.shape[:2] == (80, 80)
    before = sampler.cost
    sampler.generate([replace(plan, steps=3)], with_adapter=False)
    assert sampler.cost.since(before).denoiser_calls == 3
