"""The start of a cosine head from class means."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from trainables.components.heads import CosineHead
from trainables.components.heads.class_mean_start import start_from_class_means


def test_it_equals_a_transcription_of_the_released_code() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(40, 6), torch.arange(40) % 4
    ordered = features[labels.argsort()]
    _, counts = torch.unique(labels[labels.argsort()], return_counts=True)
    means, begin = [], 0
    for count in counts.tolist():
        means.append(ordered[begin : begin + count].mean(dim=0, keepdim=True))
        begin += count
    expected = F.normalize(torch.cat(means), dim=-1)

    head = CosineHead(6, 4)
    start_from_class_means(head, torch.stack([features[labels == k].mean(dim=0) for k in range(4)]))
    torch.testing.assert_close(head.weight.data, expected)
    assert torch.equal(head(head.weight).argmax(dim=1), torch.arange(4))


def test_a_mean_without_direction_leaves_its_row() -> None:
    head = CosineHead(3, 2)
    before = head.weight.data.clone()
    start_from_class_means(head, torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    assert torch.equal(head.weight[0], before[0])
    assert head.weight[1].tolist() == [0.0, 1.0, 0.0]
