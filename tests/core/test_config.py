from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lowland.core.config import Config, DataConfig, MeasureConfig, build
from lowland.core.errors import ConfigError
from lowland.core.recipe import OptimizationConfig
from lowland.core.settings import assignment, count, dump, known_keys, merge, nested, parse, read


def fault(values: dict[str, Any]) -> str:
    """The one sentence with which `values` are refused."""
    with pytest.raises(ConfigError) as raised:
        build(values)
    text = str(raised.value)
    assert "\n" not in text
    assert "pydantic" not in text
    return text


# --- unknown keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sede": 3}, "unknown setting 'sede'; did you mean 'seed'?"),
        ({"supernett": {}}, "unknown setting 'supernett'; did you mean 'supernet'?"),
        ({"supernet": {"epoch": 3}}, "unknown setting 'supernet.epoch'; did you mean 'supernet.epochs'?"),
        ({"search": {"max_param": 3}}, "unknown setting 'search.max_param'; did you mean 'search.max_params'?"),
        ({"compute": {"chanels_last": True}}, "unknown setting 'compute.chanels_last'; did you mean"),
        ({"labelsmoothing": 0.1}, "unknown setting 'labelsmoothing'; did you mean 'retrain.label_smoothing'?"),
        ({"finalist": 3}, "unknown setting 'finalist'; did you mean 'search.finalists'?"),
        ({"zzz": 1}, "unknown setting 'zzz'; sections are seed, preset, budget, space, data, supernet, measure"),
        ({"data": {"zzz": 1}}, "unknown setting 'data.zzz'"),
        ({1: 2}, "unknown setting '1'; sections are"),
    ],
)
def test_unknown_settings_are_refused_with_a_suggestion(values: dict[str, Any], sentence: str) -> None:
    assert fault(values).startswith(sentence)


@pytest.mark.parametrize("key", known_keys(Config))
def test_a_slip_in_any_key_finds_it_again(key: str) -> None:
    slip = key[:-1] + "q"
    assert f"did you mean {key!r}?" in fault(nested(slip, 1)) or len(key) < 5


def test_known_keys_are_those_of_the_settings_file() -> None:
    keys = known_keys(Config)
    assert {"seed", "search.max_params", "supernet.zero_grad", "retrain.ema", "compute.device"} <= set(keys)
    assert "supernet" not in keys
    flat = [
        f"{section}.{key}" if isinstance(value, dict) else section
        for section, value in yaml.safe_load(dump(Config())).items()
        for key in (value if isinstance(value, dict) else [section])
    ]
    assert sorted(flat) == sorted(keys)


# --- wrong values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"seed": -1}, ["seed=-1", "greater than or equal to 0"]),
        ({"space": None}, ["space=None", "valid string"]),
        ({"supernet": 5}, ["supernet=5", "must be a section of `key: value` lines"]),
        ({"supernet": None}, ["supernet=None", "must be a section"]),
        ({"supernet": {"epochs": "many"}}, ["supernet.epochs='many'", "valid integer"]),
        ({"supernet": {"epochs": 5.5}}, ["supernet.epochs=5.5", "valid integer"]),
        ({"supernet": {"optimizer": "sdg"}}, ["supernet.optimizer='sdg'", "'sgd', 'adamw'"]),
        ({"supernet": {"learning_rate": 0}}, ["supernet.learning_rate=0", "greater than 0"]),
        ({"supernet": {"learning_rate": math.inf}}, ["supernet.learning_rate=inf", "finite"]),
        ({"retrain": {"weight_decay": math.nan}}, ["retrain.weight_decay=nan", "finite"]),
        ({"network": {"channels": "wide"}}, ["network.channels='wide'", "valid integer", "'fit'"]),
        ({"network": {"channels": 0}}, ["network.channels=0", "greater than or equal to 1", "'fit'"]),
        ({"evaluate": {"suites": 5}}, ["evaluate.suites=5", "valid tuple"]),
        ({"data": {"image_size": 2}}, ["data.image_size=2", "greater than or equal to 4"]),
        ({"data": {"search_fraction": 1.0}}, ["data.search_fraction=1.0", "less than 1"]),
        ({"supernet": {"nesterov": True, "momentum": 0}}, ["supernet", "nesterov needs momentum above 0"]),
        ({"retrain": {"warmup_epochs": 20}}, ["retrain", "warmup_epochs (20) must be below epochs (20)"]),
        ({"compute": {"threads": 0}}, ["compute.threads=0", "greater than or equal to 1"]),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(values: dict[str, Any], parts: list[str]) -> None:
    sentence = fault(values)
    assert sentence.startswith("setting ")
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"network": {"channels": "fit"}}, "fit"),
        ({"network": {"channels": 24}}, 24),
    ],
)
def test_width_is_a_number_or_fit(values: dict[str, Any], found: object) -> None:
    assert build(values).network.channels == found


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]


