"""Types of fields in bodies, queries and headers, which say in words what they expect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from quantgod.contracts import SYMBOL
from quantgod.registry.ledger import LONGEST_TEXT


@dataclass(frozen=True)
class Like:
    """A text of a form: its description has the pattern, who sends another is told in words.

    Attributes:
        pattern: of the whole text.
        words: what it expects.
    """

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, of: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how a text is checked."""
        return no_info_after_validator_function(self._checked, handler(of))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the description."""
        return handler(core) | {"pattern": f"^{self.pattern}$"}

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise _unexpected(self.words)
        return text


def _whole(value: Any) -> Any:
    """Take 3.0 for 3, as JSON does, but neither a text nor true."""
    if isinstance(value, bool | str):
        raise _unexpected("a whole number expected")
    return value


def _unexpected(words: str) -> PydanticCustomError:
    # In braces, which messages of pydantic fill, so that words may hold any.
    return PydanticCustomError("unexpected", "{words}", {"words": words})


WHOLE: Final = BeforeValidator(_whole)
Weight = Annotated[float, Field(ge=0, le=1e9, strict=True, allow_inf_nan=False)]
"""Of a member; only the ratios of all weights count."""

Reason = Annotated[
    str,
    Field(max_length=LONGEST_TEXT),
    Like(
        r"[^\x00]*[^\s\x00][^\x00]*", "a text that is not blank, without the character 0, expected"
    ),
]
Symbol = Annotated[str, Like(SYMBOL, "2 to 40 capitals, digits, - and _ expected, such as BTCUSDT")]
