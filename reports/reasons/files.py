"""Sentences about files: headers, other formats, archives, pickles, failed downloads."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FILES: Mapping[str, str] = MappingProxyType(
    {
        "family-not-told": (
            "neither the tensors nor the header tell the base model's family; a listing that "
            "names the base model would settle it"
        ),
        "tensors-of-no-model": "these tensors are not those of any known adapter or image model",
        "header-in-part": (
            "only the beginning of the header was read ({tensors:d} tensors); later ones may add "
            "to the kind"
        ),
        "changed-after-training": (
            "the header claims the weights hash {claimed}, it really is {actual}: the file was "
            "changed after training"
        ),
        "description-only": (
            "a description of a checkpoint in JSON, not the weights themselves; it cannot be "
            "scanned"
        ),
        "not-json": "not valid JSON",
        "not-sent": (
            "the file could not be sent through {place} ({cause}); scan it again when the storage "
            "answers"
        ),
        "trained-on-person": (
            "trained on {images} images in a folder named {folder:quoted}, a person's class word"
        ),
        "trained-on": "trained on {images} images in a folder named {folder:quoted}",
        "captions-name": "nearly every caption names {persons:commas}",
        "training-started": "training started {at}",
        "face-cropping": "face cropping was on during training",
        "metadata-removed": "the training metadata was removed or never written",
        "pickle": "a Python pickle: listed by static analysis, not opened",
        "pickle-archive": (
            "a zip archive, the form of PyTorch pickles: listed by static analysis, not opened"
        ),
        "pickle-not-opened": (
            "this is a pickle; it was not opened, because loading one runs code from the file"
        ),
        "pickle-not-listed": "its contents could not be listed: {error}",
        "pickles-not-known": "whether it holds pickles could not be told: {error}",
        "holds-pickles": "it holds pickles, which were not opened",
        "pickle-calls": "it would call {names:commas}: treat the file as malware",
        "pickle-calls-more": (
            "it would call {names:commas} and {more:d} more: treat the file as malware"
        ),
        "pickle-not-to-end": "its contents could not be listed to their end; treat it as hostile",
        "pickle-imports": "it would import {names:commas}, which is not known to be harmless",
        "pickle-imports-more": (
            "it would import {names:commas} and {more:d} more, which is not known to be harmless"
        ),
        "packed-format": "{format:why}, not safetensors: unpack it first, and give what is in it",
        "other-format": (
            "{format:why}, not safetensors: convert it to safetensors to have it scanned"
        ),
        "no-image-model": (
            "{format:why}, not safetensors: it is no image model that is sampled here"
        ),
        "database-format": (
            "{format:why}, not safetensors: it holds no weights; look for the model's own file"
        ),
        "program-format": "{format:why}, not safetensors: it holds no weights; do not run it",
        "capture-format": "{format:why}, not weights; `portrait-scanner intake` takes it in",
        "zip-format": "a zip archive: unpack it first, and give what is in it",
        "pointer": "{format:why}, not the file itself; fetch the real file",
        "format-gzip": "a gzip file",
        "format-xz": "an xz or lzma file",
        "format-zstandard": "a zstandard file",
        "format-bzip2": "a bzip2 file",
        "format-lz4": "an lz4 file",
        "format-7z": "a 7z archive",
        "format-rar": "a rar archive",
        "format-cab": "a cab archive",
        "format-tar": "a tar archive",
        "format-gguf": "a GGUF file",
        "format-ggml": "a GGML file",
        "format-npy": "a NumPy array (npy)",
        "format-npz": "a NumPy archive (npz)",
        "format-hdf5": "an HDF5 file, as Keras writes",
        "format-tflite": "a TensorFlow Lite model",
        "format-sqlite": "an SQLite database",
        "format-program": "a program",
        "format-onnx": "an ONNX model",
        "format-pdf": "a PDF document",
        "format-picture": "a picture",
        "format-film": "a picture or film (HEIC, AVIF or MP4)",
        "format-warc": "a saved page (WARC)",
        "format-saved": "a picture or a saved page",
        "format-lfs": "a Git LFS pointer",
        "format-xet": "a Xet pointer",
        "format-annex": "a git-annex pointer",
        "page-instead": (
            "an HTML or XML page saved in place of the file; download the file itself again"
        ),
        "page-instead-old": "an HTML or XML page saved in place of the file; download it again",
        "json-instead": (
            "a text (JSON), such as a server's error message, not weights; download the file "
            "itself again"
        ),
        "text-instead": "a text file, not weights; download the file itself again",
        "text-instead-old": "a text file, not weights",
        "too-short": "the file has {bytes:d} bytes, too few to hold a safetensors header",
        "begins-with-zeros": (
            "the file begins with zeros, as an unfinished download does; download it again"
        ),
        "header-too-long": (
            "the header claims {claimed:,d} bytes, the limit is {limit:,d}; treat the file as "
            "hostile"
        ),
        "too-many-tensors": (
            "the header names {count:,d} tensors, the limit is {limit:,d}; treat the file as "
            "hostile"
        ),
        "header-past-end": "the header claims {claimed:,d} bytes but the file has only {bytes:,d}",
        "ends-in-header": "the file ends inside the header; the download was cut off",
        "header-no-object": "the header is not a JSON object",
        "header-no-json": "the header is not valid JSON: {error}",
        "metadata-no-strings": "__metadata__ must map strings to strings",
        "no-tensor": "the file holds no tensor",
        "too-many-lists": (
            "the header holds more lists, values or strings than its tensors can need"
        ),
        "tensor-no-object": "tensor {name:quoted} is not described by an object",
        "tensor-dtype": "tensor {name:quoted} has the unknown dtype {dtype:quoted}",
        "tensor-shape": "tensor {name:quoted} has no valid shape",
        "tensor-offsets": "tensor {name:quoted} has no valid data offsets",
        "tensor-size": "tensor {name:quoted}: shape and dtype do not fit its {bytes:,d} bytes",
        "tensor-overlap": "tensor {name:quoted} overlaps the tensor before it",
        "tensor-hole": "tensor {name:quoted} leaves a hole before it",
        "cut-off": (
            "the file is cut off: the header describes {described:,d} data bytes, there are "
            "{bytes:,d}"
        ),
        "trailing-bytes": (
            "the file has bytes after the last tensor: the header describes {described:,d} data "
            "bytes, there are {bytes:,d}"
        ),
        "repeated-name": "the header repeats a name; readers disagree on which one counts",
        "half-characters": "the header escapes halves of characters, which is no text",
        "zip-entries": "the zip archive has {entries:,d} entries, the limit is {limit:,d}",
        "zip-without-weights": "a zip archive without any safetensors file in it",
        "zip-weights": "the zip archive has {files:d} weights files, the limit is {limit:d}",
        "zip-too-large": "the zip archive unpacks to {bytes:,d} bytes, the limit is {limit:,d}",
        "zip-broken": "the zip archive cannot be unpacked: {cause}",
        "zip-bomb": "{name:quoted} unpacks to {bytes:,d} bytes of {packed:,d}: a bomb",
        "zip-encrypted": "{name:quoted} is encrypted",
        "zip-says-less": "{name:quoted} holds more bytes than it says",
        "path-unreadable": "{path} cannot be read: {cause}",
        "no-place": "nobody says where {file} can be had",
        "no-longer-kept": "{file} is not here any more; send it again",
        "other-bytes-now": "{file} holds other bytes now than those that were scanned",
        "not-fetched": "{place} is not fetched: {cause:cause}",
        "hub-answered": "{url} answered {status:d}: {message}",
        "other-bytes": (
            "{url}: SHA-256 is {actual}, the hub says {expected}; the file was replaced or damaged"
        ),
        "refused-before": (
            "{file} was refused on {day} and is asked for again after {until}, or with --again"
        ),
        "announces-too-much": "{url} announces {bytes:,d} bytes, the limit is {limit:,d}",
        "sends-too-much": "{url} sends more than {limit:,d} bytes",
        "sends-too-slowly": "{url} sends less than {bytes:d} bytes a second; try again later",
        "came-in-part": "{place}: {bytes:,d} of {total:,d} bytes came; try again",
        "stops-early": (
            "{url}: the server stops after {bytes:,d} of {total:,d} bytes; try again later"
        ),
        "disk-full": (
            "the disk of {folder} is full; what came so far is kept: make room and run the same "
            "command again"
        ),
        "connection-broke": "{url}: the connection broke: {cause}",
        "no-answer": (
            "{url}: {cause} after {attempts:d} attempts; look at network, name servers and proxy, "
            "or try again later"
        ),
        "stopping": "{url}: the program is stopping",
        "gave-other": "{url} gave {why:why}",
    }
)
