"""Random search: genotypes drawn at random, among which training alone chooses."""

from __future__ import annotations

from pydantic import Field

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.settings import Positive, Section
from lowland.search import Limits
from lowland.search.record import Ranked, SearchRecord
from lowland.search.strategies.state import SearchSummary
from lowland.workflow.searchers.searcher import Searcher, register, require_no_lag
from lowland.workflow.session import Session


@register
class RandomDesigns(Searcher):
    """Distinct genotypes within the limits, drawn uniformly, in the order they were drawn.

    Nothing is scored: what chooses is `search.finalists`, who are trained; without them the first is delivered. It is
    what any search has to beat in the same time.
    """

    name = "random-designs"
    summary = "genotypes drawn at random, unscored; with search.finalists training chooses among them"
    source = "Li and Talwalkar, UAI 2019 (arXiv 1902.07638)"

    class Config(Section):
        """How many."""

        number: Positive = Field(100, description="genotypes drawn; fewer where the limits leave fewer")

    options: Config

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError where finalists are more than are drawn."""
        require_no_lag(config)
        if config.search.finalists > self.options.number:
            raise ConfigError(
                f"search.finalists={config.search.finalists} are more than search.options.random-designs.number="
                f"{self.options.number} draws; raise it, or have fewer finalists"
            )

    def search(self, session: Session) -> SearchRecord:
        """Draw them."""
        config, space = session.config, session.space
        limits = Limits(space, config.search, session.cost, config.seed)
        found: dict[str, Genotype] = {}
        drawn = 0

        def accept(genotype: Genotype) -> bool:
            nonlocal drawn
            drawn += 1
            return space.key(genotype) not in found and limits.allow(genotype)

        for index in range(self.options.number):
            genotype = limits.sample(accept, found.keys(), "random designs", index)
            if genotype is None:
                break
            found[space.key(genotype)] = genotype
            session.monitor.check()
        ranking = []
        for genotype in found.values():
            cost = session.cost(genotype)
            ranking.append(Ranked(genotype=genotype, parameters=cost.parameters, macs=cost.macs))
        few = len(found) < self.options.number
        summary = SearchSummary(
            strategy=self.name,
            proposed=len(found),
            scored=0,
            rejected=limits.rejected,
            repeated=max(0, drawn - limits.rejected - len(found)),
            note=f"the limits leave {len(found):,} genotypes, which are all drawn" if few else "",
        )
        return SearchRecord(ranking=ranking, summary=summary)
