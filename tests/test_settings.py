"""Settings: every file in the project parses, nothing is copied, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from quantgod.settings import SettingsError, load_settings
from steps.options import settings_from

ROOT = Path(__file__).parents[1]
FULL = ROOT / "conf" / "full.yaml"
SHIPPED = (
    "demo",
    "full",
    "members",
    "power",
    "real_prices",
    "zoo",
)  # a user's own files may lie beside them
FILES = {f"conf/{name}.yaml": ROOT / "conf" / f"{name}.yaml" for name in SHIPPED} | {
    str(path.relative_to(ROOT)): path for path in sorted((ROOT / "tests").rglob("*.yaml"))
}
WHOLE = ("params", "space")  # one value each: a file that states them replaces them whole


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def child(folder: Path, text: str) -> Path:
    """A file that inherits the documents' values and says something of its own."""
    return written(folder, f"inherits: {FULL}\n{text}")


def copied(own: dict[str, Any], inherited: dict[str, Any], where: str = "") -> list[str]:
    """Keys that a file states though it inherits the very same value."""
    found = []
    for key, value in own.items():
        if isinstance(value, dict) and key not in WHOLE:
            found += copied(value, inherited.get(key, {}), f"{where}{key}.")
        elif key in inherited and inherited[key] == value:
            found.append(where + key)
    return found


def merged(path: Path) -> dict[str, Any]:
    """A settings file with all it inherits, by a reading of the rules that is not the project's."""
    own = read(path)
    parent = own.pop("inherits", None)
    return laid_over(merged(path.parent / parent), own) if parent else own


def laid_over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in own.items():
        deeper = isinstance(value, dict) and key not in WHOLE
        result[key] = laid_over(base.get(key, {}), value) if deeper else value
    return result


@pytest.mark.parametrize("name", FILES)
def test_every_settings_file_in_the_project_parses(name: str) -> None:
    settings = load_settings(FILES[name])
    assert len(settings.digest()) == 64


@pytest.mark.parametrize("name", FILES)
def test_a_file_states_only_what_differs_from_what_it_inherits(name: str) -> None:
    own = read(FILES[name])
    parent = own.pop("inherits", None)
    if parent is not None:
        assert copied(own, merged(FILES[name].parent / parent)) == []


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_says_is_what_the_settings_hold(name: str) -> None:
    held = load_settings(FILES[name]).model_dump(mode="json")
    said = yaml.safe_load(yaml.safe_dump(merged(FILES[name])))
    said["simulate"]["start"] = str(said["simulate"]["start"])
    for key in ("first_day", "last_day"):
        said["download"][key] = str(said["download"][key])
    said["candles"]["first_day"] = str(said["candles"]["first_day"])
    said["candles"]["simulate"]["start"] = str(said["candles"]["simulate"]["start"])
    for value in said["optimize"]["space"].values():
        if isinstance(value, dict):
            value.setdefault("log", False)
    assert held == said


def test_only_one_file_stands_alone_and_states_everything() -> None:
    alone = [name for name, path in FILES.items() if "inherits" not in read(path)]
    assert alone == ["conf/full.yaml"]


def test_the_documents_values_are_in_force() -> None:
    settings = load_settings(FULL)
    assert (settings.label.horizon_minutes, settings.window.length) == (60, 720)
    assert (settings.label.buy_above, settings.label.sell_below) == (0.008, -0.004)
    assert settings.train.class_weights == (2.0, 1.0, 2.0)
    assert (settings.split.test_fraction, settings.split.folds) == (0.1, 5)
    assert settings.optimize.trials == 30 and settings.etl.max_bridge_minutes == 5


@pytest.mark.parametrize("name", ["demo", "members", "power", "real_prices"])
def test_every_file_is_judged_by_the_same_gates(name: str) -> None:
    other, full = load_settings(ROOT / "conf" / f"{name}.yaml"), load_settings(FULL)
    assert other.gates == full.gates and other.backtest.account == full.backtest.account
    assert other.audit.conformal_level == full.audit.conformal_level


