from __future__ import annotations

import copy
from itertools import permutations
from typing import Any

import pytest

from lowland import spaces
from lowland.core.config import Config, build
from lowland.core.errors import ConfigError
from lowland.core.registry import SPACES as SPACES_REGISTRY
from lowland.core.settings import Section, merge
from lowland.measures.angle import Angle
from lowland.measures.noise.flatness import Flatness
from lowland.measures.noise.robustness import Robustness
from lowland.search.strategies.strategy import chosen
from lowland.testing.toys import ToySpace
from lowland.workflow import presets
from lowland.workflow.preset_values import KIN
from lowland.workflow.presets import PRESETS, RECIPES, assemble
from whole_runs import evolution

SPACES = ("nasbench201", "darts")
BOTH = [name for name in PRESETS if name != "imagenet"]  # that one is of darts alone
SUMS = [*BOTH, *("+".join(pair) for pair in permutations(BOTH, 2))]


def made(space: str = "nasbench201", preset: str = "quick", **sections: Any) -> Config:
    return assemble({"space": space, "preset": preset}, sections)


def flatness(config: Config) -> Flatness.Config:
    """The settings of flatness that a run would have."""
    return Flatness(config.measure).options


def expect(section: object, **values: object) -> None:
    assert {key: getattr(section, key) for key in values} == values


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("preset", SUMS)
def test_every_preset_builds_in_every_space(space: str, preset: str) -> None:
    config = made(space, preset)
    assert (config.space, config.preset) == (space, preset)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_builds(space: str, recipe: str) -> None:
    assert made(space, retrain={"recipe": recipe}).retrain.recipe == recipe


@pytest.mark.parametrize("space", spaces.registered())
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_values_for_a_space_or_is_refused(space: str, preset: str) -> None:
    """Never bare defaults under the name of a preset."""
    kin = KIN.get(space, space)
    if kin in PRESETS[preset]:
        assert PRESETS[preset][kin]
        assert made(space, preset) != assemble({"space": space}, Config().model_dump(exclude={"space"}, mode="json"))
        return
    with pytest.raises(ConfigError, match=f"preset {preset} has no values for space {space}: none are published or me"):
        made(space, preset)


def test_which_pairs_have_no_values() -> None:
    missing = {
        (space, preset)
        for space in spaces.registered()
        for preset in PRESETS
        if KIN.get(space, space) not in PRESETS[preset]
    }
    elsewhere = {(space, "imagenet") for space in ("nasbench201", "mobilenetv3", "mobilenetv3-small")}
    assert missing == {("mobilenetv3-small", "paper")} | elsewhere


def test_a_space_of_ones_own_has_the_quick_preset_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES_REGISTRY._classes, "toy", ToySpace)
    assert assemble({"space": "toy"}).supernet == Config().supernet
    for preset in ("standard", "paper", "flatnas", "quick+compat"):
        with pytest.raises(ConfigError, match=r"no values for space toy: .*take quick, and set what"):
            assemble({"space": "toy", "preset": preset})


def test_flatnas_as_published() -> None:
    """FlatNAS (arXiv 2402.19102) and MSuNAS (arXiv 2007.10396) for the inner search."""
    config = made("mobilenetv3", "paper")
    expect(
        own(config), objectives=("flatnas(alpha=0.5)", "params"), initial=100, iterations=30, proposals=8,
        crossover="two-point", mutation="polynomial", inner_population=40, inner_generations=20,
    )  # fmt: skip
    expect(Robustness(config.measure).options, sigma=0.05, draws=20)
    expect(
        config.finetune, epochs=6, optimizer="sgd+asam", sam_rho=2.0, learning_rate=0.1, momentum=0.9,
        weight_decay=5e-4, batch_size=128, label_smoothing=0.1,
    )  # fmt: skip
    expect(config.search, strategy="pareto", sampling="genes", max_params=5_000_000)
    assert config.retrain.inherit
    compat = made("mobilenetv3", "paper+compat").finetune
    assert (compat.weight_decay, compat.label_smoothing, compat.epochs) == (5e-5, 0.0, 6)


def test_genas_on_imagenet() -> None:
    """GeNAS and RLNAS, public code: 14 cells, widths for 600 M MACs, the template of the supernet."""
    config = made("darts", "imagenet")
    expect(config.network, channels="fit", cells=14, stem="imagenet")
    expect(config.supernet, channels=48, cells=14, epochs=50, batch_size=512, schedule="linear", label_smoothing=0.1)
    assert config.search.max_macs == 600_000_000
    assert config.retrain == made("darts", retrain={"recipe": "imagenet"}).retrain


