"""Names of Hugging Face data sets."""

from __future__ import annotations

import pytest

from trainables.core.errors import BadInput
from trainables.core.hf_name import hf_name, is_hf


def test_the_parts_of_a_name() -> None:
    found = hf_name("hf:owner/name@small?image=img&label=fine&revision=refs/convert/parquet")
    assert (found.repository, found.configuration, found.is_path) == ("owner/name", "small", False)
    assert found.options == {"image": "img", "label": "fine", "revision": "refs/convert/parquet"}
    assert found.label == "name-small"
    assert hf_name("hf:cifar10").label == "cifar10"
    assert hf_name("hf:./saved/my flowers/").is_path and hf_name("hf:./saved/my flowers/").label == "my-flowers"
    assert is_hf("hf:mnist") and not is_hf("mnist")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("hf:", "expected hf:NAME or hf:OWNER/NAME"),
        ("hf:a/b/c", "expected hf:NAME or hf:OWNER/NAME"),
        ("hf:a/..", "a folder is hf:/PATH or hf:./PATH"),
        ("hf:a?labels=b", "unknown option 'labels'; did you mean 'label'?"),
        ("hf:a?label=", "the option label is empty"),
    ],
)
def test_a_name_of_another_form(written: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        hf_name(written)
    assert said in str(caught.value) and written in str(caught.value)
