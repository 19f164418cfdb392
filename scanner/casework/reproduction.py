"""Samples of an evidence bundle made again from nothing but its record, and whether they agree with those inside."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from face_index.faces.face import FaceReader
from face_index.faces.packs import known_packs
from reports.cases.case import Case, case_from_dict
from reports.cases.checkpoint_record import SampleRecord
from reports.errors import UnreadableBundle
from reports.verify_bundle import verify
from scanner.errors import EvidenceNotHere, NotScannable
from scanner.factories import open_pack, open_reader
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.image_check import image_check_for
from scanner.sampling.regeneration import Again, regenerate
from scanner.sampling.sampler import Pixels, Sampler, blurred
from scanner.scanning.fetching import open_checkpoints
from scanner.scanning.judging import device_of
from scanner.scanning.pipeline import Observer
from scanner.settings import Settings

# Cosine from which two faces of one sample count as the same drawing; other machines differ by a shade of grey.
SAME_FACE = 0.95
# Mean difference of grey values in any of 64 parts, up to which pictures count as the same; and with the same face in both.
SAME_SHADES = 3.0
SAME_FACE_SHADES = 25.0


@dataclass(frozen=True, slots=True)
class SampleAgreement:
    """One sample or control beside the one made again.

    Attributes:
        agrees: the picture made again is the recorded one, and so is the picture that lies in the bundle.
        identical: its pixels are the recorded ones, to the byte.
        shades: mean difference of grey values, 0 to 255; None where no picture was kept.
        face_cosine: between the faces of both; None where one shows none.
    """

    stage: str
    number: int
    control: bool
    agrees: bool
    identical: bool
    shades: float | None
    face_cosine: float | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of making a bundle's samples again.

    Attributes:
        differences: what is not as it was when the case was made, in words; these need not change a picture.
    """

    agrees: bool
    samples: tuple[SampleAgreement, ...]
    differences: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def reproduce(
    bundle: Path,
    settings: Settings,
    checkpoint: Path | None,
    observer: Observer,
    signer: str | None = None,
) -> Reproduction:
    """Make every sample of a bundle again with the recorded base model, prompts, seeds and batches.

    Args:
        signer: fingerprint of the key that must have signed the bundle.
        checkpoint: the weights file; without it the bundle's own, or the store's.

    Raises:
        UnreadableBundle: it does not verify, or there is no case in it.
        EvidenceNotHere: the weights are nowhere.
        NotScannable: the base model here is another one, or the weights do not load.
    """
    case = _case_in(bundle, signer)
    if case.method.base_model_sha256 is None:
        raise UnreadableBundle(
            "this case is about captured images: nothing was generated that could be made again"
        )
    if len({(sample.stage, sample.number) for sample in case.samples}) < len(case.samples):
        raise UnreadableBundle("two samples of this case have one name")
    if not all(0 <= sample.seed < 2**63 for sample in case.samples):
        raise UnreadableBundle("a seed of this case is none")
    path = _checkpoint(case, bundle, settings, checkpoint)
    base = choose_base_model(case.checkpoint.family, settings.base_model)
    cache, device = settings.cache / "huggingface", device_of(settings)
    observer.step(0, None, "loading the base model")
    sampler = Sampler(
        base, cache, device, image_check_for(base, settings.image_check, cache, device)
    )
    if sampler.base_sha256 != case.method.base_model_sha256:
        raise NotScannable(
            f"the base model here has the SHA-256 {sampler.base_sha256[:16]}…, the case used {case.method.base_model_sha256[:16]}… "
            f"({case.method.base_model}); name that one with --base-model"
        )
    records = [
        asdict(sample)
        for sample in case.samples
        if sample.number is not None and sample.batch is not None
    ]
    observer.step(0, len(records), "making the samples again")
    made = regenerate(sampler, path, case.checkpoint.kind, records)
    reader = open_reader(settings, open_pack(settings))
    if reader.version.sha256 != case.method.face_pack_sha256:
        raise NotScannable(
            f"the face pack here is not the one of the case, {case.method.face_pack}; name that one with --face-pack"
        )
    by_name = {(sample.stage, sample.number): sample for sample in case.samples}
    samples = tuple(
        _agreement(
            # Pictures that nobody had looked at were stored blurred.
            one if base.checked_images else replace(one, picture=blurred(one.picture)),
            by_name[one.stage, one.number],
            bundle,
            reader,
        )
        for one in made
    )
    observer.step(len(records), len(records), "comparing")
    made_again = {(one.stage, one.number, one.control) for one in samples}
    left_out = [
        f"{one.stage} {one.number}{' control' if control else ''} has no record to make it again from"
        for one in case.samples
        for control, digest in ((False, one.image_sha256), (True, one.control_sha256))
        if digest and (one.stage, one.number, control) not in made_again
    ]
    agrees = bool(samples) and not left_out and all(one.agrees for one in samples)
    return Reproduction(agrees, samples, (*left_out, *_differences(case, sampler)))


