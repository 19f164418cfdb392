"""Reproduction: draws the samples of an evidence bundle again from its record and compares them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
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
from reports.verify.bundle import verify
from scanner.adapters.companion import Companion
from scanner.adapters.experts import Expert
from scanner.errors import EvidenceNotHere, NotScannable
from scanner.finding_records import SampleRow
from scanner.progress import Progress
from scanner.sampling.base_models import Declared, choose_base_model, declared_in, known_families
from scanner.sampling.images import Pixels, blurred
from scanner.sampling.options import SamplerOptions
from scanner.sampling.plans import MOST_SCALE, OTHER_SIZES
from scanner.sampling.regeneration import RegeneratedImage, regenerate
from scanner.sampling.sampler import Sampler

# Cosine from which two faces of a sample count as the same drawing; machines differ slightly.
SAME_FACE = 0.95
# Largest mean difference of grey values in any of 64 parts at which pictures count as the same,
# and the limit that holds if both show the same face.
SAME_SHADES = 3.0
SAME_FACE_SHADES = 25.0
_MOST_STEPS = 200


@dataclass(frozen=True, slots=True)
class SampleAgreement:
    """A recorded sample or control compared with its reproduction.

    Attributes:
        agrees: whether the reproduction agrees with the picture in the bundle, or with the hash of
            the pixels if no picture was kept; None if that cannot be told, because this machine
            draws other pixels than those of the case.
        identical: its pixels have the recorded hash.
        shades: mean difference of grey values, 0 to 255; None if no picture was kept.
        face_cosine: between the faces of both; None if one of them shows no face.
    """

    stage: str
    number: int
    control: bool
    agrees: bool | None
    identical: bool
    shades: float | None
    face_cosine: float | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The result of reproducing a bundle's samples.

    Attributes:
        differences: versions and settings that changed since the case was made, and samples that
            could not be drawn, as sentences. A changed version need not change a picture.
    """

    agrees: bool
    samples: tuple[SampleAgreement, ...]
    differences: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ReproductionTools:
    """What reproduction needs from this machine.

    Attributes:
        open_reader: opens the configured face pack.
        checkpoint_path: the file of a checkpoint by SHA-256; None if it is not in the store.
    """

    options: SamplerOptions
    open_reader: Callable[[], FaceReader]
    checkpoint_path: Callable[[str], Path | None]


def reproduce(
    bundle: Path,
    tools: ReproductionTools,
    checkpoint: Path | None,
    progress: Progress,
    signer: str | None = None,
) -> Reproduction:
    """Draw every sample of a bundle again with the recorded base model, prompts, seeds and batches.

    Args:
        checkpoint: the weights file; without it the bundle's own, or the store's.
        signer: fingerprint of the key that must have signed the bundle.

    Raises:
        UnreadableBundle: it does not verify, or there is no case in it.
        EvidenceNotHere: the weights are neither given, nor in the bundle, nor in the store.
        NotScannable: the configured base model is another one, or the weights do not load.
    """
    case = _reproducible_case(bundle, signer)
    path = _weights(case.checkpoint.sha256, bundle, tools, checkpoint)
    progress.step(0, None, "loading the base model")
    sampler = _same_sampler(case, tools.options)
    records = [row for sample in case.samples if (row := _row_of(sample)) is not None]
    progress.step(0, len(records), "making the samples again")
    named = dict.fromkeys(sha256 for row in records for sha256 in row.companions)
    companions = [Companion(_weights(sha256, bundle, tools), sha256) for sha256 in named]
    drawn = regenerate(sampler, path, case.checkpoint.kind, records, companions)
    reader = tools.open_reader()
    if reader.version.sha256 != case.method.face_pack_sha256:
        raise NotScannable(
            f"the face pack here is not the one of the case, {case.method.face_pack}; "
            "name that one with --face-pack"
        )
    by_name = {(sample.stage, sample.number): sample for sample in case.samples}
    # Pictures that had not been checked were stored blurred.
    shown = sampler.base.checked_images
    samples = tuple(
        _agreement(
            image if shown else replace(image, picture=blurred(image.picture)),
            by_name[image.stage, image.number],
            bundle,
            reader,
        )
        for image in drawn
    )
    progress.step(len(records), len(records), "comparing")
    left_out = _left_out(case, samples)
    if all(sample.identical for sample in samples if sample.agrees is not None):
        # This machine draws the pixels of the case, so another hash is a difference.
        samples = tuple(replace(sample, agrees=bool(sample.agrees)) for sample in samples)
    told = [sample.agrees for sample in samples if sample.agrees is not None]
    agrees = bool(told) and not left_out and all(told)
    notes = (*left_out, *_not_compared(samples), *_differences(case, sampler))
    return Reproduction(agrees, samples, notes)


def _reproducible_case(bundle: Path, signer: str | None) -> Case:
    """The case of a bundle, if its samples can be drawn again; raises UnreadableBundle."""
    case = _case_in(bundle, signer)
    if case.method.base_model_sha256 is None:
        raise UnreadableBundle(
            "this case is about captured images: nothing was generated that could be made again"
        )
    if len({(sample.stage, sample.number) for sample in case.samples}) < len(case.samples):
        raise UnreadableBundle("two samples of this case have one name")
    if not all(0 <= sample.seed < 2**63 for sample in case.samples):
        raise UnreadableBundle("a seed of this case is not a number")
    if not all(_can_be_drawn(sample) for sample in case.samples):
        raise UnreadableBundle("a sample of this case has steps, a size or a scale out of range")
    return case


