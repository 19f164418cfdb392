"""Pictures with a stated provenance, each in the form that the stated program writes."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image, PngImagePlugin

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def plain(kind: str = "PNG", *, side: int = 64, shade: str = "#8ac", **options: object) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), shade).save(data, kind, **options)
    return data.getvalue()


def with_texts(**texts: str) -> bytes:
    """A PNG with text chunks."""
    info = PngImagePlugin.PngInfo()
    for name, value in texts.items():
        info.add_itxt(name, value)
    return plain(pnginfo=info)


def a1111(lora: str, lora_hash: str, model: str = "mini", model_hash: str = "aabbccddee") -> bytes:
    """Parameters in the format of AUTOMATIC1111's web UI, with the hashes of newer versions."""
    hashes_told = json.dumps({f"lora:{lora}": lora_hash, "model": model_hash})
    return with_texts(
        parameters=f"portrait of ohwx person <lora:{lora}:0.8>, soft light\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 64x64, Model "
        f'hash: {model_hash}, Model: {model}, Lora hashes: "{lora}: {lora_hash}", '
        f"Hashes: {hashes_told}, Version: v1.9.4"
    )


def comfyui(lora: str, *, workflow: bool = True) -> bytes:
    """A graph in ComfyUI's format, which names files but no hashes."""
    graph = {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 7,
                "steps": 20,
                "cfg": 7,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1,
                "model": ["10", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mini.safetensors"}},
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1},
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "ohwx person", "clip": ["10", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["10", 1]}},
        "10": {
            "class_type": "LoraLoader",
            "inputs": {
                "lora_name": lora,
                "strength_model": 1.0,
                "strength_clip": 1.0,
                "model": ["4", 0],
                "clip": ["4", 1],
            },
        },
    }
    links = [
        [1, 4, 0, 10, 0, "MODEL"],
        [2, 4, 1, 10, 1, "CLIP"],
        [3, 10, 0, 3, 0, "MODEL"],
        [4, 10, 1, 6, 0, "CLIP"],
        [5, 6, 0, 3, 1, "CONDITIONING"],
        [6, 7, 0, 3, 2, "CONDITIONING"],
        [7, 10, 1, 7, 0, "CLIP"],
    ]
    drawn = {"workflow": json.dumps({"nodes": [], "links": links})} if workflow else {}
    return with_texts(prompt=json.dumps(graph), **drawn)


def xmp(**properties: str) -> bytes:
    """A JPEG whose XMP has these properties; __ in a name stands for the colon after its prefix."""
    spaces = {
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
        "dc": "http://purl.org/dc/elements/1.1/",
    }
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items())
    inside = "".join(
        f"<{name.replace('__', ':')}>{value.replace('&', '&amp;')}</{name.replace('__', ':')}>"
        for name, value in properties.items()
    )
    packet = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta '
        'xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" '
        f"{declared}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket "
        'end="w"?>'
    )
    return plain("JPEG", xmp=packet.encode())


def camera() -> bytes:
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = "Canon", "EOS R5", "2026:05:01 10:00:00"
    return plain("JPEG", exif=exif)


@cache
def _signer() -> tuple[str, str]:
    """A certificate chain that fits C2PA's rules, and the signing key, as PEM."""
    now = datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def named(name: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )

    def certificate(name: str, of: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("Test Root"))
            .public_key(of.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(of.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not ca,
                    key_cert_sign=ca,
                    crl_sign=ca,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if not ca:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        return builder.sign(root_key, hashes.SHA256())

    chain = [
        certificate("Imaginary Images", key, ca=False),
        certificate("Test Root", root_key, ca=True),
    ]
    pem = "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, private.decode()


def content_credentials() -> bytes:
    """A JPEG that c2pa-python signed as made by a trained algorithm."""
    import c2pa

    pem, key = _signer()
    manifest = {
        "claim_generator_info": [{"name": "Imaginary Images", "version": "1"}],
        "assertions": [
            {
                "label": "c2pa.actions",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TRAINED}]},
            }
        ],
    }
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, pem.encode(), key.encode(), None)
    signed = io.BytesIO()
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder.from_json(manifest) as builder:
        builder.sign(signer, "image/jpeg", io.BytesIO(plain("JPEG")), signed)
    return signed.getvalue()
