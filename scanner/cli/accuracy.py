"""`evaluate`: the error rates of a face pack on labelled photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import enrolment_session_of, settings_of
from scanner.cli.options import FacePackOption, JsonFlag, LanguageOption, check_language
from scanner.cli.output import print_json, print_line, print_warning, write_text_file
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from face_index.accuracy.evaluation import Evaluation
    from face_index.accuracy.labelled import LabelledPhoto, ReadPhotos
    from face_index.accuracy.marks import Marks
    from scanner.factories import EnrolmentSession

OutOption = Annotated[
    Path | None, typer.Option(help="Where to write the HTML report; the JSON lies beside it.")
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
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
        evaluation, photos = measure(session, source)
        report = write_report(session, evaluation, photos, source, out, lang)
    print_evaluation(evaluation, report, None, as_json=as_json)


def measure(
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


def write_report(
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


def print_evaluation(
    evaluation: Evaluation, report: Path, calibration: Path | None, *, as_json: bool
) -> None:
    """Print the figures of an evaluation, and where its report and calibration are."""
    if as_json:
        document = evaluation.to_document()
        del document["det"]
        written = {"report": str(report), "calibration": str(calibration) if calibration else None}
        print_json({**written, **document})
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
