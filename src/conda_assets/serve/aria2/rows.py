"""A job as aria2's front ends expect to see a download: all values are texts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from conda_assets.model import shown_url
from conda_assets.serve.carrier import Carrier
from conda_assets.serve.jobs import Job, JobState

__all__ = ["FOLDER", "STATUS", "files_of", "row_of", "servers_of", "uris_of"]

#: The centre's word → aria2's.
STATUS = {
    JobState.QUEUED: "waiting",
    JobState.ACTIVE: "active",
    JobState.PAUSED: "paused",
    JobState.DONE: "complete",
    JobState.FAILED: "error",
    JobState.CANCELLED: "removed",
}
# aria2's exit statuses; 1 is «unknown». Source: aria2c(1), EXIT STATUS.
_CODES = {"not_found": "3", "disk_full": "9", "digest_mismatch": "32", "network": "2", "access_denied": "24"}
#: What stands for the folder: where files really are is nobody's business.
FOLDER = "/store"
# Of a file that does not move just now; aria2's own default.
_PIECE_BYTES = 1 << 20


def row_of(job: Job, carrier: Carrier, keys: Collection[str]) -> dict[str, Any]:
    """The struct of tellStatus; `keys`: only these, empty for all."""
    size = job.size_bytes or job.asked_bytes or 0
    done = size if job.state is JobState.DONE else job.done_bytes
    row: dict[str, Any] = {
        "gid": job.id,
        "status": STATUS[job.state],
        "totalLength": str(size),
        "completedLength": str(done),
        "uploadLength": "0",
        "downloadSpeed": str(round(job.bytes_per_s)),
        "uploadSpeed": "0",
        "connections": str(job.connections),
        "dir": FOLDER,
    }
    if not keys or "files" in keys:
        row["files"] = files_of(job)
    piece_bytes, bits = _PIECE_BYTES, b""
    if (heard := carrier.heard(job.key)) and heard[0].piece_bytes:
        piece_bytes, bits = heard[0].piece_bytes, heard[0].bits
    pieces = -(-size // piece_bytes)
    row["pieceLength"], row["numPieces"] = str(piece_bytes), str(pieces)
    if job.state is JobState.DONE and size:
        # A front end keeps what it has seen last, so an end without a bitfield would show the pieces of half-way for ever.
        bits = ((1 << pieces) - 1 << -pieces % 8).to_bytes(-(-pieces // 8), "big")
    if bits and size:
        row["bitfield"] = bits.hex()
    if job.error is not None:
        row["errorCode"], row["errorMessage"] = _CODES.get(str(job.error.get("code")), "1"), str(job.error.get("message"))
    elif job.state is JobState.DONE:
        row["errorCode"] = "0"
    return {key: row[key] for key in keys if key in row} if keys else row


def files_of(job: Job) -> list[dict[str, Any]]:
    """The struct of getFiles: there is one."""
    size = job.size_bytes or job.asked_bytes or 0
    done = size if job.state is JobState.DONE else job.done_bytes
    return [
        {
            "index": "1",
            "path": f"{FOLDER}/{job.name}",
            "length": str(size),
            "completedLength": str(done),
            "selected": "true",
            "uris": uris_of(job),
        }
    ]


def uris_of(job: Job) -> list[dict[str, str]]:
    """The struct of getUris, without what may be secret in them."""
    begun = job.state in (JobState.ACTIVE, JobState.DONE)
    return [
        {"uri": shown_url(url), "status": "used" if begun and number == 0 else "waiting"}
        for number, url in enumerate((job.url, *job.mirrors))
    ]


def servers_of(job: Job) -> list[dict[str, Any]]:
    """The struct of getServers: where the file comes from."""
    if job.state is not JobState.ACTIVE:
        return []
    source = shown_url(job.source or job.url)
    server = {"uri": shown_url(job.url), "currentUri": source, "downloadSpeed": str(round(job.bytes_per_s))}
    return [{"index": "1", "servers": [server]}]
