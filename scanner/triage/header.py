"""Triage of a checkpoint by its header alone, before any download or sampling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlers.checkpoints.file_formats import claims_header
from crawlers.checkpoints.header import (
    MAX_HEADER_BYTES,
    ByteSource,
    FileSource,
    Header,
    read_header,
)
from crawlers.checkpoints.training_metadata import person_signals, training_of, triggers_of
from crawlers.errors import CrawlError, NotSafetensors, UnreadableCheckpoint
from crawlers.hashes import sha256_of, weights_hash_of
from crawlers.listing import RemoteFile
from crawlers.sweeps.likeness import likeness_of_header
from scanner.adapters.checkpoint_names import checkpoint_not_sampled
from scanner.adapters.declared_families import declared_by_listing
from scanner.adapters.experts import expert_in_header
from scanner.adapters.families import FamilyFinding, find_family, narrowed
from scanner.adapters.formats.definition import Shapes
from scanner.adapters.header_strengths import alpha_in_header
from scanner.adapters.kinds import NOT_ALONE, UNKNOWN, kind_of
from scanner.adapters.naming import naming_of
from scanner.errors import NotScannable
from scanner.sampling.base_models import Declared, choose_base_model

if TYPE_CHECKING:
    from crawlers.http.transport import Transport

MOST_LEFTOVERS = 200


@dataclass(frozen=True, slots=True)
class Triage:
    """The result of reading the header of one checkpoint.

    Attributes:
        sha256: of the whole file; None if the file was not read completely and no hub states it.
        weights_hash: SHA-256 of the tensor bytes; None for the same reason, or without a
            safetensors header.
        kind: see scanner.adapters.kinds.kind_of; "pickle" or "zip" for a file that was not opened.
        family: of the base model, "unknown" if it cannot be determined; of several candidates the
            likeliest.
        model: the size of the family; None if there is only one or it cannot be determined.
        fits: names of all models that accept the tensors and that the header does not exclude.
        by_denoiser: whether modules of a denoiser tell the family.
        excluded: names of the models that accept the tensors and that the header excludes.
        mislabelled: a sentence about a header or a listing that names another model than the
            tensors are those of.
        doubt: a sentence about a contradiction, or about tensors that no model uses.
        naming: see scanner.adapters.naming.
        expert: of a model with two denoisers, the one that the header says the adapter is for.
        leftovers: names of the first tensors that are not known; the doubt states their number.
        triggers: words from the header that the adapter was trained on.
        training: see crawlers.checkpoints.training_metadata.training_of.
        signals: sentences about a person, from the header.
        likeness: the score of the header alone (crawlers.sweeps.likeness), 0 to 1, for the order in
            which files are processed.
        likeness_signals: the components of the score, as names and the words found.
        size_bytes: of the file; None if the server did not state it.
        bytes_read: number of bytes transferred or read from disk.
        problems: sentences about defects and oddities, also about an unreadable file.
        readable: the header passed every check.
    """

    sha256: str | None
    weights_hash: str | None
    kind: str
    family: str
    naming: str = UNKNOWN
    model: str | None = None
    fits: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    by_denoiser: bool = True
    doubt: str | None = None
    mislabelled: str | None = None
    leftovers: tuple[str, ...] = ()
    expert: str | None = None
    triggers: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    signals: tuple[str, ...] = ()
    likeness: float | None = None
    likeness_signals: tuple[tuple[str, str], ...] = ()
    size_bytes: int | None = None
    bytes_read: int = 0
    problems: tuple[str, ...] = ()
    readable: bool = False

    @property
    def finding(self) -> FamilyFinding:
        """The fields about the family as one record."""
        return FamilyFinding(
            self.family,
            self.model,
            self.fits,
            self.excluded,
            self.by_denoiser,
            self.doubt,
            self.mislabelled,
            self.leftovers,
        )


def triage_from_dict(record: Mapping[str, Any]) -> Triage:
    """The inverse of dataclasses.asdict, also after a round trip through JSON."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    return Triage(**fields)


