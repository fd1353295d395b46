"""Embeddings of a network's features in the plane: t-SNE and UMAP of a class-balanced sample of images."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import numpy.typing as npt
import torch

from trainables.components.heads import PrototypeHead
from trainables.core.derived_seeds import derive_seed
from trainables.core.trial_folder import ArrayFile
from trainables.data import Split
from trainables.training.balanced_sample import balanced_sample, pictured_classes
from trainables.training.trainer import Trainer

Floats = npt.NDArray[np.float32]

PER_CLASS = 50
"""Images of a class in an embedding; with the cap on classes, an embedding has at most 1,000 images."""
_COMPONENTS = 50
"""Principal components that are stored and embedded, as in van der Maaten and Hinton, 2008, section 4.2."""
_FEWEST = 8
"""Fewest images of an embedding: neighbourhoods of fewer say nothing."""

UMAP_MISSING = "UMAP plots are left out: umap-learn is not installed; pip install 'longtail-study[umap]' adds them"


def has_umap() -> bool:
    """Return True if umap-learn is installed, without importing it, which takes seconds."""
    return importlib.util.find_spec("umap") is not None


def embedding(trainer: Trainer, split: Split) -> ArrayFile | None:
    """Return the embedding of a sample of a split's images, or None if nothing can be embedded.

    The sample depends on labels, training counts and `subset_seed` alone: all methods show the same images.

    Args:
        trainer: a finished training.
        split: validation or test images.

    Returns:
        ``rows`` (n,) of the split and ``labels`` (n,); ``features`` (n, at most 50), reduced to principal components
        if there are more; ``tsne`` (n, 2), and ``umap`` (n, 2) if umap-learn is installed. Features in the plane are
        not embedded; then ``prototypes`` (K, m, 2) of a prototype head are included.
    """
    seed = derive_seed(trainer.config.data.subset_seed, 0, "embedding sample") % 2**32
    classes = pictured_classes(trainer.data.class_counts.numpy())
    rows = balanced_sample(split.labels.numpy(), classes, PER_CLASS, seed)
    features = trainer.features(split.take(torch.from_numpy(rows))).numpy()
    if len(rows) < _FEWEST or not np.isfinite(features).all() or np.ptp(features, axis=0).max() == 0:
        return None
    found = {"rows": rows, "labels": split.labels.numpy()[rows]}
    if features.shape[1] == 2:
        prototypes = prototypes_of(trainer)
        return {**found, "features": features, **({} if prototypes is None else {"prototypes": prototypes})}
    reduced = principal_components(features)
    return {**found, "features": reduced, **projections(reduced, seed)}


def prototypes_of(trainer: Trainer) -> Floats | None:
    """Return the prototypes (K, m, d) of a prototype head, or None."""
    head = trainer.evaluated.head
    return head.weight.detach().cpu().numpy() if isinstance(head, PrototypeHead) else None


def principal_components(features: Floats, most: int = _COMPONENTS) -> Floats:
    """Return features (n, d) as they are, or their first ``most`` principal components (n, most)."""
    if features.shape[1] <= most:
        return features
    left, scale, _ = np.linalg.svd(features - features.mean(axis=0, keepdims=True), full_matrices=False)
    return np.asarray((left * scale)[:, :most], dtype=np.float32)


def projections(features: Floats, seed: int) -> dict[str, Floats]:
    """Return ``tsne``, and ``umap`` if it is installed, of features (n, d), each (n, 2); a failed one is left out.

    Perplexity 30 and 15 neighbours are the libraries' defaults; small samples get fewer.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    count, threads = len(features), torch.get_num_threads()
    # numba raises OpenMP's number of threads; a t-SNE after it then waited for cores that other trials use
    with threadpool_limits(threads, user_api="openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns that a seed makes it use one thread
        perplexity = min(30.0, (count - 1) / 3)
        found = {"tsne": TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)}
        if has_umap():
            from umap import UMAP

            found["umap"] = UMAP(n_neighbors=min(15, count - 1), random_state=seed).fit_transform(features)
    return {name: points.astype(np.float32) for name, points in found.items() if np.isfinite(points).all()}
