"""The page and the description tell of every route, and nothing comes from elsewhere."""

from __future__ import annotations

import re

from tests.api.serving import Served


def test_the_page_tells_of_every_route_without_a_script(api: Served) -> None:
    described = api.get("/openapi.json").json()
    page = api.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert f"<h2>{method.upper()} {path}</h2>" in page.text
            assert operation["description"]
            for one in operation.get("parameters", []):
                assert one.get("description"), (path, one["name"])
    assert not re.search(r"<script|<style|style=|\son\w+=|src=|https?://", page.text)


def test_every_field_of_every_body_that_is_posted_is_explained(api: Served) -> None:
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    for name in (
        "Promotion",
        "Rollback",
        "Training",
        "Performance",
        "Enabling",
        "Weighing",
        "Combining",
        "Preview",
    ):
        unsaid = [
            field for field, one in schemas[name]["properties"].items() if "description" not in one
        ]
        assert unsaid == [], name
