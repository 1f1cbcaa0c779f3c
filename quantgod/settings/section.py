"""The base class of all settings sections, and the number types in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from quantgod.contracts import SYMBOL

Fraction = Annotated[float, Field(gt=0, lt=1)]

Positive = Annotated[int, Field(gt=0)]

Natural = Annotated[int, Field(ge=0)]

PositiveFloat = Annotated[float, Field(gt=0)]

Symbol = Annotated[str, Field(pattern=f"^{SYMBOL}$")]

Whole = BeforeValidator(
    lambda value: int(value) if isinstance(value, str) and value.isdecimal() else value
)
"""Reads a whole number from an option's text; pydantic does not do this for a choice of numbers."""

Listed = BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value)
"""Reads several values from an option's text, parted by commas."""

Choice = int | float | str


class Section(BaseModel):
    """Base of all sections: frozen; unknown keys are errors, and so is true where 1 was meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = set(_kinds(cls.model_fields[info.field_name or ""].annotation))
        values = value if isinstance(value, list) else [value]
        if not kinds & {bool, Any} and any(isinstance(one, bool) for one in values):
            raise ValueError("true and false are no numbers")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """An annotation, and those within it."""
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)