def _case_in(bundle: Path, signer: str | None = None) -> Case:
    damaged = [item for item in verify(bundle, signer) if not item.ok]
    if damaged:
        raise UnreadableBundle(
            f"{bundle} does not verify, so there is nothing to make again: {damaged[0].item}: {damaged[0].problem}"
        )
    try:
        fields = json.loads((bundle / "data" / "case.json").read_bytes())
        return case_from_dict(fields)
    except (OSError, ValueError) as error:
        raise UnreadableBundle(f"{bundle} holds no readable case: {error}") from error


def pack_named_in(bundle: Path) -> str | None:
    """The face pack of a bundle's case if it is a known pack's name; a path in a stranger's bundle is never followed."""
    name = _case_in(bundle).method.face_pack
    return name if name in {*known_packs(), "miniature"} else None


def _checkpoint(case: Case, bundle: Path, settings: Settings, given: Path | None) -> Path:
    from crawlers.hashes import sha256_of

    sha256 = case.checkpoint.sha256
    inside = bundle / "data" / "checkpoint" / f"{sha256}.safetensors"
    path = given or (inside if inside.is_file() else open_checkpoints(settings).path_of(sha256))
    if path is None or not path.is_file():
        raise EvidenceNotHere(sha256)
    if sha256_of(path) != sha256:
        raise NotScannable(f"{path} is not the file of this case: its SHA-256 is not {sha256}")
    return path


def _agreement(
    again: Again, record: SampleRecord, bundle: Path, reader: FaceReader
) -> SampleAgreement:
    digest = record.control_sha256 if again.control else record.image_sha256
    kept = _picture(bundle / "data" / "samples" / f"{digest}.png") if digest else None
    shades = cosine = None
    alike = False
    if kept is not None and kept.shape == again.picture.shape:
        difference = np.abs(kept.astype(int) - again.picture)
        shades, worst = float(difference.mean()), _worst_part(difference)
        cosine = _face_cosine(reader, kept, again.picture)
        alike = worst <= SAME_SHADES or (
            cosine is not None and cosine >= SAME_FACE and worst <= SAME_FACE_SHADES
        )
    return SampleAgreement(
        again.stage, again.number, again.control, alike, again.same, shades, cosine
    )


def _worst_part(difference: npt.NDArray[np.int_]) -> float:
    """The largest mean difference among the sixty-four parts of a picture: a small forgery does not drown in the whole."""
    rows = np.array_split(difference, 8)
    return max(float(part.mean()) for row in rows for part in np.array_split(row, 8, axis=1))


def _picture(path: Path) -> Pixels | None:
    if not path.is_file():
        return None
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # no picture agrees with it


def _face_cosine(reader: FaceReader, kept: Pixels, again: Pixels) -> float | None:
    faces = [found[0] if found else None for found in reader.read([kept, again])]
    if faces[0] is None or faces[1] is None:
        return None
    return float(faces[0].embedding @ faces[1].embedding)


def _differences(case: Case, sampler: Sampler) -> list[str]:
    from scanner.versions import library_versions

    now: dict[str, Mapping[str, Any]] = {"version": library_versions(), "setting": sampler.settings}
    then: dict[str, Mapping[str, Any]] = {
        "version": case.method.versions,
        "setting": case.method.settings,
    }
    return [
        f"{kind} {name}: {then[kind][name]} then, {now[kind].get(name)} now"
        for kind in now
        for name in then[kind]
        if name in now[kind] and str(now[kind][name]) != str(then[kind][name])
    ]
