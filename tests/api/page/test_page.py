"""The page in a real browser: what it shows, what a click changes, and who can use it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from quantgod.api.jobs import Jobs
from quantgod.api.routes import deployments
from quantgod.live.engine.journal_rows import bar_row
from quantgod.live.journal import Journal
from quantgod.registry.gate_tags import VERDICT_TAG
from quantgod.registry.ledger import Entry
from quantgod.registry.preview import WhatIf
from quantgod.registry.promotion import Grounds
from quantgod.registry.verdict import GatesNotPassedError
from tests.api.page.browsing import NEEDS_CHROMIUM, Browser
from tests.api.serving import Served
from tests.api.test_change import tell_the_store as change_in_the_store
from tests.api.test_signals import FIRST, said, voted
from tests.api.test_training import tell_the_store
from tests.live.engine.answering import minute_of
from tests.registry.judging import FAILED, PASSED, judged
from tests.registry.shelves import ALIAS, NAME, Shelf

pytestmark = NEEDS_CHROMIUM

NAMED = {
    *("link", "button", "textbox", "combobox", "checkbox", "spinbutton", "DisclosureTriangle"),
    *("image", "region", "table", "progressbar", "navigation", "figure", "article"),
}
"""Roles that say nothing to a blind person without a name."""

WIDTHS = """
const lines = document.querySelectorAll("figure > svg path.line");
return [...lines].map((one) => Math.round(one.getBBox().width));
"""
OUTSIDE = """
const all = [...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, svg"));
return all.filter((one) => one.getBoundingClientRect().right > 390).map((one) => one.outerHTML);
"""
CONTRAST = Path(__file__).with_name("contrast.js").read_text()


def in_place() -> int:
    return int(MlflowClient().get_model_version_by_alias(NAME, ALIAS).version)


def choose(browser: Browser, css: str, text: str) -> None:
    Select(browser.find(css)).select_by_visible_text(text)


def test_it_shows_session_members_charts_and_deployments_and_asks_no_other_host(
    browser: Browser, shown: Served
) -> None:
    browser.log_in(shown.address, shown.token)
    live = browser.text("#live")
    for told in (
        *(
            "quantgod live on binance: it runs",
            "synced for 5 s",
            "12 ms",
            "02-19 21:29 close 100.5",
        ),
        *(
            "quantgod 2",
            "off 3 minutes",
            "1 of 1 features and probabilities drifting: near/sell",
            "agreement 1.000",
        ),
    ):
        assert told in live
    near, far = (one.text.split() for one in browser.all("#live tbody tr"))
    assert near == ["near", "0.200", "0.300", "0.500", "0.500", "0.925", "1.000"]
    assert far[:4] == ["far", "0.100", "0.300", "0.600"]
    price, weights = browser.all("figure")
    assert len(price.find_elements("css selector", "svg .buy title")) == 9, "one minute has no row"
    assert "9 BUY, 0 SELL" in price.text and "Last: near 0.925, far 0.075" in weights.text
    assert browser.driver.execute_script(WIDTHS) == [1000, 1000, 1000], "price and two weights"
    assert "strategy adaptive: 2 of 3 members vote" in browser.text("#ensemble")
    first, *_ = (one.text for one in browser.all("#deployments tbody tr"))
    assert first.startswith("2 ") and "it is better" in first
    assert "2 (in place)" in browser.text("#versions")
    assert browser.errors() == [] and browser.hosts() == {shown.address.removeprefix("http://")}
    assert browser.all("[style], style, script:not([src])") == []


@pytest.mark.long
def test_a_new_signal_is_shown_and_announced_without_a_reload(
    browser: Browser, shown: Served, journal: Journal
) -> None:
    browser.log_in(shown.address, shown.token)
    browser.run("document.querySelector('#charts details').open = true")
    page = browser.find("html")
    journal.append_now("BARS", bar_row("BTCUSDT", minute_of(FIRST + 10))).result(10)
    journal.append_now("VOTES", voted(FIRST + 10)).result(10)
    journal.append_now("SIGNALS", said(FIRST + 10) | {"action": "SELL"}).result(10)
    browser.until(lambda: "21:30:00" in browser.text("#live"))
    browser.until(lambda: "9 BUY, 1 SELL" in browser.text("#charts"))
    assert browser.find("html") == page
    assert browser.find("#charts details").get_attribute("open"), "what was opened stays open"
    assert browser.run("document.getElementById('announced').textContent") == "BTCUSDT: SELL"
    assert browser.text("#connection") == "Connected: it goes on with each signal."
    assert browser.errors() == []


@pytest.mark.long
def test_a_rollback_moves_the_alias_and_is_told(
    browser: Browser, shown: Served, shelf: Shelf
) -> None:
    browser.log_in(shown.address, shown.token)
    browser.find("#rollback-reason").send_keys("it lost money", Keys.TAB)
    browser.click("#deployments button")
    assert in_place() == 1 and shelf.ledger().entries[-2].why == "it lost money"
    assert "Rolled back" in browser.text("#deployments .done")
    assert "rolled back it lost money" in browser.text("#deployments tbody tr")
    browser.driver.refresh()
    assert [entry.kind for entry in shelf.ledger().entries].count("rollback") == 1
    assert browser.errors() == []


@pytest.mark.long
def test_a_change_of_what_was_not_shown_is_refused_beside_its_form(
    browser: Browser, shown: Served, shelf: Shelf
) -> None:
    browser.log_in(shown.address, shown.token)
    shelf.put(3)
    browser.find("#rollback-reason").send_keys("it lost money")
    choose(browser, "#rollback-version", "1")
    browser.click("#deployments button")
    assert in_place() == 3
    refusal = browser.find("#deployments [role=alert]")
    assert "Not done" in refusal.text and "went on" in refusal.text
    assert browser.driver.switch_to.active_element == refusal, "a reader begins there"
    assert browser.find("#rollback-reason").get_attribute("value") == "it lost money"
    browser.click("#deployments button")
    assert in_place() == 1, "now the page has shown it"


@pytest.mark.long
def test_a_version_whose_gates_failed_is_refused_with_their_names_and_another_promoted(
    browser: Browser, shown: Served, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The versions hold no model: what is told of a promotion is real, its trial is not."""

    def promote(_name: str, number: int, _alias: str, why: Grounds, **_: Any) -> Entry | None:
        if number == 4 and not why.force:
            raise GatesNotPassedError("its gates have not passed", ("ece",))
        return shelf.put(number, why.reason)

    monkeypatch.setattr(deployments, "own_judging", lambda _, settings, *__, **___: settings)
    monkeypatch.setattr(deployments, "promote", promote)
    judged(tmp_path, 4, PASSED, FAILED)
    MlflowClient().set_model_version_tag(NAME, "4", VERDICT_TAG, "failed: ece")
    browser.log_in(shown.address, shown.token)
    assert "It is stopped by ece" in browser.text("#versions")
    choose(browser, "#promote-version", "4: failed: ece")
    browser.click("#versions button")
    assert "Failed gates: ece" in browser.text("#versions [role=alert]") and in_place() == 2
    browser.find("#force").click()
    browser.click("#versions button")
    assert "a forced promotion needs one" in browser.text("#versions [role=alert]")
    assert browser.find("#force").is_selected() and in_place() == 2
    browser.find("#promote-reason").send_keys("to try it")
    browser.click("#versions button")
    assert in_place() == 4 and shelf.ledger().entries[-2].why == "to try it"
    assert "Promoted" in browser.text("#versions .done")


@pytest.mark.long
def test_a_training_is_started_followed_and_cancelled(
    browser: Browser, shown: Served, trains: list[str]
) -> None:
    browser.log_in(shown.address, shown.token)
    browser.find("#epochs").send_keys("4")
    browser.click("#training form button")
    assert "tcn_lstm on BTCUSDT: running" in browser.text("#training")
    job = Jobs(shown.settings.manage.folder).last()
    assert job is not None and job.asked["epochs"] == 4 and job.asked["batch_size"] is None
    tell_the_store(shown)
    browser.until(lambda: "3 of at most 4" in browser.text("#training"))
    assert browser.find("#progress").get_attribute("value") == "75"
    browser.click("#cancel")
    browser.until(lambda: "tcn_lstm on BTCUSDT: cancelled" in browser.text("#training"))
    assert browser.errors() == []


@pytest.mark.long
def test_a_change_of_the_ensemble_is_asked_for_followed_and_told_with_the_gates_that_stop_it(
    browser: Browser, shown: Served, changes: Path, tmp_path: Path
) -> None:
    browser.log_in(shown.address, shown.token)
    browser.find("#weight-near").send_keys("0.75")
    choose(browser, "#strategy", "majority")
    browser.find("#votes-far").click()
    assert not browser.find("#votes-far").is_selected()
    browser.find("#change-reason").send_keys("to try it")
    browser.click("#ensemble button[formaction]")
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("strategy majority; weight of near 0.75; far disabled, ")
    assert asked.endswith(", to try it") and shown.tag().strip('"') in asked
    assert "The change has begun" in browser.text("#ensemble .done")
    browser.find("#weight-near").send_keys("0.5")
    browser.click("#ensemble button[formaction]")
    assert "has run since" in browser.text("#ensemble [role=alert]"), "one at a time"
    assert browser.find("#weight-near").get_attribute("value") == "0.5"
    run = change_in_the_store(shown, failed="ece")
    browser.until(lambda: "register: finished" in browser.text("#ensemble .stages"))
    judged(tmp_path, 3, PASSED, FAILED)
    changes.touch()
    MlflowClient().set_terminated(run, "FINISHED")
    browser.until(lambda: "Gates that stop it" in browser.text("#ensemble"))
    assert "ece: 0.2, held against <= 0.05" in browser.text("#ensemble") and in_place() == 2


@pytest.mark.long
def test_what_a_change_would_do_is_shown_and_nothing_is_changed(
    browser: Browser, shown: Served, looked: list[WhatIf]
) -> None:
    browser.log_in(shown.address, shown.token)
    before = shown.tag()
    choose(browser, "#strategy", "majority")
    browser.find("#weight-near").send_keys("0.75")
    browser.find("#votes-far").click()
    browser.click("#ensemble form button")
    assert looked == [WhatIf(strategy="majority", weights={"near": 0.75}, disabled=("far",))]
    told = browser.text("#ensemble .box")
    for part in (
        *("accuracy 0.500 [0.400, 0.600] - - not known", "minutes answered 1.000 0.000 -1.000"),
        *("9 minutes that equal about 4 independent labels", "Only the gates decide"),
    ):
        assert part in told
    assert browser.find("#weight-near").get_attribute("value") == "0.75"
    assert not browser.find("#votes-far").is_selected() and not browser.errors()
    assert shown.tag() == before and in_place() == 2


def test_a_member_is_disabled_at_once_and_enabled_again(
    browser: Browser, shown: Served, shelf: Shelf
) -> None:
    browser.log_in(shown.address, shown.token)
    choose(browser, "#member", "far")
    browser.find("#member-reason").send_keys("it lags")
    browser.click("#ensemble button[value=false]")
    assert "far no, disabled at once: it lags" in browser.text("#ensemble table")
    assert "1 of 3 members vote" in browser.text("#ensemble")
    assert "far disabled by" in browser.text("#deployments")
    assert shelf.kinds()[-1] == ("disabled", 2) and in_place() == 2
    choose(browser, "#member", "far")
    browser.click("#ensemble button[value=true]")
    assert shelf.kinds()[-1] == ("enabled", 2)
    assert "2 of 3 members vote" in browser.text("#ensemble") and not browser.errors()


@pytest.mark.long
def test_every_control_is_reached_by_the_keyboard_in_order_and_has_a_name(
    browser: Browser, shown: Served
) -> None:
    browser.log_in(shown.address, shown.token)
    focusable = "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']"
    controls = [one for one in browser.all(focusable) if one.get_attribute("class") != "skip"]
    keys = ActionChains(browser.driver)
    keys.send_keys(Keys.TAB).perform()
    assert browser.driver.switch_to.active_element.text == "Skip to the content"
    for control in controls:
        if control.is_displayed():
            keys.send_keys(Keys.TAB).perform()
            reached = browser.driver.switch_to.active_element
            assert reached == control, (
                reached.get_attribute("outerHTML"),
                control.get_attribute("outerHTML"),
            )
            assert reached.value_of_css_property("outline-style") != "none", "focus is seen"
    told = browser.command("Accessibility.getFullAXTree")["nodes"]
    spoken = [one for one in told if not one["ignored"] and one["role"]["value"] in NAMED]
    assert [one for one in spoken if not one["name"]["value"].strip()] == []
    roles = {one["role"]["value"] for one in spoken}
    assert {
        "link",
        "button",
        "textbox",
        "combobox",
        "checkbox",
        "image",
        "table",
        "region",
    } <= roles
    titles = [one.get_attribute("tagName") for one in browser.all("h1, h2, h3")]
    assert titles[0] == "H1" and titles.count("H1") == 1
    assert not any(
        later > before + "1"
        for before, later in pairwise(titles)
        if later == "H3" and before == "H1"
    )


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read_in_either_scheme(
    scheme: str, browser: Browser, shown: Served
) -> None:
    browser.look(scheme, 390, 844)
    browser.command("Network.clearBrowserCookies")
    browser.driver.get(shown.address)
    for log_in in (False, True):
        if log_in:
            browser.log_in(shown.address, shown.token)
            back = browser.run("getComputedStyle(document.body).backgroundColor")
            assert (back == "rgb(255, 255, 255)") is (scheme == "light")
            assert browser.driver.execute_script(CONTRAST) == []
        assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.driver.execute_script(OUTSIDE) == []


@pytest.mark.long
def test_without_session_or_ensemble_each_section_says_what_is_missing(
    browser: Browser, api: Served
) -> None:
    browser.log_in(api.address, api.token)
    assert "no live session has told of itself" in browser.text("#live")
    browser.until(lambda: "No live session runs" in browser.text("#connection"))
    assert "No version is in place" in browser.text(".lacking")
    assert "no version is in place" in browser.text("#ensemble")
    assert "Nothing was in place yet" in browser.text("#deployments")
    assert browser.errors() == []
