"""The examination of one checkpoint: stored samples, regeneration, trigger search, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from safetensors.torch import load_file, save_file

from scanner.miniature.world import ADAPTERS
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.plans import PlanBasis
from scanner.sampling.regeneration import regenerate
from scanner.sampling.sampler import Sampler
from scanner.sampling.trigger_search import MOST_CANDIDATES, candidate_words, find_trigger
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.key import Key
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.worker_answer import WorkerAnswer
from tests.conftest import NOON, task_of

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"


@pytest.fixture(scope="module")
def judged(identifier: CheckpointIdentifier) -> WorkerAnswer:
    return identifier.identify(task_of(PERSON))


def test_every_sample_is_kept_with_its_scores(judged: WorkerAnswer) -> None:
    record = judged.verdict
    assert (record.outcome, [one.identity_id for one in record.findings]) == (
        "match",
        ["101"],
    )
    samples = record.all_samples
    assert len(samples) == record.samples
    assert {one.stage for one in samples} == {"screening", "evidence"}
    assert all(one.seed and one.prompt and one.pixels_sha256 for one in samples)
    evidence = [one for one in samples if one.stage == "evidence"]
    assert all(one.control_pixels_sha256 for one in evidence[:6])
    assert all(one.score is None or -1 <= one.score <= 1 for one in samples)
    assert np.mean([one.score for one in evidence if one.score is not None]) > 0.5
    finding = record.findings[0]
    assert finding.interval[0] <= finding.score <= finding.interval[1]
    assert 0 < finding.share <= 1
    assert 0 < finding.concentration <= 1
    assert all(image in judged.images for one in finding.samples for image in (one.image_sha256,))


def test_a_regenerated_sample_is_the_same_to_the_byte(
    identifier: CheckpointIdentifier, judged: WorkerAnswer, tmp_path: Path
) -> None:
    scan_store = ScanStore(tmp_path / "scans.db")
    task = task_of(PERSON)
    key = Key({"words": "these"})
    scan_store.remember_verdict(task.sha256, key, judged.verdict, NOON)
    known = scan_store.known_verdict(task.sha256, key.digest)
    assert known == replace(judged.verdict, all_samples=())
    rows = scan_store.samples(task.sha256)
    scan_store.close()
    sampler = identifier.sampler_for(identifier.source.base_for(task.family, task.declared))
    again = regenerate(sampler, PERSON, task.kind, rows)
    assert len(again) == len(rows) + sum(row.control_batch is not None for row in rows)
    assert all(one.same for one in again)


def test_another_batch_size_gives_the_same_verdict(
    identifier: CheckpointIdentifier, judged: WorkerAnswer
) -> None:
    smaller = CheckpointIdentifier(
        replace(identifier.source, batch=3),
        identifier.pack,
        identifier.reader,
        identifier.snapshot,
        identifier.policy,
    )
    other = smaller.identify(task_of(PERSON)).verdict
    assert (other.outcome, other.samples) == (
        judged.verdict.outcome,
        judged.verdict.samples,
    )
    assert other.best_score == pytest.approx(judged.verdict.best_score, abs=0.01)


def test_whoever_stays_between_the_thresholds_is_asked_for_more_strongly(
    identifier: CheckpointIdentifier, tmp_path: Path
) -> None:
    """An adapter that weighs little draws a face that only leans towards its person's."""
    path = tmp_path / "light.safetensors"
    known = load_file(ADAPTERS / "zkw_likeness.safetensors")
    save_file(
        {name: tensor * (0.7 if "lora_up" in name else 1) for name, tensor in known.items()}, path
    )
    strict = replace(
        identifier.snapshot, thresholds=replace(identifier.snapshot.thresholds, match=0.96)
    )
    record = (
        CheckpointIdentifier(
            identifier.source, identifier.pack, identifier.reader, strict, identifier.policy
        )
        .identify(task_of(path))
        .verdict
    )
    evidence = [one for one in record.all_samples if one.stage == "evidence"]
    assert len({one.seed for one in evidence}) == len(evidence)
    usual, strong = (
        [one.score or 0 for one in evidence if one.scale == scale] for scale in (1.0, 1.2)
    )
    assert np.mean(usual) + 0.03 < np.mean(strong)
    [finding] = record.findings
    used = {one.scale for one in finding.samples if one.in_mean}
    assert (record.outcome, finding.reason.endswith("; the adapter at scale 1.2")) == (
        "possible",
        used == {1.2},
    )


def test_two_people_in_one_file_are_two_findings(identifier: CheckpointIdentifier) -> None:
    # Which samples a file gets differs between installations; five of six see both people.
    task = replace(task_of(ADAPTERS / "duo_pack.safetensors"), installation="a")
    record = identifier.identify(task).verdict
    assert {one.identity_id for one in record.findings if one.outcome == "match"} == {
        "106",
        "107",
    }


@pytest.mark.parametrize("name", ["dvx_actor", "sepia_style", "teapot_object"])
def test_nobody_registered_is_clear_after_screening(
    identifier: CheckpointIdentifier, name: str
) -> None:
    record = identifier.identify(task_of(ADAPTERS / f"{name}.safetensors")).verdict
    assert (record.outcome, record.findings) == ("clear", ())
    assert all(one.control_batch is None for one in record.all_samples if one.stage == "screening")


