"""Draws docs/samples.png, the picture of the README: `python docs/make_readme_picture.py`.

Every face comes from the miniature world. The reference photos are drawn by its renderer; the
samples and the controls come from its base model, with and without one of the adapters that are
shipped. The numbers are similarities to a template of the reference photos.
"""

# ruff: noqa: INP001  a script beside the pages, in no package

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from face_index.faces.face import Face
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.gallery.templates import make_prototypes
from scanner.identification.faces import FaceFinder
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import ADAPTERS, FACE_PACK
from scanner.records import Question
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.image_check import NothingUnsafe
from scanner.sampling.plans import PlanBasis, plan_samples
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.sampler import Sampler
from scanner.triage.header import triage_file

Pictures = list[npt.NDArray[np.uint8]]

PERSON = 102
ADAPTER = ADAPTERS / "zkw_likeness.safetensors"
OUT = Path(__file__).parent / "samples.png"

COLUMNS, SIDE, GAP, EDGE = 6, 124, 8, 16
CAPTION_WIDTH, LABEL_HEIGHT, FOOT_HEIGHT = 184, 34, 6
PAPER, INK, GREY, RED = "white", "#1b1f24", "#59636e", "#b3261e"


def sampled(folder: Path) -> tuple[Pictures, Pictures]:
    """Samples of the adapter, and their controls."""
    triage = triage_file(ADAPTER)
    triggers = usable_triggers(triage.triggers)[:1]
    plans = plan_samples(
        PlanBasis(str(triage.sha256)), "evidence", [Question(one) for one in triggers], COLUMNS
    )
    sampler = Sampler(choose_base_model("Miniature", None), folder, "cpu", NothingUnsafe())
    with sampler.adapter(ADAPTER, triage.kind):
        samples, controls = (
            [image.picture for image in sampler.generate(plans, with_adapter=with_adapter)]
            for with_adapter in (True, False)
        )
    return samples, controls


def similarities(reference: Pictures, rows: list[Pictures]) -> list[list[str]]:
    """What is written under each picture: its face's similarity to the reference photos."""
    pack = find_pack("miniature", Path("unused"), {"miniature": FACE_PACK})
    finder = FaceFinder(InsightFaceReader(pack), pack.bar)

    def faces_of(pictures: Pictures) -> list[Face | None]:
        return finder.usable_faces(pictures, [False] * len(pictures))

    template = make_prototypes([face for face in faces_of(reference) if face is not None])[0]
    return [
        [
            "no usable face" if face is None else f"{float(face.embedding @ template):z.2f}"
            for face in faces_of(row)
        ]
        for row in rows
    ]


def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts/ttf" / name, size)


def sheet(rows: list[tuple[str, str, Pictures, list[str], str]]) -> Image.Image:
    """All rows as one picture: a caption at the left, pictures with their labels at the right."""
    row_height = SIDE + LABEL_HEIGHT + GAP
    width = 2 * EDGE + CAPTION_WIDTH + COLUMNS * (SIDE + GAP) - GAP
    page = Image.new("RGB", (width, 2 * EDGE + len(rows) * row_height + FOOT_HEIGHT), PAPER)
    pen = ImageDraw.Draw(page)
    for number, (title, text, pictures, labels, colour) in enumerate(rows):
        top = EDGE + number * row_height
        pen.text((EDGE, top + 4), title, INK, font(16, bold=True))
        pen.multiline_text((EDGE, top + 30), text, GREY, font(13), spacing=5)
        for column, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            left = EDGE + CAPTION_WIDTH + column * (SIDE + GAP)
            large = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            page.paste(large, (left, top))
            middle = (left + SIDE // 2, top + SIDE + 4)
            pen.text(middle, label, colour, font(13, bold=True), anchor="ma")
    foot = "Every face is drawn; no real person is shown. Numbers: similarity to the references."
    pen.text((EDGE, page.height - EDGE - 10), foot, GREY, font(12))
    return page


def main(out: Path) -> None:
    """Draw the picture and save it."""
    person = person_of(PERSON)
    reference = [draw_photo(person, number).pixels for number in range(COLUMNS)]
    with tempfile.TemporaryDirectory() as folder:
        samples, controls = sampled(Path(folder))
    with_file, without = similarities(reference, [samples, controls])
    rows = [
        ("Reference photos", "of a registered person", reference, [""] * COLUMNS, INK),
        ("Samples", "what the base model\ndraws with the file", samples, with_file, RED),
        ("Controls", "the same prompts and\nseeds without the file", controls, without, GREY),
    ]
    sheet(rows).quantize(255, kmeans=2).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
