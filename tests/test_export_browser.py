"""export --to html in a real browser: files, paste, typing, wrong files, narrow screens, keyboard, print, axe."""

import base64
import csv
import io
import itertools
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from export_workspace import ABOUT, as_csv, network_for, prepared, random_events, specification

from mortcond.deploy import page, preparation
from mortcond.deploy.risk_rows import COLUMNS

SPEC = specification("extended")
NETWORK = network_for(SPEC)
AXE = Path(os.environ.get("MORTCOND_AXE", "node_modules/axe-core/axe.min.js"))
ROW = "stay_id,hours,variable,value\n"


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that may ask for nothing but files."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not binary or not chromedriver:
        pytest.skip("there is no chromium with chromedriver on this machine")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1200,900",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = selenium.ChromeService(chromedriver)
    with selenium.Chrome(options=options, service=service) as driver:
        driver.set_script_timeout(60)
        yield driver


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "risk.html"
    path.write_text(page.write(NETWORK, preparation.of(SPEC), ABOUT, page.read_strings()), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, file):
    """The page, newly opened; afterwards nothing may have gone wrong in it, and nothing been asked of a network."""
    browser.set_window_size(1200, 900)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(file.as_uri())
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in asked if event["method"] == "Network.requestWillBeSent"]
    assert not [url for url in urls if not url.startswith(("file:", "blob:", "data:"))]


def find(browser, selector: str):
    return browser.find_element("css selector", selector)


def all_of(browser, selector: str):
    return browser.find_elements("css selector", selector)


def wait_for(browser, selector: str):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30).until(lambda driver: next(iter(all_of(driver, selector)), None))


def give(browser, *paths: Path) -> None:
    find(browser, "#file").send_keys("\n".join(map(str, paths)))


def paste(browser, text: str) -> None:
    browser.execute_script("document.getElementById('pasted').value = arguments[0]", text)
    find(browser, "#use-pasted").click()


def shown_risk(browser) -> float:
    """Return the risk that is shown, as soon as one is."""
    wait_for(browser, "strong[data-risk]")
    return browser.execute_script("return Number(document.querySelector('strong[data-risk]')?.dataset.risk)")


def saved(browser) -> list[dict[str, str]]:
    """Return the rows of the CSV that the page would save."""
    return list(csv.DictReader(io.StringIO(browser.execute_script("return asCsv()"))))


def expected(folder: Path, events: str) -> tuple[list[int], np.ndarray]:
    ids, X = prepared(folder, events, SPEC)
    return ids.tolist(), NETWORK.predict(X)


def test_a_file_of_several_stays(opened, tmp_path):
    events = as_csv(random_events(SPEC, 7))
    ids, risks = expected(tmp_path, events)
    give(opened, tmp_path / "events.csv")
    assert shown_risk(opened) == pytest.approx(risks[0], abs=1e-5)
    rows = saved(opened)
    assert [int(row["stay_id"]) for row in rows] == ids
    np.testing.assert_allclose([float(row["risk"]) for row in rows], risks, rtol=0, atol=1e-5)
    all_of(opened, "[data-stay] button")[4].click()
    assert shown_risk(opened) == pytest.approx(risks[4], abs=1e-5)
    assert find(opened, "[aria-current]").get_attribute("data-stay") == str(ids[4])


def test_a_stay_in_full_is_what_predict_says_of_parts_of_its_table(opened, tmp_path):
    """By hour: of the rows until then. Moved: without a variable's rows."""
    rows = [row for row in random_events(SPEC, 3) if row[0] == 1]
    paste(opened, as_csv(rows))
    shown_risk(opened)
    table = opened.execute_script(
        "return [...document.querySelectorAll('details td')].map((cell) => Number(cell.dataset.risk))"
    )
    for until in (10, 30, 48):
        part = [row for row in rows if row[1] <= until]
        _, risks = expected(tmp_path / f"until{until}", as_csv(part))
        assert table[until - 1] == pytest.approx(risks[0], abs=1e-5)
    moved = opened.execute_script(
        "return [...document.querySelectorAll('.moved tbody tr')].map((row) => "
        "[row.cells[0].textContent, Number(row.cells[1].dataset.without)])"
    )
    assert len(moved) > 20
    for index, (name, without) in enumerate(moved[:3]):
        _, risks = expected(tmp_path / f"without{index}", as_csv(row for row in rows if row[2] != name))
        assert without == pytest.approx(risks[0], abs=1e-5)


