import asyncio

import pytest

from functions.app import guard
from functions.app.guard import MAX_MESSAGE, MAX_UPLOAD, Guard

HOST = {"host": "127.0.0.1:7860"}
UPLOAD = "/gradio_api/upload"


def request(folder, method="GET", path="/", headers=HOST, app=None):
    """(status, response headers, whether the request was passed on)."""
    sent, passed = [], []

    async def inner(scope, receive, send):
        passed.append(scope)
        if app:
            await app()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path,
             "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(Guard(inner, folder)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), bool(passed)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost"])
def test_requests_of_this_computer_pass_with_a_policy_that_allows_no_other_server(tmp_path, host):
    status, headers, passed = request(tmp_path, headers={"host": host})
    assert (status, passed, headers[b"a"]) == (200, True, b"b")
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "*" not in policy


@pytest.mark.parametrize("headers", [{}, {"host": "evil.example:7860"}, {"host": "127.0.0.1.evil.example"},
                                     HOST | {"origin": "http://evil.example"}, HOST | {"origin": "null"},
                                     HOST | {"origin": "http://127.0.0.1:9999"},
                                     HOST | {"origin": "http://127.0.0.1:7860.evil.example"}])
def test_requests_of_other_sites_are_refused(tmp_path, headers):
    assert request(tmp_path, headers=headers)[::2] == (403, False)
    assert request(tmp_path, headers=HOST | {"origin": "http://127.0.0.1:7860"})[::2] == (200, True)


@pytest.mark.parametrize("path", ["/gradio_api/file=/etc/passwd", "/file=x", "/gradio_api/file/x",
                                  "/gradio_api/file=https://example.com/a", "/gradio_api/proxy=https://example.com",
                                  "/gradio_api/stream/a/b/c/d.mp4"])
def test_no_file_and_no_other_server_is_reached_through_the_page(tmp_path, path):
    assert request(tmp_path, path=path)[::2] == (404, False)


def test_bodies_have_a_length_and_a_limit(tmp_path, monkeypatch):
    def post(path, length):
        return request(tmp_path, "POST", path, HOST | ({} if length is None else {"content-length": str(length)}))[0]

    assert [post(UPLOAD, length) for length in (MAX_UPLOAD, MAX_UPLOAD + 1, None, "-1", "x")] == [
        200, 413, 411, 411, 411]
    other = [post("/gradio_api/queue/join", length) for length in (MAX_MESSAGE, MAX_MESSAGE + 1, None)]
    assert other == [200, 413, 411]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "waiting.png").write_bytes(b"x" * 60)
    before = sum(path.stat().st_size for path in tmp_path.rglob("*"))
    monkeypatch.setattr(guard, "MAX_FOLDER", before + 40)
    assert [post(UPLOAD, length) for length in (40, 41)] == [200, 503]


def test_what_a_failed_upload_left_is_deleted_unless_another_is_in_progress(tmp_path):
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "finished.png").touch()

    async def fails():
        (tmp_path / "tmpabc").touch()
        raise OSError("disconnected")

    with pytest.raises(OSError, match="disconnected"):
        request(tmp_path, "POST", UPLOAD, HOST | {"content-length": "9"}, fails)
    assert [path.name for path in tmp_path.iterdir()] == ["content"]
    assert (tmp_path / "content" / "finished.png").exists()

    guarded = Guard(None, tmp_path)
    scope = {"type": "http", "method": "POST", "path": UPLOAD,
             "headers": [(b"host", b"localhost"), (b"content-length", b"9")]}

    async def both():
        begun, finish = asyncio.Event(), asyncio.Event()

        async def slow(scope, receive, send):
            (tmp_path / "tmpslow").touch()
            begun.set()
            await finish.wait()
            assert (tmp_path / "tmpslow").exists(), "deleted by the end of the other upload"

        async def fast(scope, receive, send):
            pass

        guarded.app = slow
        first = asyncio.create_task(guarded(scope, None, None))
        await begun.wait()
        guarded.app = fast
        await guarded(scope, None, None)
        finish.set()
        await first

    asyncio.run(both())
    assert [path.name for path in tmp_path.iterdir()] == ["content"]
