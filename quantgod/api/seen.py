"""ETag and If-Match: nobody changes what he has not seen.

The tag of a deployment is the head of its ledger, which is compared once more where the alias is
moved: between the two nothing can slip in.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Header, HTTPException

from quantgod.api.answers import Documented, Refusal

IF_MATCH: Final[Documented] = {
    412: {"model": Refusal, "description": "The deployments went on since they were read."},
    428: {"model": Refusal, "description": "Without If-Match."},
}
ETAG: Final = {
    "headers": {"ETag": {"description": "For If-Match of a change.", "schema": {"type": "string"}}}
}


def tag_of(head: str) -> str:
    """Return the ETag of a ledger with this head."""
    return f'"{head}"'


async def _seen_head(
    if_match: Annotated[
        str | None,
        Header(
            description="The ETag of `GET /api/deployments` as it was when the change was decided "
            "on. Without it the change is refused with 428."
        ),
    ] = None,
) -> str:
    if if_match is None:
        raise HTTPException(428, "If-Match expected: the ETag of GET /api/deployments")
    return if_match.strip().removeprefix('"').removesuffix('"')


SeenHead = Annotated[str, Depends(_seen_head)]
"""Gives a route the ledger's head that its caller has seen."""
