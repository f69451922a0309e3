"""The report in a real browser, where there is one: nothing overflows on a desktop or a phone, by day or by night."""

import html
import re
import shutil
import subprocess

import pytest
from PIL import Image
from test_report import make_run

from monitoring.report import make_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium here")

QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]

# Shown in a frame of the device's width; what was measured becomes the title of the outer page.
MEASURE = """<!doctype html><title>not measured</title><iframe id="f" style="border:0;width:{width}px;height:900px"
srcdoc="{page}"></iframe><script>
document.getElementById("f").onload = (event) => {{
  const page = event.target.contentDocument, wide = page.documentElement.scrollWidth;
  const small = [...page.querySelectorAll("svg.timeline, .chart > svg:not(.key)")].map(
    (svg) => 12 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width);
  const players = [...page.querySelectorAll("audio, img")].map((x) => x.getBoundingClientRect().width);
  const broken = [...page.images].filter((image) => !image.naturalWidth).length;
  const columns = getComputedStyle(page.querySelector(".cards")).gridTemplateColumns.split(" ").length;
  document.title = JSON.stringify([wide, Math.min(...small), Math.min(...players), broken, columns]);
  event.target.remove();
}};</script>"""


def browse(tmp_path, *options):
    command = [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "a_run_with_quite_a_long_name_that_has_no_place_to_break_at_all"
    )
    return make_report([folder], folder / "report.html")


@pytest.mark.parametrize(("width", "columns"), [(1280, 3), (390, 1)])
def test_nothing_overflows(report, tmp_path, width, columns):
    outer = tmp_path / "outer.html"
    outer.write_text(MEASURE.format(width=width, page=html.escape(report.read_text())))
    dom = browse(tmp_path, "--virtual-time-budget=5000", "--dump-dom", outer.as_uri())
    measured = re.search(r"<title>\[(.*)\]</title>", dom)
    assert measured, dom[:500]
    wide, smallest_text, narrowest, broken, found = map(float, measured[1].split(","))
    assert wide == width  # no sideways scrolling
    assert smallest_text >= 8.5  # pixels, of the figures' labels
    assert narrowest >= 140 and broken == 0
    assert found == columns


@pytest.mark.parametrize(("night", "paper"), [(False, (255, 255, 255)), (True, (17, 21, 27))])
def test_it_follows_light_and_dark(report, tmp_path, night, paper):
    picture = tmp_path / "shot.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if night else ["--blink-settings=preferredColorScheme=1"]
    browse(tmp_path, *dark, "--window-size=1280,1600", f"--screenshot={picture}", report.as_uri())
    with Image.open(picture) as image:
        shot = image.convert("RGB")
    assert shot.size == (1280, 1600) and shot.getpixel((2, 2)) == paper
    colours = {colour for _, colour in shot.getcolors(10**7)}
    assert len(colours) > 100  # curves and letters, not an empty page
