"""What a pickle would import if someone loaded it. Nothing is unpickled here, ever."""

from __future__ import annotations

from pathlib import Path

from picklescan.scanner import SafetyLevel, scan_file_path


def pickle_findings(path: Path) -> tuple[str, ...]:
    """Sentences about a pickle file from static analysis of its opcodes (picklescan)."""
    sentences = ["this is a pickle; it was not opened, because loading one runs code from the file"]
    try:
        result = scan_file_path(str(path))
    except Exception as error:
        return (*sentences, f"its contents could not be listed: {type(error).__name__}")
    suspicious = sorted(f"{g.module}.{g.name}" for g in result.globals if g.safety == SafetyLevel.Dangerous)
    if suspicious:
        sentences.append(f"it would call {', '.join(suspicious[:8])}: treat the file as malware")
    elif result.scan_err:
        sentences.append("its contents could not be listed; treat it as hostile")
    return tuple(sentences)
