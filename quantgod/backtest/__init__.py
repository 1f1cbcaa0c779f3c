"""Backtest a model's signals against the recorded books.

Timing:

- The signal of minute t is known at its close, a minute after t. A position expires one horizon
  after that close. Both cause an order at the first available close. An order reaches the exchange
  `latency_ms` later and meets the next available book. Books are recorded at closes: without
  latency it is the minute's own book, with up to a minute of latency the next one. If the archives
  are available, the true book of that moment is used instead.
- An entry that would wait longer than the horizon lapses. A signal opens one unit of `notional`; it
  is ignored if the open notional would exceed `max_position`; an opposite signal closes all units
  and opens one in the other direction. Units are not rolled over.
- A gap in the books cannot be foreseen: open positions are held through it and leave by the first
  book after it.
- At the last close and at a breach, all open positions are closed at that close's own book, without
  latency, so that everything is accounted for. At such a close no signal is taken.

Costs:

- A unit's quantity is `notional` divided by the best price it meets. It walks that side's levels; a
  quantity beyond them is dropped. Size taken from a book is gone for later orders at the same
  moment, and is back in the next book. If the recorded levels cannot fill an exit completely, the
  rest gets the price of the last level.
- `slippage` is the cost of fills against the mid of their book, `gross` the gain of positions
  between those mids, so net = gross - slippage - fees - funding. `drift`, the move of the mid
  within the latency, is a part of `gross`.
- Taker fees are a share of every fill's value. Funding is a share of the position held just before,
  valued at the newest minute's mid, at whole multiples of `funding_hours` UTC; longs pay.

Account:

- Positions are valued at mid each minute, after the minute's fills. The balance holds realised
  gains, and fees and funding when they are due.
- A daily loss is measured from the balance or the equity at 00:00 UTC, whichever was higher; the
  total loss from the first balance. A loss above its limit closes everything at that minute's book
  and ends the account: no more trades, and constant equity to the end, which all figures include.
- The target is reached when both balance and equity reach it after enough days with an entry. It is
  recorded and ends nothing: stopping at a gain would flatter every figure.
"""

from quantgod.backtest.backtest import Backtest, backtest
from quantgod.backtest.books import Books, books_of
from quantgod.backtest.signals import order_moments

__all__ = ["Backtest", "Books", "backtest", "books_of", "order_moments"]
