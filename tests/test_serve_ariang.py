"""AriaNg as people have it, in a real browser, on a host of its own: all that it offers works, or says why not.

It is on no registry: `CONDA_ASSETS_TEST_ARIANG` names a folder with a built one (CONTRIBUTING says how to make it).
"""

from __future__ import annotations

import base64
import functools
import http.server
import os
import threading
from pathlib import Path

import pytest

from centre import running, until
from server import Faults, Server, Virtual
from test_serve_page import CHROMIUM, browser

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BUILT = Path(os.environ.get("CONDA_ASSETS_TEST_ARIANG") or "/nowhere")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: `apt-get install chromium`"),
    pytest.mark.skipif(
        not (BUILT / "index.html").is_file(), reason="no AriaNg: CONDA_ASSETS_TEST_ARIANG names a built one, see CONTRIBUTING"
    ),
]
MB = 1_000_000
__all__ = ["browser"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture(scope="module")
def site():
    """Where AriaNg is served: another origin than the centre."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(BUILT))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def lab(tmp_path, site):
    with Server() as origin, running(tmp_path, origins=(site,)) as (centre, client):
        yield centre, client, origin


class Front:
    """AriaNg, told where the centre is by a link, as its own documentation has it. Its views are links as well."""

    def __init__(self, context, site: str, client, way: str, token: str) -> None:
        self.page, self.site = context.new_page(), site
        host, _, port = client.url.removeprefix("http://").partition(":")
        secret = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
        self.see(f"settings/rpc/set/{way}/{host}/{port}/jsonrpc/{secret}")
        self.page.wait_for_url("**/downloading")
        # It loads itself anew then; another tab has no part in that.
        self.page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.see("downloading")

    def see(self, view: str) -> None:
        self.page.goto(f"{self.site}/#!/{view}")

    def says(self, text: str) -> None:
        self.page.locator(f"text={text}").first.wait_for()

    def add(self, text: str) -> None:
        self.see("new")
        self.page.fill("textarea[name=urls]", text)
        self.page.click("button[type=submit]:has-text('Download Now')")
        self.page.wait_for_url("**/downloading")

    def pick(self, name: str, view: str) -> None:
        self.see(view)
        self.page.locator(".task-name", has_text=name).click()

    def press(self, title: str) -> None:
        self.page.click(f"nav a.toolbar[title='{title}']")

    def set(self, option: str, value: str) -> None:
        self.page.locator(f"[data-option-key='{option}'] input").fill(value)

    def is_refused(self, option: str, value: str, words: str) -> None:
        self.set(option, value)
        self.page.locator(f"[data-option-key='{option}'] .fa-exclamation").wait_for()
        self.says(words)


@pytest.fixture
def open_front(browser, site, lab):
    contexts = []

    def run(way: str = "ws", token: str = "") -> Front:
        _, client, _ = lab
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US"))
        return Front(contexts[-1], site, client, way, token or client.token)

    yield run
    for context in contexts:
        context.close()


@pytest.mark.parametrize("way", ["ws", "http"])
def test_a_link_is_added_paused_resumed_and_seen_to_finish(lab, open_front, way):
    _, client, origin = lab
    front = open_front(way)
    front.see("status")
    front.says("1.37.0")
    content = Virtual(30 * MB, seed=1)
    front.add(origin.add("/w.bin", content, Faults(rate=50_000)))
    front.says("w.bin")
    (job,) = client.api("GET", "/jobs")["jobs"]
    client.until(job["id"], lambda seen: seen["state"] == "active")

    front.pick("w.bin", "downloading")
    front.press("Pause")
    client.until(job["id"], lambda seen: seen["state"] == "paused")
    front.pick("w.bin", "waiting")
    origin.add("/w.bin", content)
    front.press("Start")
    client.done(job["id"])
    front.see("stopped")
    front.says("w.bin")
    front.see(f"task/detail/{job['id']}")
    front.page.locator("#overview-items >> text=Completed").wait_for()
    front.page.click(".nav-tabs >> text=Pieces")
    front.page.locator(".piece-map .piece-completed").first.wait_for()
    assert front.page.locator(".piece-map .piece:not(.piece-completed)").count() == 0


def test_what_it_shows_of_a_download(lab, open_front):
    _, client, origin = lab
    (job,) = client.add(origin.add("/w.bin", Virtual(30 * MB, seed=2), Faults(rate=50_000)))
    client.until(job["id"], lambda seen: seen["connections"] > 1)
    front = open_front()
    front.see(f"task/detail/{job['id']}")
    front.says("28.61 MB")
    front.page.click(".nav-tabs >> text=Files")
    front.page.locator(".tab-pane.active >> text=w.bin").wait_for()
    # The settings of one download: what it cannot have is refused in words.
    front.page.click(".nav-tabs a:has(i.fa-gear)")
    front.is_refused("max-download-limit", "1024", "the option 'max-download-limit' is not allowed here")


def test_it_removes_clears_and_tries_again(lab, open_front):
    _, client, origin = lab
    urls = [
        origin.add("/slow.bin", Virtual(30 * MB, seed=3), Faults(rate=50_000)),
        origin.add("/gone.bin", b"", Faults(status=404)),
    ]
    slow, gone = client.add("\n".join(urls))
    client.until(slow["id"], lambda seen: seen["state"] == "active")
    client.done(gone["id"])
    front = open_front()
    front.pick("slow.bin", "downloading")
    front.page.click("nav a.toolbar:has(i.fa-trash-o)")
    front.page.click(".dropdown-menu a:has-text('Remove Task') >> visible=true")
    front.page.click(".sweet-alert.visible button.confirm")
    client.until(slow["id"], lambda seen: seen["state"] == "cancelled")

    content = Virtual(MB, seed=4)
    origin.add("/gone.bin", content)
    front.see("stopped")
    front.page.locator("[data-gid] >> text=Retry").first.wait_for()
    front.page.locator(f"[data-gid='{gone['id']}'] >> text=Retry").click()
    front.page.click(".sweet-alert.visible button.confirm")
    assert until(
        lambda: {"done": [each["sha256"] for each in client.api("GET", "/jobs?state=done")["jobs"]]},
        lambda seen: seen["done"] == [content.sha256],
    )


def test_settings_that_are_the_centres_are_refused_in_words(lab, open_front):
    centre, client, _ = lab
    front = open_front()
    front.see("settings/aria2/basic")
    front.set("max-concurrent-downloads", "3")
    until(lambda: {"files": centre.queue.files}, lambda seen: seen["files"] == 3)
    refused = "only `max-overall-download-limit` and `max-concurrent-downloads` can be changed here"
    front.is_refused("log", "/tmp/x", refused)
    front.see("settings/aria2/http-ftp-sftp")
    front.is_refused("all-proxy", "http://10.0.0.1", refused)
    front.page.click("text=Shortcut")
    front.page.click("a:has-text('Global Rate Limit')")
    front.set("max-overall-download-limit", "1048576")
    until(lambda: client.api("GET", "/pace"), lambda seen: seen["limit_rate"] == 1 << 20)


def test_a_wrong_token_and_a_reader_are_told_so(lab, open_front):
    _, client, origin = lab
    open_front(token="wrong").says("Authorization Failed")
    eve = client.api("POST", "/users", {"name": "eve", "role": "reader"})["token"]
    front = open_front(token=eve)
    front.see("new")
    front.page.fill("textarea[name=urls]", origin.add("/w.bin", b"x"))
    front.page.click("button[type=submit]:has-text('Download Now')")
    front.says("eve is a reader; this needs member")
