"""Generator parameters in any encoding: EXIF, chunks, XMP, pixels; AUTOMATIC1111's format."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.captures.images.generators.encodings import exif_text
from crawlers.captures.images.generators.webui import read_webui
from crawlers.captures.images.provenance import Provenance, provenance_of
from tests.servers import pictures
from tests.servers.parameters import A1111, chunked, commented, hidden, tiff, with_exif

SAID = [
    ("generator", "AUTOMATIC1111"),
    ("base model", "someXL (aabbccddee)"),
    ("adapter", "ohwx_v2 (0123456789ab)"),
]
PROMPT = "portrait of ohwx, 人像写真, café, <lora:ohwx_v2:0.8>"
SETTINGS = (
    "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x768, "
    "Model hash: 6ce0161689, Model: v1-5-pruned"
)
UNICODE, ASCII, JIS, UNDEFINED = b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * 8
LITTLE, BIG, UTF8 = A1111.encode("utf-16-le"), A1111.encode("utf-16-be"), A1111.encode()
COMMENTS = {
    "UNICODE, little-endian": UNICODE + LITTLE,
    "UNICODE, big-endian": UNICODE + BIG,
    "with a mark, little-endian": UNICODE + b"\xff\xfe" + LITTLE,
    "with a mark, big-endian": UNICODE + b"\xfe\xff" + BIG,
    "UNICODE, but UTF-8": UNICODE + UTF8,
    "UNICODE, UTF-8 with a mark": UNICODE + b"\xef\xbb\xbf" + UTF8,
    "in small letters": b"Unicode\0" + LITTLE,
    "ASCII, but UTF-8": ASCII + UTF8,
    "ASCII, but UTF-16": ASCII + LITTLE,
    "no charset, UTF-8": UTF8,
    "no charset, UTF-16": BIG,
    "undefined, UTF-8": UNDEFINED + UTF8,
    "undefined, UTF-16": UNDEFINED + LITTLE,
    "JIS, but UTF-8": JIS + UTF8,
    "with zeros behind": UNICODE + LITTLE + b"\0\0\0\0",
    "with an odd byte behind": UNICODE + BIG + b"\0",
    "no charset, GB 18030": A1111.encode("gb18030"),
    "as Exiv2's command line has it": UNICODE + f"charset=Unicode {A1111}".encode("utf-16-le"),
}


def said(data: bytes) -> list[tuple[str, str]]:
    return provenance_of(data).statements()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", COMMENTS)
def test_a_user_comment_is_read_in_every_encoding(form: str, order: str) -> None:
    found = provenance_of(commented(COMMENTS[form], order))
    assert (found.prompt, found.statements()) == (PROMPT, SAID)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"])
def test_a_user_comment_is_read_in_every_format(kind: str) -> None:
    assert said(commented(UNICODE + LITTLE, ">", kind)) == SAID


@pytest.mark.parametrize(
    ("tag", "kind", "text"),
    [
        (0x9286, 7, UNICODE + LITTLE),
        (0x9286, 1, UNICODE + BIG),
        (0x9286, 2, UTF8 + b"\0"),
        (0x9286, 2, UNICODE + BIG + b"\0"),
        (0x9286, 3, LITTLE),
        (0x010E, 2, UTF8 + b"\0"),
        (0x9C9C, 1, LITTLE + b"\0\0"),
    ],
)
def test_other_tags_and_types_are_read(tag: int, kind: int, text: bytes) -> None:
    assert said(with_exif("JPEG", tiff("<", {tag: (kind, text)}))) == SAID


@pytest.mark.parametrize("kind", ["iTXt", "tEXt", "zTXt"])
def test_chunks_of_every_kind_are_read(kind: str) -> None:
    if kind == "iTXt":
        assert said(chunked(parameters=A1111)) == SAID
    else:  # a tEXt chunk is Latin-1; programs write UTF-8 into it
        assert said(chunked(parameters=(A1111.encode().decode("latin-1"), kind))) == SAID
        assert (
            provenance_of(chunked(parameters=(A1111.encode().decode("latin-1"), kind))).prompt
            == PROMPT
        )


def test_comments_and_xmp_are_read() -> None:
    assert said(pictures.plain("JPEG", comment=A1111.encode())) == SAID
    assert said(pictures.xmp(dc__description=A1111.replace("<", "&lt;"))) == [*SAID]


def test_a_long_workflow_hides_nothing() -> None:
    """By default Pillow opens no PNG with a compressed text of more than a megabyte."""
    assert (
        said(chunked(parameters=A1111, workflow=(json.dumps({"x": "y" * 3_000_000}), "zTXt")))
        == SAID
    )


def test_an_old_raw_profile_is_read() -> None:
    """ImageMagick writes EXIF into a PNG as hexadecimal digits."""
    exif = b"Exif\0\0" + tiff("<", {}, {0x9286: (7, UNICODE + LITTLE)})
    assert (
        said(
            chunked(**{"Raw profile type exif": (f"\nexif\n{len(exif):8}\n{exif.hex()}\n", "zTXt")})
        )
        == SAID
    )


class TestHiddenTexts:
    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    @pytest.mark.parametrize(
        ("signature", "mode"),
        [
            (b"stealth_pnginfo", "RGBA"),
            (b"stealth_pngcomp", "RGBA"),
            (b"stealth_rgbinfo", "RGB"),
            (b"stealth_rgbcomp", "RGB"),
            (b"stealth_rgbcomp", "RGBA"),
        ],
    )
    def test_they_are_read(self, signature: bytes, mode: str, kind: str) -> None:
        text = gzip.compress(A1111.encode()) if signature.endswith(b"comp") else A1111.encode()
        assert said(hidden(text, signature, mode, kind)) == SAID

    def test_what_novelai_hides_is_read(self) -> None:
        told = {
            "Description": "portrait of ohwx",
            "Software": "NovelAI",
            "Source": "NovelAI Diffusion V4.5 4BDE2A90",
            "Comment": json.dumps(
                {"prompt": "portrait of ohwx", "uc": "blurry", "sampler": "k_euler", "seed": 1}
            ),
        }
        found = provenance_of(hidden(gzip.compress(json.dumps(told).encode()), b"stealth_pngcomp"))
        assert (found.generator, found.prompt) == ("NovelAI", "portrait of ohwx")
        assert found.statements()[1] == ("base model", "NovelAI Diffusion V4.5 (4bde2a90)")

    @pytest.mark.parametrize(
        ("text", "signature", "length"),
        [
            (gzip.compress(b"x" * 900)[:-30], b"stealth_pngcomp", None),
            (b"no gzip at all", b"stealth_pngcomp", None),
            (b"\xff\xfe\xfd" * 9, b"stealth_pnginfo", None),
            (b"short", b"stealth_pnginfo", 2**32 - 1),
            (gzip.compress(bytes(9_000_000)), b"stealth_pngcomp", None),
        ],
    )
    def test_what_cannot_be_read_of_them_is_told(
        self, text: bytes, signature: bytes, length: int | None
    ) -> None:
        [(about, why)] = said(hidden(text, signature, length=length))
        assert about == "not read"
        assert "hidden text" in why

    def test_a_picture_without_a_signature_says_nothing(self) -> None:
        assert said(hidden(A1111.encode(), b"stealth_pngnope")) == []


class TestWebUi:
    @pytest.mark.parametrize(
        "text",
        [
            f"portrait of ohwx, <lora:ohwx:1>,.Negative prompt: blurry,.{SETTINGS}",
            f"portrait of ohwx, <lora:ohwx:1>. Negative prompt: blurry. {SETTINGS}",
            f"portrait of ohwx, <lora:ohwx:1> Negative prompt: blurry {SETTINGS}",
            f"portrait of ohwx, <lora:ohwx:1>\r\nNegative prompt: blurry\r\n{SETTINGS}",
            f"Parameters      : portrait of ohwx, <lora:ohwx:1>.Negative prompt: blurry.{SETTINGS}",
            f"portrait of ohwx, <lora:ohwx:1>\n{SETTINGS}",
            (
                "portrait of ohwx, <lora:ohwx:1>\nNegative prompt: blurry\n"
                f"second line, <lora:not_loaded:1>\n{SETTINGS}"
            ),
            (
                f"portrait of ohwx, <lora:ohwx:1>\nNegative prompt: blurry\n{SETTINGS}\n"
                "Template: a {b|c}\nNegative Template: d"
            ),
            f"portrait of ohwx, <lora:ohwx:1>Negative prompt: blurry{SETTINGS}",
            f"portrait of ohwx, <lora:ohwx:1>\nNegative prompt：blurry\n{SETTINGS.lower()}",
        ],
    )
    def test_the_prompt_is_the_positive_one_in_every_layout(self, text: str) -> None:
        found = read_webui(text)
        assert found is not None
        assert found.prompt == "portrait of ohwx, <lora:ohwx:1>"
        assert [one.text for one in found.ingredients] == ["v1-5-pruned (6ce0161689)", "ohwx"]

    def test_words_of_settings_in_a_prompt_stay_in_it(self) -> None:
        prompt = (
            "portrait of ohwx climbing, Steps: many\n"
            "the sign says Negative prompt: none, Seed: of doubt\n"
            "Steps: 3 up, then down"
        )
        found = read_webui(f"{prompt}\nNegative prompt: blurry\n{SETTINGS}")
        assert found is not None
        assert (found.prompt, [one.text for one in found.ingredients]) == (
            prompt,
            ["v1-5-pruned (6ce0161689)"],
        )

    def test_a_prompt_of_json_is_a_prompt(self) -> None:
        prompt = '{"subject": "ohwx", "steps": [1, 2], "Lora hashes": "x: 0123456789"}'
        found = provenance_of(
            chunked(parameters=f"{prompt}\nNegative prompt: [blurry]\n{SETTINGS}")
        )
        assert (found.prompt, found.problems) == (prompt, ())
        assert [one.text for one in found.ingredients] == ["v1-5-pruned (6ce0161689)"]

    @pytest.mark.parametrize(
        ("more", "adapters"),
        [
            (
                'Lora hashes: "ohwx: aaaabbbbcccc, style: 444455556666"',
                ["ohwx (aaaabbbbcccc)", "style (444455556666)"],
            ),
            ('Lora hashes: "ohwx: 0xAAAABBBBCCCC"', ["ohwx (aaaabbbbcccc)"]),
            (
                "Lora hashes: ohwx: aaaabbbbcccc, Style: 444455556666",
                ["ohwx (aaaabbbbcccc)", "Style (444455556666)"],
            ),
            (
                (
                    'ADetailer prompt: "score_9, <lora:face:0.7>, \\"quoted\\", '
                    'Steps: 3", ADetailer version: 24, '
                    'Lora hashes: "face: 111122223333"'
                ),
                ["face (111122223333)"],
            ),
            (
                (
                    'ADetailer negative prompt: "<lora:not_loaded:1>", Lora hashes: '
                    '"ohwx: aaaabbbbcccc"'
                ),
                ["ohwx (aaaabbbbcccc)"],
            ),
            ('Hires prompt: "<lora:hires:1>"', ["hires"]),
            (
                (
                    'TI hashes: "easynegative: c74b4e810b03", '
                    'Hashes: {"embed:easynegative": "c74b4e810b", "lora:ohwx": '
                    '"aaaabbbbcc", "vae": "1234567890"}'
                ),
                ["ohwx (aaaabbbbcc)", "easynegative (c74b4e810b03)"],
            ),
            (
                (
                    "AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: "
                    "ohwx(a68c0549f355), "
                    "AddNet Weight A 1: 0.8, AddNet Weight B 1: 0.8"
                ),
                ["ohwx (a68c0549f355)"],
            ),
            (
                (
                    "AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: "
                    "ohwx(a68c0549f355), "
                    "AddNet Weight A 1: 0, AddNet Weight B 1: 0"
                ),
                [],
            ),
            ("AddNet Enabled: False, AddNet Model 1: ohwx(a68c0549f355)", []),
            ("Hypernet: ohwx, Hypernet strength: 0.5", ["ohwx"]),
            (
                'Lora hashes: "ohwx: e3b0c44298fc"',
                ["ohwx"],
            ),  # SHA-256 of nothing: the file was not there
        ],
    )
    def test_adapters_are_those_that_were_loaded(self, more: str, adapters: list[str]) -> None:
        found = read_webui(
            "portrait\nNegative prompt: blurry, <lora:negative:1>\n"
            f"{SETTINGS}, {more}, Version: v1.9.4"
        )
        assert found is not None
        assert sorted(one.text for one in found.ingredients if one.role == "adapter") == sorted(
            adapters
        )

    @pytest.mark.parametrize(
        ("prompt", "adapters"),
        [
            ("<lora:a:0.8> <lyco:b:1:0.5> <lora:c> <hypernet:d:1>", ["a", "b", "c", "d"]),
            ("<lora:a:0> <lora:b:0:0> <lora:c:0:1>", ["c"]),
            ("<lora:名前 with spaces v1.0-e10:1>", ["名前 with spaces v1.0-e10"]),
            ("<lora:a:[email protected],[email protected]> <lora:b:1:lbw=OUTALL>", ["a", "b"]),
            ("a < lora: b", []),
        ],
    )
    def test_tags_load_what_has_a_strength(self, prompt: str, adapters: list[str]) -> None:
        found = read_webui(f"{prompt}\nNegative prompt: x\n{SETTINGS}")
        assert found is not None
        assert [one.name for one in found.ingredients if one.role == "adapter"] == adapters

    def test_an_adapter_without_strength_is_not_told_though_its_hash_is_listed(self) -> None:
        found = read_webui(
            f'<lora:a:0> <lora:b:1>\n{SETTINGS}, Lora hashes: "a: 111122223333, b: 444455556666"'
        )
        assert found is not None
        assert [one.text for one in found.ingredients if one.role == "adapter"] == [
            "b (444455556666)"
        ]

    def test_civitai_names_listings(self) -> None:
        resources = [
            {
                "type": "checkpoint",
                "modelVersionId": 1714314,
                "modelName": "Plant Milk \U0001f33f",
                "modelVersionName": "Hemp II",
            },
            {"type": "lora", "weight": 0.8, "modelVersionId": 222, "modelName": "Ohwx"},
            {"weight": 1.0, "air": "urn:air:flux2:lora:civitai:11111@22222", "modelName": "Other"},
            {"type": "lora", "weight": 0, "modelVersionId": 333, "modelName": "Unused"},
            {"type": "upscaler", "modelVersionId": 444, "modelName": "Up"},
        ]
        metadata = {
            "prompt": "Steps: 1, Model: x",
            "resources": [
                {"modelVersionId": 222, "strength": 1, "type": "LORA"},
                {"modelVersionId": 555, "strength": 1, "type": "LORA"},
            ],
        }
        found = read_webui(
            "portrait\nNegative prompt: x\nSteps: 40, Sampler: DPM++ 2M Karras, "
            f"Civitai resources: {json.dumps(resources)}, Civitai metadata: {json.dumps(metadata)}"
        )
        assert found is not None
        assert [(one.role, one.listing) for one in found.ingredients] == [
            ("base model", "civitai:1714314"),
            ("adapter", "civitai:222"),
            ("adapter", "civitai:22222"),
            ("adapter", "civitai:555"),
        ]

    def test_other_programs_name_themselves(self) -> None:
        for told, program in (
            ("Version: Fooocus v2.5.5", "Fooocus"),
            ("Version: ComfyUI", "ComfyUI"),
            ("App: SD.Next, Version: abc", "SD.Next"),
            ("Version: f2.0.1v1.10.1", "AUTOMATIC1111"),
        ):
            found = read_webui(f"portrait\n{SETTINGS}, {told}")
            assert found is not None
            assert found.generator == program

    def test_a_refiner_is_a_base_model(self) -> None:
        found = read_webui(
            f"portrait\n{SETTINGS}, Refiner: sd_xl_refiner_1.0 [7440042bbd], Refiner switch at: 0.8"
        )
        assert found is not None
        assert [one.text for one in found.ingredients] == [
            "v1-5-pruned (6ce0161689)",
            "sd_xl_refiner_1.0 (7440042bbd)",
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Steps: 3",
            "a recipe\nSteps: 3, then serve",
            "Steps: 1, mix; Size: large; see page 3",
            "Model: X100\nSeed: none",
        ],
    )
    def test_other_texts_are_nobodys(self, text: str) -> None:
        assert read_webui(text) is None


@given(
    st.text(max_size=300),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    st.sampled_from([b"", UNICODE, ASCII, UNDEFINED]),
    st.sampled_from("<>"),
)
def test_any_text_survives_its_encoding(
    text: str, encoding: str, charset: bytes, order: str
) -> None:
    told = "Steps: 20, Sampler: Euler a, " + text.encode("utf-8", "ignore").decode().replace(
        "\0", ""
    ).strip("\n \ufeff")
    assert exif_text(charset + told.encode(encoding), order).strip() == told.strip()


_QUOTED = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=80)


@given(
    prompt=st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="<>"), max_size=80
    ),
    more=_QUOTED,
)
def test_whatever_prompts_hold_the_settings_are_the_last_line(prompt: str, more: str) -> None:
    """The content of a prompt or a quoted value changes no hash."""
    quoted = json.dumps(
        f"{more}, Steps: 9, Model: wrong, Lora hashes: wrong: ffffffffff", ensure_ascii=False
    )
    found = read_webui(
        f"a {prompt}\nNegative prompt: {prompt}\n"
        f'{SETTINGS}, ADetailer prompt: {quoted}, Lora hashes: "ohwx: aaaabbbbcccc"'
    )
    assert found is not None
    assert [(one.role, one.digest) for one in found.ingredients] == [
        ("base model", "6ce0161689"),
        ("adapter", "aaaabbbbcccc"),
    ]


@given(st.binary(max_size=400), st.sampled_from("<>"))
def test_any_bytes_are_a_picture_all_the_same(comment: bytes, order: str) -> None:
    assert isinstance(provenance_of(commented(UNICODE + comment, order)), Provenance)
    assert isinstance(exif_text(comment, order), str)


def test_long_texts_take_no_long_time() -> None:
    for text in (
        f"x{', ' * 60_000}Steps: 5",
        "Steps: 5, " * 30_000,
        f"{'Negative prompt: ' * 9_000}{SETTINGS}",
        "a: " * 60_000,
        '"' * 90_000,
        "<lora:" * 50_000,
    ):
        read_webui(text)


def test_damaged_files_are_told() -> None:
    whole = chunked(parameters=A1111)
    *told, (about, why) = said(whole[: len(whole) - 30])
    assert told == SAID  # the texts before the damage are read
    assert about == "not read"
    assert "pixels" in why
    [(about, why)] = said(whole[:60])
    assert (about, "cannot be" in why) == ("not read", True)
    broken = said(chunked(prompt='{"3": {"class_type": "KSampler", "inputs": {'))
    assert [about for about, _ in broken] == ["not read"]
    assert "prompt" in broken[0][1]
