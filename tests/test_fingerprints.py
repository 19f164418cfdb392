"""Fingerprints of weights: one sketch for one change, whatever names or algorithm a file uses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from scanner.adapters.targets import DENOISERS, target_names
from scanner.errors import NoFingerprint
from scanner.fingerprints.fingerprint import Fingerprint, fingerprint_of
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.fused_modules import RowRange
from scanner.fingerprints.module_names import NamedModule, Network, modules_of
from scanner.fingerprints.signs import SIDE, ModuleSigns
from scanner.miniature.world import ADAPTERS, BASE_MODEL
from tests.conftest import NOON, shared
from tests.tiny_pipelines import sd1_on_meta, tiny_flux, tiny_sd3, tiny_wan

LIKENESS = ADAPTERS / "zkw_likeness.safetensors"
Arrays = dict[str, np.ndarray[Any, Any]]
RNG = np.random.default_rng(32)


def cosine(one: Fingerprint, other: Fingerprint, network: Network = Network.DENOISER) -> float:
    return float(one.sketches[network].direction() @ other.sketches[network].direction())


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Fingerprint]:
    """Save tensors and return their fingerprint."""

    def save(tensors: Arrays, metadata: dict[str, str] | None = None) -> Fingerprint:
        path = tmp_path / "saved.safetensors"
        save_file(tensors, path, metadata)
        return fingerprint_of(path)

    return save


class TestNames:
    """Every name that the loader knows for a module has the name of that module."""

    @staticmethod
    def sdxl() -> Any:
        from diffusers import UNet2DConditionModel

        with torch.device("meta"):
            unet = UNet2DConditionModel(
                block_out_channels=(320, 640, 1280),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=2048,
                transformer_layers_per_block=(1, 2, 10),
                attention_head_dim=(5, 10, 20),
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=2816,
            )
        return SimpleNamespace(unet=unet)

    @staticmethod
    def sd1() -> Any:
        unet, encoder = sd1_on_meta()
        return SimpleNamespace(unet=unet, text_encoder=encoder)

    @pytest.mark.parametrize(
        ("pipeline", "family"),
        [
            (sd1, "SD1"),
            (sdxl, "SDXL"),
            (tiny_flux, "Flux.1"),
            (tiny_wan, "Wan"),
            (tiny_sd3, "SD3"),
        ],
    )
    def test_as_the_loader_reads_them(self, pipeline: Callable[[], Any], family: str) -> None:
        names = target_names(pipeline())
        read = modules_of(names, family)
        wrong = [
            stem
            for stem, target in names.items()
            if not self._agrees(read[stem], target.pieces, family)
        ]
        # Trainers number T5 differently, and train only its blocks.
        outside = ("shared", "embed_tokens", "final_layer_norm", "text_projection")
        assert [stem for stem in wrong if not stem.endswith(outside)] == []

    def _agrees(self, module: NamedModule, pieces: Any, family: str) -> bool:
        expected = []
        for piece in pieces:
            stem = ("" if piece.network in DENOISERS else f"{piece.network}.") + piece.path
            [plain] = modules_of([stem], family).values()
            expected.append((plain.network, plain.ranges[0].name, piece.part or 0, piece.parts))
        got = [(module.network, one.name, one.part, one.parts) for one in module.ranges]
        # A tiny SD3 has other blocks at its end than the released ones.
        return got == expected or (family == "SD3" and "norm1_context" in got[0][1])

    @pytest.mark.parametrize(
        ("one", "other", "family"),
        [
            ("lora_unet_blocks_3_attn_wq", "transformer.transformer_blocks.3.attn.to_q", "Krea2"),
            ("lora_unet_blocks_3_mlp_up", "transformer.transformer_blocks.3.ff.up", "Krea2"),
            (
                "diffusion_model.blocks.0.cross_attn.k_proj",
                "transformer.transformer_blocks.0.attn2.to_k",
                "Anima",
            ),
            ("lora_unet_layers_5_attention_out", "layers.5.attention.to_out.0", "Z-Image"),
            (
                "lora_unet_single_blocks_7_linear1",
                "transformer.single_transformer_blocks.7.attn.to_qkv_mlp_proj",
                "Flux.2",
            ),
        ],
    )
    def test_families_that_only_diffusers_reads(self, one: str, other: str, family: str) -> None:
        names = modules_of([one, other], family)
        assert names[one] == names[other]

    def test_fused_attention_is_three_modules(self) -> None:
        stem = "lora_unet_layers_5_attention_qkv"
        [module] = modules_of([stem], "Z-Image").values()
        assert [one.name for one in module.ranges] == [
            f"layers_5_attention_to_{letter}" for letter in "qkv"
        ]


class TestSigns:
    module = NamedModule(Network.DENOISER, (RowRange("down_blocks_0_attn1_to_q"),))

    def test_they_are_the_same_everywhere(self) -> None:
        """The first bits of SHAKE-128 of the documented name, computed elsewhere."""
        signs = ModuleSigns(1, self.module)
        rows = signs.rows(2)
        assert rows.shape == (SIDE, 2)
        assert [int(sign) for sign in rows[:8, 0]] == FIRST_SIGNS

    def test_a_fused_module_is_the_sum_of_its_parts(self) -> None:
        names = [RowRange(name, share) for name, share in (("q", 1), ("k", 1), ("mlp", 2))]
        whole = RNG.standard_normal((16, 6))
        fused = ModuleSigns(1, NamedModule(Network.DENOISER, tuple(names)))
        together = fused.folded(fused.rows(16) @ whole @ fused.columns(6))
        apart = np.zeros((SIDE, SIDE))
        for one, rows in zip(names, (whole[:4], whole[4:8], whole[8:]), strict=True):
            signs = ModuleSigns(1, NamedModule(Network.DENOISER, (RowRange(one.name),)))
            apart += signs.folded(signs.rows(len(rows)) @ rows @ signs.columns(6))
        assert np.allclose(together, apart)

    def test_rows_that_cannot_be_divided(self) -> None:
        module = NamedModule(Network.DENOISER, (RowRange("q"), RowRange("k")))
        with pytest.raises(NoFingerprint, match="2 parts"):
            ModuleSigns(1, module).rows(7)

    def test_a_module_larger_than_any(self) -> None:
        with pytest.raises(NoFingerprint, match="larger than any"):
            ModuleSigns(1, self.module).columns(2**20 + 1)


FIRST_SIGNS = [1, -1, 1, -1, -1, -1, -1, -1]


class Identity:
    """Signs that leave a change as it is."""

    def rows(self, count: int) -> np.ndarray[Any, Any]:
        return np.eye(count)

    def columns(self, count: int) -> np.ndarray[Any, Any]:
        return np.eye(count)


class TestProjections:
    """What a format projects is the change that it loads, where that needs no weight."""

    @pytest.mark.parametrize(
        "parts",
        [
            {"lora_up": (12, 3), "lora_down": (3, 20), "alpha": ()},
            {"lora_up": (12, 3, 1, 1), "lora_down": (3, 5, 2, 2)},
            {"lora_up": (12, 3, 1, 1), "lora_down": (4, 5, 1, 1), "lora_mid": (3, 4, 2, 2)},
            {"hada_w1_a": (12, 3), "hada_w1_b": (3, 20), "hada_w2_a": (12, 3),
             "hada_w2_b": (3, 20), "alpha": ()},
            {"hada_w1_a": (3, 12), "hada_w1_b": (3, 5), "hada_w2_a": (3, 12), "hada_w2_b": (3, 5),
             "hada_t1": (3, 3, 2, 2), "hada_t2": (3, 3, 2, 2)},
            {"lokr_w1": (3, 4), "lokr_w2": (4, 5)},
            {"lokr_w1_a": (3, 2), "lokr_w1_b": (2, 4), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 5),
             "alpha": ()},
            {"lokr_w1": (3, 1), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 5, 2, 2), "alpha": ()},
            {"lokr_w1": (3, 1), "lokr_w2_a": (2, 4), "lokr_w2_b": (2, 5), "lokr_t2": (2, 2, 2, 2)},
            {"diff": (12, 20)},
            {"diff": (12, 5, 2, 2)},
            {"w_norm": (12,)},
        ],
    )  # fmt: skip
    def test_the_change_itself(self, parts: dict[str, tuple[int, ...]]) -> None:
        from scanner.adapters.algebra import change_of_weight
        from scanner.adapters.formats.registry import WEIGHT_CHANGES

        arrays = {name: np.asarray(RNG.standard_normal(shape)) for name, shape in parts.items()}
        if "alpha" in arrays:
            arrays["alpha"] = np.array(2.0)
        is_wide = any(len(shape) == 4 and shape[2] > 1 for shape in parts.values())
        shape = (12,) if "w_norm" in parts else (12, 5, 2, 2) if is_wide else (12, 20)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        expected = change_of_weight(tensors, torch.zeros(shape, dtype=torch.float64))
        change = next(one for one in WEIGHT_CHANGES if one.mark in arrays)
        assert np.allclose(
            change.project(arrays, Identity()), expected.reshape(len(expected), -1).numpy()
        )

    def test_rotations_and_products_without_the_weight(self) -> None:
        from scanner.adapters.formats.registry import WEIGHT_CHANGES

        marks = {change.mark: change for change in WEIGHT_CHANGES}
        blocks = RNG.standard_normal((3, 4, 4)) * 0.1
        turned = marks["oft_blocks"].project({"oft_blocks": blocks}, Identity())
        assert np.allclose((turned + np.eye(12)) @ (turned + np.eye(12)).T, np.eye(12))
        glora = {name: RNG.standard_normal(shape) for name, shape in
                 {"a1": (20, 3), "a2": (3, 20), "b1": (12, 3), "b2": (3, 20)}.items()}  # fmt: skip
        added = marks["a1"].project(glora, Identity())
        assert np.allclose(added, glora["b1"] @ glora["b2"])
        older = {**glora, "b1": glora["b2"], "b2": glora["b1"]}
        assert np.allclose(marks["a1"].project(older, Identity()), added)


def lora_of(stems: list[str], naming: str, seed: int = 5, rank: int = 4) -> Arrays:
    """A LoRA whose numbers follow from the place of each module, whatever its name."""
    rng = np.random.default_rng(seed)
    up, down = {
        "kohya": ("lora_up.weight", "lora_down.weight"),
        "PEFT": ("lora_B.weight", "lora_A.weight"),
    }[naming]
    tensors: Arrays = {}
    for stem in stems:
        # Cross-attention of the miniature base model reads 64 numbers, and is 128 wide.
        width = 128 if stem.endswith("to_q") else 64
        tensors[f"{stem}.{up}"] = rng.standard_normal((128, rank)).astype("f4")
        tensors[f"{stem}.{down}"] = rng.standard_normal((rank, width)).astype("f4")
    return tensors


class TestCopies:
    """The same change in another form has the same sketch."""

    def test_other_names(self, saved: Callable[..., Fingerprint]) -> None:
        paths = [
            f"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_{letter}" for letter in "qkv"
        ]
        flat = [f"lora_unet_{path.replace('.', '_')}" for path in paths]
        original = [name.replace("down_blocks_1_attentions_0", "input_blocks_3_1") for name in flat]
        assert original[0].startswith("lora_unet_input_blocks_3_1_transformer_blocks_0_attn2")
        kohya = saved(lora_of(flat, "kohya"))
        for other in (
            saved(lora_of(original, "kohya")),
            saved(lora_of([f"unet.{path}" for path in paths], "PEFT")),
            saved(lora_of([f"base_model.model.{path}" for path in paths], "PEFT")),
        ):
            assert cosine(kohya, other) == pytest.approx(1, abs=1e-4)

    @pytest.mark.parametrize(
        ("original", "renamed", "size", "blocks"),
        [
            ("double_blocks.#.img_attn.proj", "transformer_blocks.#.attn.to_out.0", 6144, 8),
            ("double_blocks.#.img_attn.proj", "transformer_blocks.#.attn.to_out.0", 4096, 8),
            ("blocks.#.cross_attn.k_img", "blocks.#.attn2.add_k_proj", 5120, 10),
        ],
        ids=["Flux.2 dev", "Klein 9B", "Wan image"],
    )
    def test_every_size_of_a_family(
        self,
        saved: Callable[..., Fingerprint],
        original: str,
        renamed: str,
        size: int,
        blocks: int,
    ) -> None:
        """A tensor with an invented number, and a large text encoder, change no name."""
        files: list[Arrays] = [{}, {}]
        rng = np.random.default_rng(1)
        for number in range(blocks):
            down = rng.standard_normal((2, size)).astype("f2")
            up = rng.standard_normal((size, 2)).astype("f2")
            for tensors, prefix, path in (
                (files[0], "diffusion_model.", original),
                (files[1], "transformer.", renamed),
            ):
                stem = prefix + path.replace("#", str(number))
                tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
        for stem in ("diffusion_model.double_blocks.999.zzz", "text_encoder_2.encoder.block.99.q"):
            files[0][f"{stem}.lora_A.weight"] = np.full((2, 8), 1e-6, "f4")
            files[0][f"{stem}.lora_B.weight"] = np.full((8, 2), 1e-6, "f4")
        assert cosine(saved(files[0]), saved(files[1])) == pytest.approx(1, abs=1e-3)

    def test_the_original_names_of_flux(self, saved: Callable[..., Fingerprint]) -> None:
        """BFL fuses query, key, value and the first layer behind them; diffusers does not."""
        rng = np.random.default_rng(1)
        down = rng.standard_normal((4, 3072)).astype("f2")
        ups = [rng.standard_normal((rows, 4)).astype("f2") for rows in (3072,) * 3 + (12288,)]
        names = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
        start = "transformer.single_transformer_blocks.3"
        apart: Arrays = {}
        for name, up in zip(names, ups, strict=True):
            apart[f"{start}.{name}.lora_A.weight"] = down
            apart[f"{start}.{name}.lora_B.weight"] = up
        fused = {
            "lora_unet_single_blocks_3_linear1.lora_down.weight": down,
            "lora_unet_single_blocks_3_linear1.lora_up.weight": np.concatenate(ups),
        }
        dotted = {
            "diffusion_model.single_blocks.3.linear1.lora_A.weight": down,
            "diffusion_model.single_blocks.3.linear1.lora_B.weight": np.concatenate(ups),
        }
        expected = saved(apart)
        assert expected.family == "Flux.1"
        for tensors in (fused, dotted):
            assert cosine(expected, saved(tensors)) == pytest.approx(1, abs=1e-4)

    @pytest.mark.parametrize(
        ("dtype", "least"),
        [
            (torch.float32, 0.99999),
            (torch.bfloat16, 0.9999),
            (torch.float8_e4m3fn, 0.998),
            (torch.float8_e5m2, 0.99),
        ],
    )
    def test_other_precision(self, tmp_path: Path, dtype: torch.dtype, least: float) -> None:
        from safetensors.torch import load_file as load_torch

        cast = {
            name: tensor.to(dtype) if tensor.dim() > 1 else tensor
            for name, tensor in load_torch(LIKENESS).items()
        }
        save_torch(cast, tmp_path / "cast.safetensors")
        found = fingerprint_of(tmp_path / "cast.safetensors")
        assert cosine(fingerprint_of(LIKENESS), found) > least

    def test_strength_by_tensors_and_header(self, saved: Callable[..., Fingerprint]) -> None:
        stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
        tensors = lora_of([stem], "kohya")
        plain = saved(tensors)
        halved = saved({**tensors, f"{stem}.alpha": np.array(2.0, "f4")})
        peft = lora_of(["unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"], "PEFT")
        config = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 2, "unet.r": 4})}
        by_header = saved(peft, config)
        for other in (halved, by_header):
            assert cosine(plain, other) == pytest.approx(1, abs=1e-4)
            lengths = [one.sketches[Network.DENOISER].length for one in (other, plain)]
            assert lengths[0] / lengths[1] == pytest.approx(0.5, rel=1e-3)

    def test_a_rotation_inside_the_rank_changes_nothing(
        self, saved: Callable[..., Fingerprint]
    ) -> None:
        stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
        tensors = lora_of([stem], "kohya")
        turn = np.linalg.qr(RNG.standard_normal((4, 4)))[0].astype("f4")
        turned = {
            f"{stem}.lora_up.weight": tensors[f"{stem}.lora_up.weight"] @ turn,
            f"{stem}.lora_down.weight": turn.T @ tensors[f"{stem}.lora_down.weight"],
        }
        assert cosine(saved(tensors), saved(turned)) == pytest.approx(1, abs=1e-4)


class TestEstimates:
    def test_inner_products_are_those_of_the_changes(
        self, saved: Callable[..., Fingerprint]
    ) -> None:
        """Within five standard errors of 1/32, for changes with a known angle."""
        stems = [
            f"lora_unet_down_blocks_{block}_attentions_0_transformer_blocks_0_attn{one}_to_{letter}"
            for block in (1, 2)
            for one in (1, 2)
            for letter in "qkv"
        ]
        first = lora_of(stems, "kohya", 1)
        other = lora_of(stems, "kohya", 2)
        for angle in (0.0, 0.3, 0.8, math.pi / 2):
            mixed: Arrays = {}
            for stem in stems:
                up, down = f"{stem}.lora_up.weight", f"{stem}.lora_down.weight"
                ups = [first[up] * np.cos(angle), other[up] * np.sin(angle)]
                mixed[up] = np.concatenate(ups, 1).astype("f4")
                mixed[down] = np.concatenate([first[down], other[down]])
            changes = [
                np.concatenate([(a[f"{s}.lora_up.weight"] @ a[f"{s}.lora_down.weight"]).ravel()
                                for s in stems])
                for a in (first, mixed)
            ]  # fmt: skip
            exact = changes[0] @ changes[1] / np.prod([np.linalg.norm(one) for one in changes])
            assert cosine(saved(first), saved(mixed)) == pytest.approx(exact, abs=5 / 32)

    def test_networks_are_apart(self, saved: Callable[..., Fingerprint]) -> None:
        denoiser = ["lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"]
        encoder = ["lora_te_text_model_encoder_layers_0_self_attn_q_proj"]
        both = saved({**lora_of(denoiser, "kohya"), **lora_of(encoder, "kohya", 9)})
        assert cosine(both, saved(lora_of(denoiser, "kohya"))) == pytest.approx(1, abs=1e-4)
        assert both.sketches.keys() == {Network.DENOISER, Network.ENCODERS}

    def test_the_same_file_gives_the_same_numbers(self) -> None:
        one, other = fingerprint_of(LIKENESS), fingerprint_of(LIKENESS)
        assert one.sketches[Network.DENOISER].numbers.tobytes() == (
            other.sketches[Network.DENOISER].numbers.tobytes()
        )


class TestNoFingerprint:
    def test_what_changes_no_weight(
        self, tmp_path: Path, saved: Callable[..., Fingerprint]
    ) -> None:
        with pytest.raises(NoFingerprint, match="textual-inversion file"):
            fingerprint_of(ADAPTERS / "emb_tvm_s.safetensors")
        with pytest.raises(NoFingerprint, match="cannot be read"):
            fingerprint_of(ADAPTERS / "broken_upload.safetensors")
        with pytest.raises(NoFingerprint, match="cannot be read"):
            fingerprint_of(tmp_path / "missing.safetensors")
        tensors = load_file(LIKENESS)
        with pytest.raises(NoFingerprint, match="changes no weight"):
            saved({name: np.zeros_like(array) for name, array in tensors.items()})

    def test_numbers_that_are_not_finite(self, saved: Callable[..., Fingerprint]) -> None:
        tensors = load_file(LIKENESS)
        name = next(name for name in tensors if name.endswith("lora_up.weight"))
        for number in (np.nan, np.inf):
            broken = {**tensors, name: np.full_like(tensors[name], number)}
            with pytest.raises(NoFingerprint, match="NaN or infinity"):
                saved(broken)

    def test_factors_that_do_not_fit(self, saved: Callable[..., Fingerprint]) -> None:
        stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
        tensors = lora_of([stem], "kohya")
        tensors[f"{stem}.lora_up.weight"] = np.ones((24, 5), "f4")
        with pytest.raises(NoFingerprint, match="no change of a weight"):
            saved(tensors)

    @settings(max_examples=60, deadline=None)
    @given(
        shapes=strategies.dictionaries(
            strategies.sampled_from(
                ["lora_up.weight", "lora_down.weight", "lora_mid.weight", "alpha", "dora_scale",
                 "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "lokr_w1",
                 "lokr_w2_a", "lokr_w2_b", "lokr_t2", "oft_blocks", "diff", "w_norm", "on_input",
                 "weight", "a1.weight", "b1.weight", "b2.weight", "bm.weight"]
            ),
            strategies.lists(strategies.integers(0, 5), max_size=4),
            min_size=1,
        )
    )  # fmt: skip
    def test_any_shapes(
        self, shapes: dict[str, list[int]], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Whatever a file holds, there is a fingerprint or one sentence why not."""
        stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
        path = tmp_path_factory.mktemp("any") / "any.safetensors"
        save_file({f"{stem}.{part}": np.ones(shape, "f4") for part, shape in shapes.items()}, path)
        try:
            found = fingerprint_of(path)
        except NoFingerprint as error:
            assert str(error)
        else:
            assert all(np.isfinite(one.numbers).all() for one in found.sketches.values())


