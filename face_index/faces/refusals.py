"""Reasons for refusing a photo, and the sentences that state them and say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from face_index.faces.image_formats import Kind

LANGUAGES = ("en", "zh-CN")


class Why(StrEnum):
    """The reasons for which a photo is refused."""

    NOT_AN_IMAGE = "not-an-image"
    TOO_LARGE = "too-large"
    NO_FACE = "no-face"
    SEVERAL_FACES = "several-faces"
    NO_SUCH_FACE = "no-such-face"
    UNSURE = "unsure"
    TOO_SMALL = "too-small"
    TURNED = "turned"
    TILTED = "tilted"
    BLURRED = "blurred"
    LIGHT = "light"
    COVERED = "covered"
    SOMEONE_ELSE = "someone-else"
    SEVERAL_PEOPLE = "several-people"
    DUPLICATE = "duplicate"
    PICK_LOST = "pick-lost"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason with its facts; `text` states it in a sentence."""

    why: Why
    facts: Mapping[str, object] = field(default_factory=dict)

    def text(self, language: str = "en") -> str:
        facts = dict(self.facts)
        perhaps = facts.get("perhaps")
        if isinstance(perhaps, Refusal):
            words = _PERHAPS[perhaps.why][LANGUAGES.index(language)]
            facts["perhaps"] = words.format(**perhaps.facts)
        else:
            facts["perhaps"] = ""
        if language == "zh-CN" and "problem" in facts:
            problem = str(facts["problem"])
            facts["problem"] = _PROBLEMS_ZH.get(problem, problem.replace("damaged", "已损坏的"))
        return _SENTENCES[self.why][LANGUAGES.index(language)].format(**facts)

    def __str__(self) -> str:
        return self.text()


