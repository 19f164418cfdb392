"""Records that stages pass to each other and that scans.db stores as JSON.

`to_json` gives plain JSON values and `from_json` reads them back. Fields that an earlier version
did not write have defaults. Pictures are named by SHA-256. No record holds a face vector or a
person's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from reports.cases.method_record import MethodRecord
from scanner.finding_records import FindingRecord, SampleRow, known_fields


class Question(NamedTuple):
    """What a sample asks a checkpoint; samples of one question are compared with each other.

    Attributes:
        trigger: the word in the prompt; None for a person in general.
        scale: adapter weight.
        size_share: width and height, as a share of those of the stage.
        companions: SHA-256 of the files that are loaded beside the checkpoint.
    """

    trigger: str | None
    scale: float = 1.0
    size_share: float = 1.0
    companions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """How faces were compared: face pack, gallery, calibration, error rates, library versions.

    Attributes:
        gallery_recall: 1 for exact search, else as measured when the index was built.
        fpir: the false positive identification rate that the threshold holds.
        calibration: what the threshold was computed from, in words.
        rates: figures of the calibration; None where the pack has none.
    """

    face_pack: str
    face_pack_sha256: str
    face_pack_licence: str
    gallery_size: int
    gallery_version: int
    gallery_recall: float
    fpir: float
    calibration: str
    versions: dict[str, str]
    rates: CalibrationRates | None

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        rates = record.pop("rates")
        return {**record, **(rates or {})}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Comparison:
        rates = known_fields(CalibrationRates, record) if record.get("calibration_sha256") else None
        return known_fields(cls, {**record, "rates": rates})


@dataclass(frozen=True, slots=True)
class CalibrationRates:
    """Figures of a calibration.

    Attributes:
        calibration_sha256: of its canonical JSON.
        cllr, cllr_min: of the likelihood ratios on held-out scores, in bits; None without genuine
            scores.
        fpir_interval: 95 % interval of the FPIR at the threshold.
        impostor_rates: pairs of a cosine and the share of impostor comparisons at or above it.
        reliability: as in `reports.cases.method_record.MethodRecord`; empty without genuine scores.
    """

    calibration_sha256: str
    calibration_subjects: int
    calibration_comparisons: int
    cllr: float | None
    cllr_min: float | None
    fpir_interval: list[float]
    impostor_rates: list[list[float]]
    reliability: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImpostorCounts:
    """How many scores of one file lie in each bin (face_index.gallery.score_histogram).

    Attributes:
        below: number of the first bin that was not counted.
        clusters: number of faces that were compared.
        counts: number of scores by bin number.
    """

    below: int
    clusters: int
    counts: dict[int, int]


@dataclass(frozen=True, slots=True)
class VerdictMethod:
    """How a verdict was reached, enough to repeat it.

    Attributes:
        settings: sampler settings by name.
        threshold: cosine at which the error rates are stated.
        sampled, with_face: images drawn with the checkpoint, and those with a usable face.
    """

    base_model: str
    base_model_sha256: str | None
    comparison: Comparison
    settings: dict[str, Any]
    threshold: float
    denoiser_calls: int | None = None
    sampled: int | None = None
    with_face: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "base_model": self.base_model,
            "base_model_sha256": self.base_model_sha256,
            **self.comparison.to_json(),
            "settings": self.settings,
            "threshold": self.threshold,
            "denoiser_calls": self.denoiser_calls,
            "sampled": self.sampled,
            "with_face": self.with_face,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> VerdictMethod:
        return known_fields(cls, {**record, "comparison": Comparison.from_json(record)})

    def as_case_method(self) -> MethodRecord:
        """The method as a case holds it."""
        compared = self.comparison
        rates = asdict(compared.rates) if compared.rates else {}
        interval = rates.pop("fpir_interval", None)
        curve = tuple((score, rate) for score, rate in rates.pop("impostor_rates", ()))
        bins = tuple((one[0], one[1], one[2], one[3]) for one in rates.pop("reliability", ()))
        return MethodRecord(
            base_model=self.base_model,
            base_model_sha256=self.base_model_sha256,
            face_pack=compared.face_pack,
            face_pack_sha256=compared.face_pack_sha256,
            face_pack_licence=compared.face_pack_licence,
            gallery_size=compared.gallery_size,
            gallery_version=compared.gallery_version,
            gallery_recall=compared.gallery_recall,
            fpir=compared.fpir,
            calibration=compared.calibration,
            settings=self.settings,
            versions=compared.versions,
            **rates,
            fpir_interval=(interval[0], interval[1]) if interval else None,
            impostor_rates=curve,
            reliability=bins,
            denoiser_calls=self.denoiser_calls,
            sampled=self.sampled,
            with_face=self.with_face,
        )


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """The verdict on one checkpoint.

    Attributes:
        best_score: of the closest identity; None if nobody could be compared.
        best_threshold: of that identity's template.
        lift: of that score over the control's; None without controls.
        samples: number of images drawn with the checkpoint.
        found_trigger: a word that the trigger search found.
        method: None if the checkpoint could not be sampled.
        all_samples: every sample, scored against the closest identity; stored in a separate table.
    """

    outcome: str
    reason: str = ""
    best_score: float | None = None
    best_threshold: float | None = None
    lift: float | None = None
    samples: int = 0
    denoiser_calls: int = 0
    found_trigger: str | None = None
    seconds: float = 0.0
    findings: tuple[FindingRecord, ...] = ()
    method: VerdictMethod | None = None
    all_samples: tuple[SampleRow, ...] = ()

    @property
    def gallery_version(self) -> int | None:
        """Version of the gallery that was searched; None if none was."""
        return self.method.comparison.gallery_version if self.method else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without `all_samples`."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        del record["all_samples"]
        return {
            **record,
            "findings": [asdict(finding) for finding in self.findings],
            "method": self.method.to_json() if self.method else {},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> VerdictRecord:
        findings = tuple(FindingRecord.from_json(item) for item in record.get("findings", ()))
        method = VerdictMethod.from_json(record["method"]) if record.get("method") else None
        return known_fields(
            cls, {**record, "findings": findings, "method": method, "all_samples": ()}
        )


@dataclass(frozen=True, slots=True)
class AskedWords:
    """The prompts of a checkpoint in short, as rows and the gate's answers show them.

    Attributes:
        triggers: trigger words in prompts.
        words_tried: words that the trigger search tried.
        base_model: for display; None if there was none.
        triggers_left_out: known triggers beyond the number that is used.
    """

    triggers: tuple[str, ...]
    words_tried: tuple[str, ...]
    base_model: str | None
    triggers_left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        record = {name: _listed(value) for name, value in asdict(self).items()}
        if not self.triggers_left_out:
            del record["triggers_left_out"]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> AskedWords:
        return known_fields(cls, {name: _tupled(value) for name, value in record.items()})


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One result of a scan: a file and an identity, or a file without one.

    Attributes:
        authorised: what allows the use; None if nothing does.
        asked: None if the file was not sampled.
        case_id: of the case that the finding belongs to; None without a finding.
        examined: whether a worker examined the file. Not stored: it shows in the order of the keys.
    """

    file: str
    sha256: str | None
    outcome: str
    identity_id: str | None = None
    score: float | None = None
    threshold: float | None = None
    lift: float | None = None
    samples: int = 0
    seconds: float = 0.0
    reason: str = ""
    gallery_version: int | None = None
    authorised: str | None = None
    asked: AskedWords | None = None
    case_id: str | None = None
    examined: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `case_id` only in rows with an identity or a case.

        The keys have the two orders of version 0.1.0, so that rows stay the same to the byte.
        """
        names = _EXAMINED_ROW if self.examined else _UNEXAMINED_ROW
        record = {name: getattr(self, name) for name in names}
        record["asked"] = self.asked.to_json() if self.asked else None
        nobody = self.identity_id is None and self.case_id is None
        return record if nobody else {**record, "case_id": self.case_id}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ResultRow:
        asked = AskedWords.from_json(record["asked"]) if record.get("asked") else None
        names = list(record)
        examined = "outcome" not in names[:3]
        return known_fields(cls, {"sha256": None, **record, "asked": asked, "examined": examined})


_UNEXAMINED_ROW = (
    *("file", "sha256", "outcome", "identity_id", "score", "threshold", "lift"),
    *("samples", "seconds", "reason", "gallery_version", "authorised", "asked"),
)
_EXAMINED_ROW = (
    *("file", "sha256", "samples", "seconds", "gallery_version", "authorised", "asked"),
    *("outcome", "identity_id", "score", "threshold", "lift", "reason"),
)


@dataclass(frozen=True, slots=True)
class CaptureVerdict:
    """The verdict on one account or capture.

    Attributes:
        key, name: of the subject.
        images, faces: number of images analysed and of usable faces in them.
        cases, identities: of those who were found.
        authorised: what allows the use, for those who were found and have no case.
        ties: checkpoints that the pages or images point to.
        searched: False where the pictures may not be searched, or not yet.
        held: a finding waits for a second person.
        known: it was read from the store, because nothing has changed since. Not stored.
    """

    key: str
    name: str
    outcome: str
    reason: str
    images: int = 0
    faces: int = 0
    cases: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    authorised: tuple[str, ...] = ()
    ties: tuple[str, ...] = ()
    known: bool = False
    searched: bool = True
    held: bool = False

    def to_json(self) -> dict[str, Any]:
        record = {name: _listed(value) for name, value in asdict(self).items()}
        del record["known"]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> CaptureVerdict:
        return known_fields(cls, {name: _tupled(value) for name, value in record.items()})


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