STEM = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"


class TestHostile:
    """Small files that ask for much, and modules that are there to hide the others."""

    @pytest.mark.parametrize(
        "shapes",
        [
            {"lokr_w1": (1, 16_384), "lokr_w2": (16_384, 1)},
            {"lokr_w1": (1, 1), "lokr_w2_a": (65_536, 1), "lokr_w2_b": (1, 65_536)},
            {"lokr_w1_a": (65_536, 1), "lokr_w1_b": (1, 65_536), "lokr_w2": (1, 1)},
            {"lokr_w1": (1, 1), "lokr_w2_a": (1, 65_536), "lokr_w2_b": (1, 65_536),
             "lokr_t2": (65_536, 1, 1, 1)},
            {"lora_up.weight": (8, 1, 1, 1), "lora_mid.weight": (65_536, 1, 1, 1),
             "lora_down.weight": (1, 65_536, 1, 1)},
            {"hada_w1_a": (65_536, 8), "hada_w1_b": (1, 65_536), "hada_t1": (65_536, 1, 1, 1),
             "hada_w2_a": (1, 8), "hada_w2_b": (1, 8)},
            {"oft_blocks": (100_000, 0, 2, 2)},
            {"diff": (1_048_576, 0)},
        ],
    )  # fmt: skip
    def test_a_product_that_no_model_needs(
        self, tmp_path: Path, shapes: dict[str, tuple[int, ...]]
    ) -> None:
        path = tmp_path / "small.safetensors"
        tensors = {
            f"{STEM}.{part}": torch.ones(shape, dtype=torch.float8_e4m3fn)
            for part, shape in shapes.items()
        }
        save_torch(tensors, path)
        with pytest.raises(NoFingerprint):
            fingerprint_of(path)

    def test_a_shape_that_overflows(self, tmp_path: Path) -> None:
        header = json.dumps(
            {f"{STEM}.diff": {"dtype": "F16", "shape": [2**52, 2**52, 2**52, 0],
                              "data_offsets": [0, 0]}}
        ).encode()  # fmt: skip
        path = tmp_path / "huge.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(NoFingerprint):
            fingerprint_of(path)

    @pytest.mark.parametrize("stem", ["lora_unet_zz", "lora_unet_down_blocks_99_attentions_0_to_q"])
    def test_a_module_that_the_model_does_not_have(
        self, saved: Callable[..., Fingerprint], stem: str
    ) -> None:
        tensors = load_file(LIKENESS)
        noise = {
            f"{stem}.lora_up.weight": RNG.standard_normal((64, 4)).astype("f2") * 100,
            f"{stem}.lora_down.weight": RNG.standard_normal((4, 64)).astype("f2") * 100,
        }
        assert cosine(saved({**tensors, **noise}), fingerprint_of(LIKENESS)) > 0.999

    def test_the_same_bytes_under_permuted_names(
        self, saved: Callable[..., Fingerprint], tmp_path: Path
    ) -> None:
        """A header can give the same bytes to other modules, which is another change."""
        from scanner.fingerprints.relatives import ListSearch, have_same_change, relatives_of

        first = lora_of([STEM, STEM.replace("attn2", "attn1")], "kohya")
        names = list(first)
        swapped = dict(zip(names, [first[name] for name in names[2:] + names[:2]], strict=True))
        one = KnownFile("1" * 64, "a" * 64, "one", saved(first))
        other = KnownFile("2" * 64, "a" * 64, "other", saved(swapped))
        assert not have_same_change(one, other)
        assert relatives_of(other, ListSearch([one])) == []


class TestStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[FingerprintStore]:
        opened = FingerprintStore(tmp_path / "fingerprints.db")
        yield opened
        opened.close()

    def test_what_is_stored_is_what_was_made(self, store: FingerprintStore) -> None:
        known = KnownFile("ab" * 32, "cd" * 32, LIKENESS.name, fingerprint_of(LIKENESS))
        store.add(known, NOON)
        [found] = store.of(["ab" * 32, "ef" * 32])
        assert (found.sha256, found.weights_hash, found.name) == (
            known.sha256,
            known.weights_hash,
            known.name,
        )
        assert found.fingerprint.facts == known.fingerprint.facts
        assert cosine(found.fingerprint, known.fingerprint) == pytest.approx(1)
        assert found.fingerprint.start is not None
        assert store.of_weights("cd" * 32) == ["ab" * 32]
        assert store.families() == ["Miniature"]

    def test_a_file_takes_four_kilobytes(self, store: FingerprintStore, tmp_path: Path) -> None:
        fingerprint = fingerprint_of(LIKENESS)
        for number in range(200):
            store.add(KnownFile(f"{number:064x}", None, "a", fingerprint), NOON)
        store.close()
        assert (tmp_path / "fingerprints.db").stat().st_size < 200 * 4_096 + 100_000


