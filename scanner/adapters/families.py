"""The family of a checkpoint, from its tensors, its header and its listing.

Every model that accepts all tensors is a candidate. If there are several, the header decides, then
the listing. A statement that contradicts the tensors is noted. If several candidates remain, the
file is drawn on each of them while they are few (scanner.scanning.each_base_model), or not at all:
an adapter that is merged into a model of another family has no visible effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reports.reasons.reason import Reason
from scanner.adapters.acceptance import (
    fitting_models,
    misfit,
    models_with_names,
    reaching_models,
)
from scanner.adapters.declared_families import Declaration, declared_in_header
from scanner.adapters.embedding_names import embedding_families
from scanner.adapters.experts import WITH_EXPERTS, names_experts
from scanner.adapters.formats.definition import Shapes
from scanner.adapters.geometries.geometry import family_of_model, geometries
from scanner.adapters.kinds import UNKNOWN, has_name, kind_of
from scanner.adapters.leftovers import leftover_problem, leftovers
from scanner.adapters.unets import checkpoint_families, encoder_families, numbered_families

# Names that only one family has, of models for which there is no class to measure.
_MARKS: tuple[tuple[str, str], ...] = (
    (r"^lora_prior_unet_", "Stable Cascade"),
    (r"double_stream_layers[._]\d", "Boogu"),
    (r"llm_adapter", "Anima"),
)
# Models that read their prompts with CLIP; adapters of other models cannot change it.
_WITH_CLIP = frozenset(
    {"Flux.1", "Flex.1", "SD3 Medium", "SD3.5 Medium", "SD3.5 Large", "HunyuanVideo"}
)
_UNET = r"(down|up|mid|input|output|middle)_blocks?"
_WITH_UNET = frozenset(
    {"Miniature", "SD1", "SD2", "SDXL", "SSD-1B", "SDXL refiner", "Kolors", "Stable Cascade", "SVD"}
)
_TRANSFORMER = r"(^|[._])((double|single|joint)_(transformer_|stream_)?|transformer_)blocks[._]\d"


@dataclass(frozen=True, slots=True)
class FamilyFinding:
    """The family of a file, and how certain it is.

    Attributes:
        family: "unknown" if it cannot be determined; of several candidates the likeliest.
        model: the size of the family; None if there is only one or it cannot be determined.
        fits: names of all models that accept the tensors and that no statement excludes, the
            likeliest first.
        excluded: names of the models that accept the tensors and that a statement excludes.
        by_denoiser: whether modules of a denoiser tell it; text encoders cannot contradict a word.
        doubt: a sentence about a contradiction, or about tensors that no model uses.
        note: a sentence about a finding that is accepted all the same.
        leftovers: names of tensors that are not known; the doubt mentions them too.
    """

    family: str
    model: str | None = None
    fits: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    by_denoiser: bool = True
    doubt: str | None = None
    note: str | None = None
    leftovers: tuple[str, ...] = ()

    @property
    def problem(self) -> str | None:
        """Why the file must not be sampled on the family; None if it may."""
        if self.doubt is not None or len(self.fits) < 2:
            return self.doubt
        return (
            f"the tensors fit {_listed(self.fits)} alike, and neither header nor listing says "
            "which family it is; a listing that names the base model would settle it"
        )


def family_of(shapes: Shapes) -> str:
    """The base model's family from the tensors alone, `unknown` if they do not determine it."""
    return family_by_tensors(shapes).family


def find_family(
    shapes: Shapes, metadata: Mapping[str, str], *, complete: bool = True
) -> FamilyFinding:
    """The family by tensors and header.

    Args:
        complete: False if the list of tensors is not, so that none of them counts as left over.
    """
    finding = _by_tensors_and_words(shapes, metadata)
    kind = kind_of(shapes)
    left = leftovers(shapes, kind, finding.family) if complete else ()
    doubts = [doubt for doubt in (leftover_problem(left, kind), finding.doubt) if doubt]
    return replace(finding, leftovers=left, doubt="; ".join(doubts) or None)


def _by_tensors_and_words(shapes: Shapes, metadata: Mapping[str, str]) -> FamilyFinding:
    declared, finding = declared_in_header(metadata), family_by_tensors(shapes)
    if not finding.fits and finding.doubt and declared:
        claim = declared[0]
        told = f"the header names {claim.families[0]} ({claim.text}), and no size of it fits"
        return replace(finding, doubt=f"{finding.doubt}; {told}")
    if not finding.fits:
        return _from_words(declared, shapes) if declared and not finding.doubt else finding
    for statement in declared:
        finding = narrowed(finding, statement)
    return finding