def test_what_was_left_out_is_told_with_its_reason(opened):
    rows = ["Heart Rate,80", "Heart Rate,5000", "Heart Rate,fast", "Temperature,3", "Hair colour,grey"]
    paste(opened, ROW + "".join(f"5,1,{row}\n" for row in rows) + "5,60,pH,7.2\n")
    shown_risk(opened)
    reasons = [row.text for row in all_of(opened, "#left tbody tr")]
    assert len(reasons) == 4
    for text, wanted in zip(reasons, ("above the plausible range", "not readable", "below", "not within"), strict=True):
        assert wanted in text
    assert "row 3" in reasons[0]
    assert "Hair colour (1)" in find(opened, "#ignored").text
    never = find(opened, "#never").text
    assert "Temperature" in never
    assert "Heart Rate" not in never


def test_typing_gives_what_the_same_table_gives(opened, tmp_path):
    find(opened, "#example").click()
    typed = shown_risk(opened)
    cells = page.example(preparation.of(SPEC))
    names = [measure.name for measure in preparation.of(SPEC).measures]
    _, risks = expected(tmp_path, as_csv((1, hour + 1.0, names[index], text) for hour, index, text in cells))
    assert typed == pytest.approx(risks[0], abs=1e-5)
    cell = find(opened, "[aria-label='Heart Rate, hour 1']")
    assert cell.get_attribute("value") == "118"
    cell.clear()
    cell.send_keys("9999")
    assert cell.get_attribute("aria-invalid") == "true"
    assert "above the plausible range" in wait_for(opened, "#left").text
    find(opened, "#clear").click()
    wait_for(opened, "#stay:empty")
    assert "Nothing has been measured" in find(opened, "#status").text


def test_facts_are_typed_too(opened):
    find(opened, "#example").click()
    before = shown_risk(opened)
    find(opened, "[data-fact='age']").send_keys("91")
    find(opened, "[data-fact='sex'] option[value='M']").click()
    wait_until(opened, lambda: shown_risk(opened) != before)


def wait_until(browser, condition) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda driver: condition())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\x14\0\0\0", "no text"),
        (b"", "empty"),
        (b"time,value\n1,2\n", "Columns are missing: stay_id, hours, variable"),
        (b"stay_id,hours,variable,value\n1,1,Heart Rate,80\n1,x,Heart Rate,80\n", "Row 3|In row 3"),
    ],
)
def test_a_wrong_file_is_told_and_nothing_computed(opened, tmp_path, content, message):
    paste(opened, ROW + "1,1,Heart Rate,80\n")
    shown_risk(opened)
    (tmp_path / "wrong.csv").write_bytes(content)
    give(opened, tmp_path / "wrong.csv")
    fault = wait_for(opened, ".fault[class]").text
    assert re.search(message, fault)
    assert not all_of(opened, "[data-risk]")


def test_dropped_files_and_facts_of_their_stays(opened, tmp_path):
    events = ROW + "3,1,Heart Rate,80\n"
    stays = "stay_id,subject_id,age,sex,icu_type\n3,3,91,female,MICU\n"
    _, X = prepared(tmp_path, events, SPEC, stays)
    opened.execute_script(
        """
        const data = new DataTransfer();
        for (const text of arguments[0]) data.items.add(new File([text], "a.csv"));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        """,
        [stays, events],
    )
    assert shown_risk(opened) == pytest.approx(float(NETWORK.predict(X)[0]), abs=1e-5)


def test_two_hundred_stays_at_once(opened, tmp_path):
    events = as_csv(random_events(SPEC, 11, stays=200, rows=100))
    ids, risks = expected(tmp_path, events)
    give(opened, tmp_path / "events.csv")
    wait_until(opened, lambda: len(all_of(opened, "[data-stay]")) == 200)
    rows = saved(opened)
    assert [int(row["stay_id"]) for row in rows] == ids
    np.testing.assert_allclose([float(row["risk"]) for row in rows], risks, rtol=0, atol=1e-5)


