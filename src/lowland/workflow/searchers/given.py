"""Genotypes given by name or as text, in place of a search."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.settings import Section
from lowland.data import DataSet
from lowland.search import SearchSummary
from lowland.search.limits import Limits
from lowland.search.record import Ranked, SearchRecord
from lowland.spaces import get, references
from lowland.workflow.network_size import network_shape
from lowland.workflow.searchers.searcher import Searcher, register, require_no_lag
from lowland.workflow.session import Session

UNSEARCHED: Mapping[str, object] = MappingProxyType({"shortlist": 0, "finalists": 0})
"""Settings of a search that order candidates anew, and what they are where there is no search."""


@register
class Given(Searcher):
    """Nothing is searched: the genotypes given are ranked in their order, so that the first is trained and judged."""

    name = "given"
    summary = "no search: genotypes of yours or of the literature, in the order given"
    source = "`lowland published` lists those of the literature"

    class Config(Section):
        """Which."""

        genotypes: tuple[str, ...] = Field(
            (), description="published:NAME, a hand-written one by its name, SPACE:GENOTYPE, or a genotype of the space"
        )

    options: Given.Config

    def require(self, config: RunConfig) -> None:
        """Refuse none, unknown ones, those of another space, and orders of candidates that are not there."""
        self.genotypes(config)
        require_no_lag(config)
        for name, off in UNSEARCHED.items():
            if getattr(config.search, name) != off:
                raise ConfigError(
                    f"search.{name} orders scored candidates, and searcher {self.name} scores none; leave it out"
                )
        if config.search.strategy != type(config.search)().strategy:
            raise ConfigError(
                f"search.strategy={config.search.strategy} proposes candidates, and searcher {self.name} is given "
                "genotypes; leave one of the two out"
            )

    def genotypes(self, config: RunConfig) -> list[Genotype]:
        """Read the genotypes.

        Returns:
            Each once, in their order.

        Raises:
            ConfigError: there are none, or one is not of the run's space; or as `spaces.references.find`.
            GenotypeError: one is malformed.
        """
        if not self.options.genotypes:
            raise ConfigError(
                "searcher given needs genotypes: add --genotype published:NAME (`lowland published` lists them) or "
                "--genotype SPACE:GENOTYPE"
            )
        found: list[Genotype] = []
        for text in self.options.genotypes:
            genotype = references.find(text, config.space, config.data.image_size or 0).genotype
            if genotype is None:
                raise ConfigError(
                    f"{text} is no genotype of a search space; `lowland compare RUN --with {text}` trains it"
                )
            if genotype.space != config.space:
                raise ConfigError(
                    f"genotype {text} is of space {genotype.space}, but this run is in {config.space}: add --space "
                    f"{genotype.space}"
                )
            get(config.space).validate(genotype)
            found.append(genotype)
        return list(dict.fromkeys(found))

    def check(self, config: RunConfig, data: DataSet) -> None:
        """Refuse a genotype whose network is beyond the limits."""
        space = get(config.space)
        limits = Limits(
            space, config.search, lambda each: space.cost(each, network_shape(config, data, each)), config.seed
        )
        for genotype in self.genotypes(config):
            if limits.excess(genotype) > 1.0:
                raise ConfigError(
                    f"{space.format(genotype)} is beyond search.max_params or search.max_macs; raise them, or set "
                    "network.channels=fit"
                )

    def search(self, session: Session) -> SearchRecord:
        """Rank them in their order, each function once."""
        ranking, seen = [], set()
        for genotype in self.genotypes(session.config):
            if session.space.key(genotype) in seen:
                continue
            seen.add(session.space.key(genotype))
            size = session.cost(genotype)
            ranking.append(Ranked(genotype=genotype, parameters=size.parameters, macs=size.macs))
        summary = SearchSummary(strategy=self.name, proposed=len(ranking), scored=len(ranking))
        return SearchRecord(ranking=ranking, summary=summary)
