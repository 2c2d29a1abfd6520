"""The page in a real browser: what a colleague does with it, in both palettes, on a phone, by keyboard, in two languages."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from centre import running, until
from server import Faults, Server, Virtual

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: `apt-get install chromium`"),
]
MB = 1_000_000
# Without the last four it asks for hosts of its maker's at each start.
_FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS.split(), "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture
def lab(tmp_path):
    with Server() as origin, running(tmp_path) as (centre, client):
        yield centre, client, origin


@pytest.fixture
def page(browser, lab):
    """Signed in as the administrator; what the page complained about must be nothing."""
    _, client, _ = lab
    context = browser.new_context(viewport={"width": 1180, "height": 900}, locale="en-GB")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(client.url)
    page.fill("#token", client.token)
    page.click("button[type=submit]")
    page.wait_for_selector("nav.tabs")
    yield page
    context.close()
    assert faults == []


def rows(page) -> list[str]:
    return page.locator("li.job .job-name").all_inner_texts()


def shows(page, names: list[str]) -> None:
    """Playwright's own way to wait for a condition evaluates text, which the page's policy forbids."""
    assert until(lambda: {"names": rows(page)}, lambda seen: seen["names"] == names)


def row(page, name: str):
    return page.locator("li.job", has=page.locator(".job-name", has_text=name))


def wait_for(page, name: str, state: str) -> None:
    page.wait_for_selector(f"li.job[data-state='{state}']:has-text('{name}')", timeout=30_000)


def add(page, text: str) -> None:
    page.fill("#add-text", text)
    page.click("form.add button[type=submit]")


def drop(page, name: str, text: str) -> None:
    moved = page.evaluate_handle(
        "([name, text]) => { const moved = new DataTransfer(); moved.items.add(new File([text], name)); return moved; }",
        [name, text],
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": moved})
    assert page.locator(".veil").is_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": moved})


def test_add_pause_resume_reorder_drop_and_see_it_finish(page, lab):
    centre, _, origin = lab
    centre.queue.files = 1
    contents = {f"/{name}.bin": Virtual(6 * MB, seed=number) for number, name in enumerate("abc")}
    add(page, "\n".join(origin.add(path, content, Faults(rate=200_000)) for path, content in contents.items()))
    wait_for(page, "a.bin", "active")
    assert rows(page) == ["a.bin", "b.bin", "c.bin"]

    row(page, "a.bin").get_by_label("Pause: a.bin").click()
    wait_for(page, "a.bin", "paused")
    wait_for(page, "b.bin", "active")
    shows(page, ["b.bin", "a.bin", "c.bin"])
    row(page, "c.bin").focus()
    page.keyboard.press("Alt+ArrowUp")
    shows(page, ["b.bin", "c.bin", "a.bin"])
    assert page.evaluate("document.activeElement.dataset.id") == row(page, "c.bin").get_attribute("data-id")

    row(page, "a.bin").get_by_label("Resume: a.bin").click()
    for path, content in contents.items():
        origin.add(path, content)
    extra = origin.add("/extra.csv", b"a,b\n")
    text = f"name: bert\ndependencies: [python]\nassets:\n  - {{name: extra, url: '{extra}', path: data/extra.csv}}\n"
    drop(page, "environment.yml", text)
    centre.queue.files = 4
    for name in ("a.bin", "b.bin", "c.bin", "extra"):
        wait_for(page, name, "done")
    page.click("a[href='#environments']")
    page.wait_for_selector("text=1 of 1 ready")
    assert page.locator(".environment h3").inner_text() == "bert"
    page.click("a[href='#history']")
    page.wait_for_selector("text=4 files")


def test_drag_and_drop_changes_the_order(page, lab):
    centre, client, origin = lab
    centre.queue.files = 0
    client.add("\n".join(origin.add(f"/{name}.bin", b"x" + name.encode()) for name in "abc"))
    shows(page, ["a.bin", "b.bin", "c.bin"])
    row(page, "c.bin").drag_to(row(page, "a.bin"))
    shows(page, ["c.bin", "a.bin", "b.bin"])


def test_faults_in_what_was_typed_are_said(page):
    add(page, "not a link")
    page.wait_for_selector(".faults:has-text('is no URL')")
    add(page, "name: x\nassets:\n  - url: https://example.org/a\n    sha265: 1\n")
    page.wait_for_selector(".faults:has-text('sha256')")


def test_search_and_filters_find(page, lab):
    centre, client, origin = lab
    centre.queue.files = 0
    client.add("\n".join(origin.add(f"/{name}.bin", name.encode()) for name in ("alpha", "beta")))
    shows(page, ["alpha.bin", "beta.bin"])
    page.keyboard.press("/")
    page.keyboard.type("alp")
    shows(page, ["alpha.bin"])
    page.get_by_role("button", name="Done").click()
    assert page.locator(".empty").inner_text() == "Nothing matches"


def test_details_give_what_to_paste(page, lab):
    _, client, origin = lab
    content = Virtual(MB, seed=9)
    (job,) = client.add(origin.add("/w.bin", content))
    client.done(job["id"])
    wait_for(page, "w.bin", "done")
    row(page, "w.bin").focus()
    page.keyboard.press("Enter")
    shown = row(page, "w.bin").locator("pre").all_inner_texts()
    assert f"sha256: {content.sha256}" in shown[0]
    assert shown[1] == "conda assets sync -f environment.yml"


def test_limits_people_and_tokens_are_kept(page, lab):
    _, client, _ = lab
    page.click("a[href='#speed']")
    page.get_by_label("Speed limit (MB/s)").first.fill("5")
    page.get_by_role("button", name="Add a time").click()
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector(".toast:has-text('Saved')")
    assert client.api("GET", "/pace") == {
        "limit_rate": 5_000_000,
        "windows": [{"from": "20:00", "to": "06:00", "limit_rate": None}],
    }
    page.click("a[href='#account']")
    page.get_by_label("Name").fill("ann")
    page.get_by_role("button", name="Add a person").click()
    page.wait_for_selector("td:has-text('ann')")
    assert page.locator(".copyable pre").inner_text().startswith("cat_")


def test_the_page_comes_back_after_the_connection_was_lost(page, lab, tmp_path):
    _, client, origin = lab
    page.context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('offline'))")
    (job,) = client.add(origin.add("/w.bin", b"content"))
    client.done(job["id"])
    page.context.set_offline(False)
    wait_for(page, "w.bin", "done")


def axe(page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    # The page's animations would be looked at half-way.
    page.wait_for_timeout(300)
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("width", [1180, 380])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_stands_in_anybodys_way(page, lab, theme, width):
    """axe finds nothing serious in any view, nothing is cut off, and pictures are kept where a person asked for them."""
    _, client, origin = lab
    urls = [origin.add("/done.bin", b"x"), origin.add("/gone.bin", b"", Faults(status=404))]
    urls += [origin.add("/slow.bin", Virtual(20 * MB, seed=1), Faults(rate=100_000)), origin.add("/paused.bin", b"y")]
    jobs = client.add("\n".join(urls))
    for job in jobs[:2]:
        client.done(job["id"])
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate(f"localStorage.theme = '{theme}'")
    page.reload()
    wait_for(page, "gone.bin", "failed")
    wait_for(page, "slow.bin", "active")
    row(page, "gone.bin").get_by_label("Details").click()
    for view in ("queue", "history", "environments", "speed", "account"):
        page.click(f"a[href='#{view}']")
        if view == "account":
            page.get_by_role("button", name="Edit admin").click()
        assert axe(page) == [], view
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if kept := os.environ.get("CONDA_ASSETS_TEST_PICTURES"):
            page.screenshot(path=Path(kept) / f"{view}-{theme}-{width}.png", full_page=True)


def test_signing_in_is_for_everybody(browser, lab):
    _, client, _ = lab
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(client.url)
    page.wait_for_selector("#token")
    assert page.evaluate("document.documentElement.lang") == "zh"
    for theme in ("dark", "light"):
        page.evaluate(f"localStorage.theme = '{theme}'")
        page.reload()
        page.wait_for_selector("#token")
        assert axe(page) == []
    page.fill("#token", "cat_wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector(".faults:has-text('此处不认识这个令牌')")
    page.get_by_role("button", name="English").click()
    assert page.locator("h2").inner_text() == "Sign in"
    context.close()


def test_the_page_asks_nobody_but_its_own_server(browser, lab):
    _, client, _ = lab
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(client.url)
    page.fill("#token", client.token)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav.tabs")
    assert {url for url in asked if not url.startswith(client.url)} == set()
    context.close()


# Latin letters that stay: names, URLs, commands, fields, units, and what a program is called.
_STAYS = re.compile(
    r"`[^`]*`|https?://\S+|\b\d+(\.\d+)? ?([kMG]?B(/s)?)?|\b[0-9a-f]{10,}…?|\S+\.(bin|yml|zip)\S*|assets\[\d\]\S*"
    r"|\b(assets|sha256|sha265|environment\.yml|Metalink|URL|JSON|conda|admin|ann|nobody|s)\b|not a link"
    r"|\b(doi|ftp2?|github|gs|hf|https?|magnet|oci|s3|sftp)\b"
)


def english(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{2,}", _STAYS.sub(" ", text))


def prose(element) -> str:
    """What stands there without what a command or a field is called."""
    return element.evaluate(
        "e => { const c = e.cloneNode(true); c.querySelectorAll('code').forEach(x => x.remove()); return c.textContent; }"
    )


def test_in_chinese_nothing_is_left_in_english(browser, lab):
    """What the server says, of jobs and of refusals, is in the language of the page."""
    _, client, origin = lab
    content = Virtual(MB, seed=7)
    lines = [
        origin.add("/gone.bin", b"", Faults(status=404)),
        origin.add("/denied.bin", b"", Faults(status=403)),
        origin.add("/wrong.bin", content) + " sha256:" + "0" * 64,
        origin.add("/page.bin", b"<html><body>log in</body></html>"),
    ]
    for job in client.add("\n".join(lines)):
        client.done(job["id"])
    context = browser.new_context(locale="zh-CN", viewport={"width": 1180, "height": 900})
    page = context.new_page()
    page.goto(client.url)
    page.get_by_role("button", name="使用用户名和密码").click()
    page.fill("#name", "nobody")
    page.fill("#password", "wrong password")
    page.keyboard.press("Enter")
    page.wait_for_selector(".faults:has-text('密码错误')")
    assert english(prose(page.locator(".faults"))) == []
    page.get_by_role("button", name="使用令牌").click()
    page.fill("#token", client.token)
    page.keyboard.press("Enter")
    wait_for(page, "gone.bin", "failed")
    for opener in page.locator("li.job[data-state=failed] .opener").all():
        opener.click()
    texts = [*page.locator(".job-foot").all_inner_texts(), *map(prose, page.locator(".failure").all())]
    assert len(texts) >= 6
    assert [english(text) for text in texts if english(text)] == []
    refused = [
        "not a link",
        "name: x\nassets:\n  - url: https://a.example/x.bin\n    sha265: 1\n",
        "ftp2://a.example/x.bin",
        "name: x\nassets: []\n",
    ]
    for text in refused:
        add(page, text)
        page.wait_for_selector(".faults p")
        assert english(prose(page.locator(".faults"))) == []
        page.fill("#add-text", "")
        page.evaluate("document.querySelector('.faults').replaceChildren()")
    page.click("a[href='#account']")
    page.wait_for_selector("tbody td:has-text('添加')")
    assert {text for text in page.locator("tbody td:nth-child(3)").all_inner_texts() if english(text)} == set()
    context.close()


def test_a_failed_job_says_why_and_what_next(page, lab):
    _, client, origin = lab
    (job,) = client.add(origin.add("/gone.bin", b"", Faults(status=404)))
    client.done(job["id"])
    wait_for(page, "gone.bin", "failed")
    row(page, "gone.bin").get_by_label("Details").click()
    why, following = row(page, "gone.bin").locator(".failure p").all_inner_texts()
    assert "answers 404 (Not Found)" in why
    assert following.startswith("Next: check url: of gone.bin in a browser")


def test_the_pieces_are_shown_and_said(page, lab):
    _, client, origin = lab
    (job,) = client.add(origin.add("/w.bin", Virtual(30 * MB, seed=8), Faults(rate=250_000)))
    wait_for(page, "w.bin", "active")
    client.until(job["id"], lambda seen: "9" in seen["pieces"])
    row(page, "w.bin").get_by_label("Details").click()
    page.wait_for_selector(".map-cells [data-full='9']")
    assert re.fullmatch(r"\d+ of 29 parts complete, 1.0 MB each", page.locator(".map-cells").get_attribute("aria-label"))


def test_a_quota_is_followed_while_it_fills(browser, lab):
    _, client, origin = lab
    said = client.api("POST", "/users", {"name": "ann", "role": "member", "quota_bytes": 2 * MB})
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(client.url)
    page.fill("#token", said["token"])
    page.keyboard.press("Enter")
    page.wait_for_selector(".figure:has-text('0 B of 2.0 MB')")
    add(page, origin.add("/w.bin", Virtual(2 * MB, seed=9)))
    page.wait_for_selector(".figure.full:has-text('2.0 MB of 2.0 MB'):has-text('used up')")
    add(page, origin.add("/v.bin", Virtual(2 * MB, seed=10)))
    page.wait_for_selector(".faults:has-text('ann may ask for 2.0 MB')")
    context.close()


def test_people_are_changed_and_removed(page, lab):
    _, client, _ = lab
    client.api("POST", "/users", {"name": "ann", "role": "member"})
    page.click("a[href='#account']")
    page.get_by_role("button", name="Edit ann").click()
    page.get_by_label("Quota in GB").first.fill("2")
    page.get_by_label("New password").fill("correct horse battery")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("td:has-text('0 B of 2.0 GB')")
    assert client.ask("POST", "/api/v1/session", {"name": "ann", "password": "correct horse battery"}).status == 201
    page.get_by_role("button", name="Edit ann").click()
    page.get_by_role("button", name="New token ann").click()
    page.wait_for_selector(".copyable pre:has-text('cat_')")
    page.get_by_role("button", name="Edit ann").click()
    page.get_by_role("button", name="Remove ann").click()
    page.get_by_role("button", name="Really remove?").click()
    page.wait_for_selector("td strong:has-text('ann')", state="detached")
    assert [each["name"] for each in client.api("GET", "/users")["users"]] == ["admin"]


_DIGEST = "248d" * 16
_TAKEN = {
    "a-lock": ("bert.assets.lock", "version: 1\nassets:\n- name: w\n  url: URL\n  sha256: " + _DIGEST + "\n  size: 3\n"),
    "a-metalink": (
        "w.meta4",
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="w"><url>URL</url></file></metalink>',
    ),
    "a-list": ("links.txt", "# two of them\nURL\nURL?b\n"),
}


@pytest.mark.parametrize("way", ["paste", "drop", "pick"])
@pytest.mark.parametrize("kind", _TAKEN)
def test_what_names_files_is_taken_in_every_way(page, lab, kind, way):
    centre, client, origin = lab
    centre.queue.files = 0
    name, text = _TAKEN[kind]
    text = text.replace("URL", origin.add("/w.bin", b"w"))
    if way == "paste":
        add(page, text)
    elif way == "drop":
        drop(page, name, text)
    else:
        page.set_input_files("input[type=file]", {"name": name, "mimeType": "text/plain", "buffer": text.encode()})
    page.wait_for_selector(".toast:has-text('added')")
    assert len(client.api("GET", "/jobs")["jobs"]) == (2 if kind == "a-list" else 1)
    assert page.locator(".faults p").count() == 0


def test_a_torrent_is_picked_or_refused_with_the_reason(page, lab, tmp_path):
    _, client, _ = lab
    content = b"d4:infod6:lengthi1000e4:name5:w.bin12:piece lengthi16384e6:pieces20:" + b"x" * 20 + b"ee"
    page.set_input_files("input[type=file]", {"name": "w.torrent", "mimeType": "application/x-bittorrent", "buffer": content})
    page.wait_for_selector(".toast:has-text('added')")
    (job,) = client.api("GET", "/jobs")["jobs"]
    assert job["name"] == "w.bin"
    page.set_input_files("input[type=file]", {"name": "x.torrent", "mimeType": "application/x-bittorrent", "buffer": b"none"})
    page.wait_for_selector(".faults:has-text('the torrent cannot be used')")


def test_news_takes_no_focus_and_no_typing_away(page, lab):
    """What somebody types, or has opened, stays while files come and go around it."""
    _, client, origin = lab
    (job,) = client.add(origin.add("/slow.bin", Virtual(30 * MB, seed=11), Faults(rate=50_000)))
    wait_for(page, "slow.bin", "active")
    row(page, "slow.bin").get_by_label("Details").click()
    pick = row(page, "slow.bin").locator("select")
    pick.focus()
    for number in range(3):
        (other,) = client.add(origin.add(f"/{number}.bin", str(number).encode()))
        client.done(other["id"])
        wait_for(page, f"{number}.bin", "done")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    page.focus("#add-text")
    page.keyboard.type("half of a li", delay=100)
    client.api("POST", f"/jobs/{job['id']}/pause")
    wait_for(page, "slow.bin", "paused")
    page.keyboard.type("ne", delay=50)
    assert page.input_value("#add-text") == "half of a line"
    assert row(page, "slow.bin").locator(".detail").is_visible()


def test_a_thousand_jobs_are_no_burden(page, lab):
    """A tick with news of each draws within a frame or two."""
    centre, client, origin = lab
    centre.queue.files = 0
    base = origin.add("/w.bin", b"w")
    client.add("\n".join(f"{base}?{number}" for number in range(1000)))
    page.wait_for_selector(".filter:has-text('1000')")
    assert page.locator("li.job").count() == 100
    took = page.evaluate(
        """async () => {
          const began = performance.now();
          for (let turn = 0; turn < 10; turn += 1) {
            const search = document.querySelector("input[type=search]");
            search.value = turn % 2 ? "" : "w";
            search.dispatchEvent(new Event("input"));
          }
          return (performance.now() - began) / 10;
        }"""
    )
    assert took < 100, f"{took} ms a drawing"
