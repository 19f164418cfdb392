"""The bytes that triage of a listing transfers, compared with the whole header and the whole file.

    python -m benchmarks.crawlers.header_bytes

Files have the tensor names of kohya's adapters for SD1, SDXL and Flux.1, with the training metadata
of 40 captioned photos. They are sparse files of 10 to 200 MB on a real HTTP server with Range.
"""

from __future__ import annotations

import json
import statistics
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.listing import RemoteFile
from scanner.triage.header import Triage, triage_remote
from tests.servers.files import serve_files

SIZES_MB = (10, 25, 50, 75, 100, 150, 200)


def sd1() -> Iterator[tuple[str, int, int]]:
    for layer in range(12):
        for part in (
            "self_attn_k_proj",
            "self_attn_out_proj",
            "self_attn_q_proj",
            "self_attn_v_proj",
            "mlp_fc1",
            "mlp_fc2",
        ):
            yield f"lora_te_text_model_encoder_layers_{layer}_{part}", 768, 768
    blocks = [
        (f"down_blocks_{n}_attentions_{m}", 320 * 2**n) for n in range(3) for m in range(2)
    ] + [("mid_block_attentions_0", 1280)]
    blocks += [
        (f"up_blocks_{n}_attentions_{m}", 1280 // 2 ** (n - 1))
        for n in range(1, 4)
        for m in range(3)
    ]
    for block, width in blocks:
        for part, inner in (
            ("attn1_to_k", width),
            ("attn1_to_out_0", width),
            ("attn1_to_q", width),
            ("attn1_to_v", width),
            ("attn2_to_k", 768),
            ("attn2_to_out_0", width),
            ("attn2_to_q", width),
            ("attn2_to_v", 768),
        ):
            yield f"lora_unet_{block}_transformer_blocks_0_{part}", inner, width


def sdxl() -> Iterator[tuple[str, int, int]]:
    for encoder, layers, width in (("te1", 12, 768), ("te2", 32, 1280)):
        for layer in range(layers):
            for part in (
                "mlp_fc1",
                "mlp_fc2",
                "self_attn_k_proj",
                "self_attn_out_proj",
                "self_attn_q_proj",
                "self_attn_v_proj",
            ):
                yield f"lora_{encoder}_text_model_encoder_layers_{layer}_{part}", width, width
    for block, width, depth in (
        ("input_blocks_4_1", 640, 2),
        ("input_blocks_7_1", 1280, 10),
        ("middle_block_1", 1280, 10),
        ("output_blocks_0_1", 1280, 10),
    ):
        for layer in range(depth):
            for part in (
                "attn1_to_k",
                "attn1_to_q",
                "attn1_to_v",
                "attn1_to_out_0",
                "attn2_to_k",
                "attn2_to_q",
                "attn2_to_v",
                "ff_net_0_proj",
                "ff_net_2",
            ):
                yield (
                    f"lora_unet_{block}_transformer_blocks_{layer}_{part}",
                    2048 if part == "attn2_to_k" else width,
                    width,
                )


def flux() -> Iterator[tuple[str, int, int]]:
    for block in range(19):
        for part in (
            "img_attn_proj",
            "img_attn_qkv",
            "img_mlp_0",
            "img_mlp_2",
            "img_mod_lin",
            "txt_attn_proj",
            "txt_attn_qkv",
            "txt_mlp_0",
            "txt_mlp_2",
            "txt_mod_lin",
        ):
            yield f"lora_unet_double_blocks_{block}_{part}", 3072, 3072
    for block in range(38):
        for part in ("linear1", "linear2", "modulation_lin"):
            yield f"lora_unet_single_blocks_{block}_{part}", 3072, 3072


FAMILIES = {"SD1": sd1, "SDXL": sdxl, "Flux.1": flux}


def metadata() -> dict[str, str]:
    """The metadata that kohya's trainer writes for 40 captioned photos."""
    tags = {f"tag number {number}": 1 + number % 40 for number in range(400)}
    told = {f"ss_setting_{number}": "some value" for number in range(55)}
    folders = {"40_zkw woman": {"n_repeats": 40, "img_count": 40}}
    return {
        **told,
        "ss_network_module": "networks.lora",
        "ss_network_dim": "32",
        "ss_dataset_dirs": json.dumps(folders),
        "ss_tag_frequency": json.dumps({"40_zkw woman": {"zkw": 40, **tags}}),
        "ss_session_id": "7",
    }


def write(path: Path, family: str, size: int) -> int:
    """Write a file of about that size with that family's names; returns the header's length."""
    modules = list(FAMILIES[family]())
    rank = max(1, round(size / 2 / sum(inner + outer for _, inner, outer in modules)))
    header: dict[str, object] = {"__metadata__": metadata()}
    end = 0
    for stem, inner, outer in sorted(modules):
        for name, shape in (
            (f"{stem}.alpha", []),
            (f"{stem}.lora_down.weight", [rank, inner]),
            (f"{stem}.lora_up.weight", [outer, rank]),
        ):
            length = 2
            for one in shape:
                length *= one
            header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + length]}
            end += length
    text = json.dumps(header, separators=(",", ":")).encode()
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + end)
    return len(text)


def facts(triage: Triage) -> tuple[object, ...]:
    return (
        triage.kind,
        triage.family,
        triage.triggers,
        triage.training["photo_count"],
        triage.training["session_id"],
    )


def main() -> None:
    transport = Transport(destinations=Destinations({"127.0.0.1"}))
    read, ratios = [], []
    print(
        f"{'family':8}{'file MB':>9}{'header':>10}{'ours':>9}{'whole header':>14}"
        f"{'file / ours':>13}"
    )
    with tempfile.TemporaryDirectory() as folder, serve_files(Path(folder)) as server:
        for family in FAMILIES:
            for size in SIZES_MB:
                path = Path(folder, f"{family}-{size}.safetensors")
                length = write(path, family, size * 10**6)
                file = RemoteFile(path.name, server.url(path.name))
                ours, _ = triage_remote(transport, file, beginning=True)
                whole, _ = triage_remote(transport, file)
                if facts(ours) != facts(whole) or ours.family != family:
                    raise SystemExit(
                        f"{path.name}: {facts(ours)} from the beginning, "
                        f"{facts(whole)} from the whole header"
                    )
                whole_file = path.stat().st_size
                read.append(ours.bytes_read)
                ratios.append(whole_file / ours.bytes_read)
                print(
                    f"{family:8}{whole_file / 1e6:9.1f}{length:10,}{ours.bytes_read:9,}"
                    f"{whole.bytes_read:14,}{ratios[-1]:13,.0f}"
                )
                path.unlink()
    transport.close()
    print(
        f"median {statistics.median(read):,.0f} bytes a listing (largest "
        f"{max(read):,}); ratio {min(ratios):,.0f} to {max(ratios):,.0f}, median "
        f"{statistics.median(ratios):,.0f}"
    )


if __name__ == "__main__":
    main()
