from __future__ import annotations

import mlflow
import pytest
from mlflow import MlflowClient

from quantgod.registry.promotion import promote
from tests.registry.conftest import Parts, Store
from tests.registry.interrupting import POINTS, interrupt
from tests.registry.promoter_process import FORCED, Mortal
from tests.registry.shelves import NAME

ROUNDS = 8


@pytest.mark.long
def test_whenever_a_promotion_is_killed_the_old_or_the_new_version_is_in_place_and_whole(
    store: Store, parts: Parts
) -> None:
    """`make soak` kills 1,000."""
    versions = [store.number, store.add(parts.package), store.add(parts.package)]
    counts = interrupt(NAME, mlflow.get_tracking_uri(), versions, ROUNDS, seed=1)
    assert counts["old"] > 0
    assert counts["new"] > 0
    assert counts["old"] + counts["new"] + counts["ended"] == ROUNDS
    assert counts["reads"] > ROUNDS


def test_the_points_at_which_promotions_are_killed_are_all_there_are(
    store: Store, parts: Parts
) -> None:
    others = [store.add(parts.package), store.add(parts.package)]
    for number in others:
        client = Mortal(None)
        promote(NAME, number, "Counted", FORCED, tryout=lambda *_: None, client=client)
    assert client.passed == POINTS
    assert MlflowClient().get_model_version_by_alias(NAME, "Counted").version == others[-1]
