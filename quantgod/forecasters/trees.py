"""Keep the trees of a fitted gradient boosting as JSON, and ask them without scikit-learn.

scikit-learn keeps its models as pickles only, which run code when they are read. What is said here
equals what it says to the bit, which a test asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier

from quantgod.contracts import Floats

_FIELDS: Final = ("value", "feature_idx", "num_threshold", "left", "right", "is_leaf")


def leaves_of(grown: HistGradientBoostingClassifier) -> dict[str, Any]:
    """Return its start and its trees; a tree has the fields of its nodes, the root first."""
    trees = [
        [{name: tree.nodes[name].tolist() for name in _FIELDS} for tree in round_]
        for round_ in grown._predictors
    ]
    return {"start": np.ravel(grown._baseline_prediction).tolist(), "trees": trees}


def summed_leaves(fitted: Mapping[str, Any], features: Floats) -> Floats:
    """Return the start plus the leaves that rows without gaps (n, features) fall into, (n, k)."""
    scores: Floats = np.zeros((len(features), len(fitted["start"]))) + fitted["start"]
    for round_ in fitted["trees"]:
        for place, tree in enumerate(round_):
            scores[:, place] += _leaf(tree, features)
    return scores


def softmax(scores: Floats) -> Floats:
    """Return probabilities of scores (n, k), or of the log-odds (n, 1) of the second of two."""
    if scores.shape[1] == 1:
        second = expit(scores[:, 0])
        return np.stack([1 - second, second], axis=1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _leaf(tree: Mapping[str, Any], features: Floats) -> Floats:
    """Return the value (n,) of the leaf that each row falls into."""
    value, column, threshold, left, right, is_leaf = (np.asarray(tree[name]) for name in _FIELDS)
    node, rows = np.zeros(len(features), np.int64), np.arange(len(features))
    while not is_leaf[node].all():
        goes_left = features[rows, column[node]] <= threshold[node]
        below = np.where(goes_left, left[node], right[node])
        node = np.where(is_leaf[node], node, below)
    return np.asarray(value[node], np.float64)
