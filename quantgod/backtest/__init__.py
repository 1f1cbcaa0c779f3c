"""Backtest: what a model's signals would have come to, traded against the recorded books.

When what happens:

- The signal of minute t is known at its close, a minute after t. A position's time is up one
  horizon after that close; both make an order at the first close that there is. An order reaches
  the exchange `latency_ms` later and meets the next available book. Books are recorded at closes:
  without latency it is the minute's own, with up to a minute of latency the next one's. Where the
  archives are at hand, the true book of the very moment takes their place.
- An entry that would have to wait longer than the horizon lapses. A signal opens one unit of
  `notional`; one that would take the open notional above `max_position` is ignored; the opposite
  signal closes all units and opens one the other way. No unit is rolled over.
- A hole in the books is seen by nobody before it is there: what is open is held through it, and
  leaves by the first book after it.
- At the last close and at a breach all that is open is closed at that close's own book, without
  latency: nothing stays unaccounted. At such a close no signal is taken.

What it costs:

- A unit's quantity is `notional` over the best price it meets. It walks that side's levels; what is
  not there is dropped. What orders take of a book is gone for later orders of the same moment, and
  back in the next book. An exit that the recorded levels cannot take whole gets the last level's
  price for the rest.
- `slippage` is what fills cost against the mid of the book they met, `gross` what positions made
  between those mids, so that net = gross - slippage - fees - funding. `drift`, how far the mid ran
  away within the latency, is a part of `gross`.
- Taker fees are a share of every fill's value. Funding is a share of the position at the newest
  minute's mid, at whole multiples of `funding_hours` UTC, of what was held just before; longs pay.

The account:

- Positions are valued at mid each minute, after the minute's fills. The balance holds what is
  realised, fees and funding as they fall due.
- A day's loss is counted from the balance or the equity at 00:00 UTC, whichever was higher; all of
  an account's from the first balance. A loss above its limit closes everything at that minute's
  book and ends the account: no more trades, and a flat course to the end, which all figures hold.
- The target is reached when balance and equity both are that high and there were enough days with
  an entry. It is noted and ends nothing: to stop at a gain would flatter every figure.
"""

from quantgod.backtest.backtest import Backtest, backtest
from quantgod.backtest.books import Books, books_of
from quantgod.backtest.signals import order_moments

__all__ = ["Backtest", "Books", "backtest", "books_of", "order_moments"]