_SENTENCES: dict[Why, tuple[str, str]] = {
    Why.NOT_AN_IMAGE: (
        "not a readable image ({problem}); save it again as JPEG or PNG",
        "无法读取该图像（{problem}）；请另存为 JPEG 或 PNG",
    ),
    Why.TOO_LARGE: (
        "{found} is more than we agree to open ({limit}); save it smaller",
        "文件过大：{found}，上限为 {limit}；请缩小后再提交",
    ),
    Why.NO_FACE: (
        "no face was found; use a photo in which the face is clearly visible",
        "未检测到人脸；请使用面部清晰可见的照片",
    ),
    Why.SEVERAL_FACES: (
        (
            "{count} faces were found, and nothing says whose photo it is; say which one with "
            "--pick {name}=NUMBER, in a list in the column picks (1 is the largest: {places}), "
            "use a photo of one person, or crop it"
        ),
        (
            "检测到 {count} 张人脸，无法判断是谁的照片；请用 --pick {name}=编号 指定其中一张"
            "（1 为最大：{places}），或改用单人照片，或裁剪照片"
        ),
    ),
    Why.NO_SUCH_FACE: (
        "face {number} was picked, but {count} were found; pick one of those",
        "指定了第 {number} 张人脸，但只检测到 {count} 张；请重新指定",
    ),
    Why.UNSURE: (
        "the detector is unsure that this is a face ({score:.2f}); use a clearer photo",
        "检测器不能确定这是人脸（{score:.2f}）；请使用更清晰的照片",
    ),
    Why.TOO_SMALL: (
        (
            "the face is too small ({found:.0f} px between the eyes, {needed:.0f} needed); "
            "use a larger photo"
        ),
        "人脸太小（两眼间距 {found:.0f} 像素，至少需要 {needed:.0f} 像素）；请使用更大的照片",
    ),
    Why.TURNED: (
        (
            "the face is turned {degrees:.0f} degrees to the side; "
            "use a photo that looks at the camera"
        ),
        "面部侧转 {degrees:.0f} 度；请使用正对镜头的照片",
    ),
    Why.TILTED: (
        "the face looks {degrees:.0f} degrees up or down; use a photo that looks at the camera",
        "面部上仰或下俯 {degrees:.0f} 度；请使用正对镜头的照片",
    ),
    Why.BLURRED: ("the face is blurred; use a sharper photo", "面部模糊；请使用更清晰的照片"),
    Why.LIGHT: (
        "the face is too dark or too bright; use a photo with even light",
        "面部过暗或过亮；请使用光线均匀的照片",
    ),
    Why.COVERED: (
        (
            "the face network sees too little of a face (covered, or heavily edited); "
            "use a plainer photo"
        ),
        "可识别的面部信息过少（可能被遮挡或经过大幅修图）；请使用未经修饰的照片",
    ),
    Why.SOMEONE_ELSE: (
        (
            "does not look like the same person as the others "
            "(cosine {cosine:.2f}, {needed:.2f} needed){perhaps}; remove it or check who it shows"
        ),
        (
            "与其他照片不像同一个人（余弦相似度 {cosine:.2f}，至少需要 {needed:.2f}）{perhaps}；"
            "请删除或核对照片中的人"
        ),
    ),
    Why.SEVERAL_PEOPLE: (
        (
            "shows person {person} of {count}: the photos fall into {count} groups of faces that "
            "are not alike (cosine {cosine:.2f}, {needed:.2f} needed); use photos of one person "
            "only, and of one look if all of them show the same person"
        ),
        (
            "属于第 {person} 组（共 {count} 组）：这些照片中的人脸分为 {count} 组，互不相像"
            "（余弦相似度 {cosine:.2f}，至少需要 {needed:.2f}）；请只使用同一个人的照片，"
            "若确为同一人，请只使用同一种外貌的照片"
        ),
    ),
    Why.PICK_LOST: (
        (
            "the face that was picked in {name} cannot be used (see there), so nothing says whose "
            "photos these are; pick another one, or leave that photo out"
        ),
        (
            "{name} 中指定的人脸无法使用（见该照片的说明），因此无法判断这些照片属于谁；"
            "请另行指定，或不使用该照片"
        ),
    ),
    Why.DUPLICATE: (
        "is the same picture as {other}; use a photo from another day or place",
        "与 {other} 是同一张照片；请使用其他时间或地点拍摄的照片",
    ),
}
_PERHAPS: dict[Why, tuple[str, str]] = {
    Why.TURNED: (
        ", perhaps because the face is turned {degrees:.0f} degrees to the side",
        "，可能是因为面部侧转 {degrees:.0f} 度",
    ),
    Why.TILTED: (
        ", perhaps because the face looks {degrees:.0f} degrees up or down",
        "，可能是因为面部上仰或下俯 {degrees:.0f} 度",
    ),
    Why.COVERED: (
        ", perhaps because the face is covered or heavily edited",
        "，可能是因为面部被遮挡或经过大幅修图",
    ),
    Why.BLURRED: (", perhaps because the face is blurred", "，可能是因为面部模糊"),
}
_PROBLEMS_ZH = {
    Kind.EMPTY: "空文件",
    Kind.WEB_PAGE: "网页",
    Kind.DRAWING: "SVG 矢量图",
    Kind.VIDEO: "视频",
    Kind.SOUND: "音频",
    Kind.PDF: "PDF 文档",
    Kind.POSTSCRIPT: "PostScript 文档",
    Kind.ARCHIVE: "压缩包或办公文档",
    Kind.PACKED: "压缩文件",
    Kind.JPEG_2000: "JPEG 2000 图像",
    Kind.JPEG_XL: "JPEG XL 图像",
    Kind.PHOTOSHOP: "Photoshop 文档",
    Kind.ICON: "图标",
    Kind.RAW: "相机 RAW 文件",
    Kind.TEXT: "文本文件",
    Kind.UNKNOWN: "类型不明的文件",
    "a folder": "文件夹",
    "no such file": "文件不存在",
    "no file": "不是文件",
}