def test_a_phone_needs_no_sideways_scrolling(opened):
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        opened.refresh()
        find(opened, "#example").click()
        shown_risk(opened)
        width = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1] == 400
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_all_can_be_done_by_keyboard(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys):
        ActionChains(opened).send_keys(*keys).perform()

    def focused(attribute: str):
        return opened.switch_to.active_element.get_attribute(attribute)

    def tab_to(identity: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            if focused("id") == identity:
                return
        raise AssertionError(f"the keyboard does not reach {identity}")

    press(Keys.TAB)
    assert focused("class") == "skip"
    tab_to("file")
    tab_to("example")
    press(Keys.ENTER)
    first = shown_risk(opened)
    find(opened, "[aria-label='Heart Rate, hour 1']").send_keys(Keys.ARROW_DOWN)
    assert focused("aria-label") == "Height, hour 1"
    press(Keys.ARROW_UP)
    ActionChains(opened).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()
    press(Keys.BACKSPACE)
    press(Keys.ARROW_RIGHT)
    assert focused("aria-label") == "Heart Rate, hour 2"
    press("140")
    wait_until(opened, lambda: shown_risk(opened) != first)


def test_print_takes_one_page_and_keeps_the_notice(opened):
    find(opened, "#example").click()
    shown_risk(opened)
    printed = opened.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    assert pdf.count(b"/Type /Page\n") == 1
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert find(opened, ".notice").is_displayed()
        assert not find(opened, "#grid").is_displayed()
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_what_is_saved_has_the_columns_of_predict(opened):
    paste(opened, ROW + "1,1,Heart Rate,80\n2,1,Heart Rate,x\n")
    shown_risk(opened)
    rows = saved(opened)
    assert list(rows[0]) == [*COLUMNS, "left_out"]
    assert (rows[1]["risk"], rows[1]["left_out"]) == ("", "1")
    assert rows[1]["reason"] == "no_events_in_window (needs an event in the first 48 hours)"
    assert "Temperature" in rows[0]["never_measured"].split(";")
    assert rows[0]["warning"] == "Nothing was measured in 47 of 48 hours."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(opened, scheme):
    if not AXE.is_file():
        pytest.skip("there is no axe-core: npm install axe-core, or name axe.min.js with MORTCOND_AXE")
    media = {"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    paste(opened, ROW + "1,1,Heart Rate,80\n1,1,Temperature,3\n2,1,Heart Rate,70\n")
    shown_risk(opened)
    opened.execute_script(AXE.read_text(encoding="utf-8"))
    found = opened.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert [(fault["id"], [node["html"] for node in fault["nodes"]][:3]) for fault in found["violations"]] == []
    assert len(found["passes"]) > 20
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.mark.slow
@pytest.mark.parametrize("count", [100])
def test_real_stays_get_the_risks_of_predict(opened, test_data, tmp_path, count):
    """PhysioNet 2012, set A: 48 hours of real stays as a table of events."""
    events = real_events(test_data / "physionet2012" / "set-a.tar.gz", count)
    ids, risks = expected(tmp_path, events)
    give(opened, tmp_path / "events.csv")
    wait_until(opened, lambda: len(all_of(opened, "[data-stay]")) == len(ids))
    np.testing.assert_allclose([float(row["risk"]) for row in saved(opened)], risks, rtol=0, atol=1e-5)


def real_events(archive: Path, count: int) -> str:
    names = {item: variable.name for variable in SPEC.variables for item in variable.items("physionet2012")}
    rows = [ROW]
    with tarfile.open(archive) as files:
        members = (member for member in files if member.name.endswith(".txt"))
        for member in itertools.islice(members, count):
            _, *lines = files.extractfile(member).read().decode().splitlines()
            record = next(line.split(",")[2] for line in lines if ",RecordID," in line)
            for time, parameter, value in (line.split(",") for line in lines if line.count(",") == 2):
                hours, minutes = map(int, time.split(":"))
                if parameter in names and value != "-1":
                    rows.append(f"{record},{hours + minutes / 60!r},{names[parameter]},{value}\n")
    return "".join(rows)
