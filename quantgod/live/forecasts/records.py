"""Make rows of the ledger from what a version has issued, and join those that are not there."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from quantgod.live.forecasts.ledger import KEY, RETURNS, SCHEMA, WALK, frame_of, table_of

SAME: Final = 1e-6
"""Numbers that differ by less than this share are the same, computed by another machine."""


class Whose(NamedTuple):
    """The version that forecasts, the digest of its files, and which candles it forecasts.

    Those are told as `spot 1d trades`. Of two stores' versions of one number the files differ.
    """

    name: str
    version: int
    files: str
    candles: str


class Revised(NamedTuple):
    """Forecasts that wait in the ledger and that candles now stored give otherwise."""

    rows: int
    symbol: str
    issue: pd.Timestamp


def records_of(chain: Any, dated: Sequence[Any], whose: Whose) -> pd.DataFrame:
    """Return what was issued as rows of the ledger, not yet written and not scored."""
    if not dated:
        return frame_of(SCHEMA.empty_table())
    told = chain.table(dated)
    more = pd.DataFrame(_beside(chain, dated))
    weights = told[[f"{name}_weight" for name in chain.experts]].set_axis(chain.experts, axis=1)
    known = told.drop(columns="datetime").assign(
        **whose._asdict(),
        issue=_moments(told["datetime"]),
        due=_moments(told["due"]),
        weights=[json.dumps(row) for row in weights.to_dict(orient="records")],
    )
    return _framed(pd.concat([known, more], axis=1))


def join(
    ledger: pd.DataFrame, made: pd.DataFrame, now: dt.datetime, step: pd.Timedelta
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a ledger with the rows that it has not yet, and those; its own rows stand.

    Args:
        ledger: as it was read.
        made: rows of `records_of`.
        now: when they are issued; a row is late if the next candle had closed.
        step: of candles.
    """
    is_known = pd.MultiIndex.from_frame(made[KEY]).isin(pd.MultiIndex.from_frame(ledger[KEY]))
    new, moment = made[~is_known], pd.Timestamp(now)
    new = _framed(new.assign(issued_at=moment, late=moment >= new["issue"] + step))
    return frame_of(pa.concat_tables([table_of(ledger), table_of(new)])), new


def revised(ledger: pd.DataFrame, made: pd.DataFrame) -> Revised | None:
    """Return what waits for its outcome and would be issued otherwise now, if anything does."""
    waiting = ledger[ledger["scored_at"].isna()].set_index(KEY)
    own = made.set_index(KEY)
    both = waiting.index.intersection(own.index, sort=False)
    columns = ["close", *RETURNS]
    one, other = (frame.loc[both, columns].to_numpy(np.float64) for frame in (waiting, own))
    odd = both[~np.isclose(one, other, rtol=SAME, atol=SAME * SAME).all(axis=1)]
    if not len(odd):
        return None
    first = odd.to_frame(index=False).sort_values("issue").iloc[0]
    return Revised(len(odd), str(first["symbol"]), first["issue"])


def _beside(chain: Any, dated: Sequence[Any]) -> Iterator[dict[str, float]]:
    """Yield what the chain's table does not tell, row by row in its order."""
    for one in dated:
        for at, sigma in enumerate(one.sigma):
            for steps, issued in zip(chain.contract.horizons, one.issued, strict=True):
                walk = issued.experts[at, 0] * float(sigma * np.sqrt(steps))
                yield {"sigma": float(sigma), **dict(zip(WALK, map(float, walk), strict=True))}


def _moments(texts: pd.Series) -> pd.Series:
    return pd.to_datetime(texts, utc=True).astype("datetime64[ms, UTC]")


def _framed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the ledger's columns and types; what is not known is null."""
    return frame_of(table_of(rows.reindex(columns=SCHEMA.names)))
