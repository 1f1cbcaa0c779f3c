"""An ensemble and a single network are judged against each other, deployed and rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from quantgod.contracts import FEATURES
from quantgod.dataset.labels import label
from quantgod.ensemble.ensemble import Ensemble
from quantgod.evaluation.scored_rows import columns_of
from quantgod.evaluation.subject import RawMaterial, outcomes_of
from quantgod.gates.champion import BAR_COLUMNS, SIGNAL_COLUMNS, JournalTables
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.challenge import Challenge, compare_with_champion
from quantgod.registry.package import GoldenRows, build_package
from quantgod.registry.promotion import Grounds, promote
from quantgod.registry.rollback import roll_back
from quantgod.registry.versions import load_chain
from quantgod.served.calibration import decide
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.votes import Rules
from quantgod.served.combiners.weights import Hedge
from quantgod.settings import load_settings
from tests.later import later
from tests.registry.conftest import (
    BRIDGE,
    CLASS_WEIGHTS,
    Store,
    make_store,
    tiny_auditor,
    tiny_network,
    tiny_reference,
    tracked,
)
from tests.registry.judging import BOUNDS, judged
from tests.registry.shelves import NAME, SERIES
from tests.synthetic import synthetic_bars

LONG, SHORT, MADE_ON, MINUTES, HORIZON, STRIDE = 75, 60, 600, 2_400, 60, 20
SETTINGS = load_settings(Path("conf/full.yaml"), {"gates.champion_rows": 10})
NOTHING = JournalTables(
    pd.DataFrame(columns=list(SIGNAL_COLUMNS)), pd.DataFrame(columns=list(BAR_COLUMNS))
)
ENSEMBLE, NETWORK = 1, 2
COMBINER = Combiner(
    ("near", "far"), "weighted_voting", (0.5, 0.5), Rules(quorum=2, class_weights=CLASS_WEIGHTS),
    online=Hedge(rate=3.0), every=5, outcome=Outcome(HORIZON, 0.008, -0.004),
)  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """A store with an ensemble and a single network, and minutes that are new to both."""

    store: Store
    table: pd.DataFrame

    def subject(self, number: int) -> ChainSubject:
        return ChainSubject(NAME, load_chain(NAME, number).unwrap_python_model().chain)

    def scored(self, number: int, truth: float = 0.0) -> pd.DataFrame:
        """Rows on which a challenger says what a version says, and a share of the truth."""
        place = np.arange(MADE_ON + 300, MINUTES - HORIZON, STRIDE)
        earlier = np.arange(MADE_ON * 9 // 10, place[0])
        matrix = self.table[list(FEATURES)].to_numpy()
        material = RawMaterial(matrix, outcomes=outcomes_of(self.table), earlier=earlier)
        subject, target = self.subject(number), self.table["target"].to_numpy(np.int64)[place]
        said = subject.audited(subject.ask(material, place).meta)
        said = (1 - truth) * said + truth * np.eye(3)[target]
        rows = pd.DataFrame(said, columns=columns_of("auditor"))
        return rows.assign(
            time=self.table.index[place],
            label_end=self.table.index[place + HORIZON],
            target=target,
            auditor_class=decide(said, subject.decision_weights),
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder, place = (tmp_path_factory.mktemp(name) for name in ("deployed", "store"))
    bars = synthetic_bars(MINUTES, seed=3, volatility=0.002)
    learned = bars.iloc[:MADE_ON]
    tiny_auditor().save(folder / "auditor")
    members = {
        name: tiny_network(learned, window=length)
        for name, length in (("near", SHORT), ("far", LONG))
    }
    golden = GoldenRows(learned, 2 * LONG, BRIDGE)
    together, alone = (
        build_package(
            folder / name, base, folder / "auditor", golden, tiny_reference(learned), SERIES
        )
        for name, base in (("both", Ensemble(members, COMBINER)), ("one", members["far"]))
    )
    made = type("Made", (), {"package": together})
    store = make_store(made, place)  # type: ignore[arg-type]
    with tracked(store.uri):
        assert (store.number, store.add(alone)) == (ENSEMBLE, NETWORK)
        yield Shop(store, label(bars, SETTINGS.label, BRIDGE))


@pytest.mark.parametrize(
    "sides", [(ENSEMBLE, NETWORK), *later(((NETWORK, ENSEMBLE),), ((ENSEMBLE, ENSEMBLE),))]
)
def test_each_challenges_the_other(shop: Shop, sides: tuple[int, int]) -> None:
    """Who says the same ties, with weights that outcomes since it was made have moved as well."""
    challenger, champion = sides
    rows = shop.scored(challenger, 0.0 if challenger == champion else 0.3)
    challenge = Challenge(NAME, challenger, champion, rows, shop.table, None, NOTHING)
    test = compare_with_champion(challenge, SETTINGS).test
    assert test.rows == len(rows) and not test.problem
    assert test.log_loss is not None and test.macro_f1 is not None
    if challenger == champion:
        assert test.log_loss.value == 0
    else:
        assert test.log_loss.value < 0 < test.macro_f1.value


@pytest.mark.long
def test_an_ensemble_is_promoted_by_its_gates_and_rolled_back_to(
    shop: Shop, tmp_path: Path
) -> None:
    """Each promotion loads it in a process of its own and asks it of its golden input."""
    judged(tmp_path, ENSEMBLE)
    assert promote(NAME, ENSEMBLE, why=Grounds(bounds=BOUNDS)) is not None
    judged(tmp_path, NETWORK, champion=ENSEMBLE)
    assert promote(NAME, NETWORK, why=Grounds(bounds=BOUNDS)) is not None
    rows = shop.table[list(FEATURES)].iloc[: LONG + 5].rename_axis("datetime").reset_index()
    alone = load_chain(NAME).predict(rows)
    assert "near_sell" not in alone
    entry = roll_back(NAME, "Production", reason="the ensemble was better")
    assert (entry.version, entry.over) == (ENSEMBLE, NETWORK)
    back = load_chain(NAME).predict(rows)
    assert {"near_sell", "far_weight", "agreement"} <= set(back)
    found = MlflowClient().get_model_version_by_alias(NAME, "Production")
    assert int(found.version) == ENSEMBLE