def test_public_files_are_not_related() -> None:
    """Two adapters of cloneofsimo/lora: one network, other trainings."""
    folder = shared("lora_files")
    one, other = (
        fingerprint_of(folder / f"cloneofsimo_{name}.safetensors")
        for name in ("analog_svd_rank4", "lora_disney")
    )
    assert one.family == other.family == "SD1"
    for network in Network:
        assert abs(cosine(one, other, network)) < 5 / 32


def test_numbered_modules_have_names(tmp_path: Path) -> None:
    """cloneofsimo's numbers under PEFT's names: the same weights in another naming."""
    folder = shared("lora_files")
    path = folder / "cloneofsimo_analog_svd_rank4.safetensors"
    from scanner.adapters.numbered import named
    from scanner.fingerprints.module_names import _sd1_paths

    tensors = load_file(path)
    names = named({name.rpartition(":")[0]: None for name in tensors}, *_sd1_paths())
    renamed = {}
    for name, array in tensors.items():
        stem, _, part = name.rpartition(":")
        letter = {"up": "B", "down": "A"}[part]
        renamed[f"{names[stem]}.lora_{letter}.weight"] = array
    save_file(renamed, tmp_path / "renamed.safetensors")
    one, other = fingerprint_of(path), fingerprint_of(tmp_path / "renamed.safetensors")
    for network in Network:
        assert cosine(one, other, network) == pytest.approx(1, abs=1e-4)


