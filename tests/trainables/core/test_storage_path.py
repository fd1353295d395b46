from __future__ import annotations

import pytest

from trainables.core.errors import BadInput
from trainables.core.storage_path import storage_path


def test_a_url_with_a_query_is_refused_and_not_shown() -> None:
    for url, said in (("file:///x", "must be file:///folder"), ("s3:/x", "looks like a URL")):
        with pytest.raises(BadInput, match=said) as caught:
            storage_path(f"{url}?token=pass-word-6")
        assert "word-6" not in str(caught.value)
