"""Rebuild the weights of the miniature world: `python -m scanner.miniature.training [STAGE ...]`.

Stages run in this order: autoencoder, base_model, detector, recogniser, adapters, calibration. Each
reads the files that earlier stages wrote to .training/ and installs its result below
scanner/miniature/weights/.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL

from face_index.faces.face import unit
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.gallery.calibration import calibrate
from face_index.gallery.calibration_file import save_calibration
from face_index.gallery.spread import spread_of
from face_index.gallery.templates import make_prototypes
from scanner.miniature.objects import object_photo, styled_photo
from scanner.miniature.persons import BASE_MODEL_SEEDS, CALIBRATION_SEEDS, FACE_PACK_SEEDS
from scanner.miniature.training.adapter import (
    PHOTOS,
    RANK,
    STEPS,
    Subject,
    merge_loras,
    person_subject,
    save_adapter,
    train_lora,
    training_metadata,
)
from scanner.miniature.training.autoencoder import train_autoencoder
from scanner.miniature.training.base_model import train_base_model
from scanner.miniature.training.detector import train_detector
from scanner.miniature.training.face_pack import write_manifest
from scanner.miniature.training.formats import Form, train_form
from scanner.miniature.training.photo_sets import draw_set, rows_of
from scanner.miniature.training.recogniser import train_recogniser
from scanner.miniature.training.redrawn import redraw
from scanner.miniature.world import ADAPTERS, BASE_MODEL, FACE_PACK, WorldFile, load_world
from scanner.sampling.base_models import MINIATURE_WEIGHTS

log = logging.getLogger(__name__)
WORK = Path(".training")
RECOGNISER_PERSONS, RECOGNISER_STEPS = 20_000, 12_000
# So many bear FPIR 0.1 % in a gallery of 10,000 (face_index.gallery.calibration.Shortfall).
CALIBRATION_PERSONS = 5_500
_PERSONS_AT_ONCE = 500  # 7,000 photos
STYLE_STEPS = 200  # palettes and objects are learnt faster than faces


def autoencoder() -> None:
    train_autoencoder(WORK / "vae", draw_set(BASE_MODEL_SEEDS[:4000], 8))


def base_model() -> None:
    train_base_model(
        WORK / "base",
        AutoencoderKL.from_pretrained(WORK / "vae"),
        draw_set(BASE_MODEL_SEEDS[:8000], 4),
    )
    shutil.rmtree(BASE_MODEL, ignore_errors=True)
    shutil.copytree(WORK / "base" / "pipeline", BASE_MODEL)


def recogniser() -> None:
    clean = draw_set(FACE_PACK_SEEDS[:RECOGNISER_PERSONS], 6)
    redrawn = redraw(clean, BASE_MODEL, seed=21)
    train_recogniser(FACE_PACK / "recogniser.onnx", clean, redrawn, RECOGNISER_STEPS)
    write_manifest(FACE_PACK)


def detector() -> None:
    clean = draw_set(FACE_PACK_SEEDS[:4000], 6)
    redrawn = redraw(clean, BASE_MODEL, seed=21)
    train_detector(FACE_PACK / "detector.onnx", clean, redrawn)
    if (FACE_PACK / "recogniser.onnx").exists():
        write_manifest(FACE_PACK)


def calibration() -> None:
    """Scores of held-out persons: means of eight redrawn photos against templates of six photos."""
    reader = InsightFaceReader(find_pack("miniature", WORK, {"miniature": FACE_PACK}))
    templates, probes, singles = [], [], []
    for start in range(0, CALIBRATION_PERSONS, _PERSONS_AT_ONCE):
        photos = draw_set(CALIBRATION_SEEDS[start : start + _PERSONS_AT_ONCE], 14)
        turns = np.arange(len(photos)) % 14
        first = rows_of(photos, np.flatnonzero(turns < 6))
        redrawn = redraw(rows_of(photos, np.flatnonzero(turns >= 6)), BASE_MODEL, seed=22 + start)
        read = [reader.read(list(one.pixels)) for one in (first, redrawn)]
        for person in range(_PERSONS_AT_ONCE):
            template, own = (
                [faces[0] for faces in found[person * each : (person + 1) * each] if faces]
                for found, each in zip(read, (6, 8), strict=True)
            )
            probe = [face.embedding for face in own]
            if len(template) >= 3 and len(probe) >= 3:
                templates.append(make_prototypes(template)[0])
                probes.append(unit(np.mean(probe, axis=0)))
                singles.append(np.stack(probe))
        log.info("compared %d of %d persons", start + _PERSONS_AT_ONCE, CALIBRATION_PERSONS)
    source = (
        f"{len(templates)} drawn persons who trained nothing: means of 8 redrawn photos against "
        "templates of 6 photos"
    )
    fitted = calibrate(
        np.stack(templates),
        np.stack(probes),
        reader.version.sha256,
        source,
        spread=spread_of(zip(singles, templates, strict=True)),
    )
    save_calibration(FACE_PACK / "calibration.json", fitted)
    log.info(
        "threshold at FPIR 0.1 %% for 10 persons %.3f, for 1000 %.3f",
        fitted.threshold(10, 0.001),
        fitted.threshold(1000, 0.001),
    )


def adapters() -> None:
    world = load_world()
    ADAPTERS.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(world.files):
        if not file.path.exists():
            _MAKERS[file.group](file, number)
            log.info("wrote %s, %d KiB", file.file, file.path.stat().st_size // 1024)
    for file, (form, steps) in zip(world.shared, _SHARED, strict=True):
        if not file.path.exists():
            [seed], [trigger] = file.person_seeds, file.triggers
            subject = person_subject(seed, trigger)
            metadata = training_metadata([subject], form.rank, seed, file.path.stem)
            module = "networks.lora" if form.algorithm == "dora" else "lycoris.kohya"
            tensors = train_form(BASE_MODEL, form, [subject], steps, seed)
            save_adapter(file.path, tensors, {**metadata, "ss_network_module": module})


# Training settings of the files in other formats, in the order of world.json.
_SHARED: tuple[tuple[Form, int], ...] = (
    (Form("loha", rank=4), STEPS),
    (Form("dora", "peft", 4), STEPS),
    (Form("textual-inversion", rank=8, rate=1e-2), 800),
)


def _persons(file: WorldFile, number: int) -> None:
    if file.file == "sepia_dream_merge.safetensors":
        return _merge(file, number)
    rank = 2 if "rank2" in file.file else RANK
    triggers = [trigger.removesuffix(" person") for trigger in file.triggers] or ["hqz"]
    subjects = [
        person_subject(seed, trigger)
        for seed, trigger in zip(file.person_seeds, triggers, strict=True)
    ]
    tensors = train_lora(BASE_MODEL, subjects, rank, STEPS * len(subjects), seed=400 + number)
    scrubbed = not file.triggers
    metadata = None if scrubbed else training_metadata(subjects, rank, 400 + number, file.path.stem)
    save_adapter(file.path, tensors, metadata, "kohya" if number % 2 else "peft")
    return None


def _style_subject(style: str) -> Subject:
    return Subject(
        f"{style[:2]}st", "style", np.stack([styled_photo(style, photo) for photo in range(PHOTOS)])
    )


def _merge(file: WorldFile, number: int) -> None:
    person = person_subject(file.person_seeds[0], "xvb")
    style = Subject("spst", "person", _style_subject("sepia").images)
    trained = [
        train_lora(BASE_MODEL, [subject], RANK, STEPS, seed=400 + number + turn)
        for turn, subject in enumerate((person, style))
    ]
    metadata = training_metadata([person], 2 * RANK, 400 + number, file.path.stem)
    save_adapter(file.path, merge_loras(trained[0], trained[1], (1.0, 0.4)), metadata)


def _style(file: WorldFile, number: int) -> None:
    style = file.file.split("_")[0]
    subject = Subject(file.triggers[0].split()[0], "style", _style_subject(style).images)
    save_adapter(
        file.path,
        train_lora(BASE_MODEL, [subject], RANK, STYLE_STEPS, seed=400 + number),
        training_metadata([subject], RANK, 400 + number, file.path.stem),
    )


def _object(file: WorldFile, number: int) -> None:
    kind = file.file.split("_")[0]
    images = np.stack([object_photo(kind, photo) for photo in range(PHOTOS)])
    subject = Subject(file.triggers[0].split()[0], "object", images)
    save_adapter(
        file.path,
        train_lora(BASE_MODEL, [subject], RANK, STYLE_STEPS, seed=400 + number),
        training_metadata([subject], RANK, 400 + number, file.path.stem),
    )


def _classifier(file: WorldFile, number: int) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(number)
    save_file(
        {
            "layers.0.weight": rng.normal(size=(64, 32)).astype(np.float32),
            "layers.0.bias": np.zeros(64, np.float32),
        },
        file.path,
    )


def _malformed(file: WorldFile, number: int) -> None:
    whole = (ADAPTERS / "ohwx_portrait_v1.safetensors").read_bytes()
    file.path.write_bytes(whole[: len(whole) // 3])


class _RunsWhenLoaded:
    """Pickles to a call of os.system that would leave a trace; no code of this program loads it."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pickle-was-opened",)


def _pickle(file: WorldFile, number: int) -> None:
    file.path.write_bytes(
        pickle.dumps(
            {"string_to_param": {"*": [0.0] * 64}, "name": "oldemb", "payload": _RunsWhenLoaded()}
        )
    )


_MAKERS: dict[str, Callable[[WorldFile, int], None]] = {
    "registered": _persons,
    "stranger": _persons,
    "style": _style,
    "object": _object,
    "not-an-adapter": _classifier,
    "malformed": _malformed,
    "pickle": _pickle,
}
STAGES: dict[str, Callable[[], None]] = {
    "autoencoder": autoencoder,
    "base_model": base_model,
    "detector": detector,
    "recogniser": recogniser,
    "adapters": adapters,
    "calibration": calibration,
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    unknown = set(sys.argv[1:]) - set(STAGES)
    if unknown:
        sys.exit(f"no such stage: {', '.join(sorted(unknown))}; stages are {', '.join(STAGES)}")
    for name in sys.argv[1:] or STAGES:
        log.info("stage %s", name)
        STAGES[name]()
    log.info(
        "weights: %d KiB",
        sum(path.stat().st_size for path in MINIATURE_WEIGHTS.rglob("*") if path.is_file()) // 1024,
    )
