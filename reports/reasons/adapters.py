"""Sentences about weights that cannot be sampled faithfully."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ADAPTERS: Mapping[str, str] = MappingProxyType(
    {
        "kind-not-supported": (
            "sampling {kind} files is not supported; nothing can be said about this file"
        ),
        "family-not-supported": (
            "family not supported: {family}; families that can be sampled are {known:commas}"
        ),
        "size-not-supported": (
            "family not supported: {model}; of {family} only {known} can be sampled"
        ),
        "listing-names-other": (
            "mislabelled: the listing names {named} ({text}), and the tensors are those of "
            "{fits:listed}"
        ),
        "header-names-other": (
            "mislabelled: the metadata claims {named} ({text}), and the tensors are those of "
            "{fits:listed}"
        ),
        "drawn-on-each-model": (
            "the tensors fit {families:listed} alike, and no word says which: it was drawn on each"
        ),
        "not-on-each-model": (
            "the tensors fit {families:listed} alike, no word says which, and it could not be "
            "drawn on each: {cause}"
        ),
        "size-of-no-model": ("no model that is known here has {module} with {outputs} x {inputs}"),
        "modules-of-several-models": (
            "{module} fits {models:commas}, and not all other tensors of the file do"
        ),
        "header-names-another": ("the header names {family} ({text}), and no size of it fits"),
        "checkpoints-not-sampled": (
            "full checkpoints of {models:either} are not sampled; {known:commas} are"
        ),
        "too-many-words": (
            "the file brings {words:d} learned words, and at most {most:d} can be asked for; the "
            "rest would not be looked at"
        ),
        "companions-missing": (
            "the sample was drawn with other files beside this one, and not all of them are here; "
            "fetch them first"
        ),
        "no-effect": (
            "the images are the same with and without the file: it has no effect on the base model"
        ),
        "draws-no-numbers": (
            "with this file the base model draws nothing but numbers that are not finite"
        ),
        "hub-marks-minor": (
            "the hub marks this model as showing a minor; it is never sampled, see docs/safety.md"
        ),
        "words-name-minor": (
            "a name, tag or trigger of this model says minor; it is never sampled, see "
            "docs/safety.md"
        ),
        "picture-marked-minor": (
            "the hub marks a picture of it as showing a minor; nothing of it is fetched"
        ),
        "pipeline-cannot-draw": "the {family} pipeline cannot draw with this file: {cause}",
        "no-image-fits": "one image at a time does not fit into the device's memory",
        "no-algorithm": "no known adapter algorithm has the tensors {tensors:commas}",
        "change-does-not-fit": "a change of shape {change} does not fit a weight of shape {weight}",
        "shapes-do-not-fit": "tensors of shapes {shapes} do not fit a weight of shape {weight}",
        "only-parts": "{module} holds only {parts:commas}: no known adapter has just that",
        "nothing-to-change": "the file changes the {name} of {module}, which has none",
        "bias-size": "{module} changes a bias of another size",
        "change-not-finite": "the change of {place} is not finite",
        "strange-modules": (
            "{strange:d} of the file's {modules:d} modules are not in the base model, such as "
            "{example}"
        ),
        "half-tensors": (
            "{alone:d} adapter tensors lack their other half, such as {example}; the file is "
            "damaged"
        ),
        "unknown-tensors": (
            "{count:d} tensors are those of no known adapter, such as {example}; samples would "
            "not be faithful"
        ),
        "no-module": "the file holds no adapter module",
        "two-names": (
            "{name} and {other} are two names of one module; programs differ in which of them "
            "they load"
        ),
        "malformed-name": "{name} has '_lora_' for '.lora_': loaders find nothing in such a file",
        "malformed-names": (
            "the names have '_lora_down' for '.lora_down': loaders find nothing in such a file "
            "and say nothing"
        ),
        "diffusers-part": (
            "diffusers put {modules:d} modules with {share:.0%} of the file's change into the "
            "base model; samples would not be faithful"
        ),
        "diffusers-adapter": "diffusers cannot load this file into the base model: {cause}",
        "diffusers-checkpoint": "diffusers cannot load this checkpoint: {cause}",
        "checkpoint-not-finite": "weights of the checkpoint are not finite; the file is damaged",
        "checkpoint-too-small": (
            "the checkpoint holds {held:,d} numbers of the {part}, which has {needed:,d}: some of "
            "it would be noise"
        ),
        "checkpoint-too-large": (
            "the checkpoint holds {held:,d} numbers of the {part}, which has {needed:,d}: some of "
            "it would be passed over"
        ),
        "checkpoint-noise": (
            "the checkpoint holds {held:,d} numbers and the model needs {needed:,d}: some of it "
            "would be noise"
        ),
        "several-words": (
            "the file holds {count:d} learned words, {words:commas}; programs differ in which one "
            "they load"
        ),
        "unused-tables": (
            "{unused:d} of {count:d} tensors are no input of a text encoder or a second table for "
            "one, such as {example}; without them samples would not be faithful"
        ),
        "word-vectors": (
            "the learned word {word:quoted} has {vectors:d} vectors; 1 to {most:d} can be used"
        ),
        "word-tables": (
            "the learned word {word:quoted} has tables of {sizes} vectors, not of equally many"
        ),
        "word-not-added": "the learned word {word:quoted} cannot be added to the vocabulary",
        "word-width": (
            "the learned word {word:quoted} has vectors of {width} values in {encoder}, which fit "
            "no text encoder"
        ),
        "word-widths": (
            "the learned word {word:quoted} has vectors of {widths} values, which fit no text "
            "encoder"
        ),
        "word-second-table": (
            "the learned word {word:quoted} has {tables:commas}, and {encoder} is a second table "
            "for {other}; which of them is meant is not known"
        ),
        "word-without-table": (
            "the learned word {word:quoted} has {tables:commas} and no table for "
            "{without:commas}, which reads the prompt too; samples would not be faithful"
        ),
        "alphas-contradict": (
            "the header tells alpha {one:g} and alpha {other:g}; the strength is not known"
        ),
        "alpha-of-header": (
            "the header tells alpha {alpha:g}; the alphas beside the tensors count before it"
        ),
        "alpha-of-record": (
            "the training's record tells alpha {alpha:g}, and no tensor brings it; loaders merge "
            "such a file with an alpha of its rank"
        ),
        "alphas-differ": (
            "the modules have different alphas, such as {alpha:g}; each is merged with its own"
        ),
        "rank-contradicts": (
            "the header tells rank {stated:g} and the tensors have rank {rank:d}: its alpha was "
            "meant for another size, so the strength is not known"
        ),
        "alpha-unusable": (
            "the header tells {stated}, which is no single finite number over 0; the strength is "
            "not known"
        ),
        "rank-of-module": (
            "the header tells rank {stated:g} for {module}, whose tensors have rank {rank:d}; the "
            "strength is not known"
        ),
        "too-many-patterns": (
            "the header has {patterns:d} patterns of module names, more than {most:d}; the "
            "strength is not known"
        ),
        "pattern-not-comparable": (
            "the header has patterns of module names, and {module} cannot be compared with them; "
            "the strength is not known"
        ),
        "pattern-too-long": (
            "the header's pattern of module names {pattern:quoted} is longer than {most:d} "
            "characters; the strength is not known"
        ),
        "pattern-too-branched": (
            "the header's pattern of module names {pattern:quoted} has more than {most:d} groups "
            "and repetitions; the strength is not known"
        ),
        "pattern-repeats": (
            "the header's pattern of module names {pattern:quoted} repeats a repetition; the "
            "strength is not known"
        ),
        "pattern-too-slow": (
            "the header's pattern of module names {pattern:quoted} takes too long to compare; the "
            "strength is not known"
        ),
        "pattern-unreadable": (
            "the header's pattern of module names {pattern:quoted} is no regular expression that "
            "can be read; the strength is not known"
        ),
        "whole-numbers": (
            "{count:d} tensors hold whole numbers, such as {example}: the file is quantised, and "
            "what its numbers mean is not known"
        ),
        "damaged-tensors": (
            "{count:d} tensors hold NaN or infinity, such as {example}; the file is damaged"
        ),
        "cannot-be-read": "the file cannot be read: {cause}",
        "became-shorter": "it became shorter while it was read",
        "precision-unreadable": (
            "numbers of precision {precision} cannot be read, such as those of {name}"
        ),
        "base-model-missing": (
            "base model {location} for family {family} cannot be loaded: {cause} -- without "
            "network, bring its diffusers folder or single .safetensors file and pass it with "
            "--base-model, or put it in the cache that `portrait-scanner doctor` shows"
        ),
        "base-model-quantised": (
            "base model {location} for family {family} has quantised weights, into which no "
            "adapter can be merged; pass one with whole weights with --base-model"
        ),
        "image-check-missing": (
            "no image safety check: {location} cannot be loaded ({cause}); nothing is sampled "
            "without one. With network it is fetched at first use; without, bring its folder and "
            "set image_check to it, or put it in the cache that `portrait-scanner doctor` shows"
        ),
        "workers-lost": (
            "{tries:d} workers died one after another over this file; it may need more memory "
            "than a worker has. Scan it alone with --batch 1"
        ),
        "filing-busy": (
            "cases about {sha256} are being filed by other processes all the time; scan the file "
            "again"
        ),
        "second-weights": (
            "they are a second set of the model's weights (EMA), which some programs draw with "
            "and this one does not"
        ),
        "quantised-scales": "they are scales of quantised weights, which are not read here",
        "predicts-velocity": "they say that the model predicts velocity, which is not sampled here",
        "competing-tables": (
            "they are no input of a text encoder, a second table for one, or one of several "
            "words; programs differ in which of them they load"
        ),
        "control-adapter": (
            "this is a control LoRA, which needs an image to draw from and is not sampled"
        ),
        "malformed-tensors": (
            "they have '_lora_' for '.lora_', and loaders find nothing in such a file"
        ),
        "peft-oft": "this is PEFT's own form of OFT, which is not sampled",
        "others-may-draw": "another program may draw with what would be passed over here",
        "unexplained": "nothing here explains the tensors {tensors:commas}: {why:why}",
        "unexplained-and-more": (
            "nothing here explains the tensors {tensors:commas} and {more:d} more: {why:why}"
        ),
        "fits-several": (
            "the tensors fit {families:listed} alike, and neither header nor listing says which "
            "family it is; a listing that names the base model would settle it"
        ),
        "outvoted": (
            "the metadata claims {claimed} too ({source}: {text}); the tensors are those of "
            "{families:listed}, which another word of the metadata says as well"
        ),
        "listing-contradicts": (
            "the listing names {claimed} ({source}: {text}), the tensors are those of "
            "{families:listed}; samples would not be faithful on either"
        ),
        "header-contradicts": (
            "the metadata claims {claimed} ({source}: {text}), the tensors are those of "
            "{families:listed}; samples would not be faithful on either"
        ),
        "listing-against-header": (
            "the listing names {claimed} ({source}: {text}), the metadata claims "
            "{families:listed}; samples would not be faithful on either"
        ),
        "header-against-header": (
            "the metadata claims {claimed} ({source}: {text}), the metadata claims "
            "{families:listed}; samples would not be faithful on either"
        ),
        "blocks-contradict": (
            "the metadata claims {claimed} ({source}: {text}), and the tensors have the names of "
            "the blocks of a {blocks}, which {family} is not; samples would not be faithful"
        ),
        "header-names-two": "the header names {one} and {other}, which are different families",
        "only-header-tells": (
            "the tensors do not tell the family; {family} is only what the metadata claims"
        ),
        "claimed-otherwise": "the metadata claims {claimed}, the tensors are those of {family}",
        "vae-alone": (
            "a VAE alone turns no words into a picture: whom it shows depends on the model that "
            "it is used with"
        ),
        "encoder-alone": (
            "a text encoder or language model alone draws nothing: whom it shows depends on the "
            "model that it is used with"
        ),
    }
)
