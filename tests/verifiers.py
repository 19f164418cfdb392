"""Calls both forms of the verifier, the modules and the single file that is built from them.

A test calls one function and gets the common answer; both forms must agree.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from reports.verify import bundle, case_record, references, seal, timestamps, tokens
from reports.verify.build import single_file

P = ParamSpec("P")
R = TypeVar("R")

_FOLDER = tempfile.TemporaryDirectory(prefix="verifier-")
SINGLE_FILE = Path(_FOLDER.name) / "verify_bundle.py"
SINGLE_FILE.write_bytes(single_file())


@functools.cache
def single_file_module() -> ModuleType:
    """The single file, imported."""
    spec = importlib.util.spec_from_file_location("single_file_verifier", SINGLE_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Outcome:
    """What a call returned or raised."""

    value: Any
    error: Exception | None

    def parts(self) -> object:
        """What is compared: the classes of both forms differ, their names and fields do not."""
        return (type(self.error).__name__, str(self.error)) if self.error else parts_of(self.value)


def parts_of(value: Any) -> object:
    if is_dataclass(value):
        return type(value).__name__, [
            parts_of(getattr(value, field.name)) for field in fields(value)
        ]
    return [parts_of(one) for one in value] if isinstance(value, list | tuple) else value


def outcome_of(function: Callable[..., Any], *arguments: Any, **options: Any) -> Outcome:
    try:
        return Outcome(function(*arguments, **options), None)
    except Exception as error:
        return Outcome(None, error)


def in_both(function: Callable[P, R]) -> Callable[P, R]:
    """A function of the modules that fails unless the single file's does the same."""
    other = getattr(single_file_module(), function.__name__)
    assert other.__module__ != function.__module__

    @functools.wraps(function)
    def compared(*arguments: P.args, **options: P.kwargs) -> R:
        ours, others = (
            outcome_of(function, *arguments, **options),
            outcome_of(other, *arguments, **options),
        )
        assert ours.parts() == others.parts()
        if ours.error:
            raise ours.error
        result: R = ours.value
        return result

    return compared


verify = in_both(bundle.verify)
record_digest = in_both(case_record.record_digest)
warc_records = in_both(references.warc_records)
stamped_text = in_both(seal.stamped_text)
check_timestamp = in_both(timestamps.check_timestamp)
parse_request = in_both(tokens.parse_request)
parse_token = in_both(tokens.parse_token)


def run_both(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Both as commands, which must print the same and end with the same code."""
    commands = ([sys.executable, "-m", "reports.verify"], [sys.executable, "-I", str(SINGLE_FILE)])
    ours, others = (
        subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        for command in commands
    )
    assert (ours.returncode, ours.stdout) == (others.returncode, others.stdout), (
        ours.stderr + others.stderr
    )
    return others