def test_the_inner_search_of_elastic_spaces_is_the_published_one() -> None:
    assert own(made("mobilenetv3-small", "flatnas")).mutation == "polynomial"
    assert own(made("darts", "flatnas")).mutation == "space", "its genes have no order"


def test_presets_name_only_what_exists() -> None:
    """Every value of every preset is a known, legal setting by itself."""
    for table in PRESETS.values():
        for values in table.values():
            assert {key: value for key, value in values.items() if key not in Config.model_fields} == {}
            build({"retrain": {}} | values)
    for values in RECIPES.values():
        build({"retrain": values})


# --- published values ----------------------------------------------------------------------------------------------


def test_supernet_recipe_of_darts() -> None:
    """GeNAS and RLNAS, public code: DARTS on CIFAR."""
    config = made("darts", "paper")
    expect(
        config.supernet, epochs=250, batch_size=64, optimizer="sgd", learning_rate=0.025, final_learning_rate=1e-3,
        schedule="cosine", warmup_epochs=0.0, momentum=0.9, nesterov=False, weight_decay=3e-4, clip=5.0,
        label_smoothing=0.0, cutout=0, zero_grad="none", channels=16, cells=8, path="shared", random_labels=False,
    )  # fmt: skip
    assert config.data.search_fraction == 0.5


def test_supernet_recipe_of_nasbench201() -> None:
    """GeNAS and RLNAS, public code: NAS-Bench-201 on CIFAR."""
    config = made("nasbench201", "paper")
    expect(
        config.supernet, epochs=250, batch_size=64, optimizer="sgd", learning_rate=0.025, final_learning_rate=1e-3,
        schedule="cosine", warmup_epochs=0.0, momentum=0.9, nesterov=True, weight_decay=5e-4, clip=0.0,
        label_smoothing=0.0, cutout=0, zero_grad="none", channels=16, cells=5, path="per-cell", random_labels=False,
    )  # fmt: skip
    assert config.data.search_fraction == 0.5


def own(config: Config) -> Section:
    """The own settings of the strategy."""
    return chosen(config.search).options


def test_evolution_as_published() -> None:
    """GeNAS and RLNAS, public code."""
    assert made("darts", "paper").search.strategy == made("nasbench201", "paper").search.strategy == "evolution"
    expect(
        own(made("darts", "paper")), population=50, generations=20, parents=10, mutations=25,
        crossovers=25, mutation_probability=0.1, mutated_genes="all",
    )  # fmt: skip
    expect(
        own(made("nasbench201", "paper")), population=100, generations=20, parents=30,
        mutations=50, crossovers=50, mutation_probability=0.1,
    )  # fmt: skip


@pytest.mark.parametrize("preset", ["quick", "standard", "paper", "paper+compat"])
def test_flatness_as_published(preset: str) -> None:
    """GeNAS, Tables 5 and 8 and README: σ of each space, α and γ."""
    assert flatness(made("darts", preset)).sigmas == (1e-3, 3e-3, 6e-3)
    if "paper" in preset:
        assert flatness(made("nasbench201", preset)).sigmas == (2e-3, 1e-2, 2e-2)
    for space in SPACES:
        small = space == "nasbench201" and "paper" not in preset
        expect(made(space, preset).measure, draws=8 if small else 1, position="all")
        expect(flatness(made(space, preset)), alpha=1.0)
    for space in ("nasbench201", "darts"):
        expect(made(space, "paper").measure, name="angle+flatness")
        expect(flatness(made(space, "paper")), gamma=16.0, beta=None)


@pytest.mark.parametrize("preset", ["quick", "standard"])
def test_small_supernets_order_by_ranks_of_measures_of_unlike_kinds(preset: str) -> None:
    """docs/log.md: the measured best; with σ₂ = 2σ₁ and α = 1, F = σ₁/L(σ₂)."""
    config = made("nasbench201", preset)
    every = "flatness+angle+macs+naswot+synflow+meco+expressivity"
    expect(config.measure, name=every, combine="log-rank", draws=8, noise_images=125)
    expect(flatness(config), sigmas=(2e-2, 4e-2), gamma=0.1)
    expect(Angle(config.measure).options, vector="cells")


