"""`calibrate` and `evaluate`: how often a face pack errs, and thresholds that follow from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import (
    FacePackOption,
    Flags,
    JsonFlag,
    LanguageOption,
    UseOption,
    check_language,
    print_json,
    progress_bar,
    write_text_file,
)

if TYPE_CHECKING:
    from face_index.accuracy.evaluation import Evaluation
    from face_index.accuracy.labelled import LabelledPhoto, ReadPhotos
    from face_index.gallery.calibration import Calibration
    from scanner.factories import Reception

OutOption = Annotated[
    Path | None, typer.Option(help="Where to write the HTML report; the JSON lies beside it.")
]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("calibrate")(calibrate)
    app.command("evaluate")(evaluate)


def evaluate(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder of persons' folders, a CSV of pairs, or LFW's pairs.txt.", exists=True
        ),
    ],
    out: OutOption = None,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Measure a face pack's error rates on labelled photos and write the accuracy report."""
    from scanner.factories import Reception

    check_language(lang)
    flags: Flags = context.obj
    reception = Reception(flags.settings(face_pack=face_pack, use=use))
    evaluation, _ = _measure(reception, source)
    path = _write_report(reception, evaluation, source, out, lang)
    reception.close()
    _tell(evaluation, path, None, as_json)


def calibrate(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(help="A folder of persons' folders.", exists=True, file_okay=False),
    ] = None,
    gallery: Annotated[
        bool,
        typer.Option(
            "--gallery", help="Use the registered people's own cross-scores; impostors only."
        ),
    ] = False,
    out: OutOption = None,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Fit thresholds and likelihood ratios for a face pack; scans use them from then on."""
    from face_index.gallery.calibration import save_calibration
    from scanner.factories import Reception

    check_language(lang)
    if (source is None) != gallery:
        raise typer.BadParameter(
            "give a folder of labelled photos, or --gallery", param_hint="SOURCE"
        )
    flags: Flags = context.obj
    reception = Reception(flags.settings(face_pack=face_pack, use=use))
    version = reception.reader.version
    target = reception.settings.calibrations_path / f"{version.sha256}.json"
    if source is None:
        calibration = _from_gallery(reception)
        save_calibration(target, calibration)
        reception.close()
        _tell_calibration(calibration, target, as_json)
        return
    from face_index.accuracy.evaluation import calibration_of

    evaluation, read = _measure(reception, source)
    calibration = calibration_of(
        read, version.sha256, f"{evaluation.subjects} persons in {source.name}"
    )
    path = _write_report(reception, evaluation, source, out, lang)
    save_calibration(target, calibration)
    reception.close()
    _tell(evaluation, path, (calibration, target), as_json)


def _measure(reception: Reception, source: Path) -> tuple[Evaluation, ReadPhotos]:
    from face_index.accuracy.evaluation import evaluate_pairs, evaluate_people
    from face_index.accuracy.labelled import labelled_pairs, labelled_photos

    if source.is_dir():
        read = _read(reception, labelled_photos(source))
        return evaluate_people(read, reception.reader.version.sha256), read
    pairs = labelled_pairs(source)
    photos = list(dict.fromkeys(photo for pair in pairs for photo in (pair.first, pair.second)))
    read = _read(reception, photos)
    return evaluate_pairs(pairs, read), read


def _read(reception: Reception, photos: list[LabelledPhoto]) -> ReadPhotos:
    from face_index.accuracy.labelled import read_photos

    with progress_bar("reading photos") as observer:
        for read in read_photos(photos, reception.reader, reception.pack.bar):
            observer.step(read.photo_count, len(photos), "reading photos")
    return read


def _from_gallery(reception: Reception) -> Calibration:
    from face_index.gallery.calibration import calibrate_impostors

    version = reception.reader.version
    templates = reception.vault.templates.active(version, reception.clock().date())
    return calibrate_impostors([prototypes[0] for _, prototypes in templates], version.sha256)


def _write_report(
    reception: Reception, evaluation: Evaluation, source: Path, out: Path | None, language: str
) -> Path:
    from face_index.accuracy.document import ReportFacts, accuracy_document, accuracy_report
    from scanner.versions import library_versions

    now = reception.clock()
    facts = ReportFacts(
        reception.pack, reception.reader.version, source.name, now, library_versions()
    )
    path = (
        out
        or reception.settings.reports_path
        / f"accuracy-{reception.pack.name}-{now:%Y%m%dT%H%M%SZ}.html"
    )
    document = accuracy_document(evaluation, facts)
    write_text_file(
        path.with_suffix(".json"), json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    )
    write_text_file(path, accuracy_report(evaluation, facts, language))
    return path


def _tell(
    evaluation: Evaluation, path: Path, calibrated: tuple[Calibration, Path] | None, as_json: bool
) -> None:
    if as_json:
        document = evaluation.to_document()
        del document["det"]
        print_json(
            {
                "report": str(path),
                "calibration": str(calibrated[1]) if calibrated else None,
                **document,
            }
        )
        return
    typer.echo(
        f"{evaluation.subjects} persons, {evaluation.photos} photos, {sum(evaluation.failures.values())} without a usable face."
    )
    for point in evaluation.verification:
        typer.echo(
            f"  FMR {point.stated:g}: threshold {point.threshold:.3f}, FNMR {point.false_negative.value:.4f}"
        )
    for point in evaluation.identification:
        typer.echo(
            f"  FPIR {point.stated:g} stated, {point.false_positive.value:.4f} measured in a gallery of "
            f"{evaluation.gallery_size}: threshold {point.threshold:.3f}, FNIR {point.false_negative.value:.4f}"
        )
    if evaluation.cllr is not None and evaluation.cllr_min is not None:
        typer.echo(f"  Cllr {evaluation.cllr:.4f}, at best {evaluation.cllr_min:.4f}")
    typer.echo(f"Report: {path}")
    if calibrated:
        _tell_calibration(*calibrated, as_json=False)


def _tell_calibration(calibration: Calibration, path: Path, as_json: bool) -> None:
    thresholds = {size: calibration.threshold(size, 0.001) for size in (10, 1_000, 100_000)}
    if as_json:
        print_json(
            {
                "calibration": str(path),
                "source": calibration.source,
                "thresholds_at_fpir_0.001": thresholds,
            }
        )
        return
    told = ", ".join(f"{size:,} persons {threshold:.3f}" for size, threshold in thresholds.items())
    typer.echo(f"Thresholds at FPIR 0.1 %: {told}.")
    typer.echo(f"Calibration: {path}")
