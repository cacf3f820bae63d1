"""A small version of an experiment: the first few items through every stage, so that ratios are measured cheaply."""

from dataclasses import replace

from distill.settings import ExperimentSettings

TRAIN = CACHE = 8
HELDOUT = 4
NEW = 2
"""From hard, and as many from easy."""


def smoke_settings(settings: ExperimentSettings) -> ExperimentSettings:
    """One iteration with everything else as it is, and no gate that would wait for people."""
    sizes = settings.pools
    generator = settings.generator
    return replace(
        settings,
        iterations=1,
        pools=replace(
            sizes,
            train=min(sizes.train or TRAIN, TRAIN),
            cache=min(sizes.cache or CACHE, CACHE),
            heldout=min(sizes.heldout or HELDOUT, HELDOUT),
        ),
        generator=replace(generator, hard=min(generator.hard, NEW), easy=min(generator.easy, NEW)),
        gates=replace(settings.gates, review="skip", approval="skip"),
    )
