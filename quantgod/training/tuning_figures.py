"""Draw the figures of a search: the score over the trials, and the parameters' importance."""

from __future__ import annotations

import warnings
from itertools import accumulate

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState


def history_figure(study: optuna.Study) -> Figure:
    """Draw each trial's score and the best so far; a pruned trial has its last epoch's score."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    cut = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    axes.plot(*_points(done), "o", label="completed")
    if cut := [trial for trial in cut if trial.intermediate_values]:
        axes.plot(*_points(cut), "x", label="pruned")
    numbers, scores = _points(done)
    axes.step(numbers, list(accumulate(scores, max)), where="post", label="best so far")
    title = f"Study {study.study_name}: {len(done)} trials completed, {len(cut)} pruned"
    axes.set(title=title, xlabel="trial", ylabel="macro-F1 (validation)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    return figure


def importance_figure(study: optuna.Study) -> Figure:
    """Draw parameter importances as bars; if there are none yet, the figure says so."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    shares = importances(study)
    axes.set(title="Parameter importance (PED-ANOVA)", xlabel="share")
    if not shares:
        _say(axes, "The completed trials are too few or too alike to tell.")
        return figure
    rising = sorted(shares.items(), key=lambda item: item[1])
    axes.barh([name for name, _ in rising], [share for _, share in rising])
    return figure


def importances(study: optuna.Study) -> dict[str, float]:
    """Return how much of the good trials' advantage each parameter explains; sums to 1.

    Uses PED-ANOVA (Watanabe et al., 2023) on the completed trials, for the parameters that differ
    between them. Empty if the completed trials are too few or too alike.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    varied = [
        name for name in (done[0].params if done else {}) if len({t.params[name] for t in done}) > 1
    ]
    if not varied:
        return {}
    with warnings.catch_warnings():
        # Where the good trials do not differ from all, Optuna warns and returns equal shares.
        warnings.simplefilter("error", UserWarning)
        try:
            return optuna.importance.get_param_importances(study, params=varied)
        except UserWarning:
            return {}


def _points(trials: list[FrozenTrial]) -> tuple[list[int], list[float]]:
    scores = [
        trial.value if trial.value is not None else max(trial.intermediate_values.items())[1]
        for trial in trials
    ]
    return [trial.number for trial in trials], scores


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
