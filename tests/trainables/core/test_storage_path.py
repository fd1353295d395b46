from __future__ import annotations

import pytest

from trainables.core.errors import BadInput
from trainables.core.storage_path import storage_path


def test_a_file_url_with_a_query_is_refused_and_not_shown() -> None:
    with pytest.raises(BadInput, match="must be file:///folder") as caught:
        storage_path("file:///x?token=pass-word-6")
    assert "word-6" not in str(caught.value)
