from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import gmean
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, top_k_accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from trainables.core.metric_names import METRICS
from trainables.core.metrics import (
    confusion_matrix,
    cumulative_false_positives,
    from_confusion,
    recall_per_class,
    top_k,
)

NAN = float("nan")


def _predictions(seed: int, classes: int = 7, images: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=images)
    predicted = np.where(rng.random(images) < 0.6, truth, rng.integers(classes, size=images))
    return truth, predicted


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed: int) -> None:
    truth, predicted = _predictions(seed)
    confusion = confusion_matrix(torch.from_numpy(predicted), torch.from_numpy(truth), 7)
    np.testing.assert_array_equal(confusion, sklearn_confusion(truth, predicted))
    values = from_confusion(confusion, [500, 200, 100, 50, 20, 19, 1])
    recall = recall_score(truth, predicted, average=None)
    assert values["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert values["geometric_mean"] == pytest.approx(gmean(recall))
    assert values["worst_recall"] == pytest.approx(recall.min())
    assert values["many"] == pytest.approx(recall[:2].mean())
    assert values["medium"] == pytest.approx(recall[2:5].mean())
    assert values["few"] == pytest.approx(recall[5:].mean())
    np.testing.assert_allclose(recall_per_class(confusion), recall)


def test_by_hand() -> None:
    confusion = [[8, 2, 0], [1, 3, 0], [1, 1, 0]]
    values = from_confusion(confusion, [60, 30, 10])
    assert values["accuracy"] == 11 / 16
    assert values["balanced_accuracy"] == pytest.approx((0.8 + 0.75 + 0) / 3)
    assert values["geometric_mean"] == 0.0
    assert values["geometric_mean_floored"] == pytest.approx((0.8 * 0.75 * 0.001) ** (1 / 3))
    assert values["worst_recall"] == 0.0
    assert np.isnan(values["many"])
    assert values["medium"] == pytest.approx(0.775) and values["few"] == 0.0
    assert values["major"] == 0.8 and values["minor"] == pytest.approx(0.375)


def test_groups_change_at_100_and_20() -> None:
    confusion = np.diag([1, 1, 1, 1]) + np.array([[0, 0, 0, 0], [1, 0, 0, 0], [3, 0, 0, 0], [7, 0, 0, 0]])
    values = from_confusion(confusion, [101, 100, 20, 19])  # recalls 1, 1/2, 1/4, 1/8
    assert (values["many"], values["medium"], values["few"]) == (1.0, 0.375, 0.125)


def test_only_a_recall_of_0_is_floored() -> None:
    values = from_confusion([[1, 9999], [0, 1]], [10, 10])
    assert values["geometric_mean_floored"] == values["geometric_mean"] == pytest.approx(0.01)


def test_geometric_mean_of_many_small_recalls_does_not_underflow() -> None:
    classes = 1000
    confusion = np.eye(classes, dtype=np.int64)
    confusion[:, 0] += 1000
    value = from_confusion(confusion, np.ones(classes))["geometric_mean"]
    assert value == pytest.approx((1 / 1001) ** (999 / 1000), rel=1e-12)


@pytest.mark.parametrize(
    ("counts", "major"),
    [
        ([60, 30, 10], [0]),
        ([50, 30, 20], [0, 1]),  # exactly half is not over half
        ([10, 20, 30, 40], [2, 3]),
        ([5, 5, 5, 5], [0, 1, 2]),
        ([1, 100, 1], [1]),
    ],
)
def test_major_classes_are_the_fewest_that_hold_over_half(counts: list[int], major: list[int]) -> None:
    # powers of a half: every set of classes has a mean of its own
    recall = 0.5 ** np.arange(1, len(counts) + 1)
    confusion = np.zeros((len(counts), len(counts)), dtype=np.int64)
    np.fill_diagonal(confusion, 64 * recall)
    for k in range(len(counts)):
        confusion[k, (k + 1) % len(counts)] += 64 - confusion[k, k]
    values = from_confusion(confusion, counts)
    minor = [k for k in range(len(counts)) if k not in major]
    assert values["major"] == pytest.approx(recall[major].mean())
    assert values["minor"] == pytest.approx(recall[minor].mean())


def test_a_class_without_images_is_left_out_of_means() -> None:
    confusion = [[3, 1, 0], [0, 2, 2], [0, 0, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = from_confusion(confusion, [200, 150, 5])
    np.testing.assert_array_equal(recall_per_class(confusion), [0.75, 0.5, NAN])
    assert values["balanced_accuracy"] == 0.625
    assert values["geometric_mean"] == pytest.approx((0.75 * 0.5) ** 0.5)
    assert values["worst_recall"] == 0.5 and np.isnan(values["few"])


def test_no_images_at_all_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = from_confusion(np.zeros((3, 3)), [5, 3, 1])
    assert all(np.isnan(value) for value in values.values())


def test_perfect_and_constant_classifiers() -> None:
    perfect = from_confusion(10 * np.eye(4), [900, 90, 9, 1])
    assert perfect.pop("false_positive_distance") == 0.0
    assert set(perfect.values()) == {1.0}
    constant = from_confusion(np.outer([10] * 4, [1, 0, 0, 0]), [900, 90, 9, 1])
    assert constant["balanced_accuracy"] == constant["accuracy"] == 0.25
    assert constant["geometric_mean"] == constant["worst_recall"] == 0.0


def test_renaming_classes_with_their_counts_changes_nothing() -> None:
    truth, predicted = _predictions(11)
    counts, confusion = np.array([500, 200, 100, 50, 20, 19, 1]), sklearn_confusion(truth, predicted)
    order = np.random.default_rng(0).permutation(7)
    renamed = confusion[np.ix_(order, order)]
    assert from_confusion(renamed, counts[order]) == pytest.approx(from_confusion(confusion, counts))
    curve, distance = cumulative_false_positives(confusion, counts)
    other, same = cumulative_false_positives(renamed, counts[order])
    np.testing.assert_array_equal(curve, other)
    assert distance == same


def test_cumulative_false_positives_go_from_frequent_to_rare() -> None:
    # columns without their diagonal: 5 wrongly predicted as class 0, 1 as class 1, 2 as class 2
    curve, distance = cumulative_false_positives([[9, 1, 0], [3, 4, 2], [2, 0, 5]], [10, 1000, 100])
    assert curve.tolist() == [1, 3, 8]  # classes 1, 2, 0
    assert distance == pytest.approx((abs(1 / 8 - 1 / 3) + abs(3 / 8 - 2 / 3) + 0) / 3)


def test_curve_ends_at_the_number_of_mistakes() -> None:
    truth, predicted = _predictions(3)
    curve, _ = cumulative_false_positives(sklearn_confusion(truth, predicted), np.arange(7, 0, -1))
    assert curve[-1] == (truth != predicted).sum()
    assert (np.diff(curve) >= 0).all()


def test_even_mistakes_are_on_the_line_and_one_sided_ones_farthest() -> None:
    even = np.ones((4, 4), dtype=np.int64)
    assert cumulative_false_positives(even, [9, 7, 5, 3])[1] == pytest.approx(0)
    to_frequent = np.outer([5] * 4, [1, 0, 0, 0])
    assert cumulative_false_positives(to_frequent, [9, 7, 5, 3])[1] == pytest.approx(3 / 8)
    curve, distance = cumulative_false_positives(np.eye(4), [9, 7, 5, 3])
    assert curve.tolist() == [0, 0, 0, 0] and distance == 0.0


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_against_scikit_learn(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    logits = torch.randn(200, 10, generator=generator)
    labels = torch.randint(10, (200,), generator=generator)
    share = top_k_accuracy_score(labels.numpy(), logits.numpy(), k=k, labels=np.arange(10))
    assert top_k(logits, labels, k).item() == round(200 * share)


def test_top_k_above_the_number_of_classes_is_everything() -> None:
    assert top_k(torch.zeros(4, 3), torch.tensor([0, 1, 2, 2]), 5).item() == 4


def test_counting_stays_on_the_device() -> None:
    # a meta tensor holds no values: whatever would read one back to the host raises
    labels = torch.empty(4, dtype=torch.int64, device="meta")
    assert confusion_matrix(labels, labels, 3).device.type == "meta"
    assert top_k(torch.empty(4, 3, device="meta"), labels, 2).device.type == "meta"


def test_batches_add_up() -> None:
    truth, predicted = (torch.from_numpy(a) for a in _predictions(5))
    parts = [confusion_matrix(predicted[i : i + 37], truth[i : i + 37], 7) for i in range(0, 400, 37)]
    assert torch.equal(torch.stack(parts).sum(0), confusion_matrix(predicted, truth, 7))
    empty = torch.empty(0, dtype=torch.int64)
    assert torch.equal(confusion_matrix(empty, empty, 2), torch.zeros(2, 2, dtype=torch.int64))


def test_the_table_names_all_that_is_computed() -> None:
    assert set(METRICS) == set(from_confusion([[1]], [1])) | {"loss", "train_loss", "top_3", "top_5"}
    assert {name for name, (_, direction) in METRICS.items() if direction == "minimize"} == {
        "loss",
        "train_loss",
        "false_positive_distance",
    }


def test_import_needs_no_torch() -> None:
    code = "import sys, trainables.core.metrics; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