def test_flatnas_chooses_its_space_where_none_is_named() -> None:
    """FlatNAS, arXiv 2402.19102: the figure of merit, the search and SAM."""
    config = assemble({"preset": "flatnas"})
    assert config.space == "mobilenetv3-small"
    assert config.search.strategy == "pareto"
    expect(own(config), objectives=("flatnas(alpha=0.5)", "params"))
    expect(
        config.finetune, epochs=1, optimizer="sgd+asam", sam_rho=0.5, momentum=0.9, weight_decay=5e-4, batch_size=128
    )
    expect(config.measure, name="robustness", combine="sum")
    expect(Robustness(config.measure).options, sigma=0.2)
    assert assemble({"preset": "flatnas", "space": "darts"}).space == "darts"
    assert config.retrain.inherit


@pytest.mark.parametrize("space", SPACES)
def test_compat_is_the_public_code(space: str) -> None:
    """What the public GeNAS code does and the paper does not say; and without it nothing of that is on."""
    compat, paper = made(space, "paper+compat"), made(space, "paper")
    assert compat.supernet.zero_grad == "zeros"
    expect(compat.measure, calibration="ema-14-augmented", calibration_images=14 * 64, noise="independent")
    expect(flatness(compat), levels="incremental")
    expect(Angle(compat.measure).options, bn_scale="twice")
    varied = ("first-half", "repair") if space == "darts" else ("all", "space")
    expect(own(compat), mutated_genes=varied[0], variation=varied[1])
    assert paper.supernet.zero_grad == "none"
    expect(paper.measure, calibration="cumulative", noise="shared")
    expect(flatness(paper), levels="absolute")
    expect(Angle(paper.measure).options, bn_scale="once")
    expect(own(paper), mutated_genes="all", variation="space")
    assert compat.supernet.epochs == paper.supernet.epochs
    assert compat.retrain == paper.retrain


def test_retraining_recipes_as_published() -> None:
    """DARTS on CIFAR; GeNAS on ImageNet; NAS-Bench-201."""
    expect(
        made("darts", retrain={"recipe": "cifar"}).retrain, epochs=600, batch_size=96, learning_rate=0.025,
        final_learning_rate=0.0, schedule="cosine", warmup_epochs=0.0, momentum=0.9, nesterov=False,
        weight_decay=3e-4, clip=5.0, label_smoothing=0.0, cutout=16, drop_path=0.2, auxiliary_weight=0.4,
    )  # fmt: skip
    expect(
        made("darts", retrain={"recipe": "imagenet"}).retrain, epochs=250, batch_size=1024, learning_rate=0.5,
        final_learning_rate=0.0, schedule="linear", warmup_epochs=5.0, momentum=0.9, nesterov=False,
        weight_decay=3e-5, clip=5.0, label_smoothing=0.1, cutout=0, drop_path=0.0, auxiliary_weight=0.4,
    )  # fmt: skip
    expect(
        made(retrain={"recipe": "nasbench201"}).retrain, epochs=200, batch_size=256, learning_rate=0.1,
        final_learning_rate=0.0, schedule="cosine", warmup_epochs=0.0, momentum=0.9, nesterov=True,
        weight_decay=5e-4, clip=0.0, label_smoothing=0.0, cutout=0, drop_path=0.0, auxiliary_weight=0.0,
    )  # fmt: skip
    assert made("darts", "paper").retrain == made("darts", retrain={"recipe": "cifar"}).retrain
    assert made("nasbench201", "paper").retrain == made(retrain={"recipe": "nasbench201"}).retrain
    expect(made("darts", "paper").network, channels=36, cells=20)
    expect(made("nasbench201", "paper").network, channels=16, cells=5)


# --- who wins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("preset", SUMS)
def test_what_a_person_sets_wins(space: str, preset: str) -> None:
    own = {
        "seed": 9,
        "supernet": {"epochs": 7, "zero_grad": "none", "weight_decay": 0.5},
        "measure": {"options": {"flatness": {"sigmas": [0.5, 0.75]}}, "noise": "shared"},
        "retrain": {"epochs": 11, "learning_rate": 0.125},
    }
    config = made(space, preset, **own)
    assert config.seed == 9
    expect(config.supernet, **own["supernet"])
    assert flatness(config).sigmas == (0.5, 0.75)
    assert config.measure.noise == "shared"
    expect(config.retrain, **own["retrain"])


