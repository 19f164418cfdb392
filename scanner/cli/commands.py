"""Commands and groups: help in panels, and global options that are accepted behind a command."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
import typer.core

from scanner.cli.context import Flags

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOGGERS = (
    "PIL", "diffusers", "fontTools", "httpx", "insightface", "onnxruntime", "peft", "picklescan",
    "ray", "stamina", "transformers", "weasyprint",
)  # fmt: skip


Function = TypeVar("Function", bound=Callable[..., Any])


class Command(typer.core.TyperCommand):
    """A command that also accepts the global options, such as `scan FILE --home FOLDER`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_global_options(super().get_params(ctx), ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        _take_global_options(ctx)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(super().get_params(ctx), ctx, formatter)
        _write_options(_global_options(ctx), ctx, formatter, "Global options")

    def invoke(self, ctx: Any) -> Any:
        quieten_libraries(debug=isinstance(ctx.obj, Flags) and ctx.obj.debug)
        return super().invoke(ctx)


class Group(typer.core.TyperGroup):
    """A group whose help lists its commands in panels, each with the whole of its summary."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_global_options(super().get_params(ctx), ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        _take_global_options(ctx)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(super().get_params(ctx), ctx, formatter)
        if ctx.parent is not None:
            _write_options(_global_options(ctx), ctx, formatter, "Global options")
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        shown = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        width = max(map(len, shown), default=0)
        for name in shown:
            panel = getattr(self.commands[name], "rich_help_panel", None)
            title = panel if isinstance(panel, str) else "Commands"
            row = (name.ljust(width), summary_of(self.commands[name]))
            panels.setdefault(title, []).append(row)
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class CommandGroup(typer.Typer):
    """A Typer app of commands that accept the global options.

    Help is plain text: loading rich for it would double the time that `--help` takes.
    """

    def __init__(self, about: str, **settings: Any) -> None:
        super().__init__(
            help=about, no_args_is_help=True, cls=Group, rich_markup_mode=None, **settings
        )

    def command(
        self, name: str | None = None, *, cls: type[Any] | None = None, **settings: Any
    ) -> Callable[[Function], Function]:
        return super().command(name, cls=cls or Command, **settings)


def summary_of(command: Any) -> str:
    """The first line of a command's help text."""
    lines: list[str] = (command.help or "").strip().splitlines()
    return lines[0] if lines else ""


def quieten_libraries(*, debug: bool) -> None:
    """Keep libraries' messages off the terminal; with --debug, all of them are shown."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        stream=sys.stderr,
        format="%(name)s: %(message)s",
    )
    if debug:
        return
    # These two set their own levels when imported, from the environment.
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module=r"(insightface|diffusers|transformers|peft)\."
    )
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def _global_options(ctx: Any) -> list[Any]:
    """The options of the program itself, as its callback declares them."""
    return list(ctx.find_root().command.params)


def _with_global_options(params: Sequence[Any], ctx: Any) -> list[Any]:
    """A command's own parameters and the global ones; the program itself has only the latter."""
    return [*params] if ctx.parent is None else [*params, *_global_options(ctx)]


def _take_global_options(ctx: Any) -> None:
    """Move the global options that were given behind a command from its parameters to its flags."""
    if ctx.parent is None:
        return
    given = {option.name: ctx.params.pop(option.name, None) for option in _global_options(ctx)}
    before = ctx.obj if isinstance(ctx.obj, Flags) else Flags()
    for name, value in given.items():
        known = before.given.get(name)
        if value is not None and known is not None and _as_typed(value) != _as_typed(known):
            ctx.fail(f"--{name} is given twice and differs: {known} and {value}")
    ctx.obj = before.joined(given)


def _as_typed(value: Any) -> Any:
    return str(Path(value)) if isinstance(value, Path) else value


def _write_options(params: Sequence[Any], ctx: Any, formatter: Any, title: str = "Options") -> None:
    records: Mapping[str, list[Any]] = {"argument": [], "option": []}
    for param in params:
        if (record := param.get_help_record(ctx)) is not None:
            records[param.param_type_name].append(record)
    for name, rows in (("Arguments", records["argument"]), (title, records["option"])):
        if rows:
            with formatter.section(name):
                formatter.write_dl(rows)
