"""Sentences about verdicts: why a file is a match, possible, clear or inconclusive."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "over-threshold": (
            "score {score:.2f} over the threshold {threshold:.2f}, {lift:.2f} above the base "
            "model alone"
        ),
        "over-threshold-only": "score {score:.2f} over the threshold {threshold:.2f}",
        "between-thresholds": (
            "score {score:.2f} lies between {possible:.2f} and the threshold {threshold:.2f}"
        ),
        "not-calibrated": (
            "score {score:.2f}, but the face pack has no calibration, so no error rate can be "
            "promised"
        ),
        "calibrated-on-gallery": (
            "score {score:.2f}, but the face pack was calibrated on registered people only, so no "
            "error rate can be promised"
        ),
        "too-few-comparisons": (
            "score {score:.2f}, but the face pack was calibrated on too few comparisons for the "
            "error rate that is asked for"
        ),
        "base-model-scores": (
            "score {score:.2f}, but the base model alone already scores {control:.2f}"
        ),
        "little-lift": "score {score:.2f}, but only {lift:.2f} above the base model alone",
        "small-share": "score {score:.2f}, but only {share:.0%} of the faces show this person",
        "samples-disagree": (
            "score {score:.2f}, but samples disagree: the interval starts at {low:.2f}"
        ),
        "runner-up-close": (
            "score {score:.2f}, but another registered person scores {runner_up:.2f}: too alike "
            "to tell apart"
        ),
        "second-pack-disagrees": (
            "the face pack {pack} does not confirm it: score {score:.2f} under its threshold "
            "{threshold:.2f}"
        ),
        "second-pack-has-no-template": (
            "the face pack {pack} cannot confirm it, since it has no template of this person"
        ),
        "at-scale": "the adapter at scale {scale:g}",
        "with-companions": "the adapter together with {files:d} other files",
        "under-possible": "the closest registered person scores {score:.2f}, under {possible:.2f}",
        "under-possible-with-more": (
            "the closest registered person scores {score:.2f}, at most {high:.2f} with more "
            "samples, under {possible:.2f}"
        ),
        "few-faces": (
            "only {faces:d} of {samples:d} samples show a usable face, {needed:d} are needed"
        ),
        "words-not-asked": (
            "{left:d} of {words:d} words that it is said to answer to were not asked for"
        ),
        "unusually-weak": (
            "it changes the base model by {share:g} in one step, far less than any file that "
            "people use"
        ),
        "not-again": (
            "a face that screening took for somebody registered did not come again in {samples:d} "
            "full samples"
        ),
        "near-and-gone": (
            "samples that were drawn before come near somebody who is registered, but the file "
            "cannot be had to confirm it: {cause:cause}"
        ),
        "different-faces": (
            "{faces:d} usable faces, a different one each time: the file does not reproduce one "
            "person"
        ),
        "nobody-registered": "nobody is registered, so nobody can be matched",
        "needs-a-look": (
            "nothing can be said of whom it shows from samples: a person must look at it"
        ),
        "confirmed-before": (
            "its samples do not come near enough to this person by now, but a case about the same "
            "weights was confirmed"
        ),
        "derived-same": "derived from case {case}: the same weights",
        "derived-recast": (
            "derived from case {case}: the same weights in another precision (cosine {cosine:.2f})"
        ),
        "derived-renamed": (
            "derived from case {case}: the same weights under other names (cosine {cosine:.2f})"
        ),
        "derived-rescaled": (
            "derived from case {case}: the same weights at another strength (cosine {cosine:.2f})"
        ),
        "derived-resized": (
            "derived from case {case}: the same weights at another rank (cosine {cosine:.2f})"
        ),
        "derived-altered": (
            "derived from case {case}: the same weights, pruned or with noise (cosine {cosine:.2f})"
        ),
        "derived-epoch": (
            "derived from case {case}: another epoch of the same training (cosine {cosine:.2f})"
        ),
        "derived-contains": (
            "derived from case {case}: the weights of its file are {share:.0%} of these (cosine "
            "{cosine:.2f})"
        ),
        "listed-derived": (
            "derived from case {case} of {source}, which lists its weights (cosine {cosine:.2f})"
        ),
        "withdrawn": "who it showed has withdrawn meanwhile",
        "terms-permit": "the person's terms permit it",
        "licensed": "licence {licence} until {until}",
        "licensed-to": "licence {licence} for {kind} {value} until {until}",
        "rejected-and-match-now": "it was rejected as possible, and is a match by now",
        "more-samples-now": (
            "more samples were asked for, and there are {now:d} instead of {then:d} now"
        ),
        "possible-and-match-now": "it was possible, and is match by now",
        "second-pack-now": "another face pack has judged it by now",
        "match-and-possible-now": "it was match, and is possible by now",
        "nobody-found-in-it": "nobody who is registered was found in it",
        "no-checkpoint-in-it": "no checkpoint was found in it",
        "look-at-listing": "a person must look at its listing",
        "names-a-minor": (
            "it names a registered minor, so it is never sampled: a person must look at its "
            "listing (docs/safety.md)"
        ),
        "no-such-file": (
            "nobody lists a file with the SHA-256 {sha256}; send the file or its address"
        ),
        "gap-in-listings": "listings may be missing: {why:why}; scan it again",
        "unexpected": "unexpected {error}: {cause}",
    }
)