def triage_file(path: Path) -> Triage:
    """Triage of a file on disk, which is also hashed completely.

    Raises:
        CrawlError: the file cannot be read at all.
    """
    try:
        sha256, size = sha256_of(path), path.stat().st_size
    except OSError as error:
        raise CrawlError(f"{path} cannot be read: {error.strerror}") from error
    if path.suffix.lower() == ".json" and size <= MAX_HEADER_BYTES and _begins_as_json(path):
        return _triage_dump(path, sha256)
    try:
        header = read_header(FileSource(path))
    except NotSafetensors as error:
        from crawlers.checkpoints.pickles import pickle_findings

        problems = (
            pickle_findings(path) if error.kind == "pickle" else (str(error), *_inside(path, error))
        )
        return Triage(
            sha256, None, error.kind, UNKNOWN, size_bytes=size, bytes_read=size, problems=problems
        )
    except UnreadableCheckpoint as error:
        return Triage(
            sha256, None, UNKNOWN, UNKNOWN, size_bytes=size, bytes_read=size, problems=(str(error),)
        )
    return triage_header(header, sha256, weights_hash_of(path, header.header_bytes), size, size)


def triage_url(transport: Transport, url: str) -> Triage:
    """Triage by HTTP Range; only the header is transferred.

    Raises:
        CrawlError: the server cannot be reached or refuses.
    """
    return triage_remote(transport, RemoteFile(url, url))[0]


def triage_remote(
    transport: Transport, file: RemoteFile, *, beginning: bool = False
) -> tuple[Triage, Header | None]:
    """Triage of a listed file, and its header if that can be read; only the header is transferred.

    Args:
        beginning: read only the first 64 KiB of a long header, which contain the metadata.

    Raises:
        CrawlError: the server cannot be reached or refuses.
    """
    from crawlers.checkpoints.ranged_reads import source_of

    source = source_of(transport, file.url)
    try:
        header = read_header(source, beginning=beginning)
    except UnreadableCheckpoint as error:
        kind = error.kind if isinstance(error, NotSafetensors) else UNKNOWN
        triage = unreadable(
            str(error), kind, _sha256_from(source, file), source.size_bytes, source.bytes_read
        )
        return triage, None
    weights_hash = file.weights_hash if len(file.weights_hash or "") == 64 else None
    triage = triage_header(
        header, _sha256_from(source, file), None, source.size_bytes, source.bytes_read
    )
    return replace(triage, weights_hash=weights_hash), header


def with_listing(triage: Triage, base_model: str | None) -> Triage:
    """Triage after the listing's base model decided the family, or contradicted the tensors."""
    declared = declared_by_listing(base_model)
    if declared is None:
        return triage
    finding = narrowed(triage.finding, declared)
    return replace(
        triage,
        family=finding.family,
        model=finding.model,
        fits=finding.fits,
        excluded=finding.excluded,
        by_denoiser=finding.by_denoiser,
        doubt=finding.doubt,
        mislabelled=finding.note,
    )


def unreadable(
    problem: str,
    kind: str = UNKNOWN,
    sha256: str | None = None,
    size: int | None = None,
    bytes_read: int = 0,
) -> Triage:
    """Triage of a file without a readable header."""
    return Triage(
        sha256, None, kind, UNKNOWN, size_bytes=size, bytes_read=bytes_read, problems=(problem,)
    )


def _sha256_from(source: ByteSource, file: RemoteFile) -> str | None:
    from crawlers.checkpoints.ranged_reads import HttpSource

    return source.sha256 if isinstance(source, HttpSource) and source.sha256 else file.sha256


def triage_header(
    header: Header, sha256: str | None, weights_hash: str | None, size: int | None, bytes_read: int
) -> Triage:
    """Triage of a header that has been read."""
    problems = [*header.problems, *_hash_problems(header.metadata, weights_hash)]
    if not header.complete:
        problems.append(
            f"only the beginning of the header was read ({len(header.tensors)} tensors); later "
            "ones may add to the kind"
        )
    complete = header.complete
    return _triage(
        header.shapes,
        header.metadata,
        sha256,
        weights_hash,
        size,
        bytes_read,
        problems,
        complete=complete,
    )