def test_the_base_model_is_no_adapter() -> None:
    with pytest.raises(NoFingerprint):
        fingerprint_of(BASE_MODEL / "unet" / "diffusion_pytorch_model.safetensors")


class TestFullCheckpoint:
    """A full checkpoint is compared by what it changes of its base model."""

    @pytest.fixture
    def merged_into_the_base(self, tmp_path: Path) -> Path:
        """The miniature base model with a LoRA merged into it, as a single file."""
        from safetensors.torch import load_file as load_torch

        from benchmarks.fingerprints.changes import modules_of as lora_modules
        from scanner.adapters.geometries.unet_names import original_names

        unet = load_torch(BASE_MODEL / "unet" / "diffusion_pytorch_model.safetensors")
        lora = lora_modules(load_torch(ADAPTERS / "ohwx_portrait_v1.safetensors"))
        for path, parts in lora.items():
            change = parts["lora_up"].flatten(1) @ parts["lora_down"].flatten(1)
            weight = unet[f"{path}.weight"]
            unet[f"{path}.weight"] = (weight.float() + change.reshape(weight.shape)).to(
                torch.float32
            )
        config = json.loads((BASE_MODEL / "unet" / "config.json").read_text())
        names = original_names({name.rpartition(".")[0] for name in unet}, config)
        whole = {
            f"model.diffusion_model.{names[stem]}.{part}": tensor.contiguous()
            for name, tensor in unet.items()
            for stem, _, part in [name.rpartition(".")]
            if stem in names
        }
        save_torch(whole, tmp_path / "whole.safetensors")
        return tmp_path / "whole.safetensors"

    def test_a_lora_that_was_merged_into_it(self, merged_into_the_base: Path) -> None:
        from scanner.fingerprints.fingerprinter import made_of

        base = BASE_MODEL / "unet" / "diffusion_pytorch_model.safetensors"
        found = made_of(merged_into_the_base, lambda _: base)
        lora = fingerprint_of(ADAPTERS / "ohwx_portrait_v1.safetensors")
        assert found.facts.kind == "checkpoint"
        assert cosine(found, lora) > 0.99

    def test_without_its_base_model(self, merged_into_the_base: Path) -> None:
        from scanner.fingerprints.fingerprinter import made_of

        with pytest.raises(NoFingerprint, match="not on this machine"):
            made_of(merged_into_the_base, lambda _: None)