def test_two_files_that_run_beside_each_other_share_no_folder() -> None:
    folders = [
        folder
        for name in FILES
        if name.startswith("conf/")
        for data in [load_settings(FILES[name]).data]
        for folder in (data.archives, data.bars, data.labels, data.work)
    ]
    assert len(set(folders)) == len(folders)


def test_a_child_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    full = load_settings(FULL)
    mine = load_settings(child(tmp_path, "train: {epochs: 2}\netl: {limits: {ratio: 9.0}}\n"))
    assert mine.train.epochs == 2 and mine.etl.limits.ratio == 9.0
    train = full.train.model_copy(update={"epochs": 2})
    limits = full.etl.limits.model_copy(update={"ratio": 9.0})
    etl = full.etl.model_copy(update={"limits": limits})
    assert mine == full.model_copy(update={"train": train, "etl": etl})


def test_a_search_space_is_replaced_whole(tmp_path: Path) -> None:
    mine = load_settings(child(tmp_path, "optimize: {space: {batch_size: [64]}}\n"))
    assert mine.optimize.space == {"batch_size": [64]}
    assert mine.optimize.trials == load_settings(FULL).optimize.trials


def test_overrides_come_last(tmp_path: Path) -> None:
    path = child(tmp_path, "train: {epochs: 2}\n")
    given = {"train.epochs": 5, "etl.limits.ratio": "7.5", "etl.workers": 0}
    mine = load_settings(path, given)
    assert (mine.train.epochs, mine.etl.limits.ratio) == (5, 7.5)
    assert mine.digest() != load_settings(path).digest()
    assert mine.digest() == load_settings(child(tmp_path, ""), given).digest()


def test_null_takes_away_what_a_file_says() -> None:
    demo = FULL.with_name("demo.yaml")
    assert load_settings(demo).live.history is not None
    assert load_settings(demo, {"live.history": None}).live.history is None
    assert settings_from(demo, ("live.history=null",), {"live__journal": None}).live.history is None


WRONG = {
    "train.epoch: unknown key (allowed: accumulate,": "train: {epoch: 3}",
    "trian: unknown key (allowed: audit,": "trian: {epochs: 3}",
    "ensemble.stratgy: unknown key (allowed: confidence_threshold,": "ensemble: {stratgy: hedge}",
    "etl.limits.lines: unknown key (allowed: corrupt_fraction,": "etl: {limits: {lines: 3}}",
    "train.epochs: Input should be greater than 0, got 0": "train: {epochs: 0}",
    "train.epochs: Input should be a valid integer": "train: {epochs: 2.5}",
    "registry.alias: Value error, MLflow keeps latest, and v with": "registry: {alias: V3}",
    "with a number, for itself, got 'Latest'": "registry: {alias: Latest}",
    "registry.alias: String should match": "registry: {alias: ''}",
    "live.challenger: Value error, MLflow keeps": "live: {challenger: v12}",
    "live.symbols: Tuple should have at least 1 item": "live: {symbols: []}",
    "live.symbols: Value error, each symbol once": "live: {symbols: [BTCUSDT, BTCUSDT]}",
    "gates.beats.0: Input should be 'majority', 'persis": "gates: {beats: [foo]}",
    "tracking.uri: String should have at least 1": "tracking: {uri: ''}",
    "is not YAML: month must be in 1..12": "simulate: {start: 2024-13-01}",
    "train.seed: Value error, true and false are no numbers, got True": "train: {seed: true}",
    "label.further: Value error, true and false are no numbers": "label: {further: [5, true]}",
    "simulate.levels: Value error, true and false are no numbers": "simulate: {levels: true}",
    "got 'many'": "train: {epochs: many}",
    "split.test_fraction: Input should be less than 1, got 1": "split: {test_fraction: 1}",
    "label.sell_below: Input should be less than 0, got 0.004": "label: {sell_below: 0.004}",
    "label.buy_above: Input should be a finite number": "label: {buy_above: .nan}",
    "simulate.levels: Input should be 200 or 500, got 300": "simulate: {levels: 300}",
    "data.symbol: String should match pattern": "data: {symbol: ../BTC}",
    "train.class_weights.2: missing": "train: {class_weights: [1.0, 2.0]}",
    "low < high expected": "optimize: {space: {learning_rate: {low: 2, high: 1}}}",
    "window: Input should be": "window: 720",
    "members.fast.trian.[key]: Input should be 'window', 'model', 'train', 'optim": (
        "members: {fast: {trian: {epochs: 3}}}"
    ),
    "members.fast.label.[key]: Input should be": "members: {fast: {label: {horizon_minutes: 3}}}",
    "member fast: train.epoch: unknown key (allowed: accum": "members: {fast: {train: {epoch: 3}}}",
    "member b: window.length: Input should": "members: {a: {}, b: {window: {length: 14}}}",
    "members.fast: Input should be a valid dictionary, got None": "members: {fast: }",
    "members.so fast.[key]: String should match pattern": "members: {so fast: {}}",
    "members a and b share registry.name 'x'": (
        "members: {a: {registry: {name: x}}, c: {}, b: {registry: {name: x}}}"
    ),
    "members.majority.[key]: Value error, a baseline is called so": "members: {majority: {}}",
    "members of an ensemble are not called auditor, base": (
        "members: {base: {}, b: {}}\nensemble: {strategy: majority}"
    ),
    "train stands twice": "train: {epochs: 3}\ntrain: {seed: 4}",
    "seed stands twice": "train: {seed: 3, seed: 4}",
    "is not YAML": "train: {epochs: 3",
}


