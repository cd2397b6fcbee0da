"""The documentation: it builds without a warning, and what its pages refer to is there."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.slow


class References(HTMLParser):
    """The addresses that a page refers to."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("href", "src") and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built pages."""
    pytest.importorskip("myst_nb", reason='needs pip install ".[docs]"')
    pytest.importorskip("pydata_sphinx_theme")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "docs", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


def test_links_and_pictures_are_there(site):
    broken = []
    for page in (each for each in site.rglob("*.html") if "_static" not in each.parts):
        for reference in References(page).found:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            if not (page.parent / unquote(parts.path)).exists():
                broken.append((page.name, reference))
    assert not broken


def test_every_page_is_there_and_search_knows_words(site):
    for page in (ROOT / "docs").rglob("*.md"):
        if "_" not in page.parts[-2]:
            assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").exists(), page
    assert re.search(r'"?probabl\w*"?:', (site / "searchindex.js").read_text())


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it(site, width, mode):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        for page in ("index.html", "start.html", "gallery.html", "search.html?q=probabilities"):
            driver.get(f"{site.as_uri()}/{page}")
            driver.execute_script("document.documentElement.dataset.theme = arguments[0]", mode)
            assert driver.execute_script(
                "return [...document.images].every(each => each.complete && each.naturalWidth > 0)"
            )
        errors = [each for each in driver.get_log("browser") if each["level"] == "SEVERE"]
        assert not errors
    finally:
        driver.quit()
