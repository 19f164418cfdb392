"""Face packs file by file: what a pack.toml says, licences, hashes, and YuNet through OpenCV."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from face_index.errors import PackMissing, PackNotLicensed, PackUnusable
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import known_packs
from face_index.faces.yunet import YuNetDetector
from scanner.miniature.albums import draw_photos
from scanner.miniature.world import FACE_PACK
from tests.conftest import shared

DETECTOR, RECOGNISER = "detector.onnx", "recogniser.onnx"
DESCRIBED = """
version = "7"
detection_size = 128
min_detector_score = 0.6
min_eye_distance_px = 7.0
min_sharpness = 1.5
[detector]
file = "detector.onnx"
licence = "MIT"
commercial = true
[recogniser]
file = "recogniser.onnx"
licence = "Apache-2.0"
commercial = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The networks of the miniature world under other names, with a pack.toml."""
    folder = tmp_path / "own"
    folder.mkdir()
    for path in FACE_PACK.glob("*.onnx"):
        name = DETECTOR if "det" in path.name else RECOGNISER
        shutil.copy(path, folder / name)
    (folder / "pack.toml").write_text(DESCRIBED)
    return folder


class TestDescribedPacks:
    def test_a_folder_says_what_its_licences_allow(self, folder: Path, tmp_path: Path) -> None:
        pack = find_pack(str(folder), tmp_path, {})
        assert pack.licence == "detector: MIT; recogniser: Apache-2.0"
        assert pack.commercial
        pack.must_allow("commercial")
        pack.must_allow(None)
        text = DESCRIBED.replace("commercial = true", "commercial = false", 1)
        (folder / "pack.toml").write_text(text)
        with pytest.raises(PackNotLicensed, match="detector: MIT"):
            find_pack(str(folder), tmp_path, {}).must_allow("commercial")

    def test_it_reads_faces_as_the_same_networks_in_insightfaces_layout_do(
        self, folder: Path, tmp_path: Path
    ) -> None:
        reader = InsightFaceReader(find_pack(str(folder), tmp_path, {}))
        other = InsightFaceReader(find_pack("miniature", tmp_path, {"miniature": FACE_PACK}))
        assert reader.version.version == "7"
        assert reader.version.dimension == other.version.dimension
        from face_index.faces.photos import open_photo

        images = [open_photo(path).pixels for path in draw_photos(900, 3, tmp_path / "photos")]
        for found, expected in zip(reader.read(images), other.read(images), strict=True):
            assert len(found) == len(expected) == 1
            np.testing.assert_array_equal(found[0].embedding, expected[0].embedding)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (('file = "detector.onnx"', 'file = "gone.onnx"'), "gone.onnx is missing"),
            (('licence = "MIT"\n', ""), "'licence' is missing"),
            (("[recogniser]", "[recognizer]"), "unknown key recognizer"),
            (("detection_size = 128", "detection_size = 33"), "steps of 32"),
            (("min_sharpness = 1.5", "min_sharpness = nan"), "0 or more"),
            (("min_sharpness", "min_sharpnes"), "unknown key min_sharpnes"),
            (('file = "detector.onnx"', 'file = "../own/../../x.onnx"'), "does not lie"),
            (('licence = "MIT"', 'licence = "MIT"\nsha256 = ""'), "no SHA-256"),
            (('licence = "MIT"', 'licence = " "'), "is empty"),
            (("commercial = true", 'commercial = "yes"'), "true or false"),
            (("detection_size = 128", 'detection_size = "large"'), "cannot be read"),
            (('version = "7"', 'version = "7'), "cannot be read"),
            (('licence = "MIT"', f'licence = "MIT"\nsha256 = "{"0" * 64}"'), "not the file"),
            (('licence = "MIT"', 'licence = "MIT"\nkind = "retina"'), "retina"),
        ],
    )
    def test_mistakes_are_sentences(
        self, folder: Path, tmp_path: Path, change: tuple[str, str], told: str
    ) -> None:
        (folder / "pack.toml").write_text(DESCRIBED.replace(*change, 1))
        with pytest.raises(PackUnusable, match=told):
            InsightFaceReader(find_pack(str(folder), tmp_path, {}))


class TestAuraFace:
    def test_its_files_are_taken_by_hash_and_allow_commercial_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = known_packs()["auraface"]
        assert (entry["detector"]["licence"], entry["detector"]["kind"]) == ("MIT", "yunet")
        # InsightFace's detector, which AuraFace's folder carries, is never fetched.
        assert "scrfd" not in str({role: entry[role] for role in ("detector", "recogniser")})
        asked: list[tuple[str, str]] = []

        def download(repository: str, file: str, cache_dir: Path) -> str:
            asked.append((repository, file))
            path = tmp_path / file
            path.write_bytes(b"another file")
            return str(path)

        monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
        with pytest.raises(PackUnusable, match="not the file that was meant"):
            find_pack("auraface", tmp_path, {})
        changed = {role: {**entry[role], "sha256": hashlib.sha256(b"another file").hexdigest()}
                   for role in ("detector", "recogniser")}  # fmt: skip
        monkeypatch.setattr(
            "face_index.faces.pack_files.known_packs", lambda: {"auraface": {**entry, **changed}}
        )
        pack = find_pack("auraface", tmp_path, {})
        assert pack.commercial
        assert "Apache-2.0" in pack.licence
        assert "MIT" in pack.licence
        assert set(asked) == {
            ("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx"),
            ("fal/AuraFace-v1", "glintr100.onnx"),
        }

    def test_without_the_network_it_says_what_to_bring(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def offline(*_: object, **__: object) -> str:
            raise OSError("no route to host")

        monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
        with pytest.raises(PackMissing, match=r"face_detection_yunet_2023mar\.onnx .* pack\.toml"):
            find_pack("auraface", tmp_path, {})


@pytest.fixture(scope="module")
def yunet() -> Path:
    """YuNet as OpenCV's model zoo publishes it (MIT); it is not part of this project."""
    path = os.environ.get("PORTRAIT_SCANNER_TEST_YUNET", "")
    if not path:
        pytest.skip("PORTRAIT_SCANNER_TEST_YUNET names no face_detection_yunet_2023mar.onnx")
    return Path(path)


