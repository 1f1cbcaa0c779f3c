"""The base class of all settings sections, and the number types in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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

Choice = int | float | str


class Section(BaseModel):
    """Base of all sections: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