def test_a_zero_adapter_is_failed_not_clear(
    identifier: CheckpointIdentifier, tmp_path: Path
) -> None:
    path = tmp_path / "nothing.safetensors"
    save_file({name: tensor * 0 for name, tensor in load_file(PERSON).items()}, path)
    record = identifier.identify(task_of(path)).verdict
    assert record.outcome == "failed"
    assert "no effect" in record.reason


def test_a_known_family_without_a_pipeline_is_failed_by_name(
    identifier: CheckpointIdentifier,
) -> None:
    record = identifier.identify(replace(task_of(PERSON), family="Anima")).verdict
    assert (record.outcome, "family not supported: Anima" in record.reason) == (
        "failed",
        True,
    )


def test_a_problem_of_the_header_is_told_before_anything_is_loaded(
    identifier: CheckpointIdentifier,
) -> None:
    record = identifier.identify(replace(task_of(PERSON), problem="a rule forbids it")).verdict
    assert (record.outcome, record.reason, record.samples) == (
        "failed",
        "a rule forbids it",
        0,
    )


BASIS = PlanBasis("ab" * 32)


class TestTriggerSearch:
    def test_words_of_titles_come_before_those_that_trainers_like(self) -> None:
        words = candidate_words(["Vexa portrait LoRA v2", "vexa_final-000010.safetensors"])
        assert words[:2] == ("Vexa", "vexa")
        assert "ohwx" in words
        assert "lora" not in [word.lower() for word in words]
        assert candidate_words(["naked loli"]) == candidate_words([])

    def test_the_word_that_moves_the_adapter_most_is_found(
        self, identifier: CheckpointIdentifier, tmp_path: Path
    ) -> None:
        """The adapter responds to the direction in which one word's text states differ most."""
        sampler = identifier.sampler_for(choose_base_model("Miniature", None))
        path = answers_to(
            sampler, "ohwx", ["sks", "zwx", "vexa"], tmp_path / "answers_to_one.safetensors"
        )
        with sampler.adapter(path, "lora"):
            assert find_trigger(sampler, BASIS, ["vexa", "sks", "ohwx", "zwx"]) == "ohwx"
            assert find_trigger(sampler, BASIS, []) is None
        with sampler.adapter(PERSON, "locon"):
            # It draws its person whatever word stands there, so no word moves it more than none.
            before = sampler.cost
            assert find_trigger(sampler, BASIS, [f"word{number}" for number in range(40)]) is None
            assert sampler.cost.since(before).denoiser_calls <= 2 * (MOST_CANDIDATES + 1)


def answers_to(sampler: Sampler, word: str, others: list[str], path: Path) -> Path:
    tokenizer, encoder = sampler._pipeline.tokenizer, sampler._pipeline.text_encoder

    def states(subject: str) -> torch.Tensor:
        ids = tokenizer(
            [f"photo of {subject}"], padding="max_length", return_tensors="pt"
        ).input_ids
        return encoder(ids)[0][0].detach().double()  # type: ignore[no-any-return]

    own, rest = (
        states(f"{word} person"),
        torch.cat(
            [states(subject) for subject in ("a person", *(f"{one} person" for one in others))]
        ),
    )
    _, vectors = scipy.linalg.eigh(own.T @ own, rest.T @ rest + 1e-3 * torch.eye(own.shape[1]))
    direction = torch.tensor(vectors[:, -1]).float()
    tensors = {}
    for name, module in sampler._pipeline.unet.named_modules():
        if name.endswith(("attn2.to_v", "attn2.to_k")):
            stem = f"lora_unet_{name.replace('.', '_')}"
            tensors[f"{stem}.lora_down.weight"] = 3 * (direction / direction.norm())[None]
            tensors[f"{stem}.lora_up.weight"] = torch.randn(
                module.out_features, 1, generator=torch.Generator().manual_seed(1)
            )
    save_file(tensors, path)
    return path


def test_secrets_and_paths_stay_out_of_the_record(judged: WorkerAnswer) -> None:
    text = str(judged.verdict)
    assert str(Path.home()) not in text
    assert "/tmp" not in text


def test_unfinished_rounds_never_name_anybody(identifier: CheckpointIdentifier) -> None:
    """One round of evidence that is not enough leaves at most a question."""
    hasty: Any = replace(identifier.policy, rounds=1, confirmation=4)
    record = (
        CheckpointIdentifier(
            identifier.source, identifier.pack, identifier.reader, identifier.snapshot, hasty
        )
        .identify(task_of(PERSON))
        .verdict
    )
    assert record.outcome in ("match", "possible")
    assert all(len(one.samples) >= 4 for one in record.findings)


def test_a_search_leaves_torch_the_threads_that_it_had(identifier: CheckpointIdentifier) -> None:
    """Samples that are drawn with another number of threads differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        identifier.snapshot.closest(np.eye(1, identifier.snapshot.gallery.version.dimension)[0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
