"""The records of the method and of the machine in a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MethodRecord:
    """How the verdict was reached, enough to repeat it.

    Attributes:
        gallery_version: counts every change of who is searched.
        gallery_recall: 1 for exact search, else as measured when the index was built.
        fpir: the false positive identification rate the threshold holds.
        calibration: what the threshold was computed from, in words.
        settings: sampler settings by name.
        versions: program and library versions by name.
        calibration_sha256: of the calibration's canonical JSON; names the calibration set.
        calibration_subjects, calibration_comparisons: persons and impostor comparisons behind it.
        cllr, cllr_min: of the likelihood ratios on held-out scores, bits.
        fpir_interval: 95 % interval of the FPIR at the threshold: who happened to be in the
            calibration set.
        impostor_rates: cosine and the share of impostor comparisons at or above it.
        reliability: of the likelihood ratios on held-out scores, in bins: stated and observed log10
            LR, and the 95 % interval of the observed one.
        denoiser_calls: forward passes of the denoiser, controls included.
        sampled, with_face: images made with the checkpoint, and those with a usable face.
    """

    base_model: str
    base_model_sha256: str | None
    face_pack: str
    face_pack_sha256: str
    face_pack_licence: str
    gallery_size: int
    gallery_version: int
    gallery_recall: float
    fpir: float
    calibration: str
    settings: dict[str, Any]
    versions: dict[str, str]
    calibration_sha256: str | None = None
    calibration_subjects: int | None = None
    calibration_comparisons: int | None = None
    cllr: float | None = None
    cllr_min: float | None = None
    fpir_interval: tuple[float, float] | None = None
    impostor_rates: tuple[tuple[float, float], ...] = ()
    reliability: tuple[tuple[float, float, float, float], ...] = ()
    denoiser_calls: int | None = None
    sampled: int | None = None
    with_face: int | None = None


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What another face pack says about the same faces.

    Attributes:
        score: cosine of their mean to the person's template of that pack; None if that pack has no
            template of the person.
        threshold: of a match with that pack.
        agrees: whether the score is over it.
        holds_rate: whether the pack's calibration bears the stated rate at that threshold.
    """

    face_pack: str
    face_pack_sha256: str
    score: float | None
    threshold: float
    agrees: bool
    holds_rate: bool


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """The machine the samples were made on (取证环境清洁性检查; Online Litigation Rules
    of the PRC art. 17, ISO/IEC 27037).

    Attributes:
        checked_at: UTC.
        operator: who ran the scan (取证人).
        clock_synchronised: as the system's time service says; None if it does not.
        hosts_entries: lines of the hosts file beyond the machine's own names.
        proxies: names of proxy variables that are set; their values may hold secrets.
        tool_sha256: over the program's own source files.
        accelerator: GPU and driver, None without one.
    """

    checked_at: str
    operator: str
    system: str
    machine: str
    python: str
    clock_source: str | None
    clock_synchronised: bool | None
    name_servers: tuple[str, ...]
    hosts_sha256: str | None
    hosts_entries: int | None
    proxies: tuple[str, ...]
    tool: str
    tool_sha256: str
    accelerator: str | None = None
