"""Files of data sets, found by DOI at repositories that answer as the documented interfaces do."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from conda_assets import sources
from conda_assets.errors import AssetFailed, DigestMismatch, NetworkFailed, NoSource, NotThere, SizeMismatch, UnsafePath
from conda_assets.model import Asset, Locked, State
from conda_assets.settings import Network
from conda_assets.sources import doi
from conda_assets.web import credentials
from lab import Lab
from server import Faults, Request, Server, Virtual

DATA = Path(__file__).parent / "data" / "doi"
TRAIN, VALID, README = b"id,text\n1,one\n2,two\n" * 400, b"id,text\n3,three\n" * 300, b"# About these data\n"
STATA, TAB = b"\x1c\x00stata" * 200, b"id\ttext\n1\tone\n" * 100
ZENODO = "10.5281/zenodo.10628422"
#: host of the documented interfaces → a folder of the test's server, so that two of them cannot be taken for each other
HOSTS = {
    "https://zenodo.org": "",
    "https://data.caltech.edu": "",
    "https://figshare.com": "",
    "https://ndownloader.figshare.com": "/ndownloader",
    "https://dataverse.harvard.edu": "",
    "https://osf.io": "",
    "https://api.osf.io": "/api-osf",
    "https://www.nature.com": "",
    "https://journal.example": "",
}


def answer(server: Server, name: str) -> object:
    text = (DATA / name).read_text()
    for host, folder in HOSTS.items():
        text = text.replace(host, server.url(folder))
    return json.loads(text)


def as_json(said: object) -> Callable[[Request, bytes], tuple[int, Mapping[str, str], bytes]]:
    body = json.dumps(said).encode()
    return lambda request, content: (200, {"Content-Type": "application/json"}, body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    doi.POLITE.forget()
    with Server() as server:
        monkeypatch.setenv("CONDA_ASSETS_DOI_URL", server.url("/doi"))
        monkeypatch.setenv("CONDA_ASSETS_FIGSHARE_URL", server.url("/api-figshare"))
        monkeypatch.setenv("CONDA_ASSETS_OSF_URL", server.url("/api-osf"))
        for name, said in answer(server, "handles.json").items():  # type: ignore[attr-defined]
            server.route(f"/doi/api/handles/{name}", as_json(said))
        add_zenodo(server)
        add_others(server)
        yield server


def add_zenodo(server: Server) -> None:
    record = as_json(answer(server, "zenodo-record.json"))
    for number in ("10628421", "10628422"):
        server.route(f"/api/records/{number}", record)
    for name, body in (("train.csv", TRAIN), ("valid%20data.csv", VALID), ("README.md", README)):
        server.add(f"/api/records/10628422/files/{name}/content", body)
    server.route("/api/records/3g4fk-8tr27", as_json(answer(server, "invenio-record.json")))
    server.route("/api/records/3g4fk-8tr27/files", as_json(answer(server, "invenio-files.json")))
    server.add("/api/records/3g4fk-8tr27/files/train.csv/content", TRAIN)


def add_others(server: Server) -> None:
    article = as_json(answer(server, "figshare-article.json"))
    server.route("/api-figshare/v2/articles/14763051", article)
    server.route("/api-figshare/v2/articles/14763051/versions/2", article)
    server.route("/api-figshare/v2/articles/14763051/versions/2/files", as_json(answer(server, "figshare-files.json")))
    # The real one sends to a signed address that is good for seconds.
    server.redirect("/ndownloader/files/28396401", server.url("/signed/train.csv?X-Amz-Signature=1"))
    server.add("/signed/train.csv", TRAIN)
    dataset = answer(server, "dataverse-dataset.json")

    def dataverse(request: Request, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        right = parse_qs(request.query).get("persistentId") == ["doi:10.7910/DVN/TJCLKP"]
        return (200, {}, json.dumps(dataset).encode()) if right else (404, {}, (DATA / "dataverse-missing.json").read_bytes())

    server.route("/api/datasets/:persistentId/", dataverse)
    server.add("/api/access/datafile/4739118", TRAIN)
    server.add("/api/access/datafile/4739117", README)

    def converted(request: Request, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        return 200, {"Content-Type": "application/octet-stream"}, STATA if request.query == "format=original" else TAB

    server.route("/api/access/datafile/4739119", converted)
    server.route("/api-osf/v2/nodes/ezcuj/", as_json(answer(server, "osf-node.json")))
    pages = {name: json.dumps(answer(server, f"osf-files{name}.json")).encode() for name in ("", "-2")}
    server.route(
        "/api-osf/v2/nodes/ezcuj/files/osfstorage/",
        lambda request, content: (200, {}, pages["-2" if request.query == "page=2" else ""]),
    )
    server.route("/api-osf/v2/nodes/ezcuj/files/osfstorage/5c3f0/", as_json(answer(server, "osf-folder.json")))
    server.add("/download/5c3f3/", TRAIN)


def ask(url: str, **fields: object) -> Locked:
    asset = Asset(name="data", url=url, path="data", **fields)  # type: ignore[arg-type]
    return sources.probe(asset, url, Network())


def listed(url: str) -> dict[str, str]:
    return dict(sources.expand(Asset(name="data", url=url, path="data"), Network()))


PLACES = {
    "zenodo": (f"doi:{ZENODO}/train.csv", "Zenodo", ZENODO, "md5"),
    "zenodo, all versions": ("doi:10.5281/zenodo.10628421/train.csv", "Zenodo", ZENODO, "md5"),
    "invenio": ("doi:10.22002/3g4fk-8tr27/train.csv", "127.0.0.1", "10.22002/3g4fk-8tr27", "md5"),
    "figshare": ("doi:10.6084/m9.figshare.14763051.v2/train.csv", "figshare", "10.6084/m9.figshare.14763051.v2", "md5"),
    "figshare, latest": ("doi:10.6084/m9.figshare.14763051/train.csv", "figshare", "10.6084/m9.figshare.14763051.v2", "md5"),
    "dataverse": ("doi:10.7910/DVN/TJCLKP/data/raw/train.csv", "127.0.0.1", "10.7910/DVN/TJCLKP version 1.2", "sha256"),
    "osf": ("doi:10.17605/OSF.IO/EZCUJ/data/train.csv", "OSF", "version 2", "sha256"),
}


@pytest.mark.parametrize(("url", "publisher", "revision", "algorithm"), PLACES.values(), ids=list(PLACES))
def test_a_file_is_found_pinned_and_vouched_for(server: Server, url: str, publisher: str, revision: str, algorithm: str) -> None:
    said = ask(url)
    assert said.digest is not None
    assert (said.vouched_by, said.revision, said.digest.algorithm) == (publisher, revision, algorithm)
    assert (said.url, said.resumable, said.size_bytes) == (url, True, len(TRAIN))
    assert "signed" not in said.final_url, "an address that expires is not kept"


@pytest.mark.parametrize("url", [place[0] for place in PLACES.values()], ids=list(PLACES))
def test_it_arrives_verified(server: Server, tmp_path: Path, url: str) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "train", "url": url}])
    (row,) = lab.sync().outcomes
    assert (row.state, row.error) == (State.FETCHED, None)
    assert lab.placed("train").read_bytes() == TRAIN


def test_other_bytes_than_the_publisher_says_are_refused(server: Server, tmp_path: Path) -> None:
    server.add("/api/records/10628422/files/train.csv/content", TRAIN.replace(b"two", b"six"))
    lab = Lab(tmp_path)
    lab.write([{"name": "train", "url": f"doi:{ZENODO}/train.csv"}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, DigestMismatch)
    assert row.error.algorithm == "md5"
    assert not lab.placed("train").exists()


def test_a_table_that_was_converted_comes_as_either(server: Server) -> None:
    table, original = (ask(f"doi:10.7910/DVN/TJCLKP/data/survey.{end}") for end in ("tab", "dta"))
    assert (table.size_bytes, table.digest) == (len(TAB), None), "the checksum there is that of the original"
    assert original.size_bytes == len(STATA)
    assert original.digest is not None


@pytest.mark.parametrize(
    ("url", "paths"),
    [
        (f"doi:{ZENODO}", ["README.md", "train.csv", "valid data.csv"]),
        (f"doi:{ZENODO}/*.csv", ["train.csv", "valid data.csv"]),
        ("doi:10.7910/DVN/TJCLKP/", ["README.md", "data/raw/train.csv", "data/survey.dta", "data/survey.tab"]),
        ("doi:10.7910/DVN/TJCLKP/data/", ["raw/train.csv", "survey.dta", "survey.tab"]),
        ("doi:10.17605/OSF.IO/EZCUJ/**/*.csv", ["data/train.csv"]),
        ("doi:10.17605/OSF.IO/EZCUJ/", ["README.md", "data/train.csv", "notes.txt"]),
    ],
)
def test_a_pattern_names_its_files(server: Server, url: str, paths: list[str]) -> None:
    assert sources.is_pattern(Asset(name="data", url=url, path="data"))
    found = listed(url)
    assert list(found) == paths
    assert not any(sources.is_pattern(Asset(name="data", url=each, path="data")) for each in found.values())


def test_the_files_of_a_pattern_are_of_one_version(server: Server) -> None:
    found = listed("doi:10.5281/zenodo.10628421/*.csv")
    assert found["valid data.csv"] == f"doi:{ZENODO}/valid%20data.csv"
    assert ask(found["valid data.csv"]).size_bytes == len(VALID)


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        (
            "doi:10.5281/zenodo.404/train.csv",
            NotThere,
            "knows no DOI that doi:10.5281/zenodo.404/train.csv begins with",
        ),
        ("doi:zenodo.404/train.csv", NotThere, "is no DOI"),
        (f"doi:{ZENODO}/trian.csv", NotThere, "has no file trian.csv; it has train.csv"),
        (f"doi:{ZENODO}/*.parquet", NotThere, "matches *.parquet; it has README.md"),
        ("doi:10.7910/DVN/TJCLKP", AssetFailed, "is a whole data set: add a file's name, or `/`"),
        ("doi:10.1038/s41586-020-2649-2/data.csv", NoSource, "leads to 127.0.0.1, whose interface this version does not know"),
        ("doi:10.1234/14763051/train.csv", NoSource, "leads to 127.0.0.1, whose interface"),
    ],
)
def test_what_is_wrong_is_said(server: Server, url: str, kind: type[AssetFailed], words: str) -> None:
    look = listed if "*" in url else ask
    with pytest.raises(kind) as caught:
        look(url)
    assert words in caught.value.message


def test_a_size_that_the_publisher_contradicts_is_refused_before_anything_is_asked(server: Server) -> None:
    with pytest.raises(SizeMismatch):
        ask(f"doi:{ZENODO}/train.csv", size_bytes=1)
    assert server.seen("/api/records/10628422/files/train.csv/content") == []


def test_one_record_is_asked_for_once(server: Server) -> None:
    for name in ("train.csv", "README.md", "valid%20data.csv"):
        ask(f"doi:{ZENODO}/{name}")
    assert len(server.seen("/api/records/10628422")) == 1
    (request,) = server.seen("/api/records/10628422")
    assert request.headers["user-agent"].startswith("conda-assets")


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (429, {"Retry-After": "7"}, 7),
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, 30),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}, 12),
    ],
    ids=["says when", "counts", "forbids"],
)
def test_a_repository_that_wants_peace_gets_it(server: Server, status: int, headers: dict[str, str], wait_s: int) -> None:
    server.route("/api/records/10628422", lambda request, content: (status, headers, b"{}"))
    for _ in range(2):
        with pytest.raises(NetworkFailed) as caught:
            ask(f"doi:{ZENODO}/train.csv")
        assert wait_s - 5 < caught.value.retry_after_s <= wait_s
    assert len(server.seen("/api/records/10628422")) == 1


def test_a_repository_that_counts_requests_gets_few(server: Server, tmp_path: Path) -> None:
    content = Virtual(80_000_000, seed=3)
    record = answer(server, "zenodo-record.json")
    record["files"][0] |= {"size": content.size, "checksum": f"md5:{content.digest('md5')}"}  # type: ignore[index]
    server.route("/api/records/10628422", as_json(record))
    server.add("/api/records/10628422/files/train.csv/content", content)
    lab = Lab(tmp_path)
    lab.write([{"name": "train", "url": f"doi:{ZENODO}/train.csv"}])
    assert lab.sync().failures == ()
    assert len(server.seen("/api/records/10628422/files/train.csv/content")) <= 30


def test_headers_of_the_asset_go_to_nobody(server: Server) -> None:
    ask(f"doi:{ZENODO}/train.csv", headers={"Authorization": "Bearer hunter2"})
    assert [request for request in server.requests if "authorization" in request.headers] == []


def test_a_login_for_the_repository_is_used(server: Server, tmp_path: Path) -> None:
    credentials._read.cache_clear()
    netrc = Path(os.environ["HOME"], ".netrc")
    netrc.write_text("machine 127.0.0.1 login me password canary\n")
    netrc.chmod(0o600)
    wanted = ("Authorization", "Basic " + base64.b64encode(b"me:canary").decode())
    server.add("/api/records/10628422/files/train.csv/content", TRAIN, Faults(needs=wanted))
    lab = Lab(tmp_path)
    lab.write([{"name": "train", "url": f"doi:{ZENODO}/train.csv"}])
    assert [(row.state, row.error) for row in lab.sync().outcomes] == [(State.FETCHED, None)]
    credentials._read.cache_clear()


def test_a_name_that_is_no_path_is_refused(server: Server) -> None:
    record = answer(server, "zenodo-record.json")
    record["files"][0]["key"] = "../evil.csv"  # type: ignore[index]
    server.route("/api/records/10628422", as_json(record))
    with pytest.raises(UnsafePath):
        listed(f"doi:{ZENODO}")
