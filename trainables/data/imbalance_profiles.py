"""Imbalance profiles: number of training images per class."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.core.config import ProfileConfig
from trainables.core.errors import BadInput

# Relative tolerance: products such as 49 * 49 ** -1 round to just below the whole number.
_ROUNDING = 1e-9


def profile_counts(
    profile: ProfileConfig, sizes: Sequence[int], class_names: Sequence[str] | None = None
) -> tuple[int, ...]:
    """Return the number of training images kept per class.

    ``long_tail``: n_k = int(n_max * rho^(-k / (K - 1))), where k is the label and rho the imbalance ratio. ``step``:
    n_max for majority classes, int(n_max / rho) for minority classes. ``fraction``: int(size_k / rho) for minority
    classes, all images of the others. ``natural``: all images.

    n_max is the smallest of ``sizes``, so that the imbalance ratio is exact even if class sizes differ (MNIST's differ
    by a quarter). int() truncates, except that a value within 1e-9 (relative) of the next whole number is rounded up.

    Args:
        profile: kind, imbalance ratio (>= 1) and choice of minority classes.
        sizes: images per class in the pool, (K,), in label order.
        class_names: names for messages, (K,); the labels by default.

    Returns:
        Images kept per class, (K,), each at least 1 and at most the class size.

    Raises:
        BadInput: if there are fewer than two classes or a class would be empty; gives the largest possible ratio.

    Source: Cao et al. 2019 (LDAM), section 4; the affinity paper, section 4.4, for ``fraction``.

    >>> profile_counts(ProfileConfig(kind="long_tail", ratio=100), [5000] * 5)
    (5000, 1581, 500, 158, 50)
    >>> profile_counts(ProfileConfig(kind="step", ratio=10, minority="odd"), [60, 50, 70])
    (50, 5, 50)
    """
    names = [str(k) for k in range(len(sizes))] if class_names is None else list(class_names)
    if len(sizes) < 2:
        raise BadInput(f"a data set needs at least two classes, got {len(sizes)}: {', '.join(names)}")
    _refuse_missing(sizes, names)
    counts = _counts(profile, sizes)
    if 0 in counts:
        k = counts.index(0)
        raise BadInput(
            f"profile {profile.kind} with ratio {profile.ratio:g} leaves class {k} ('{names[k]}') without a "
            f"training image; the largest ratio that works here is {largest_ratio(profile, sizes)}"
        )
    return counts


def largest_ratio(profile: ProfileConfig, sizes: Sequence[int]) -> int:
    """Return the largest imbalance ratio at which no class of the pool is empty.

    >>> largest_ratio(ProfileConfig(kind="step"), [60, 50])
    50
    """
    if profile.kind != "fraction":
        return min(sizes)
    return min(size for k, size in enumerate(sizes) if is_minority(profile.minority, k, len(sizes)))


def is_minority(minority: str, k: int, classes: int) -> bool:
    """Return True if class ``k`` is a minority class under ``step`` and ``fraction``.

    The first half has int(K / 2) classes, as in the released code of LDAM.

    >>> [is_minority("last", k, 5) for k in range(5)]
    [False, False, True, True, True]
    """
    if minority in ("odd", "even"):
        return k % 2 == (minority == "odd")
    return (k < classes // 2) == (minority == "first")


def _counts(profile: ProfileConfig, sizes: Sequence[int]) -> tuple[int, ...]:
    last, n_max, ratio = len(sizes) - 1, min(sizes), profile.ratio
    small = [is_minority(profile.minority, k, len(sizes)) for k in range(len(sizes))]
    if profile.kind == "long_tail":
        return tuple(_cut(n_max * ratio ** (-k / last)) for k in range(len(sizes)))
    if profile.kind == "step":
        return tuple(_cut(n_max / ratio) if small[k] else n_max for k in range(len(sizes)))
    if profile.kind == "fraction":
        return tuple(_cut(size / ratio) if small[k] else size for k, size in enumerate(sizes))
    return tuple(sizes)


def _cut(count: float) -> int:
    return int(count * (1 + _ROUNDING))


def _refuse_missing(sizes: Sequence[int], names: Sequence[str]) -> None:
    for k, size in enumerate(sizes):
        if size < 1:
            raise BadInput(f"class {k} ('{names[k]}') has no training image under any profile")
