import re
import shutil

import pytest

from fastnn.reports import page
from fastnn.reports.reproduction import Options, Reproduction

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of two quick experiments, and of one that could not run."""
    folder = tmp_path_factory.mktemp("page")
    work = Reproduction(folder, Options(torch=True, quick=True))
    results = [work.run(name) for name in ("disk", "single-layer")]
    missing = {"mnist-linear": "data set 'mnist': the folder " + "/a/long/path" * 20 + " lacks it"}
    file = folder / "page.html"
    file.write_text(page.render(results, missing, folder))
    return file


def test_it_holds_all_that_it_shows(report):
    """No address of another file: pictures are in it, styles are in it, there is no script."""
    text = report.read_text()
    assert len(re.findall(r'src="data:image/png;base64,', text)) == len(re.findall("<img", text))
    assert len(re.findall("<img", text)) >= 10
    links = set(re.findall(r'(?:src|href)="([^"]{0,8})', text))
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "<script" not in text
    assert "url(" not in text


def test_it_says_what_was_run(report):
    text = report.read_text()
    assert "a tenth of the epochs" in text
    assert "Largest difference in loss over 50 epochs" in text
    assert "Could not run" in text
    for key in ("Network", "Data", "Settings", "Source"):
        assert f"<dt>{key}</dt>" in text


def test_text_is_escaped(report, tmp_path):
    text = page.render([], {"a": "<b>&"}, tmp_path)
    assert "&lt;b&gt;&amp;" in text


@pytest.mark.parametrize(
    ("value", "text"), [(0.07849, "0.0785 s"), (9.5, "9.5 s"), (123.4, "123 s"), (1234.5, "1234 s")]
)
def test_seconds(value, text):
    assert page.seconds(value) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.889, "0.89"), (23.6, "24"), (120.4, "120")])
def test_times(ratio, text):
    assert page.times(ratio) == text


# In a browser


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


LOOK = """
const images = [...document.images];
const scrolls = element => element.closest("pre") !== null;
const kinds = "p, td, th, dd, dt, h1, h2, h3, figcaption, strong, a, summary";
const texts = [...document.querySelectorAll(kinds)]
  .filter(element => element.getClientRects().length && element.textContent.trim());
return {
  broken: images.filter(image => !image.complete || image.naturalWidth === 0).length,
  images: images.length,
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  outside: [...document.body.querySelectorAll("*")].filter(element => !scrolls(element)
    && element.getBoundingClientRect().right > window.innerWidth + 0.5).map(e => e.tagName),
  smallest: Math.min(...texts.map(element => parseFloat(getComputedStyle(element).fontSize))),
  narrowest: Math.min(...images.map(image => image.getBoundingClientRect().width)),
};
"""


def look(browser, file, width):
    """Return the faults of a page of this width, and what the console says."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get_log("browser")  # of pages before
    browser.get(file.as_uri())
    browser.execute_script(
        "document.querySelectorAll('details').forEach(element => element.open = true)"
    )
    seen = browser.execute_script(LOOK)
    seen["errors"] = [each["message"] for each in browser.get_log("browser")]
    return seen


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_readable_in_a_browser(browser, report, width):
    seen = look(browser, report, width)
    assert seen["errors"] == []
    assert seen["images"] >= 10
    assert seen["broken"] == 0
    assert seen["overflow"] <= 0
    assert seen["outside"] == []
    assert seen["smallest"] >= 12
    assert seen["narrowest"] >= 300


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("<script>no.such.thing</script>", "errors"),
        ('<img src="data:image/png;base64,AAAA">', "broken"),
        ('<div style="width: 2000px">wide</div>', "overflow"),
    ],
)
def test_the_browser_finds_faults(browser, report, tmp_path, fault, found):
    file = tmp_path / "faulty.html"
    file.write_text(report.read_text().replace("</main>", fault + "</main>"))
    seen = look(browser, file, 400)
    assert seen[found] if isinstance(seen[found], list) else seen[found] > 0
