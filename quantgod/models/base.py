"""Define an architecture: a network class, its settings and its search space.

An architecture registers itself with a decorator in its own file; `zoo` finds the file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Protocol, TypeVar, runtime_checkable

from pydantic import Field, ValidationError
from torch import nn

from quantgod.models.heads import Heads
from quantgod.settings import SearchSpace, Section, SettingsError

DOCUMENT_SHAPES: Final = {
    "bars": (720, 9),
    "features": (60, 112),
    "book": (100, 20, 4),
    "aux": (112,),
}
"""Each view as the documents give it: minutes of features, book snapshots of 20 levels (bid price,
bid size, ask price, ask size), and the newest minute's features alone."""

DropoutRate = Annotated[float, Field(ge=0, lt=1)]


@runtime_checkable
class Constructor(Protocol):
    """Build a network from its settings, the shapes of its views, and its heads."""

    def __call__(
        self, settings: Any, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> nn.Module:
        """Return a newly initialised network for views of these shapes."""


@dataclass(frozen=True)
class Architecture:
    """One entry of the registry.

    Attributes:
        name: its name in settings.
        constructor: the network class.
        settings: its parameters; the defaults come from the document that describes it.
        space: values that a search tries, by parameter name.
        parameters: the count of learned numbers at `DOCUMENT_SHAPES`, with one horizon.
        causal: True if no step of an inner sequence sees a later step of the window. A network that
            looks both ways inside its window (all of which lies in the past), or takes the whole
            window at once, says False.
    """

    name: str
    constructor: Constructor
    settings: type[Section]
    space: SearchSpace = field(default_factory=dict)
    parameters: int = 0
    causal: bool = True

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views it takes: the parameters of its `forward`."""
        forward = getattr(self.constructor, "forward")  # noqa: B009  (a protocol has none)
        return tuple(inspect.signature(forward).parameters)[1:]

    def settings_from(self, params: Mapping[str, Any]) -> Section:
        """Parse `params` into this architecture's settings.

        Raises:
            SettingsError: naming each unknown key and each wrong value.
        """
        try:
            return self.settings.model_validate(dict(params))
        except ValidationError as error:
            raise SettingsError(self._explain(error)) from None

    def _explain(self, error: ValidationError) -> str:
        allowed = ", ".join(sorted(self.settings.model_fields))
        return "; ".join(
            f"{self.name}.{'.'.join(map(str, problem['loc']))}: "
            + (
                f"unknown parameter (allowed: {allowed})"
                if problem["type"] == "extra_forbidden"
                else f"{problem['msg']}, got {problem['input']!r}"
            )
            for problem in error.errors()
        )


ARCHITECTURES: Final[dict[str, Architecture]] = {}

Network = TypeVar("Network", bound=type[nn.Module])


def register(
    name: str,
    settings: type[Section],
    space: SearchSpace,
    *,
    parameters: int,
    causal: bool = True,
) -> Callable[[Network], Network]:
    """Return a class decorator that registers a network as `name`.

    Raises:
        ValueError: if the name is taken, or the space names an unknown parameter.
    """
    unknown = space.keys() - settings.model_fields.keys()
    if unknown:
        raise ValueError(f"{name}: search space of unknown parameters {', '.join(sorted(unknown))}")

    def decorate(network: Network) -> Network:
        if name in ARCHITECTURES:
            raise ValueError(f"two architectures are called {name!r}")
        ARCHITECTURES[name] = Architecture(name, network, settings, space, parameters, causal)
        return network

    return decorate
