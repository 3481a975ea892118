import io
import json
import re
import shutil
import socket
import struct
import tempfile
import time
import zipfile
import zlib
from dataclasses import replace
from html import escape
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from functions.app import server
from functions.app.environment import isolated, sweep
from tests.functions.app.conftest import write_slice

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.filterwarnings("ignore")            # Pillow's about damaged files, pandas' about Gradio
# As templates of Gradio's HTML field these would become 49 and 64.
STRANGE = ["AD{{7}}${7*7}", "CN<i>${8*8}</i>", "MCI"]


@pytest.fixture(scope="module")
def served(predictor, tmp_path_factory):
    """(address, upload folder, Actions, page) of a page that is served in this process."""
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(temporary))
        patched.chdir(tmp_path_factory.mktemp("cwd"))
        with isolated() as folder:
            from data_setup.images.read import read_gray
            from functions.app.page import Actions, build_page

            actions = Actions(replace(predictor, class_names=STRANGE), read_gray, folder)
            page = build_page(actions, "Try a model", ["A CAVEAT"], ["model: best.pt"])
            with server.serving(page, folder, free_port()) as address:
                yield address, folder, actions, page
                assert list(Path.cwd().iterdir()) == [], "nothing is written to the working folder"
                assert list(temporary.iterdir()) == [folder], "nor to the system's temporary folder"
            actions.close()


def free_port():
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served[0] + "gradio_api/", timeout=120, trust_env=False) as client:
        yield client


def upload(client, files):
    return client.post("upload", files=[("files", file) for file in files])