# --- values from the command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seed=3", {"seed": 3}),
        ("search.workers=30", {"search": {"workers": 30}}),
        (" measure.name = accuracy+flatness", {"measure": {"name": "accuracy+flatness"}}),
        (
            "measure.options.flatness.sigmas=[0.001, 0.002]",
            {"measure": {"options": {"flatness": {"sigmas": [0.001, 0.002]}}}},
        ),
        ("compute.channels_last=false", {"compute": {"channels_last": False}}),
        ("data.limit=null", {"data": {"limit": None}}),
        ("data.limit=", {"data": {"limit": None}}),
        ("data.name=a=b", {"data": {"name": "a=b"}}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
    ],
)
def test_assignments(text: str, values: dict[str, Any]) -> None:
    assert assignment(text) == values


@pytest.mark.parametrize("text", ["seed", "=3", " =3", "", "seed:3"])
def test_assignments_need_a_key_and_a_value(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        assignment(text)
    assert str(raised.value).startswith(f"--set {text!r} is not of the form section.key=value")


@pytest.mark.parametrize("text", ["a=[", "a={b: ", "a='x", "a=2026-13-45", "a=\x01"])
def test_assigned_values_are_yaml(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        assignment(text)
    assert str(raised.value) == f"--set {text!r}: the value is not valid YAML"


@pytest.mark.parametrize("value", ["1e-3", "0.001", "1.0e-3"])
def test_exponents_without_a_point_are_numbers_too(value: str) -> None:
    """YAML 1.1 reads 1e-3 as a string."""
    assert build(assignment(f"supernet.learning_rate={value}")).supernet.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("750k", 750_000), ("1.0M", 1_000_000), ("2G", 2_000_000_000), ("1e6", 1_000_000), ("1.5m", 1_500_000),
        (" 2000000 ", 2_000_000), ("2_000_000", 2_000_000), ("0.6", 1), (5, 5), ("1", 1), ("0.3M", 300_000),
    ],
)  # fmt: skip
def test_counts_as_people_write_them(text: str | int, number: int) -> None:
    assert count("--max-params", text) == number


