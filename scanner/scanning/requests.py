"""Building sampling requests from listed files: words, base model, refusals, holds for minors."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.crawl_store import CrawlStore
from reports.reasons.reason import Reason
from scanner.adapters.checkpoint_names import checkpoint_not_sampled
from scanner.adapters.experts import TWIN_OF_EXPERTS, WITH_EXPERTS, Expert, expert_in_name
from scanner.adapters.formats.registry import ADAPTER_KINDS, SCANNABLE_KINDS
from scanner.adapters.geometries.geometry import family_of_model
from scanner.clock import Clock
from scanner.errors import NotScannable
from scanner.sampling.base_models import Declared, choose_base_model
from scanner.scanning.companions import CompanionFiles
from scanner.scanning.held_files import HeldFiles
from scanner.scanning.sampling_request import SamplingRequest
from scanner.triage.header import Triage
from scanner.triage.minors import RegisteredMinors, refuse_minors
from scanner.triage.trigger_words import named_minor, without_minors, words_of

# A file whose tensors fit more models is not drawn.
MOST_BASE_MODELS = 3


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """Builds sampling requests and holds files that name a registered minor.

    Attributes:
        installation: id of the installation, from which prompts and seeds follow.
        companions: finds the files that are drawn together with a file.
        has_override: whether the user named the base model.
        source_triggers: gives the triggers of the confirmed files from which a file, named by its
            SHA-256, derives. A merge answers to the triggers of its sources.
    """

    crawl: CrawlStore
    minors: RegisteredMinors
    held: HeldFiles
    operator: str
    clock: Clock
    source_triggers: Callable[[str], tuple[str, ...]]
    companions: CompanionFiles
    installation: str
    has_override: bool = False

    def request(
        self,
        listing: Listing,
        file: RemoteFile,
        triage: Triage,
        path: Path,
        *,
        only_load: bool,
        beside: Collection[str] = (),
    ) -> SamplingRequest:
        """Return the request for a triaged file.

        Args:
            beside: SHA-256 of files of its listing or archive that it may be a part of.
            path: path of the file; an empty path if the request is only used for its key.
            only_load: load the file and do not sample it.
        """
        triggers, candidates = (
            without_minors(self.minors, words)
            for words in words_of(self.crawl, listing, file, triage)
        )
        sources = without_minors(self.minors, self.source_triggers(triage.sha256 or ""))
        triggers = tuple(dict.fromkeys([*sources, *triggers]))
        declared = _declared(triage, file)
        # A base model that the user named is the only one.
        alternatives = () if self.has_override else _alternatives(triage, declared)
        problem = problem_of(triage)
        if alternatives and problem == triage.finding.problem:
            problem = None
        return SamplingRequest(
            path,
            triage.sha256 or "",
            triage.kind,
            triage.family,
            triggers,
            candidates,
            declared,
            problem,
            only_load,
            self.companions.of(triage, beside),
            self.installation,
            alternatives,
            self.minors.matcher,
        )

    def is_held(self, listing: Listing, file: RemoteFile, triage: Triage | None = None) -> bool:
        """Whether a file, or another listing of its bytes, names a registered minor.

        A file that names one is put into the queue of held files.
        """
        sha256 = (triage.sha256 if triage else None) or file.sha256
        if naming := named_minor(self.minors, self.crawl, listing, file, triage):
            held = self.held.hold(naming, listing, file, triage, self.operator, self.clock())
            return not held.lifted
        return sha256 is not None and self.held.of_bytes(sha256, self.minors.ids) is not None


def _declared(triage: Triage, file: RemoteFile) -> Declared:
    """Return the base model that header, listing and file name state.

    The experts of Wan 2.2 have the modules of Wan 2.1, so a name that states one decides.
    """
    model, expert = triage.model, expert_in_name(file.name)
    if triage.family == "Wan" and expert is not None and model == TWIN_OF_EXPERTS:
        model = WITH_EXPERTS
    if triage.expert is not None:
        in_header = Expert(triage.expert)
        # Words that contradict each other state nothing.
        expert = in_header if expert in (None, in_header) else None
    training = triage.training
    return Declared(training.get("base_model"), training.get("base_model_hash"), model, expert)


def may_be_sampled(triage: Triage) -> bool:
    """Whether a file can be drawn on a model, or on each of those that it fits."""
    problem = problem_of(triage)
    return problem is None or (
        problem == triage.finding.problem and bool(_alternatives(triage, Declared()))
    )


def _alternatives(triage: Triage, declared: Declared) -> tuple[tuple[str, Declared], ...]:
    """Return the families and sizes that a file is drawn on, one after another.

    Empty if one is settled, if they are too many, or if one of them has no base model.
    """
    fits = triage.fits
    if triage.kind not in ADAPTER_KINDS or triage.doubt or not 1 < len(fits) <= MOST_BASE_MODELS:
        return ()
    found = []
    for name in fits:
        family = family_of_model(name)
        one = replace(declared, model=name if name != family else None)
        try:
            choose_base_model(family, None, one)
        except NotScannable:
            return ()
        found.append((family, one))
    return tuple(found)


def problem_of(triage: Triage) -> str | None:
    """Return why a file cannot be sampled, as far as its header shows."""
    if triage.readable and triage.kind in SCANNABLE_KINDS:
        try:
            refuse_minors(triage.triggers, flagged_by_hub=False)
        except NotScannable as error:
            return str(error)
        return _never_sampled(triage) or triage.finding.problem
    if triage.problems:
        return "; ".join(triage.problems)
    return Reason("kind-not-supported", {"kind": triage.kind}).in_english()


def _never_sampled(triage: Triage) -> str | None:
    """Return why a full checkpoint cannot be sampled, before a base model is loaded or fetched."""
    if triage.kind != "checkpoint":
        return None
    problem = checkpoint_not_sampled(triage.family, triage.model, triage.fits)
    return "; ".join(filter(None, (triage.doubt, problem))) if problem else None
