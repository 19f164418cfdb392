"""Reading and writing calibrations. A file may come from anywhere, so every number is checked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from face_index.errors import CalibrationImpossible
from face_index.gallery.calibration import Basis, Calibration
from face_index.gallery.likelihood_ratio import LikelihoodRatio, Reliability
from face_index.gallery.spread import Spread
from face_index.gallery.tail import Tail

FORMAT = 4
# Calibrations that ship with the program, by the SHA-256 of the networks: scores, no photos.
SHIPPED = Path(__file__).parents[1] / "calibrations"
_MOST_Z = 8.0  # the cosine 0.9999998
_MOST_LOG10 = 30.0
_MANY = 1e15


def load_calibration(path: Path, pack_sha256: str) -> Calibration | None:
    """Read a calibration; None if the file is missing or is of other networks or another format.

    Raises:
        CalibrationImpossible: The file is damaged.
    """
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
        return _calibration_from(record, pack_sha256)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CalibrationImpossible(
            f"the calibration {path} is damaged ({error}); run calibrate again, or delete it"
        ) from error


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, completely or not at all.

    Raises:
        CalibrationImpossible: Its numbers are impossible, as those of scores that are all alike.
    """
    text = json.dumps({"format": FORMAT, **asdict(calibration)}) + "\n"
    try:
        _calibration_from(json.loads(text, parse_constant=_refuse), calibration.pack_sha256)
    except ValueError as error:
        raise CalibrationImpossible(
            f"the scores are too much alike to fit a calibration ({error}); use other photos or "
            "more people"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _calibration_from(record: dict[str, Any], pack_sha256: str) -> Calibration | None:
    if record.pop("format", None) != FORMAT or record["pack_sha256"] != pack_sha256:
        return None
    ratio, margin, spread = (
        record.get(name) for name in ("likelihood_ratio", "runner_up_margin", "spread")
    )
    for name in ("source", "marks_sha256"):
        if not isinstance(record[name], str):
            raise TypeError(f"{name} must be text")
    _within(1, _MANY, [record["subjects"], record["comparisons"]])
    _within(0, 1, [record["seen_rate"]])
    _within(0, _MANY, record["marks"].values())
    if margin is not None:
        _within(0, 2, [margin])
    if spread is not None:
        _within(1e-6, 1e3, spread.values())
    record |= {
        "tail": _tail_from(record["tail"]),
        "replicates": tuple(_tail_from(tail) for tail in record["replicates"]),
        "likelihood_ratio": None if ratio is None else _likelihood_ratio_from(ratio),
        "spread": None if spread is None else Spread(**spread),
        "groups": {str(name): _tail_from(tail) for name, tail in record["groups"].items()},
        "basis": Basis(record["basis"]),
    }
    return Calibration(**record)


def _likelihood_ratio_from(record: dict[str, Any]) -> LikelihoodRatio:
    curve = tuple((z, ratio) for z, ratio in record["curve"])
    _within(-_MOST_Z, _MOST_Z, [z for z, _ in curve])
    _within(-_MOST_LOG10, _MOST_LOG10, [ratio for _, ratio in curve])
    if len(curve) < 2 or any(
        later[0] <= one[0] or later[1] < one[1] for one, later in pairwise(curve)
    ):
        raise ValueError("its likelihood ratios fall while scores rise")
    reliability = tuple(Reliability(**one) for one in record["reliability"])
    for one in reliability:
        _within(-_MOST_LOG10, _MOST_LOG10, [one.stated, one.observed, one.low, one.high])
        _within(0, _MANY, [one.genuine, one.impostor])
    _within(0, 1e3, [record["cllr"], record["cllr_min"]])
    return LikelihoodRatio(curve, record["cllr"], record["cllr_min"], reliability)


def _tail_from(record: dict[str, Any]) -> Tail:
    tail = Tail(**{**record, "body": tuple((z, rate) for z, rate in record["body"])})
    _within(-_MOST_Z, _MOST_Z, [tail.start, *(z for z, _ in tail.body)])
    _within(-20, 20, [tail.shape])
    _within(1e-9, 20, [tail.scale])
    _within(1e-15, 1, [tail.share, *(rate for _, rate in tail.body)])
    points = [*tail.body, (tail.start, tail.share)]
    if not tail.body or any(
        later[0] < one[0] or later[1] > one[1] for one, later in pairwise(points)
    ):
        raise ValueError("the rates of its tail rise with the score")
    return tail


def _within(low: float, high: float, numbers: Iterable[Any]) -> None:
    """Raise ValueError or TypeError unless all are numbers in that range."""
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"{number!r} is no number")
        if not low <= number <= high:
            raise ValueError(f"{number} is not between {low:g} and {high:g}")
