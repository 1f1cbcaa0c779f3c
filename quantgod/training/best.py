"""The result of a search, and how settings take it."""

from __future__ import annotations

from quantgod.settings import ModelSettings, Section, Settings


class BestParameters(Section):
    """The result of a search; JSON-able, and refused when read back with unknown keys.

    Attributes:
        study: the search's name.
        trial: the best trial's number.
        trials: number of completed and pruned trials.
        score: macro-F1 of the best trial's best epoch.
        model: architecture with all its parameters.
        learning_rate: of the best trial.
        batch_size: of the best trial.
        window_length: of the best trial.
    """

    study: str
    trial: int
    trials: int
    score: float
    model: ModelSettings
    learning_rate: float
    batch_size: int
    window_length: int

    def applied_to(self, settings: Settings) -> Settings:
        """Return the settings with these values put in."""
        train = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        return settings.model_copy(
            update={
                "model": self.model,
                "train": settings.train.model_copy(update=train),
                "window": settings.window.model_copy(update={"length": self.window_length}),
            }
        )
