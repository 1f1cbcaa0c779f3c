"""What every section of the settings shares, and the kinds of number in them."""

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
"""Reads a whole number that an option gives as text; of a choice of them pydantic does not."""

Choice = int | float | str


class Section(BaseModel):
    """What every section shares: frozen, and loud about keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