def narrowed(finding: FamilyFinding, declared: Declaration) -> FamilyFinding:
    """The finding after a statement decided between its candidates, or contradicted them."""
    names = finding.fits or (finding.family,)
    if finding.doubt or names in (("Miniature",), (UNKNOWN,)):
        return finding  # The miniature world's hub says SD 1.5, whose names its base model uses.
    if left := _matching(names, declared):
        return _with_candidates(finding, left) if finding.fits else finding
    if twins := _matching(_twins(names), declared):
        return _with_candidates(finding, twins)
    if back := _matching(finding.excluded, declared):
        # Two statements name two models that the tensors fit alike.
        return _with_candidates(finding, (*finding.fits, *back))
    is_listing = declared.source == "the listing"
    if finding.fits and finding.by_denoiser and all(map(_is_measured, declared.families)):
        values: dict[str, str | tuple[str, ...]] = {
            "named": declared.families[0],
            "text": declared.text,
            "fits": names,
        }
        wrong = (
            Reason("listing-names-other", values)
            if is_listing
            else Reason("header-names-other", values)
        )
        note = "; ".join(filter(None, (finding.note, wrong.in_english())))
        return replace(finding, note=note)
    claims = "the listing names" if is_listing else "the metadata claims"
    others = "the tensors are those of" if finding.fits else "the metadata claims"
    doubt = (
        f"{claims} {declared.families[0]} ({declared.source}: {declared.text}), {others} "
        f"{_listed(names)}; samples would not be faithful on either"
    )
    return replace(finding, doubt=doubt)


def _with_candidates(finding: FamilyFinding, names: tuple[str, ...]) -> FamilyFinding:
    """Return a finding with other candidates, which remembers those that were excluded."""
    known = dict.fromkeys((*finding.fits, *finding.excluded))
    return replace(
        _settled(names, finding.family),
        excluded=tuple(name for name in known if name not in names),
        by_denoiser=finding.by_denoiser,
        note=finding.note,
    )


def _is_measured(name: str) -> bool:
    """Whether the modules of a model are known, so that tensors can contradict its name."""
    return any(name in (model.name, model.family) for model in geometries())


def _matching(names: Iterable[str], declared: Declaration) -> tuple[str, ...]:
    """The names that a statement means; of a family with several sizes, the size that it means."""
    found: list[str] = []
    for name in names:
        if name in declared.families or family_of_model(name) in declared.families:
            found.append(name)
        else:
            found += [
                size for size in declared.families if size != name and family_of_model(size) == name
            ]
    return tuple(found)


def _settled(names: tuple[str, ...], likeliest: str) -> FamilyFinding:
    families = list(dict.fromkeys(family_of_model(name) for name in names))
    family = families[0] if len(families) == 1 else likeliest if likeliest in families else UNKNOWN
    model = names[0] if len(names) == 1 and names[0] != family else None
    return FamilyFinding(family, model, names)


def _listed(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def _from_words(declared: list[Declaration], shapes: Shapes) -> FamilyFinding:
    """If the tensors determine nothing, the header decides unless a tensor contradicts it."""
    if (blocks := _blocks_of(shapes)) and not any(
        _has_such(blocks, statement) for statement in declared
    ):
        wrong = declared[0]
        doubt = (
            f"the metadata claims {wrong.families[0]} ({wrong.source}: {wrong.text}), and the "
            f"tensors have the names of the blocks of a {blocks}, which {wrong.families[0]} is "
            "not; samples would not be faithful"
        )
        return FamilyFinding(UNKNOWN, doubt=doubt)
    first = declared[0]
    finding = _settled(first.families, family_of_model(first.families[0]))
    for other in declared[1:]:
        if not _matching(first.families, other) and not _matching(other.families, first):
            doubt = f"the header names {first.text} and {other.text}, which are different families"
            return replace(finding, doubt=doubt)
    note = f"the tensors do not tell the family; {finding.family} is only what the metadata claims"
    return replace(finding, fits=(), note=note)


def _blocks_of(shapes: Shapes) -> str | None:
    """The sort of network whose blocks the names belong to: "UNet", "transformer" or None."""
    if has_name(shapes, rf"(^|[._]){_UNET}[._]"):
        return "UNet"
    return "transformer" if has_name(shapes, _TRANSFORMER) else None


def _has_such(blocks: str, declared: Declaration) -> bool:
    return any((family in _WITH_UNET) == (blocks == "UNet") for family in declared.families)


def family_by_tensors(shapes: Shapes) -> FamilyFinding:
    """The family from the tensors alone."""
    kind = kind_of(shapes)
    if kind == "textual-inversion":
        tables = embedding_families(shapes)
        found = _settled(tables, UNKNOWN) if tables else FamilyFinding(UNKNOWN)
        return replace(found, by_denoiser=False)
    if kind == "checkpoint" and (whole := checkpoint_families(shapes)):
        return _settled(whole, UNKNOWN)
    models = fitting_models(shapes)
    if kind == "checkpoint":  # it is not sampled, so its names are enough
        models = models or models_with_names(shapes)
    if models:
        reaching, settles = reaching_models(shapes, models)
        fits = tuple(
            model.name for model in models if not (settles and reaching) or model in reaching
        )
        if names_experts(shapes):
            fits = tuple(name for name in _twins(fits) if name == WITH_EXPERTS) or fits
        if has_name(shapes, r"text_model[._]encoder"):
            fits = tuple(name for name in fits if name in _WITH_CLIP) or fits
        return _settled(fits, (reaching or models)[0].family)
    marks = (family for mark, family in _MARKS if has_name(shapes, mark))
    names = tuple(marks)[:1] or numbered_families(shapes) or encoder_families(shapes)
    if not names:
        return FamilyFinding(UNKNOWN, doubt=misfit(shapes))
    return replace(_settled(names, names[0]), by_denoiser=False)


def _twins(names: Iterable[str]) -> list[str]:
    """The models with the same modules as one of these, which were passed over for it."""
    named = set(names)
    return [model.name for model in geometries() if model.twin_of in named]
