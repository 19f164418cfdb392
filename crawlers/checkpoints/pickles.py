"""The imports that loading a pickle would make. Nothing is ever unpickled here."""

from __future__ import annotations

from pathlib import Path

from picklescan.scanner import Global, SafetyLevel, ScanResult, scan_bytes

_MOST_LISTED = 8
# picklescan chooses its reader by the file's ending, which may be wrong. As PyTorch's it tries
# every form of a pickle.
_AS_PYTORCH, _AS_NUMPY = ".bin", ".npy"


def pickle_findings(path: Path) -> tuple[str, ...]:
    """Sentences about a pickle from static analysis of its opcodes (picklescan)."""
    sentences = ["this is a pickle; it was not opened, because loading one runs code from the file"]
    try:
        result = _scanned(path)
    except Exception as error:
        return (*sentences, f"its contents could not be listed: {type(error).__name__}")
    return (*sentences, *_sentences_about(result))


def pickles_inside(path: Path) -> tuple[str, ...]:
    """Sentences about the pickles in an archive or array; none if there are none."""
    try:
        result = _scanned(path)
    except Exception as error:
        return (f"whether it holds pickles could not be told: {type(error).__name__}",)
    if not result.globals:
        return ()
    return ("it holds pickles, which were not opened", *_sentences_about(result))


def _scanned(path: Path) -> ScanResult:
    with path.open("rb") as stream:
        is_array = stream.read(6) == b"\x93NUMPY"
        stream.seek(0)
        return scan_bytes(stream, path.name, _AS_NUMPY if is_array else _AS_PYTORCH)


def _sentences_about(result: ScanResult) -> list[str]:
    dangerous = [found for found in result.globals if found.safety == SafetyLevel.Dangerous]
    strange = [found for found in result.globals if found.safety == SafetyLevel.Suspicious]
    sentences: list[str] = []
    if dangerous:
        sentences.append(f"it would call {_listed(dangerous)}: treat the file as malware")
    elif result.scan_err:
        sentences.append("its contents could not be listed to their end; treat it as hostile")
    if strange:
        sentences.append(f"it would import {_listed(strange)}, which is not known to be harmless")
    return sentences


def _listed(found: list[Global]) -> str:
    names = sorted({f"{item.module}.{item.name}" for item in found})
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(name[:120] for name in names[:_MOST_LISTED]) + more
