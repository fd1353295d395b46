from __future__ import annotations

import pytest

from search_spaces import SPACES, Choices
from trainables.core.config import MethodConfig
from trainables.methods.registry import METHODS, build_params


def test_spaces_and_methods_have_the_same_names_in_the_same_order() -> None:
    assert set(SPACES) == set(METHODS)


@pytest.mark.parametrize("name", SPACES)
def test_every_searched_name_is_a_hyperparameter(name: str) -> None:
    assert set(SPACES[name]) <= set(METHODS[name].params.model_fields)


@pytest.mark.parametrize("name", SPACES)
def test_every_example_of_a_space_is_allowed(name: str) -> None:
    for field, dimension in SPACES[name].items():
        for value in dimension.examples:
            built = build_params(MethodConfig(name=name, params={field: value}))
            assert getattr(built, field) == value


@pytest.mark.parametrize("name", SPACES)
def test_the_recommended_values_lie_in_the_space(name: str) -> None:
    values = build_params(MethodConfig(name=name))
    for field, dimension in SPACES[name].items():
        value = getattr(values, field)
        if isinstance(dimension, Choices):
            assert value in dimension.choices
        else:
            assert dimension.low <= value <= dimension.high


def test_the_ranges_are_those_of_the_papers() -> None:
    """METHODS, section 1 and 2: CCE 0.1 to 50 in magnitude, focal 0 to 5, LDAM .1 to 1, affinity's four."""
    gamma, focal = SPACES["cce"]["gamma"], SPACES["focal"]["gamma"]
    assert (gamma.low, gamma.high, gamma.scale) == (-50, -0.1, "log")
    assert (focal.low, focal.high, focal.scale) == (0, 5, "linear")
    assert (SPACES["ldam"]["max_margin"].low, SPACES["ldam"]["max_margin"].high) == (0.1, 1)
    assert SPACES["ldam"]["scale"].choices == (10, 20, 30, 64)
    beta = SPACES["ldam-drw"]["beta"]
    assert (beta.low, beta.high, beta.scale) == (0.9, 0.99999, "log-complement")
    found = {name: (d.low, d.high, d.scale) for name, d in SPACES["affinity"].items()}
    assert found == {
        "margin": (0.01, 1, "linear"),
        "sigma": (0.1, 100, "log"),
        "prototypes": (1, 20, "linear"),
        "diversity_weight": (1e-3, 10, "log"),
    }
