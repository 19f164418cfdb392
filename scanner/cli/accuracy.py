"""`calibrate`, `evaluate`: error rates of a face pack, and the thresholds that follow from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import enrolment_session_of, settings_of
from scanner.cli.options import FacePackOption, JsonFlag, LanguageOption, check_language
from scanner.cli.output import print_json, print_line, print_warning, visible, write_text_file
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from face_index.accuracy.evaluation import Evaluation
    from face_index.accuracy.label_checks import LabelsInDoubt
    from face_index.accuracy.labelled import LabelledPhoto, ReadPhotos
    from face_index.accuracy.marks import Marks
    from face_index.gallery.calibration import Calibration
    from scanner.factories import EnrolmentSession

_FPIR = 0.001
_GALLERY_SIZES = (20, 1_000, 100_000)  # smaller galleries have the thresholds of twenty

_SHORTFALLS = {
    "gallery-only": "nothing is a match, since only registered people were compared",
    "too-few-comparisons": "nothing is a match, since too few were compared for this rate",
}

OutOption = Annotated[
    Path | None, typer.Option(help="Where to write the HTML report; the JSON lies beside it.")
]


MarksOption = Annotated[
    Path | None,
    typer.Option(
        help="A CSV file in which somebody marked labels in doubt (first, second, mark).",
        exists=True,
        dir_okay=False,
    ),
]
PublishOption = Annotated[
    Path | None,
    typer.Option(
        help="Also write the calibration and a page about it into this folder; neither has "
        "persons' names.",
        file_okay=False,
    ),
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("calibrate", rich_help_panel=panel)(calibrate)
    app.command("evaluate", rich_help_panel=panel)(evaluate)


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
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Measure the error rates of a face pack on labelled photos.

    The accuracy report is written as HTML and JSON.
    """
    check_language(lang)
    with enrolment_session_of(settings_of(context, face_pack=face_pack)) as session:
        evaluation, photos = _measure(session, source)
        report = _write_report(session, evaluation, photos, source, out, lang)
    _print_evaluation(evaluation, report, None, as_json=as_json)


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
    marks: MarksOption = None,
    publish: PublishOption = None,
    out: OutOption = None,
    face_pack: FacePackOption = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Fit the thresholds and likelihood ratios of a face pack.

    Scans use them from then on. If labels may be wrong, nothing is fitted: the report shows them,
    and a CSV file beside it asks for marks. With --gallery alone nothing is a match, since
    registered people are too few and too alike; scores over the threshold are possible.
    """
    from face_index.gallery.calibration import save_calibration

    check_language(lang)
    if source is None and (publish is not None or marks is not None):
        raise typer.BadParameter(
            "--publish and --marks need a folder of labelled photos", param_hint="SOURCE"
        )
    if (source is None) != gallery:
        raise typer.BadParameter(
            "give a folder of labelled photos, or --gallery", param_hint="SOURCE"
        )
    with enrolment_session_of(settings_of(context, face_pack=face_pack)) as session:
        version = session.faces.reader.version
        target = session.settings.calibrations_path / f"{version.sha256}.json"
        if source is None:
            calibration = _from_gallery(session)
            save_calibration(target, calibration)
            _print_calibration(calibration, target, as_json=as_json)
            return
        calibration, evaluation, report = _from_photos(session, source, marks, out, lang)
        if publish is not None:
            _publish(session, calibration, evaluation, publish)
        save_calibration(target, calibration)
    _print_evaluation(evaluation, report, (calibration, target), as_json=as_json)


def _from_photos(
    session: EnrolmentSession, source: Path, marks: Path | None, out: Path | None, language: str
) -> tuple[Calibration, Evaluation, Path]:
    """Fit a calibration to labelled photos, and write the report about them.

    Raises:
        LabelsInDoubt: labels may be wrong; the report and a file that asks for marks are written.
    """
    from face_index.accuracy.evaluation import calibration_of
    from face_index.accuracy.label_checks import LabelsInDoubt
    from face_index.accuracy.marks import Marks, read_marks

    known = read_marks(marks) if marks else Marks()
    evaluation, photos = _measure(session, source, known)
    report = _write_report(session, evaluation, photos, source, out, language)
    sha256 = session.faces.reader.version.sha256
    description = f"{evaluation.subjects} persons in {source.name}"
    try:
        calibration = calibration_of(photos, sha256, description, known)
    except LabelsInDoubt as error:
        _print_doubts(error, known, report)
        raise
    return calibration, evaluation, report


def _publish(
    session: EnrolmentSession, calibration: Calibration, evaluation: Evaluation, folder: Path
) -> None:
    from face_index.accuracy.calibration_page import calibration_page
    from face_index.gallery.calibration import save_calibration

    version = session.faces.reader.version
    page = calibration_page(calibration, evaluation, session.faces.pack, version)
    save_calibration(folder / f"{version.sha256}.json", calibration)
    write_text_file(folder / f"{version.sha256}.md", page)


def _print_doubts(error: LabelsInDoubt, marks: Marks, report: Path) -> None:
    """List labels in doubt, and write the file in which somebody marks them."""
    from face_index.accuracy.marks import marks_file

    path = report.with_suffix(".marks.csv")
    doubts = ((doubt.first, doubt.second) for doubt in error.doubts)
    write_text_file(path, marks_file(marks, doubts))
    for doubt in error.doubts:
        print_line(f"  {visible(doubt.text())}")
    print_line(
        f"Look at the pictures in {report}. Then write in the column mark of {path} what they are "
        "(a pair: different, related, same; one person: one-person, leave-out), and run it again "
        f"with --marks {path}."
    )


def _measure(
    session: EnrolmentSession, source: Path, marks: Marks | None = None
) -> tuple[Evaluation, ReadPhotos]:
    from face_index.accuracy.evaluation import evaluate_pairs, evaluate_people
    from face_index.accuracy.extremes import name_of
    from face_index.accuracy.label_checks import without_shared_pictures
    from face_index.accuracy.labelled import labelled_pairs, labelled_photos
    from face_index.errors import CalibrationImpossible

    if source.is_dir():
        labelled = labelled_photos(source)
        if marks is not None:
            persons = {photo.person for photo in labelled}
            if unknown := marks.unknown(persons, {name_of(photo) for photo in labelled}):
                raise CalibrationImpossible(
                    f"{source} has nobody and no photo called {', '.join(unknown)}; correct the "
                    "file of marks"
                )
        photos = [
            photo
            for photo in labelled
            if marks is None or not (marks.left_out(photo.person) or marks.left_out(name_of(photo)))
        ]
        read, shared = without_shared_pictures(_read(session, photos))
        for first, second in shared:
            print_warning(
                f"{name_of(first)} and {name_of(second)} are one picture under two names; both "
                "are left out"
            )
        return evaluate_people(read, session.faces.reader.version.sha256), read
    pairs = labelled_pairs(source)
    photos = list(dict.fromkeys(photo for pair in pairs for photo in (pair.first, pair.second)))
    read = _read(session, photos)
    return evaluate_pairs(pairs, read), read


def _read(session: EnrolmentSession, photos: list[LabelledPhoto]) -> ReadPhotos:
    from face_index.accuracy.labelled import ReadPhotos, read_photos
    from face_index.registration.grouping import UNCALIBRATED_ALIKE

    read = ReadPhotos({}, {})
    with progress_bar("reading photos") as observer:
        faces = session.faces
        # Not the present calibration's, so that the same photos always give the same figures.
        for read in read_photos(photos, faces.reader, faces.pack.bar, UNCALIBRATED_ALIKE):
            observer.step(read.photo_count, len(photos), "reading photos")
    return read


def _from_gallery(session: EnrolmentSession) -> Calibration:
    from face_index.gallery.calibration import calibrate_impostors

    version = session.faces.reader.version
    templates = session.vault.templates.active(version, session.clock().date())
    return calibrate_impostors([prototypes[0] for _, prototypes in templates], version.sha256)


def _write_report(
    session: EnrolmentSession,
    evaluation: Evaluation,
    photos: ReadPhotos,
    source: Path,
    out: Path | None,
    language: str,
) -> Path:
    from face_index.accuracy.document import ReportFacts, accuracy_document, accuracy_report
    from face_index.accuracy.extremes import NO_LOOKS, looks_at
    from scanner.versions import library_versions

    now, pack = session.clock(), session.faces.pack
    facts = ReportFacts(pack, session.faces.reader.version, source.name, now, library_versions())
    if out is not None and out.suffix.lower() == ".json":
        raise typer.BadParameter("it names the HTML report", param_hint="--out")
    name = f"accuracy-{pack.name}-{now:%Y%m%dT%H%M%SZ}.html"
    path = out or session.settings.reports_path / name
    looks = looks_at(photos) if source.is_dir() else NO_LOOKS
    document = accuracy_document(evaluation, facts, looks)
    text = json.dumps(document, ensure_ascii=False, indent=1)
    write_text_file(path.with_suffix(".json"), text + "\n")
    write_text_file(path, accuracy_report(evaluation, facts, looks, language))
    return path


def _print_evaluation(
    evaluation: Evaluation,
    report: Path,
    calibrated: tuple[Calibration, Path] | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        document = evaluation.to_document()
        del document["det"]
        calibration = str(calibrated[1]) if calibrated else None
        print_json({"report": str(report), "calibration": calibration, **document})
        return
    typer.echo(
        f"{evaluation.subjects} persons, {evaluation.photos} photos, "
        f"{sum(evaluation.failures.values())} without a usable face."
    )
    for point in evaluation.verification:
        typer.echo(
            f"  FMR {point.stated:g}: threshold {point.threshold:.3f}, "
            f"FNMR {point.false_negative.value:.4f}"
        )
    for point in evaluation.identification:
        typer.echo(
            f"  FPIR {point.stated:g} stated, {point.false_positive.value:.4f} measured in a "
            f"gallery of {evaluation.gallery_size}: threshold {point.threshold:.3f}, "
            f"FNIR {point.false_negative.value:.4f}"
        )
    if evaluation.cllr is not None and evaluation.cllr_min is not None:
        typer.echo(f"  Cllr {evaluation.cllr:.4f}, at best {evaluation.cllr_min:.4f}")
    print_line(f"Report: {report}")
    if calibrated:
        _print_calibration(*calibrated, as_json=False)


def _print_calibration(calibration: Calibration, path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "calibration": str(path),
                "source": calibration.source,
                "basis": calibration.basis,
                "comparisons": calibration.comparisons,
                "thresholds_at_fpir_0.001": [
                    {
                        "persons": size,
                        "threshold": calibration.threshold(size, _FPIR),
                        "interval": calibration.threshold_interval(size, _FPIR),
                        "group": calibration.worst_group(size, _FPIR) or None,
                        "shortfall": calibration.shortfall(size, _FPIR),
                    }
                    for size in _GALLERY_SIZES
                ],
            }
        )
        return
    typer.echo(
        f"Thresholds at FPIR 0.1 %, from {calibration.comparisons:,} comparisons of "
        f"{calibration.basis}, with 95 % intervals:"
    )
    for size in _GALLERY_SIZES:
        low, high = calibration.threshold_interval(size, _FPIR)
        shortfall = calibration.shortfall(size, _FPIR)
        threshold = calibration.threshold(size, _FPIR)
        text = f"  {size:,} persons: {threshold:.3f} ({low:.3f} to {high:.3f})"
        if group := calibration.worst_group(size, _FPIR):
            text += f", that of the group {visible(group)}"
        typer.echo(f"{text}; {_SHORTFALLS[shortfall]}" if shortfall else text)
    print_line(f"Calibration: {path}")