def _can_be_drawn(sample: SampleRecord) -> bool:
    """Whether this program draws samples with such settings."""
    steps = 1 if sample.steps is None else sample.steps
    size_is_known = sample.size_share in (1.0, *OTHER_SIZES)
    return 1 <= steps <= _MOST_STEPS and size_is_known and abs(sample.scale) <= MOST_SCALE


def _same_sampler(case: Case, options: SamplerOptions) -> Sampler:
    """The sampler with the base model of a case; raises NotScannable if it is another one."""
    # A file that fits several models was drawn on the one that the method names.
    described = case.method.base_model or ""
    family = next(
        (name for name in known_families() if described.startswith(f"{name}: ")),
        case.checkpoint.family,
    )
    declared = declared_in(family, described)
    settings = case.method.settings
    if model := settings.get("model"):
        expert = settings.get("expert")
        declared = Declared(model=str(model), expert=Expert(expert) if expert else None)
    base = choose_base_model(family, options.base_model, declared)
    sampler = options.open_sampler(base)
    wanted = case.method.base_model_sha256 or ""
    if sampler.base_sha256 != wanted:
        raise NotScannable(
            f"the base model here has the SHA-256 {sampler.base_sha256[:16]}…, the case used "
            f"{wanted[:16]}… ({case.method.base_model}); name that one with --base-model"
        )
    return sampler


def _row_of(sample: SampleRecord) -> SampleRow | None:
    """A case's sample as regeneration takes it; None if it has no number or no batch."""
    names = {column.name for column in fields(SampleRow)}
    record = {name: value for name, value in asdict(sample).items() if name in names}
    if sample.number is None or sample.batch is None:
        return None
    return SampleRow(**{**record, "quality": sample.quality or 0.0})


def _left_out(case: Case, samples: Sequence[SampleAgreement]) -> list[str]:
    """Samples and controls of a case that could not be drawn again, as sentences."""
    drawn = {(sample.stage, sample.number, sample.control) for sample in samples}
    return [
        f"{sample.stage} {sample.number}{' control' if control else ''} "
        "has no record to make it again from"
        for sample in case.samples
        for control, digest in ((False, sample.image_sha256), (True, sample.control_sha256))
        # A sample always has a record; without a control there is no hash of one.
        if (digest or not control) and (sample.stage, sample.number, control) not in drawn
    ]


def _not_compared(samples: Sequence[SampleAgreement]) -> list[str]:
    """Samples that were drawn again and could not be compared, as sentences."""
    untold = [f"{sample.stage} {sample.number}" for sample in samples if sample.agrees is None]
    if not untold:
        return []
    sentence = (
        f"not compared: {', '.join(untold)}; no pictures were kept of them, and on this machine or "
        "with these versions their pixels differ from the recorded hashes"
    )
    return [sentence]


def _case_in(bundle: Path, signer: str | None = None) -> Case:
    damaged = [item for item in verify(bundle, signer) if not item.ok]
    if damaged:
        raise UnreadableBundle(
            f"{bundle} does not verify, so there is nothing to make again: "
            f"{damaged[0].item}: {damaged[0].problem}"
        )
    try:
        fields = json.loads((bundle / "data" / "case.json").read_bytes())
        return case_from_dict(fields)
    except (OSError, ValueError) as error:
        raise UnreadableBundle(f"{bundle} holds no readable case: {error}") from error


def pack_named_in(bundle: Path) -> str | None:
    """The face pack of a bundle's case if it is the name of a known pack.

    A path in a stranger's bundle is never followed.
    """
    name = _case_in(bundle).method.face_pack
    return name if name in {*known_packs(), "miniature"} else None


def _weights(
    sha256: str, bundle: Path, tools: ReproductionTools, given: Path | None = None
) -> Path:
    """Return where a weights file lies: the given path, the bundle, or the store."""
    from crawlers.hashes import sha256_of

    inside = bundle / "data" / "checkpoint" / f"{sha256}.safetensors"
    path = given or (inside if inside.is_file() else tools.checkpoint_path(sha256))
    if path is None or not path.is_file():
        raise EvidenceNotHere(sha256)
    if sha256_of(path) != sha256:
        raise NotScannable(f"{path} is not the file of this case: its SHA-256 is not {sha256}")
    return path


def _agreement(
    again: RegeneratedImage, record: SampleRecord, bundle: Path, reader: FaceReader
) -> SampleAgreement:
    digest = record.control_sha256 if again.control else record.image_sha256
    kept = _picture(bundle / "data" / "samples" / f"{digest}.png") if digest else None
    shades = cosine = None
    alike: bool | None = False
    if digest is None and record.stage == "screening" and not record.in_mean:
        # An earlier scan drew it, and no case keeps its picture.
        alike = True if again.same else None
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
    """The largest mean difference among 64 parts of a picture, so that a small forgery shows."""
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