def test_a_file_leaves_out_a_member_that_it_inherits(tmp_path: Path) -> None:
    child(tmp_path, "members: {slow: {}, fast: {}}\n").rename(tmp_path / "both.yaml")
    own = tmp_path / "own.yaml"
    own.write_text("inherits: both.yaml\nmembers: {slow: null, own: {}}\n")
    assert sorted(load_settings(own).members) == ["fast", "own"]


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_key_or_value_is_refused_by_name(message: str, tmp_path: Path) -> None:
    path = child(tmp_path, WRONG[message] + "\n")
    with pytest.raises(SettingsError) as refusal:
        load_settings(path)
    assert message in str(refusal.value) and str(path) in str(refusal.value)


def test_a_fault_of_yaml_is_shown_in_its_line(tmp_path: Path) -> None:
    for text, line, sign in (
        ("train: {epochs: 3}\nsplit: {folds: [3}\n", 3, "split: {folds: [3}"),
        ("train:\n  seed: 1\n  seed: 2\n", 4, "seed: 2"),
    ):
        with pytest.raises(SettingsError) as refusal:
            load_settings(child(tmp_path, text))
        *_, place, shown, arrow = str(refusal.value).splitlines()
        assert f'in "mine.yaml", line {line}, column ' in place and shown.strip().startswith(sign)
        assert arrow.strip() == "^"


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"train: {epochs: 3} # \xff")
    with pytest.raises(SettingsError, match=r"mine\.yaml: is not YAML: 'utf-8' codec can't decode"):
        load_settings(path)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"window\.size: unknown key .*; train\.epochs: "):
        load_settings(child(tmp_path, "train: {epochs: -1}\nwindow: {size: 3}\n"))


def test_an_anchor_may_be_merged(tmp_path: Path) -> None:
    text = "train: &mine {epochs: 3}\noptimize: {<<: *mine, trials: 7}\n"
    mine = load_settings(child(tmp_path, text))
    assert (mine.train.epochs, mine.optimize.epochs, mine.optimize.trials) == (3, 3, 7)


def test_a_wrong_override_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"train\.epoch: unknown key"):
        load_settings(FULL, {"train.epoch": 3})
    with pytest.raises(SettingsError, match=r"data\.symbol\.name: symbol is not a section"):
        load_settings(FULL, {"data.symbol.name": "X"})


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    values = read(FULL)
    del values["label"]["horizon_minutes"], values["registry"]
    path = written(tmp_path, yaml.safe_dump(values))
    with pytest.raises(SettingsError, match=r"label\.horizon_minutes: missing; registry: missing"):
        load_settings(path)


MEMBERS = """
members:
  fast: {window: {length: 30}, train: {epochs: 2, seed: 5}}
  deep:
    model: {params: {tcn_channels: 16}}
    registry: {name: deepest}
    optimize: {space: {window_length: [30]}}
"""