def _triage(
    shapes: Shapes,
    metadata: Mapping[str, str],
    sha256: str | None,
    weights_hash: str | None,
    size: int | None,
    bytes_read: int,
    problems: list[str],
    *,
    complete: bool = True,
) -> Triage:
    kind, finding = kind_of(shapes), find_family(shapes, metadata, complete=complete)
    unsupported = _not_sampled(kind, finding)
    # A listing makes no difference for a full checkpoint that is not sampled.
    problem = finding.doubt if kind == "checkpoint" and unsupported else finding.problem
    problems += [text for text in (problem, finding.note, unsupported) if text]
    if kind == UNKNOWN and "ss_network_module" in metadata and not shapes:
        kind = "locon" if "locon" in metadata["ss_network_module"] else "lora"
    naming, likeness = naming_of(shapes, metadata, finding.family), likeness_of_header(metadata)
    if naming == "malformed kohya":
        problems.append(
            "the names have '_lora_down' for '.lora_down': loaders find nothing in such a file and "
            "say nothing"
        )
    training = training_of(metadata)
    training["alpha"], strength_problem = alpha_in_header(shapes, metadata, training["alpha"])
    problems += [strength_problem] if strength_problem else []
    is_told = finding.problem or finding.note or unsupported
    problems += _kind_problems(kind, finding.family, is_told=bool(is_told))
    return Triage(
        sha256=sha256,
        weights_hash=weights_hash,
        kind=kind,
        family=finding.family,
        naming=naming,
        model=finding.model,
        fits=finding.fits,
        excluded=finding.excluded,
        by_denoiser=finding.by_denoiser,
        doubt=finding.doubt,
        mislabelled=finding.note if finding.fits else None,
        leftovers=finding.leftovers[:MOST_LEFTOVERS],
        expert=expert_in_header(metadata),
        triggers=triggers_of(metadata),
        training=training,
        signals=person_signals(metadata),
        likeness=likeness.score,
        likeness_signals=likeness.signals,
        size_bytes=size,
        bytes_read=bytes_read,
        problems=tuple(problems),
        readable=True,
    )


def _kind_problems(kind: str, family: str, *, is_told: bool) -> list[str]:
    """Return what is to be said about a kind that is not sampled, or a family that is not known.

    Args:
        is_told: whether another sentence says why the family is not known.
    """
    if kind == UNKNOWN:
        return ["these tensors are not those of any known adapter or image model"]
    if kind in NOT_ALONE:
        return [NOT_ALONE[kind]]
    if family == UNKNOWN and not is_told:
        problem = (
            "neither the tensors nor the header tell the base model's family; a listing that names "
            "the base model would settle it"
        )
        return [problem]
    return []


def _not_sampled(kind: str, finding: FamilyFinding) -> str | None:
    """Why a file of a known family is not sampled; None if it is."""
    if kind == "checkpoint":
        return checkpoint_not_sampled(finding.family, finding.model, finding.fits)
    try:
        choose_base_model(finding.family, None, Declared(model=finding.model))
    except NotScannable as error:
        return str(error) if finding.family != UNKNOWN else None
    return None


def _hash_problems(metadata: Mapping[str, str], weights_hash: str | None) -> list[str]:
    claimed = (metadata.get("sshs_model_hash") or "").lower().removeprefix("0x")
    if weights_hash is None or not claimed or weights_hash.startswith(claimed):
        return []
    problem = (
        f"the header claims the weights hash {claimed[:12]}, it really is {weights_hash[:12]}: the "
        "file was changed after training"
    )
    return [problem]


def _inside(path: Path, error: NotSafetensors) -> tuple[str, ...]:
    """Findings about pickles inside archives and NumPy arrays."""
    from crawlers.checkpoints.pickles import pickles_inside

    return pickles_inside(path) if error.kind == "zip" or "NumPy" in str(error) else ()


def _begins_as_json(path: Path) -> bool:
    with path.open("rb") as stream:
        first = stream.read(512)
    return not claims_header(first) and first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (
        b"{",
        b"[",
    )


def _triage_dump(path: Path, sha256: str) -> Triage:
    """Triage of a JSON file with tensor names and shapes, or with the metadata of a header."""
    size = path.stat().st_size
    shapes: dict[str, tuple[int, ...]] = {}
    metadata: dict[str, str] = {}
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return Triage(
            sha256,
            None,
            UNKNOWN,
            UNKNOWN,
            size_bytes=size,
            bytes_read=size,
            problems=("not valid JSON",),
        )
    # A list contains the metadata of several files; only the first is used.
    first = document[0] if isinstance(document, list) and document else document
    for name, value in first.items() if isinstance(first, dict) else []:
        described = value.get("shape") if isinstance(value, dict) else value
        if isinstance(described, list) and all(isinstance(number, int) for number in described):
            shapes[str(name)] = tuple(described)
        elif isinstance(value, str):
            metadata[str(name)] = value
    problems = [
        "a description of a checkpoint in JSON, not the weights themselves; it cannot be scanned"
    ]
    return _triage(shapes, metadata, sha256, None, size, size, problems)
