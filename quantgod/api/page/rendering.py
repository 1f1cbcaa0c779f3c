"""Make HTML of what the sections show."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from quantgod.api.desk import Desk
from quantgod.api.page.actions import ACTIONS, Refused
from quantgod.api.page.drawing import HEIGHT, WIDTH, number
from quantgod.api.page.sections import SECTIONS, lacking, of_verdict, told
from quantgod.api.routes.preview import Previewed, ScoreInterval
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import verdict

TITLES: Final = {
    "live": "Live session",
    "charts": "Price, signals and weights",
    "ensemble": "Ensemble",
    "training": "Training",
    "deployments": "Deployments",
    "versions": "Versions and gates",
}

MOVING: Final = ("live", "charts", "change", "training")
"""Templates of what changes by itself, and is loaded again."""


class Sent(dict[str, str]):
    """The fields of a form; those that were not sent are empty.

    Attributes:
        came: whether it was sent; a form with nothing in it has no fields either.
    """

    came = False

    def __missing__(self, name: str) -> str:
        """Return nothing."""
        return ""


def page_of(
    desk: Desk,
    done: str = "",
    gates: int | None = None,
    posted: str = "",
    typed: Mapping[str, str] | None = None,
    outcome: object = None,
) -> str:
    """Return the whole page.

    Args:
        desk: what is shown.
        done: the action that a form has just carried out; empty for none.
        gates: version whose verdict is shown; by default the newest that was judged.
        posted: the action whose form was sent and is shown again; empty for none.
        typed: what it has sent.
        outcome: what came of it: a refusal, or a preview.
    """
    shown = {name: told(desk, gather) for name, gather in SECTIONS.items()}
    known = shown["versions"].get("versions", ())
    judged = gates or next((one.version for one in known if one.gates), None)
    if judged is not None:
        shown["verdict"] = told(desk, lambda desk: of_verdict(desk, judged)) | {"judged": judged}
    if "absent" not in shown["ensemble"]:
        shown["enable"] = shown["ensemble"]
    # The head of the ledger as the page shows it is what each change of it names.
    ledger = {name: shown["deployments"].get(name) for name in ("history", "seen")}

    def sent(*actions: str) -> Sent:
        """Return what the form of one of these actions has sent."""
        fields = Sent(typed or {} if posted in actions else {})
        fields.came = posted in actions
        return fields

    refused = outcome if isinstance(outcome, Refused) else None
    preview = outcome if isinstance(outcome, Previewed) else None
    forms = ledger | {"refused": refused, "preview": preview, "sent": sent}
    sections = {name: _rendered(name, context | forms) for name, context in shown.items()}
    return _PAGES.get_template("page.html.j2").render(
        model=f"{desk.name}@{desk.alias}",
        titles=TITLES,
        moving=MOVING,
        sections=sections,
        lacking=lacking(desk, shown["versions"], shown["deployments"]),
        done=ACTIONS.get(done),
    )


def fragment(desk: Desk, name: str) -> str:
    """Return a section by itself."""
    return _rendered(name, told(desk, SECTIONS[name]))


def when(at: dt.datetime | str) -> str:
    """Return a time as people write it, UTC.

    >>> when("2026-11-30T12:03:04.5+00:00")
    '2026-11-30 12:03:04'
    """
    time = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def three(value: float | None) -> str:
    """Return a share or a loss with three digits.

    >>> three(0.61754), three(None)
    ('0.618', '-')
    """
    return "-" if value is None else f"{value:.3f}"


def compared(name: str, difference: ScoreInterval | None) -> str:
    """Return whether a change makes a score better, by the interval of its difference.

    >>> far = ScoreInterval(value=0.2, low=0.1, high=0.3, enough=True, why="")
    >>> compared("accuracy", far), compared("log_loss", far), compared("accuracy", None)
    ('better', 'worse', 'not known')
    >>> compared("accuracy", far.model_copy(update={"low": -0.1}))
    'not to be told apart'
    """
    if difference is None or not difference.enough:
        return "not known"
    said = verdict(name, Interval(difference.value, difference.low, difference.high))
    return "not to be told apart" if said == "not shown to be better" else said


def _rendered(name: str, context: Mapping[str, Any]) -> Markup:
    template = "absent" if "absent" in context else name
    return Markup(_PAGES.get_template(f"{template}.html.j2").render(context, name=name))


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("quantgod.api.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"when": when, "three": three, "number": number}
    made.globals |= {"HEIGHT": HEIGHT, "WIDTH": WIDTH, "compared": compared}
    return made


_PAGES: Final = _environment()
