"""`calibrate`: thresholds and likelihood ratios of a face pack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.accuracy import OutOption, measure, print_evaluation, write_report
from scanner.cli.context import enrolment_session_of, settings_of
from scanner.cli.options import FacePackOption, JsonFlag, LanguageOption, check_language
from scanner.cli.output import (
    print_json,
    print_line,
    print_warning,
    visible,
    write_text_file,
)
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from face_index.accuracy.evaluation import Evaluation
    from face_index.accuracy.label_checks import LabelsInDoubt
    from face_index.accuracy.marks import Marks
    from face_index.gallery.calibration import Calibration
    from scanner.factories import EnrolmentSession

_FPIR = 0.001
_GALLERY_SIZES = (20, 1_000, 100_000)  # smaller galleries have the thresholds of twenty
_MOST_OF_GALLERY = 10_000

_SHORTFALLS = {
    "gallery-only": "nothing is a match, since only registered people were compared",
    "too-few-comparisons": "nothing is a match, since too few were compared for this rate",
}

DrawnOption = Annotated[
    int | None,
    typer.Option(
        help="Let a base model draw this many invented adults, and compare them with each "
        "other and with the registered people; nobody's photo is needed.",
        min=35,
    ),
]
FamilyOption = Annotated[
    str | None,
    typer.Option(
        help="The model family that draws them.", show_default="SDXL, the demo's own in a demo"
    ),
]
ScansOption = Annotated[
    bool, typer.Option("--scans", help="Use the scores of scanned files that show nobody.")
]
GalleryOption = Annotated[
    bool,
    typer.Option("--gallery", help="Use the registered people's own cross-scores; impostors only."),
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
    """Add the command of this module to a panel."""
    app.command("calibrate", rich_help_panel=panel)(calibrate)


def calibrate(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(help="A folder of persons' folders.", exists=True, file_okay=False),
    ] = None,
    drawn: DrawnOption = None,
    family: FamilyOption = None,
    scans: ScansOption = False,
    gallery: GalleryOption = False,
    marks: MarksOption = None,
    publish: PublishOption = None,
    out: OutOption = None,
    face_pack: FacePackOption = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Fit the thresholds and likelihood ratios of a face pack.

    Scans use them from then on. If labels may be wrong, nothing is fitted: the report shows them,
    and a CSV file beside it asks for marks. Only labelled photos give likelihood ratios. With
    --gallery alone nothing is a match, since registered people are too few and too alike; scores
    over the threshold are possible.
    """
    from face_index.gallery.calibration_file import save_calibration

    check_language(lang)
    if source is None and (publish is not None or marks is not None):
        raise typer.BadParameter(
            "--publish and --marks need a folder of labelled photos", param_hint="SOURCE"
        )
    if [source is not None, drawn is not None, scans, gallery].count(True) != 1:
        raise typer.BadParameter(
            "give a folder of labelled photos, or one of --drawn, --scans and --gallery",
            param_hint="SOURCE",
        )
    if family is not None and drawn is None:
        raise typer.BadParameter("--family needs --drawn", param_hint="--family")
    if out is not None and source is None:
        raise typer.BadParameter("only labelled photos give a report", param_hint="--out")
    with enrolment_session_of(settings_of(context, face_pack=face_pack)) as session:
        version = session.faces.reader.version
        target = session.settings.calibrations_path / f"{version.sha256}.json"
        if source is not None:
            calibration, evaluation, report = _from_photos(session, source, marks, out, lang)
            if publish is not None:
                _publish(session, calibration, evaluation, publish)
        elif drawn is not None:
            calibration = _from_drawn(session, drawn, family)
        else:
            calibration = _from_gallery(session) if gallery else _from_scans(session)
        _warn_of_loss(session, calibration)
        save_calibration(target, calibration)
    if source is not None:
        print_evaluation(evaluation, report, target, as_json=as_json)
    if source is None or not as_json:
        _print_calibration(calibration, target, as_json=as_json)


def _warn_of_loss(session: EnrolmentSession, calibration: Calibration) -> None:
    """Say what the calibration that was in use had and the new one has not."""
    from face_index.errors import CalibrationImpossible

    try:
        former = session.faces.calibration
    except CalibrationImpossible:
        return  # a damaged one is replaced
    if former is None:
        return
    if former.likelihood_ratio is not None and calibration.likelihood_ratio is None:
        print_warning("cases have no likelihood ratio from now on: only labelled photos give them")
    before, now = (one.largest_gallery(_FPIR) for one in (former, calibration))
    if now < before:
        print_warning(
            f"matches at FPIR 0.1 % were borne for {before:,} people and are for {now:,} now; "
            "delete the calibration's file to use the former one again"
        )


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
    evaluation, photos = measure(session, source, known)
    report = write_report(session, evaluation, photos, source, out, language)
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
    from face_index.gallery.calibration_file import save_calibration

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


def _from_drawn(session: EnrolmentSession, count: int, family: str | None) -> Calibration:
    """Let a base model draw adults, and compare them with each other and the registered people."""
    from scanner.factories import sampler_options
    from scanner.identification.faces import FaceFinder
    from scanner.sampling.base_models import Declared
    from scanner.scanning.drawn_impostors import calibrate_drawn

    pack, reader = session.faces.pack, session.faces.reader
    default = "Miniature" if pack.name == "miniature" else "SDXL"
    options = sampler_options(session.settings)
    sampler = options.open_sampler(options.base_for(family or default, Declared()))
    templates = session.vault.templates.active(reader.version, session.clock().date())
    with progress_bar("drawing adults") as progress:
        return calibrate_drawn(sampler, FaceFinder(reader, pack.bar), count, templates, progress)


def _from_scans(session: EnrolmentSession) -> Calibration:
    """Take the counts of impostor scores that scans have added up."""
    from face_index.gallery.score_histogram import ScoreHistogram, calibrate_histograms
    from scanner.factories import open_scan_store

    sha256 = session.faces.reader.version.sha256
    store = open_scan_store(session.settings)
    try:
        counted = store.impostors.counted(sha256)
    finally:
        store.close()
    source = f"{counted.clusters:,} faces of {counted.files:,} scanned files that show nobody"
    folds = [
        [ScoreHistogram.of(below, counts) for below, counts in fold.items()]
        for fold in counted.folds
    ]
    return calibrate_histograms(folds, sha256, source, counted.clusters)


def _from_gallery(session: EnrolmentSession) -> Calibration:
    """Take the registered people's scores with each other, of at most 10,000 of them."""
    import numpy as np

    from face_index.gallery.calibration import Basis, calibrate_impostors

    version = session.faces.reader.version
    templates = session.vault.templates.active(version, session.clock().date())
    chosen = np.random.default_rng(0).permutation(len(templates))[:_MOST_OF_GALLERY]
    vectors = np.array([templates[number][1][0] for number in chosen], np.float32)
    vectors = vectors.reshape(len(chosen), version.dimension)
    source = f"cross-scores of {len(vectors)} registered persons"
    return calibrate_impostors(vectors, vectors[:0], version.sha256, Basis.GALLERY, source)


def _print_calibration(calibration: Calibration, path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "calibration": str(path),
                "source": calibration.source,
                "basis": calibration.basis,
                "subjects": calibration.subjects,
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
