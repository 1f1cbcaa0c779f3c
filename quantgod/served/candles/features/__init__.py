"""The 150 features of candles, one family a file: NAMES, NEEDS, REACH and compute(columns).

`columns` maps names of NEEDS to (rows,) of a gap-free stretch, oldest first: prices above 0,
`volume` (NaN where there is none) and `time`, the open time in epoch milliseconds. `compute`
returns (rows, len(NAMES)); the first REACH - 1 rows are NaN. A value depends on its REACH rows and
on nothing else, to the bit; it has no unit, and is 0 where nothing moves.
"""
