"""Refuses requests that the page itself never makes: of other sites, too large, or for files and other servers."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

MAX_UPLOAD = 2**28          # bytes of one upload, all files together: 268 MB
MAX_MESSAGE = 2**20         # bytes of any other request
MAX_FOLDER = 2**30          # bytes of uploads that wait for their prediction
LOCAL = ("127.0.0.1", "localhost")
# Gradio's routes that serve files, or pass requests on to other servers; the page's pictures are within its HTML.
CLOSED = ("/file=", "/file/", "/proxy=", "/stream/")
# The page's own scripts, which Gradio writes into it, and nothing from elsewhere.
POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
          "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'self'; "
          "form-action 'self'; frame-ancestors 'none'")


class Guard:
    """ASGI middleware around `app`, whose uploads are written to `folder`.

    A request needs the host name 127.0.0.1 or localhost (against DNS rebinding) and, if it has an Origin, that of the
    page (against requests that other sites send from the same browser). The partial files of an upload that
    failed are deleted from `folder`.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], folder: Path):
        self.app, self.folder = app, folder
        self.uploads = 0                       # in progress

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if refused := self.refusal(scope):
            await _respond(send, *refused)
            return

        async def with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", POLICY.encode()),
                                      (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
            await send(message)

        if not _is_upload(scope):
            await self.app(scope, receive, with_policy)
            return
        self.uploads += 1
        try:
            await self.app(scope, receive, with_policy)
        finally:
            self.uploads -= 1
            if not self.uploads:
                self._sweep()

    def refusal(self, scope: dict[str, Any]) -> tuple[int, str] | None:
        """(status, reason) of a request that is refused; None for one that is passed on."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if host.rsplit(":", 1)[0] not in LOCAL:
            return 403, "this page is for this computer only"
        if origin is not None and origin != f"http://{host}":
            return 403, "requests of other sites are refused"
        if any(part in scope["path"] for part in CLOSED):
            return 404, "this page serves no files"
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length, most = headers.get(b"content-length", ""), MAX_UPLOAD if _is_upload(scope) else MAX_MESSAGE
        if not length.isdecimal():
            return 411, "a request needs its Content-Length"
        if int(length) > most:
            return 413, f"the request has {int(length):,} bytes, more than {most:,}"
        if _is_upload(scope) and _size(self.folder) + int(length) > MAX_FOLDER:
            return 503, "other uploads wait for their prediction: try again in a minute"
        return None

    def _sweep(self) -> None:
        """Deletes what no finished upload is: Gradio moves the files of one into folders named by their content."""
        for path in self.folder.iterdir():
            if path.is_file():
                path.unlink(missing_ok=True)


def _is_upload(scope: dict[str, Any]) -> bool:
    return scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/upload")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:                        # deleted meanwhile
            continue
    return total


async def _respond(send: Callable, status: int, reason: str) -> None:
    body = reason.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