class TestYuNet:
    def test_it_finds_the_face_of_a_photograph_at_any_size(self, yunet: Path) -> None:
        from skimage import data
        from skimage.transform import rescale

        detector = YuNetDetector(yunet, 640, 0.6)
        image = np.ascontiguousarray(data.astronaut()[..., ::-1])
        for scale in (0.5, 1.0, 1.7):
            scaled = (rescale(image, scale, channel_axis=2) * 255).astype(np.uint8)
            [found] = detector.detect([scaled])
            assert len(found.boxes) == 1
            left, top, right, bottom, score = found.boxes[0]
            assert score > 0.85
            assert np.allclose([left, top], [175 * scale, 64 * scale], atol=16 * scale)
            assert np.allclose([right, bottom], [268 * scale, 177 * scale], atol=16 * scale)
            eyes = found.landmarks[0][:2]
            assert eyes[0][0] < eyes[1][0]  # the left one in the image first
        assert len(detector.detect([np.zeros((90, 80, 3), np.uint8)])[0].boxes) == 0
        assert len(detector.detect([np.zeros((2, 900, 3), np.uint8)])[0].boxes) == 0

    def test_a_pack_with_yunet_tells_people_apart(self, yunet: Path, tmp_path: Path) -> None:
        from skimage import data

        networks = shared("face_pack") / "mobile_test"
        shutil.copy(next(networks.glob("w_*.onnx")), tmp_path / RECOGNISER)
        shutil.copy(yunet, tmp_path / DETECTOR)
        text = DESCRIBED.replace('file = "detector.onnx"', 'file = "detector.onnx"\nkind = "yunet"')
        text = text.replace("detection_size = 128", "detection_size = 640")
        (tmp_path / "pack.toml").write_text(text)
        pack = find_pack(str(tmp_path), tmp_path, {})
        reader = InsightFaceReader(pack)
        image = data.astronaut()
        [[first], [second]] = reader.read([image, np.ascontiguousarray(image[:, ::-1])])
        assert float(first.embedding @ second.embedding) > 0.8
        plain = InsightFaceReader(find_pack(str(networks), tmp_path, {}))
        [[other]] = plain.read([image])
        assert float(first.embedding @ other.embedding) > 0.9
        assert reader.version.sha256 == pack.networks_sha256() != plain.version.sha256