def predict(client, paths):
    """The outputs of the page's event for uploaded paths, or the error."""
    data = [[{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]]
    joined = client.post("call/predict", json={"data": data})
    assert joined.status_code == 200, joined.text
    streamed = client.get(f"call/predict/{joined.json()['event_id']}").text
    kind, content = re.search(r"event: (complete|error)\ndata: (.*)\n", streamed).groups()
    return json.loads(content) if kind == "complete" else json.loads(content)["error"]


def wait_until(reached):
    """A response arrives before the server is done with its request."""
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def png(size, content, mode=0):
    """A PNG whose header claims `size`, gray (mode 0) or RGB (2), with `content` as compressed pixels."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, mode, 0, 0, 0))
            + chunk(b"IDAT", content) + chunk(b"IEND", b""))


def saved(kind, size=(12, 16), **options):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, size[::-1], dtype=np.uint8)).save(file, kind, **options)
    return file.getvalue()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.png", b"0" * 100_000)
    return file.getvalue()


def hostile_uploads(count=300):
    """(name, content) of `count` different files: truncated, bombs, wrong types, damaged, with strange names."""
    rng = np.random.default_rng(0)
    whole = [saved(kind) for kind in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000")]
    nothing = zlib.compress(b"\0" * 200)
    frames = io.BytesIO()
    Image.new("L", (4, 4)).save(frames, "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 255)])
    nan = io.BytesIO()
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(nan, "TIFF")
    others = [b"", b"\0", b"GIF89a", b"II*\0" + b"\xff" * 30, b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBPVP8 ",
              b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ls) system", b"\x80\x04cos\nsystem\n(S'ls'\ntR.",
              b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", b"<html>" * 9, b"%PDF-1.7\n",
              zipped(), frames.getvalue(), nan.getvalue(), png((30000, 30000), nothing), png((2**31 - 1, 1), nothing),
              png((60000, 60000), zlib.compress(b"\0" * 10**6), 2), png((0, 5), nothing), png((5, 5), b"no zlib"),
              png((1, 40000), zlib.compress(b"\0\1" * 40000)), png((4096, 1), zlib.compress(b"\0" + b"\7" * 4096)),
              b"P5 99999 99999 255\n", b"P5\n4 4\n255\n" + b"a" * 16, b"BM" + b"\xff" * 60]
    names = ["{}.png", "../../{}.png", "..\\..\\{}.jpg", "/etc/{}", "{}" + "n" * 3000 + ".png", "{}\u202egnp.exe",
             "é☃中文{}.tif", "{}", ".{}", "{}.png\0.exe", "{} <script>alert(1)</script>.svg", "CON{}.png",
             "{}%00%2e.png", "{}\r\nX-A: b.png", "sub-{}_z1.png", "{}.pt"]
    for number in range(count):
        kind = number % 3
        if kind == 0:                                                   # truncated
            body = whole[number % len(whole)]
            content = body[:int(rng.integers(1, len(body)))]
        elif kind == 1:                                                 # damaged
            body = bytearray(whole[number % len(whole)])
            for place in rng.integers(0, len(body), 8):
                body[place] = rng.integers(0, 256)
            content = bytes(body)
        else:
            content = others[number // 3 % len(others)]
        if number == 2:                                                 # 18 million pixels in 17 kB, which are decoded
            content = png((4200, 4200), zlib.compress(b"\0" * 4201 * 4200))
        yield names[number % len(names)].format(number), content


def test_hostile_uploads_are_lines_of_the_page_and_leave_nothing_behind(served, client, tmp_path):
    """Six requests of fifty files and a good one: each file has its line, and the good one its prediction."""
    _, folder, actions, _ = served
    good = write_slice(tmp_path / "good.png", 77)
    expected = actions.predictor.answer([good]).patient
    line = f"good.png</strong><br>{escape(STRANGE[expected.argmax()])} {expected.max():.1%}"
    files, total, errors = list(hostile_uploads()), 0, 0
    assert len(files) == 300
    for start in range(0, len(files), 50):
        sent = [*files[start:start + 50], ("good.png", Path(good).read_bytes())]
        done = upload(client, sent)
        assert done.status_code == 200, done.text
        paths = done.json()
        assert len(paths) == 51
        assert all(Path(path).parent.parent == folder for path in paths), "whatever the name"
        html = predict(client, paths)[1]
        lines = len(re.findall(r'<li><img alt=""', html)), len(re.findall("<li><strong>", html))
        assert sum(lines) == 51
        assert line in html
        assert "<script" not in html
        assert str(folder) not in html
        assert list(folder.iterdir()) == []
        total, errors = total + sum(lines), errors + lines[1]
    assert total == 306
    assert errors > 210, "the files are to be hostile: most cannot be read"


def test_what_the_server_refuses_leaves_nothing_behind(served, client, monkeypatch):
    """A name that is no name, a body that is no form, a file that is too large, a form that ends early."""
    _, folder, _, page = served
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    monkeypatch.setattr(page, "max_file_size", 1000)
    answers = [upload(client, [("..", b"x")]), client.post("upload", content=b"x"),
               client.post("upload", content=part, headers={"Content-Type": "multipart/form-data"}),
               upload(client, [("big.png", b"x" * 1001)]),
               client.post("upload", content=part.replace(b"name=", b"nom="), headers=form)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 413, 400]
    client.post("upload", content=part + b"ends early", headers=form)
    wait_until(lambda: not [path for path in folder.rglob("*") if path.is_file()])
    mixed = upload(client, [("good.png", b"x"), ("..", b"x")])
    assert mixed.status_code == 400
    sweep(folder, 0)                               # what waits is deleted when it is old
    assert list(folder.iterdir()) == []


def test_only_uploads_are_read_and_the_queue_is_not_bypassed(served, client, predictor, monkeypatch):
    _, folder, _, _ = served
    training = predictor.reference.paths[0]

    def downloaded(*arguments, **options):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", downloaded)
    monkeypatch.setattr("gradio.processing_utils.save_url_to_cache", downloaded)
    for path in (training, "/etc/passwd", f"{folder}/../../etc/passwd", str(folder / ".." / "x.png")):
        assert "was not uploaded by a user" in predict(client, [path])
    for path in ("http://127.0.0.1:9/x.png", "https://example.com/x.png"):
        assert predict(client, [path]) == "addresses are not downloaded: upload the file"
    assert "unsupported" not in str(predict(client, [str(folder)])), "the folder itself is no file"
    assert Path(training).exists()
    assert folder.exists()
    for path in (f"file={training}", "file=/etc/passwd", "file=https://example.com/x"):
        assert client.get(path).status_code == 404
    assert client.post("run/predict", json={"data": [[]]}).status_code == 404
    assert "no file was uploaded" in predict(client, [])[1]


def test_the_server_listens_on_this_computer_only_and_keeps_no_log_of_requests(served):
    _, _, _, page = served
    sockets = [listening for one in page.server.servers for listening in one.sockets]
    assert {listening.getsockname()[0] for listening in sockets} == {"127.0.0.1"}
    assert (page.share, page.share_url, page.analytics_enabled, page.run_history, page.api_open) == (
        False, None, False, False, False)
    assert page.max_file_size == server.MAX_FILE


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page in")
def test_a_slice_is_dropped_and_answered_in_a_browser_at_desk_and_phone_width(served, browser, tmp_path):
    """The page asks no other server for anything, and needs no scrolling sideways."""
    address, folder, _, _ = served
    paths = [write_slice(tmp_path / "one.png", 7), write_slice(tmp_path / "seen.png", 8)]
    (tmp_path / "bad.png").write_bytes(b"no image")
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    asked, problems = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    page.set_input_files("input[type=file]", [*paths, str(tmp_path / "bad.png")])
    page.get_by_text("passes its tests").or_(page.get_by_text("This map: fails")).wait_for(timeout=60_000)
    text = page.inner_text("body")
    for shown in ("Research only, not a diagnosis", "A CAVEAT", "mean over 2 slices", *STRANGE, "calibrated for slices",
                  "bad.png: unsupported", "seen in training: 1 of 2", "Most similar training slices", "distance "):
        assert shown in text, shown
    assert page.locator("#vd-map img, #vd-similar img").evaluate_all(
        "images => images.map(image => image.naturalWidth > 0)") == [True] * 6

    page.get_by_label("attention").check()
    page.get_by_label("Layer").wait_for()
    page.get_by_alt_text("one.png: attention, layer 2 of 2, mean of 3 heads").wait_for(timeout=60_000)
    page.set_viewport_size({"width": 390, "height": 800})
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.get_by_text("Research only, not a diagnosis").bounding_box()
    assert 0 <= box["y"] < 100, "always visible"
    page.close()
    assert problems == []
    assert {re.match(r"(?:blob:)?(\w+://[^/]*/|data:)", url)[1] for url in asked} <= {address, "data:"}
    assert list(folder.iterdir()) == []