def test_a_member_is_the_same_as_a_file_that_says_what_it_says(tmp_path: Path) -> None:
    path, full = child(tmp_path, MEMBERS), load_settings(FULL)
    fast, deep = (load_settings(path, None, name) for name in ("fast", "deep"))
    said = "train: {epochs: 2, seed: 5, out_of_fold: true}"
    written = f"window: {{length: 30}}\n{said}\nregistry: {{name: quantgod-fast}}\n"
    assert fast == load_settings(child(tmp_path, written))
    assert fast.members == deep.members == {}
    assert deep.model.params == {"tcn_channels": 16}, "replaced whole, as a file does"
    assert deep.optimize.space == {"window_length": [30]}
    assert deep.registry.name == "deepest"
    assert deep.train == full.train.model_copy(update={"out_of_fold": True})
    without = load_settings(child(tmp_path, MEMBERS), {"train.out_of_fold": False}, "deep")
    assert not without.train.out_of_fold, "the command comes last"


def test_what_a_command_says_comes_after_what_a_member_says(tmp_path: Path) -> None:
    path = child(tmp_path, MEMBERS)
    given = {"train.epochs": 7, "registry.name": "mine", "members.fast.train.seed": 6}
    fast = load_settings(path, given, "fast")
    assert (fast.train.epochs, fast.train.seed, fast.registry.name) == (7, 6, "mine")
    common = load_settings(path, given)
    assert (common.train.epochs, common.train.seed) == (7, load_settings(FULL).train.seed)
    assert common.members["fast"]["train"] == {"epochs": 2, "seed": 6}


def test_a_file_may_change_a_member_that_it_inherits(tmp_path: Path) -> None:
    child(tmp_path, MEMBERS)
    text = "inherits: mine.yaml\nmembers: {fast: {train: {epochs: 3}}, plain: {}}\n"
    path = written(tmp_path, text, "other.yaml")
    assert list(load_settings(path).members) == ["fast", "deep", "plain"]
    fast, plain = (load_settings(path, None, name) for name in ("fast", "plain"))
    assert (fast.train.epochs, fast.train.seed, fast.window.length) == (3, 5, 30)
    assert plain.registry.name == "quantgod-plain"


def test_a_member_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no member slow \(its members: fast, deep\)"):
        load_settings(child(tmp_path, MEMBERS), None, "slow")
    with pytest.raises(SettingsError, match=r"full\.yaml: no member slow \(its members: none\)"):
        load_settings(FULL, None, "slow")


CYCLES = {
    "itself": {"mine.yaml": "mine.yaml"},
    "each other": {"mine.yaml": "other.yaml", "other.yaml": "mine.yaml"},
    "by a detour": {"mine.yaml": "deep/../mine.yaml"},
}


@pytest.mark.parametrize("name", CYCLES)
def test_a_circle_of_files_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for file, parent in CYCLES[name].items():
        written(tmp_path, f"inherits: {parent}\n", file)
    with pytest.raises(SettingsError, match="inherits itself"):
        load_settings(tmp_path / "mine.yaml")


def test_a_parent_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError,
        match=r"absent\.yaml: cannot be read \(No such file.*mine\.yaml inherits it, .* beside",
    ):
        load_settings(written(tmp_path, "inherits: absent.yaml\n"))
    with pytest.raises(SettingsError, match="one file's name was expected"):
        load_settings(written(tmp_path, "inherits: [a.yaml, b.yaml]\n"))
    with pytest.raises(SettingsError, match="a mapping was expected, got list"):
        load_settings(written(tmp_path, "- train\n"))


def test_a_settings_file_cannot_make_objects(tmp_path: Path) -> None:
    path = written(tmp_path, "train: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(SettingsError, match="is not YAML"):
        load_settings(path)


def test_settings_are_frozen() -> None:
    settings = load_settings(FULL)
    with pytest.raises(ValidationError, match="frozen"):
        settings.train.epochs = 3  # type: ignore[misc]


def test_what_is_wrong_with_all_settings_together_is_told_without_them() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(ROOT / "conf" / "ensemble_demo.yaml", {"members.base": {}})
    assert str(refused.value).endswith(", ensemble; got ['base']")
