"""`calibrate --drawn` and `calibrate --scans`: calibrations for which nobody's photo is needed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from face_index.faces.insight import InsightFaceReader
from face_index.faces.packs import FacePack
from scanner.errors import NoiseNotShared
from scanner.identification.faces import FaceFinder
from scanner.miniature.world import ADAPTERS
from scanner.sampling.invented_adults import (
    IMAGES_OF_AN_ADULT,
    description_of_adult,
    draw_adults,
    plans_of_adult,
)
from scanner.sampling.prompt_safety import says_minor, usable_triggers
from scanner.sampling.sampler import Sampler
from scanner.sampling.shared_noise import shared_noise
from scanner.scanning.drawn_impostors import invented_probes
from tests.conftest import Silent
from tests.test_cli import run


class TestPrompts:
    def test_they_name_adults_of_every_region_age_and_gender(self) -> None:
        described = [description_of_adult(number) for number in range(96)]
        kinds = {text.split(" with ")[0] for text in described}
        assert len(kinds) == 96
        assert {sum(f" {region} " in text for text in kinds) for region in ("East Asian",)} == {12}

    def test_they_pass_the_filters_of_every_prompt(self) -> None:
        for number in range(500):
            text = description_of_adult(number)
            assert not says_minor(text)
            assert usable_triggers([text.split(" with ")[0]])
            assert all("nude" in plan.negative_prompt for plan in plans_of_adult(number))

    def test_no_seed_is_used_twice(self) -> None:
        seeds = [plan.seed for number in range(2000) for plan in plans_of_adult(number)]
        assert len(set(seeds)) == len(seeds)


class TestSharedNoise:
    def test_images_of_one_adult_start_from_nearly_the_same_normal_noise(
        self, miniature_sampler: Sampler
    ) -> None:
        pipeline = miniature_sampler._pipeline
        before = pipeline.prepare_latents
        plans = [plan for number in range(8) for plan in plans_of_adult(number)]
        seen = []
        with shared_noise(pipeline, IMAGES_OF_AN_ADULT, 0.3):
            prepare = pipeline.prepare_latents
            pipeline.prepare_latents = lambda *some, **named: (
                seen.append(prepare(*some, **named)) or seen[-1]
            )
            miniature_sampler.together(plans, with_adapter=False)
            pipeline.prepare_latents = prepare
        assert pipeline.prepare_latents == before
        [noise] = [latents.reshape(8, IMAGES_OF_AN_ADULT, -1).numpy() for latents in seen]
        unit = noise / np.linalg.norm(noise, axis=2, keepdims=True)
        alike = np.einsum("nkd,nld->nkl", unit, unit)
        assert alike[:, 0, 1:].mean() == pytest.approx(np.cos(0.3), abs=0.02)
        assert noise.std(axis=2) == pytest.approx(np.ones((8, IMAGES_OF_AN_ADULT)), abs=0.15)
        assert abs(unit[0, 0] @ unit[1, 0]) < 0.3

    def test_a_pipeline_that_prepares_its_noise_otherwise_is_refused(self) -> None:
        with (
            pytest.raises(NoiseNotShared, match="--family"),
            shared_noise(object(), IMAGES_OF_AN_ADULT, 0.3),
        ):
            pass


def test_an_adult_is_one_person_and_no_other(
    miniature_sampler: Sampler, miniature_reader: InsightFaceReader, miniature_pack: FacePack
) -> None:
    finder = FaceFinder(miniature_reader, miniature_pack.bar)
    probes = np.stack(invented_probes(miniature_sampler, finder, 12, Silent()))
    again = np.stack(invented_probes(miniature_sampler, finder, 12, Silent()))
    assert len(probes) >= 10  # whoever looks different in two images is left out
    assert np.array_equal(probes, again)
    others = (probes @ probes.T)[np.triu_indices(len(probes), 1)]
    assert others.max() < 0.6
    images = next(iter(draw_adults(miniature_sampler, 0, 1)))
    faces = finder.usable_faces([image.picture for image in images], [False] * len(images))
    vectors = np.stack([face.embedding for face in faces if face is not None])
    assert (vectors @ vectors.T).mean() > 0.6


class TestCommands:
    def test_invented_adults_set_the_thresholds(self, registered_home: Path) -> None:
        done = run("calibrate", "--drawn", "40", "--json", home=registered_home)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["basis"] == "adults whom a base model invents"
        own = document["subjects"]
        assert own >= 35
        assert document["comparisons"] > own * (own - 1) // 2  # registered people are compared too
        assert "adults invented by Miniature" in document["source"]
        # So few comparisons bear no match, and it is said.
        assert "no likelihood ratio from now on" in done.stderr
        assert "borne for 10,086 people" in done.stderr
        shortfalls = {one["shortfall"] for one in document["thresholds_at_fpir_0.001"]}
        assert shortfalls == {"too-few-comparisons"}

    def test_a_scan_counts_the_scores_of_files_that_show_nobody(
        self, registered_home: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "uploads"
        folder.mkdir()
        for name in ("dvx_actor.safetensors", "qmv_mini_rank2.safetensors"):
            shutil.copy(ADAPTERS / name, folder / name)
        done = run("scan", folder, "--json", home=registered_home)
        outcomes = {row["outcome"] for row in json.loads(done.stdout)["results"]}
        assert outcomes == {"clear", "match"}, done.stderr
        db = sqlite3.connect(registered_home / "scans.db")
        files, clusters = db.execute(
            "select count(*), sum(clusters) from impostor_files"
        ).fetchone()
        [(scores,)] = db.execute("select sum(count) from impostor_scores").fetchall()
        [(people,)] = db.execute("select max(gallery_size) from scans").fetchall()
        assert (files, scores) == (1, clusters * people)
        run("scan", folder, "--redraw", home=registered_home)
        assert db.execute("select sum(count) from impostor_scores").fetchall() == [(scores,)]
        few = run("calibrate", "--scans", home=registered_home)
        assert (few.returncode, "too few" in few.stderr) == (3, True)

    def test_the_sources_exclude_each_other(self, registered_home: Path, tmp_path: Path) -> None:
        for arguments in ([], ["--scans", "--gallery"], [tmp_path, "--drawn", "50"]):
            done = run("calibrate", *arguments, home=registered_home)
            assert done.returncode == 2
            assert "--drawn, --scans and --gallery" in done.stderr
        done = run("calibrate", "--scans", "--family", "SD1", home=registered_home)
        assert (done.returncode, "needs --drawn" in done.stderr) == (2, True)
