"""References that begin with learned weights: read, checked and fitted in from small files of timm's layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lowland.core.errors import BudgetError, ConfigError, DataError
from lowland.spaces import Shape, timm_weights
from lowland.spaces.references import find, from_anywhere

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")

MODEL = "test_resnet"
GREY = Shape(in_channels=1, image_size=32, num_classes=10, channels=64, cells=1)
STEM = "conv1.0.weight"

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    import timm

    torch.manual_seed(0)
    network = timm.create_model(MODEL)
    return {name: torch.rand(value.shape).to(value.dtype) for name, value in network.state_dict().items()}


@pytest.fixture
def file(state: State, tmp_path: Path) -> Path:
    save_file(state, tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


@pytest.fixture
def fresh() -> Iterator[None]:
    timm_weights.published.cache_clear()
    yield
    timm_weights.published.cache_clear()


def published_at(monkeypatch: pytest.MonkeyPatch, **place: str | None) -> None:
    """Let timm look for its weights of the model elsewhere than at the Hub."""
    from timm.models import _registry

    places: dict[str, str | None] = {"url": None, "hf_hub_id": None, **place}
    known = replace(_registry._model_pretrained_cfgs[MODEL], **places)
    monkeypatch.setitem(_registry._model_pretrained_cfgs, MODEL, known)


def test_a_file_is_fitted_to_grey_images_and_other_classes(state: State, file: Path) -> None:
    reference = find(f"timm:{MODEL}@{file}", "nasbench201", 32)
    assert (reference.name, reference.learned) == (f"timm:{MODEL}@own.safetensors", "own.safetensors")
    network = reference.network(reference.own_shape(GREY, "nasbench201"))
    own = network.state_dict()
    torch.testing.assert_close(own[STEM], state[STEM].sum(1, keepdim=True))
    assert own["fc.weight"].shape == (10, state["fc.weight"].shape[1])
    others = [name for name in own if name not in (STEM, "fc.weight", "fc.bias")]
    assert all(torch.equal(own[name], state[name]) for name in others)
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 10)


def test_a_classifier_of_as_many_classes_is_taken_too(state: State, tmp_path: Path) -> None:
    few = state | {"fc.weight": state["fc.weight"][:10].clone(), "fc.bias": state["fc.bias"][:10].clone()}
    torch.save({"state_dict": few}, tmp_path / "few.pth")
    reference = find(f"timm:{MODEL}@{tmp_path / 'few.pth'}", "nasbench201", 32)
    own = reference.network(replace(GREY, in_channels=3)).state_dict()
    assert all(torch.equal(own[name], few[name]) for name in own)


def test_the_exact_text_tells_weights_apart(state: State, file: Path, tmp_path: Path) -> None:
    first = find(f"timm:{MODEL}@{file}", "nasbench201", 32)
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / file.name
    save_file(state | {"fc.bias": state["fc.bias"] + 1}, other)
    second = find(f"timm:{MODEL}@{other}", "nasbench201", 32)
    assert first.name == second.name
    assert first.text != second.text
    assert find(f"timm:{MODEL}", "nasbench201", 32).text == f"timm:{MODEL}"


def test_published_weights_come_by_timms_own_way(
    state: State, file: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    published_at(monkeypatch, file=str(file))
    reference = find(f"timm:{MODEL}@pretrained", "nasbench201", 32)
    assert (reference.name, reference.learned) == (f"timm:{MODEL}@pretrained", f"timm's {MODEL}.r160_in1k")
    own = reference.network(GREY).state_dict()
    name = next(name for name in state if name.startswith("layer1.0.conv1"))
    assert torch.equal(own[name], state[name])


def test_without_network_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    published_at(monkeypatch, hf_hub_id="nobody/has-this")
    with pytest.raises(DataError, match=rf"timm's weights of {MODEL} cannot be had .*timm:{MODEL}@FILE") as raised:
        find(f"timm:{MODEL}@pretrained", "nasbench201", 32)
    assert "\n" not in str(raised.value)
    published_at(monkeypatch)
    with pytest.raises(ConfigError, match=f"timm publishes no weights for {MODEL}"):
        find(f"timm:{MODEL}@pretrained", "nasbench201", 32)


def test_learned_weights_are_of_one_width(file: Path) -> None:
    reference = find(f"timm:{MODEL}@{file}", "nasbench201", 32)
    shape = reference.own_shape(GREY, "nasbench201")
    with pytest.raises(BudgetError, match=r"its learned weights are of that width alone; .*--no-fit"):
        reference.fitted(shape, parameters=100_000, macs=None)
    assert reference.fitted(shape, parameters=1_000_000, macs=None) == shape


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: {k: v for k, v in s.items() if k != STEM}, f"no tensor '{STEM}', so it holds no weights of timm:"),
        (lambda s: s | {"more": torch.ones(2)}, "unknown tensor 'more'"),
        (lambda s: s | {STEM: s[STEM].repeat_interleave(2, 0)}, f"holds '{STEM}' of shape .* and width"),
        (lambda s: s | {"fc.bias": torch.full_like(s["fc.bias"], torch.nan)}, r"damaged: .*'fc\.bias'"),
    ],
)
def test_unfit_files_are_refused(state: State, tmp_path: Path, change: Callable[[State], State], match: str) -> None:
    save_file(change(state), tmp_path / "unfit.safetensors")
    with pytest.raises(DataError, match=match) as raised:
        find(f"timm:{MODEL}@{tmp_path / 'unfit.safetensors'}", "nasbench201", 32)
    assert "\n" not in str(raised.value)


def test_what_is_no_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names a file that is not there"):
        find(f"timm:{MODEL}@{tmp_path / 'none.pth'}", "nasbench201", 32)
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(DataError, match=r"noise\.pth"):
        find(f"timm:{MODEL}@{tmp_path / 'noise.pth'}", "nasbench201", 32)
    with pytest.raises(ConfigError, match="names no weights"):
        find(f"timm:{MODEL}@", "nasbench201", 32)
    with pytest.raises(ConfigError, match="no weights are published for resnet-cell"):
        find("resnet-cell@pretrained", "nasbench201", 32)
    with pytest.raises(ConfigError, match=r"timm publishes no weights for test_resnet\.more"):
        find(f"timm:{MODEL}.more@pretrained", "nasbench201", 32)


def test_names_hold_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_anywhere("timm:resnet10t@w.pth") == f"timm:resnet10t@{tmp_path / 'w.pth'}"
    for name in ("timm:resnet10t@pretrained", "timm:resnet10t", "resnet-cell@ibn", "k3e4|k5e3|k5e6@56/56"):
        assert from_anywhere(name) == name
