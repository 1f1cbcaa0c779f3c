"""Feature sets, one a file: NAMES, NEEDS, REACH, and compute(columns) of a gap-free stretch.

`columns` maps each name of NEEDS to an array with a row a minute, oldest first. `compute` returns
(rows, len(NAMES)); the first REACH - 1 rows have less past than they need and are NaN. A value
depends on its REACH rows and on nothing else, to the bit.
"""
