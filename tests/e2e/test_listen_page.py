"""listen.py in a real browser: generate, listen, upload, a phone; and nothing leaves this machine."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_exports import STEPS, tiny_export

import listen
from kinds.audio.files import write_wav

ROOT = Path(__file__).parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
PATIENCE = 180_000  # ms; machines may be busy
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser (chromium) here")
pytest.importorskip("gradio", reason="the page needs the package gradio")
playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven by the package playwright")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder with its export and samples."""
    folder = tiny_export(tmp_path_factory.mktemp("page") / "a_run", labels=True, **STEPS)
    (folder / "samples").mkdir()
    noise = np.random.default_rng(0).standard_normal(12000).astype(np.float32)
    for stem in ("epoch_0005_0", "real_0"):
        write_wav(folder / "samples" / f"{stem}.wav", 0.1 * noise)
        shutil.copyfile(ROOT / "docs" / "recipe_sprites.png", folder / "samples" / f"{stem}.png")
    return folder


@pytest.fixture(scope="module")
def address(folder, tmp_path_factory):
    port = free_port()
    command = [sys.executable, str(ROOT / "listen.py"), "--checkpoint", str(folder), "--port", str(port)]
    env = os.environ | {"TMPDIR": str(tmp_path_factory.mktemp("work"))}
    server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = server.stdout.readline()
    assert f"http://127.0.0.1:{port}" in said, said + server.stdout.read()
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    assert server.wait(60) == 143
    assert list(Path(env["TMPDIR"]).glob("listen-*")) == []


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        one = driver.chromium.launch(executable_path=BROWSER, args=flags)
        yield one
        one.close()


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#make-new")
    yield page
    outside = {url for url in page.asked if not url.startswith((address, "data:", "blob:"))}
    assert outside == set()
    page.close()


def heard(page, number: int) -> list[np.ndarray]:
    """The sound of the players, as the server gives it to them."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end:
        urls = dict.fromkeys(url for url in page.asked if url.endswith(".wav"))
        if len(urls) >= number:
            break
        page.wait_for_timeout(200)
    sounds = []
    for url in urls:
        with urllib.request.urlopen(url) as answer:
            sounds.append(soundfile.read(io.BytesIO(answer.read()))[0])
    return sounds


def test_make_and_listen(page, folder, tmp_path):
    page.fill("input[aria-label='Seed']", "7")
    page.click("#make-new")
    sounds = heard(page, 2)
    assert [len(wav) for wav in sounds] == [240_000] * 2 and all(wav.std() > 1e-3 for wav in sounds)
    assert (sounds[0] != sounds[1]).any()
    command = page.input_value("#command-new textarea")
    assert command == f"python generate.py --checkpoint {folder} --seed 7 --num 2 --spectrogram"
    page.wait_for_function("[...document.images].filter((image) => image.naturalWidth > 500).length == 2")
    assert "epoch 1, step 1" in page.inner_text("#message-new")


def test_upload_music_and_what_is_none(page, tmp_path):
    song, text = tmp_path / "song.wav", tmp_path / "notes.txt"
    write_wav(song, 0.1 * np.random.default_rng(1).standard_normal(24000).astype(np.float32))
    text.write_text("no audio")
    page.click("button[role=tab]:has-text('Music')")
    page.click("#make-music")
    page.wait_for_selector("#message-music:has-text('choose a file first')")
    page.set_input_files("#upload input[type=file]", str(song))
    page.wait_for_selector("#upload:has-text('song')")
    page.click("#make-music")
    (wav,) = heard(page, 1)
    assert len(wav) == 24_000 and wav.std() > 1e-3
    assert "--input_audio song.wav --noise_fraction 0.3" in page.input_value("#command-music textarea")
    page.click("#upload button[aria-label*='emove'], #upload button[aria-label='Clear']")
    page.set_input_files("#upload input[type=file]", str(text))
    page.wait_for_selector("#upload:has-text('notes')")
    page.click("#make-music")
    page.wait_for_selector("#message-music:has-text('notes.txt: not audio')")


def test_samples_of_the_run(page):
    page.click("button[role=tab]:has-text('The run')")
    page.click("#make-samples")
    assert [len(wav) for wav in heard(page, 2)] == [12_000] * 2
    page.wait_for_selector(".clip:has-text('epoch 5')")


def test_a_phone(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.goto(address)
    page.set_default_timeout(PATIENCE)
    page.click("#make-new")
    page.wait_for_selector(".clip")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.locator("#make-new").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.close()


def test_only_this_machine_is_served_and_asked(address):
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    port = int(address.rsplit(":", 1)[1])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port)} - {"127.0.0.1", "::1"}
    for other in others:
        with socket.socket(socket.AF_INET6 if ":" in other else socket.AF_INET) as one:
            one.settimeout(5)
            assert one.connect_ex((other, port)) != 0


def test_wrong_options_are_one_sentence(address, folder, capsys):
    port = address.rsplit(":", 1)[1]
    cases = {"--port 80": "--port 80", "--checkpoint nowhere": "does not exist", f"--port {port}": "in use"}
    for options, message in cases.items():
        assert listen.main(["--checkpoint", str(folder), *options.split()]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error