def test_later_layers_win() -> None:
    first, last = evolution(population=30), evolution(generations=3)
    config = assemble({"seed": 1, "search": first}, {"seed": 2}, {"search": last})
    assert config.seed == 2
    expect(own(config), population=30, generations=3)
    assert assemble({"preset": "paper"}, {"preset": "quick"}) == assemble({})


def test_later_presets_of_a_sum_win() -> None:
    assert made("darts", "paper+quick").supernet.cells == 3
    assert made("darts", "quick+paper").supernet.cells == 8
    assert made("darts", "quick+paper").supernet.epochs == 250


def test_a_presets_recipe_wins_over_what_presets_before_it_say() -> None:
    for space in ("darts", "nasbench201"):
        assert made(space, "quick").retrain.optimizer == "muon"
        assert made(space, "quick+paper").retrain.optimizer == "sgd"
        assert made(space, "quick", retrain={"recipe": "cifar"}).retrain.optimizer == "sgd"
        assert made(space, "quick", retrain={"recipe": "cifar", "optimizer": "muon"}).retrain.optimizer == "muon"


def test_a_plain_optimiser_of_a_later_preset_leaves_a_sharpness_aware_one() -> None:
    flatnas = made("nasbench201", "flatnas").retrain
    assert flatnas.optimizer == "sgd+asam"
    assert made("nasbench201", "flatnas+quick").retrain.optimizer == "sgd+asam"
    assert made("nasbench201", "flatnas+quick", retrain={"optimizer": "muon+sam"}).retrain.optimizer == "muon+sam"


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("preset", ["standard", "paper"])
@pytest.mark.parametrize("recipe", ["cifar", "imagenet", "nasbench201"])
def test_a_recipe_a_person_names_wins_over_the_presets(space: str, preset: str, recipe: str) -> None:
    config = made(space, preset, retrain={"recipe": recipe, "top": 3})
    expect(config.retrain, **RECIPES[recipe])
    assert config.retrain.top == 3
    assert made(space, preset, retrain={"recipe": recipe, "epochs": 12}).retrain.epochs == 12


def test_the_quick_recipe_takes_back_a_presets_recipe() -> None:
    assert made("nasbench201", "paper", retrain={"recipe": "quick"}).retrain == Config().retrain


# --- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"preset": "papr"},
            "unknown preset 'papr'; choose from quick, standard, paper, imagenet, compat, flatnas (did you mean pap",
        ),
        (
            {"preset": "paper+compta"},
            "unknown preset 'compta'; choose from quick, standard, paper, imagenet, compat, flatnas (did you",
        ),
        ({"preset": "paper+"}, "unknown preset ''; choose from quick, standard, paper, imagenet, compat"),
        ({"preset": 5}, "setting preset=5: input should be a valid string"),
        ({"space": ["darts"]}, "setting space=['darts']: input should be a valid string"),
        ({"retrain": {"recipe": "cifra"}}, "unknown retrain.recipe 'cifra'; choose from quick, cifar, imagenet, nas"),
        ({"retrain": {"recipe": None}}, "unknown retrain.recipe None; choose from"),
        ({"retrain": {"recipe": ["cifar"]}}, "unknown retrain.recipe ['cifar']; choose from"),
        ({"retrain": 5}, "setting retrain=5 must be a section"),
        ({"supernet": {"epoch": 5}}, "unknown setting 'supernet.epoch'; did you mean 'supernet.epochs'?"),
    ],
)
def test_mistakes_are_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        assemble(values)
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


def test_assembling_leaves_tables_and_layers_alone() -> None:
    before = copy.deepcopy((PRESETS, RECIPES))
    layer: dict[str, Any] = {"space": "darts", "preset": "paper+compat", "retrain": {"recipe": "imagenet"}}
    kept = copy.deepcopy(layer)
    assemble(layer, {"retrain": {"epochs": 30}, "supernet": {"cells": 1}})
    assert before == (presets.PRESETS, presets.RECIPES)
    assert layer == kept


def test_settings_that_were_dumped_are_not_changed_by_presets_again() -> None:
    """A run reads its config.yaml with `build`: all values are there, so preset and recipe are only names."""
    config = made("darts", "paper+compat", retrain={"recipe": "imagenet", "epochs": 12})
    complete = config.model_dump(mode="json")
    assert build(complete) == config
    assert assemble(complete) == config
    assert assemble(merge(complete, {"preset": "quick"})).supernet == config.supernet
