"""Serves the page on this computer only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import gradio
from starlette.middleware import Middleware

from functions.app.environment import HOST, sweep
from functions.app.guard import Guard
from functions.app.page import THEME
from functions.reports.html_page import style

MAX_FILE = 2**25         # bytes of one file, 34 MB: an uncompressed 16-bit image of the reader's largest size
WAITING = 16             # requests that wait for the model
SESSIONS = 8             # pages whose last answer is kept in memory
EVERY, UNUSED = 60, 300  # seconds: how often uploads are deleted that are older and had no answer


@contextmanager
def serving(page: gradio.Blocks, folder: Path, port: int) -> Iterator[str]:
    """Serves `page` within this context and yields its address; uploads are written to `folder`.

    It listens on 127.0.0.1 only. There is no public link, no log of requests in the browser, no route that bypasses the
    queue, and one request uses the model at a time.
    """
    page.queue(api_open=False, max_size=WAITING, default_concurrency_limit=1)
    _, address, _ = page.launch(
        server_name=HOST, server_port=port, share=False, inbrowser=False, prevent_thread_lock=True, quiet=True,
        show_error=True, footer_links=[], run_history=False, max_file_size=MAX_FILE, max_threads=4, ssr_mode=False,
        pwa=False, mcp_server=False, enable_monitoring=False, state_session_capacity=SESSIONS, theme=THEME,
        css=style("app.css"), app_kwargs={"middleware": [Middleware(Guard, folder=folder)]})
    stopped = Event()
    Thread(target=_sweep_until, args=(stopped, folder), daemon=True).start()
    try:
        yield address
    finally:
        stopped.set()
        page.close(verbose=False)


def _sweep_until(stopped: Event, folder: Path) -> None:
    while not stopped.wait(EVERY):
        sweep(folder, UNUSED)
