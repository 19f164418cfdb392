"""The change of a weight by each format, against float64 algebra by element and LyCORIS."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scanner.adapters.algebra import change_of_bias, change_of_weight
from scanner.errors import UnfaithfulLoad

OUT, IN, RANK, SIDE = 12, 8, 3, 3
SEED = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return SEED.normal(size=shape)


WEIGHT = normal(OUT, IN)
KERNEL = normal(OUT, IN, SIDE, SIDE)


def changed(parts: dict[str, np.ndarray], weight: np.ndarray) -> np.ndarray:
    given = {name: torch.tensor(part, dtype=torch.float64) for name, part in parts.items()}
    return np.asarray(change_of_weight(given, torch.tensor(weight, dtype=torch.float64)))


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix product by its definition, so that it shares no code with the tested functions."""
    return np.array(
        [
            [
                sum(left[o, r] * right[r, i] for r in range(left.shape[1]))
                for i in range(right.shape[1])
            ]
            for o in range(len(left))
        ]
    )


def at_each_tap(function: object, *tensors: np.ndarray) -> np.ndarray:
    """A function of matrices applied at every position of a kernel."""
    taps = [
        [function(*(t[..., y, x] if t.ndim == 4 else t for t in tensors)) for x in range(SIDE)]
        for y in range(SIDE)
    ]  # type: ignore[operator]
    return np.array(taps).transpose(2, 3, 0, 1)


def test_lora() -> None:
    up, down = normal(OUT, RANK), normal(RANK, IN)
    parts = {"lora_up": up, "lora_down": down, "alpha": np.array(1.5)}
    np.testing.assert_allclose(changed(parts, WEIGHT), product(up, down) * 0.5, atol=1e-12)
    without_alpha = {"lora_up": up, "lora_down": down}
    np.testing.assert_allclose(changed(without_alpha, WEIGHT), product(up, down), atol=1e-12)
    stabilised = {**parts, "rslora": np.array(1.0)}
    np.testing.assert_allclose(
        changed(stabilised, WEIGHT), product(up, down) * 1.5 / math.sqrt(RANK), atol=1e-12
    )


def test_locon() -> None:
    up, down = normal(OUT, RANK, 1, 1), normal(RANK, IN, SIDE, SIDE)
    expected = at_each_tap(lambda d: product(up[:, :, 0, 0], d), down)
    np.testing.assert_allclose(
        changed({"lora_up": up, "lora_down": down}, KERNEL), expected, atol=1e-12
    )


def test_locon_with_a_core() -> None:
    up, down, core = normal(OUT, RANK, 1, 1), normal(RANK, IN, 1, 1), normal(RANK, RANK, SIDE, SIDE)
    expected = at_each_tap(lambda c: product(product(up[:, :, 0, 0], c), down[:, :, 0, 0]), core)
    parts = {"lora_up": up, "lora_down": down, "lora_mid": core, "alpha": np.array(6.0)}
    np.testing.assert_allclose(changed(parts, KERNEL), expected * 2, atol=1e-12)


def test_loha() -> None:
    w1a, w1b, w2a, w2b = normal(OUT, RANK), normal(RANK, IN), normal(OUT, RANK), normal(RANK, IN)
    parts = {
        "hada_w1_a": w1a,
        "hada_w1_b": w1b,
        "hada_w2_a": w2a,
        "hada_w2_b": w2b,
        "alpha": np.array(3.0),
    }
    np.testing.assert_allclose(
        changed(parts, WEIGHT), product(w1a, w1b) * product(w2a, w2b), atol=1e-12
    )


def test_loha_with_cores() -> None:
    w1a, w1b, w2a, w2b = normal(RANK, OUT), normal(RANK, IN), normal(RANK, OUT), normal(RANK, IN)
    t1, t2 = normal(RANK, RANK, SIDE, SIDE), normal(RANK, RANK, SIDE, SIDE)
    halves = [
        at_each_tap(lambda c, a=a, b=b: product(product(a.T, c), b), t)
        for a, b, t in ((w1a, w1b, t1), (w2a, w2b, t2))
    ]
    parts = {
        "hada_w1_a": w1a,
        "hada_w1_b": w1b,
        "hada_t1": t1,
        "hada_w2_a": w2a,
        "hada_w2_b": w2b,
        "hada_t2": t2,
    }
    np.testing.assert_allclose(changed(parts, KERNEL), halves[0] * halves[1], atol=1e-12)