@pytest.mark.parametrize("text", ["", "k", "M", "many", "1.0T", "1,000", "nan", "inf", "-inf", "infk", "1e400", "0x10"])
def test_other_words_are_no_counts(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        count("--max-macs", text)
    assert str(raised.value) == f"--max-macs {text!r} is not a count; write it like 750k, 1.0M or 2000000"


@pytest.mark.parametrize("text", ["0", "-5", "0.4", "-2M", 0])
def test_counts_begin_at_one(text: str | int) -> None:
    with pytest.raises(ConfigError) as raised:
        count("--max-macs", text)
    assert str(raised.value) == f"--max-macs {text!r} must be at least 1"


# --- files -------------------------------------------------------------------------------------------------------


def test_a_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("# mine\nseed: 3\nsearch:\n  workers: 30\n", encoding="utf-8")
    assert read(path) == {"seed": 3, "search": {"workers": 30}}
    path.write_text("# nothing\n")
    assert read(path) == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\x00", "cannot be read as UTF-8 text"),
        (b"a: [1, 2", "is not valid YAML: while parsing a flow sequence"),
        (b"a: 1\n b: 2\n", "is not valid YAML"),
        (b"a: \x01", "is not valid YAML"),
        (b"a: 2026-13-45", "is not valid YAML: month must be in 1..12"),
        (b"a: !!python/object:os.system x", "is not valid YAML: could not determine a constructor"),
        (b"- a\n- b\n", "must hold sections of `key: value` lines, not a list"),
        (b"words\n", "must hold sections of `key: value` lines, not a str"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read(path)
    assert str(raised.value).startswith(f"settings file {path} {sentence}")
    assert "\n" not in str(raised.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml does not exist"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8 text"):
        read(tmp_path)


# --- the whole way round -------------------------------------------------------------------------------------------

finite = st.floats(1e-12, 1e12)


@given(
    seed=st.integers(0, 2**63),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    sigmas=st.lists(finite, min_size=2, max_size=5, unique=True).map(sorted),
    rate=finite,
    limit=st.none() | st.integers(2, 10**9),
    root=st.none() | st.sampled_from([Path("/data"), Path("a folder/über"), Path()]),
    channels=st.just("fit") | st.integers(1, 512),
    corruptions=st.sampled_from(["all", "none"]) | st.lists(st.sampled_from(["fog", "no", "1e3"]), max_size=2),
    flag=st.booleans(),
)
def test_dumped_settings_are_the_settings(
    seed: int, name: str, sigmas: list[float], rate: float, limit: object, root: object, channels: object,
    corruptions: object, flag: bool,
) -> None:  # fmt: skip
    config = build(
        {
            "seed": seed,
            "data": {"name": name, "limit": limit, "root": root},
            "measure": {"options": {"flatness": {"sigmas": sigmas}}, "antithetic": flag},
            "supernet": {"learning_rate": rate},
            "network": {"channels": channels},
            "evaluate": {"options": {"corruptions": {"names": corruptions}}},
        }
    )
    assert build(parse(dump(config), "the dump")) == config


def test_the_dump_is_complete() -> None:
    """So that a run does not depend on later changes of defaults."""
    written = yaml.safe_load(dump(Config()))
    assert written == Config().model_dump(mode="json")
    assert list(written) == list(Config.model_fields)


keys = st.sampled_from(["a", "b", "c"])
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)
dictionaries = st.dictionaries(keys, trees, max_size=3)


@given(dictionaries, dictionaries)
def test_merging_changes_neither(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))
    merged = merge(base, over)
    assert (base, over) == before
    assert merge(merged, over) == merged
    assert merge(base, {}) == base
    assert merge({}, over) == over
    assert merged.keys() == base.keys() | over.keys()
    for key, value in over.items():
        if not (isinstance(value, dict) and isinstance(base.get(key), dict)):
            assert merged[key] == value


@given(dictionaries, dictionaries, dictionaries)
def test_merging_is_associative_for_layers(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    """Where sections stay sections, as in settings, layers may be merged in any grouping."""

    def keys_of_kind(tree: dict[str, Any], prefix: str = "") -> dict[str, bool]:
        kinds = {prefix + key: isinstance(value, dict) for key, value in tree.items()}
        for key, value in tree.items():
            if isinstance(value, dict):
                kinds |= keys_of_kind(value, f"{prefix}{key}.")
        return kinds

    kinds = [keys_of_kind(tree) for tree in (a, b, c)]
    if all(x[key] == y[key] for x in kinds for y in kinds for key in x.keys() & y.keys()):
        assert merge(merge(a, b), c) == merge(a, merge(b, c))


def test_defaults_are_what_the_documentation_says() -> None:
    assert DataConfig().name == "fashion-mnist-6k"
    assert MeasureConfig().calibration_images == 512
    assert OptimizationConfig().zero_grad == "none"
    assert Config().seed == 0
