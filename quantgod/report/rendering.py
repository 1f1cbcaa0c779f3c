"""Fill the templates of pages, with names escaped and nothing left undefined."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Return a template of this folder, filled with values.

    Raises:
        jinja2.UndefinedError: if a value is missing.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def embedded(image: bytes) -> str:
    """Return a file as base64 text, as pages embed it."""
    return base64.b64encode(image).decode("ascii")