def kron(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    rows, columns = len(first) * len(second), first.shape[1] * second.shape[1]
    whole = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            a, c = divmod(row, len(second))
            b, d = divmod(column, second.shape[1])
            whole[row, column] = first[a, b] * second[c, d]
    return whole


def test_lokr_full_factors_ignore_alpha() -> None:
    w1, w2 = normal(3, 2), normal(4, 4)
    parts = {"lokr_w1": w1, "lokr_w2": w2, "alpha": np.array(1.0)}
    np.testing.assert_allclose(changed(parts, WEIGHT), kron(w1, w2), atol=1e-12)


def test_lokr_of_low_rank() -> None:
    w1, w2a, w2b = normal(3, 2), normal(4, RANK), normal(RANK, 4)
    parts = {"lokr_w1": w1, "lokr_w2_a": w2a, "lokr_w2_b": w2b, "alpha": np.array(1.5)}
    np.testing.assert_allclose(
        changed(parts, WEIGHT), kron(w1, product(w2a, w2b)) * 0.5, atol=1e-12
    )
    both = {
        "lokr_w1_a": normal(3, RANK),
        "lokr_w1_b": normal(RANK, 2),
        "lokr_w2_a": w2a,
        "lokr_w2_b": w2b,
    }
    expected = kron(product(both["lokr_w1_a"], both["lokr_w1_b"]), product(w2a, w2b))
    np.testing.assert_allclose(changed(both, WEIGHT), expected, atol=1e-12)


def test_lokr_of_convolutions() -> None:
    w1, w2 = normal(3, 2), normal(4, 4, SIDE, SIDE)
    np.testing.assert_allclose(
        changed({"lokr_w1": w1, "lokr_w2": w2}, KERNEL),
        at_each_tap(lambda s: kron(w1, s), w2),
        atol=1e-12,
    )
    w2a, w2b, core = normal(RANK, 4), normal(RANK, 4), normal(RANK, RANK, SIDE, SIDE)
    expected = at_each_tap(lambda c: kron(w1, product(product(w2a.T, c), w2b)), core)
    parts = {"lokr_w1": w1, "lokr_w2_a": w2a, "lokr_w2_b": w2b, "lokr_t2": core}
    np.testing.assert_allclose(changed(parts, KERNEL), expected, atol=1e-12)


def test_glora_in_both_namings() -> None:
    a1, a2, b1, b2 = normal(IN, RANK), normal(RANK, IN), normal(OUT, RANK), normal(RANK, IN)
    expected = product(product(WEIGHT, a1), a2) + product(b1, b2)
    np.testing.assert_allclose(
        changed({"a1": a1, "a2": a2, "b1": b1, "b2": b2}, WEIGHT), expected, atol=1e-12
    )
    old = {"a1": a2, "a2": a1, "b1": b2, "b2": b1, "alpha": np.array(float(RANK))}
    np.testing.assert_allclose(changed(old, WEIGHT), expected, atol=1e-12)
    a1c, a2c, b1c, b2c = (
        normal(IN, RANK, 1, 1),
        normal(RANK, IN, 1, 1),
        normal(OUT, RANK, 1, 1),
        normal(RANK, IN, SIDE, SIDE),
    )
    expected = at_each_tap(
        lambda w, b: (
            product(product(w, a1c[:, :, 0, 0]), a2c[:, :, 0, 0]) + product(b1c[:, :, 0, 0], b)
        ),
        KERNEL,
        b2c,
    )
    np.testing.assert_allclose(
        changed({"a1": a1c, "a2": a2c, "b1": b1c, "b2": b2c}, KERNEL), expected, atol=1e-12
    )


def test_ia3() -> None:
    outputs, inputs = normal(OUT), normal(IN)
    np.testing.assert_allclose(
        changed({"ia3": outputs, "on_input": np.array(0)}, WEIGHT), WEIGHT * outputs[:, None]
    )
    np.testing.assert_allclose(
        changed({"ia3": inputs, "on_input": np.array(1)}, WEIGHT), WEIGHT * inputs
    )
    # LyCORIS writes [1, channels, 1, 1] for convolutions.
    parts = {"ia3": inputs.reshape(1, IN, 1, 1), "on_input": np.array(1)}
    np.testing.assert_allclose(changed(parts, KERNEL), KERNEL * inputs[None, :, None, None])


def cayley(block: np.ndarray) -> np.ndarray:
    skew = block - block.T
    identity = np.eye(len(block))
    return (identity + skew) @ np.linalg.inv(identity - skew)


def test_oft() -> None:
    blocks, stretch = 0.3 * normal(3, 4, 4), normal(OUT, 1)
    turned = np.concatenate(
        [cayley(block).T @ WEIGHT[4 * n : 4 * n + 4] for n, block in enumerate(blocks)]
    )
    np.testing.assert_allclose(changed({"oft_blocks": blocks}, WEIGHT), turned - WEIGHT, atol=1e-10)
    np.testing.assert_allclose(
        changed({"oft_blocks": blocks, "rescale": stretch}, WEIGHT),
        stretch * turned - WEIGHT,
        atol=1e-10,
    )
    # A rotation changes no length.
    np.testing.assert_allclose(np.linalg.norm(turned, axis=0), np.linalg.norm(WEIGHT, axis=0))


def test_oft_within_a_constraint() -> None:
    blocks = normal(3, 4, 4)
    limit = 0.05 * OUT
    skew = blocks - blocks.transpose(0, 2, 1)
    held = (
        skew * limit / np.linalg.norm(skew) / 2
    )  # a block and its transpose give the skew part twice
    expected = np.concatenate(
        [cayley(block).T @ WEIGHT[4 * n : 4 * n + 4] for n, block in enumerate(held)]
    )
    got = changed({"oft_blocks": blocks, "alpha": np.array(0.05)}, WEIGHT)
    np.testing.assert_allclose(got, expected - WEIGHT, atol=1e-7)


def test_boft() -> None:
    weight = normal(8, IN)
    blocks = 0.3 * normal(2, 2, 4, 4)  # two stages of two blocks of four channels
    turned = weight
    for stage, rotations in enumerate(blocks):
        stride = 2**stage * 2
        order = [
            chunk + half * stride + place
            for chunk in range(0, 8, 2 * stride)
            for place in range(stride)
            for half in (0, 1)
        ]
        mixed = np.concatenate(
            [cayley(rotations[n]) @ turned[order][4 * n : 4 * n + 4] for n in range(2)]
        )
        turned = np.empty_like(mixed)
        turned[order] = mixed
    np.testing.assert_allclose(changed({"oft_blocks": blocks}, weight), turned - weight, atol=1e-10)


def test_full_differences_and_norms() -> None:
    delta = normal(OUT, IN)
    np.testing.assert_allclose(changed({"diff": delta}, WEIGHT), delta)
    np.testing.assert_allclose(changed({"w_norm": delta[0]}, WEIGHT[0]), delta[0])
    bias = torch.tensor([1.0, 2.0])
    assert change_of_bias({"diff_b": bias}) is bias
    assert change_of_bias({"b_norm": bias}) is bias
    assert change_of_bias({"diff": bias}) is None


@pytest.mark.parametrize("on_outputs", [True, False])
def test_dora_gives_every_channel_the_learned_length(on_outputs: bool) -> None:
    up, down = normal(OUT, RANK), normal(RANK, IN)
    merged = WEIGHT + product(up, down)
    lengths = np.abs(normal(OUT, 1)) if on_outputs else np.abs(normal(1, IN))
    axis = 1 if on_outputs else 0
    expected = merged / np.linalg.norm(merged, axis=axis, keepdims=True) * lengths
    got = changed({"lora_up": up, "lora_down": down, "dora_scale": lengths}, WEIGHT)
    np.testing.assert_allclose(got, expected - WEIGHT, atol=1e-10)


def test_dora_over_loha_and_convolutions() -> None:
    up, down = normal(OUT, RANK, 1, 1), normal(RANK, IN, SIDE, SIDE)
    merged = KERNEL + at_each_tap(lambda d: product(up[:, :, 0, 0], d), down)
    lengths = np.abs(normal(OUT))
    expected = merged * (lengths / np.sqrt((merged**2).sum(axis=(1, 2, 3))))[:, None, None, None]
    got = changed(
        {"lora_up": up, "lora_down": down, "dora_scale": lengths.reshape(OUT, 1, 1, 1)}, KERNEL
    )
    np.testing.assert_allclose(got, expected - KERNEL, atol=1e-10)
    hada = {
        "hada_w1_a": normal(OUT, 2),
        "hada_w1_b": normal(2, IN),
        "hada_w2_a": normal(OUT, 2),
        "hada_w2_b": normal(2, IN),
    }
    merged = WEIGHT + product(hada["hada_w1_a"], hada["hada_w1_b"]) * product(
        hada["hada_w2_a"], hada["hada_w2_b"]
    )
    expected = merged / np.linalg.norm(merged, axis=1, keepdims=True) * lengths[:, None]
    np.testing.assert_allclose(
        changed({**hada, "dora_scale": lengths}, WEIGHT), expected - WEIGHT, atol=1e-10
    )


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("locon", {}),
        ("locon", {"use_tucker": True}),
        ("locon", {"dora_wd": True}),
        ("loha", {}),
        ("loha", {"use_tucker": True}),
        ("lokr", {"factor": 2}),
        ("lokr", {"full_matrix": True}),
        ("lokr", {"decompose_both": True, "factor": 4}),
        ("glora", {}),
        ("ia3", {}),
        ("diag-oft", {}),
        ("diag-oft", {"rescaled": True, "constraint": 0.01}),
        ("boft", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "layer", [torch.nn.Linear(16, 32), torch.nn.Conv2d(16, 32, 3)], ids=["linear", "convolution"]
)
def test_the_same_as_what_lycoris_merges(
    algorithm: str, options: dict[str, object], layer: torch.nn.Module
) -> None:
    """LyCORIS trains these formats; its merged weight is the second, independent reference."""
    from lycoris.wrapper import create_lycoris

    from scanner.adapters.reading import anatomy_of

    torch.manual_seed(3)
    model = torch.nn.Sequential(layer)
    # LyCORIS 4.1 applies alpha / rank twice when it merges LoHa and LoKr (once when it trains), so
    # it is 1 for them.
    alpha = 4 if algorithm in ("loha", "lokr") else 2
    network = create_lycoris(
        model,
        1.0,
        linear_dim=4,
        linear_alpha=alpha,
        conv_dim=4,
        conv_alpha=alpha,
        algo=algorithm,
        preset="full",
        **options,
    )
    [module] = network.loras
    for parameter in module.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    tensors = {f"lora_unet_x.{name}": tensor for name, tensor in module.state_dict().items()}
    anatomy = anatomy_of(tensors, {})
    assert anatomy.leftover == ()
    [parts] = anatomy.modules.values()
    weight = layer.weight.data
    expected = module.get_merged_weight(1.0, weight.shape)[0].detach() - weight
    got = change_of_weight({name: part.double() for name, part in parts.items()}, weight.double())
    torch.testing.assert_close(got.float(), expected, atol=1e-5, rtol=1e-4)


def test_parts_that_do_not_fit_are_told() -> None:
    with pytest.raises(UnfaithfulLoad, match="do not fit"):
        changed({"lora_up": normal(OUT, RANK), "lora_down": normal(RANK, IN + 1)}, WEIGHT)
    with pytest.raises(UnfaithfulLoad, match="no known adapter algorithm"):
        changed({"alpha": np.array(1.0)}, WEIGHT)
