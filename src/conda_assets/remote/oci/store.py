"""A repository of a container registry as a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from conda_assets.digest import Digest
from conda_assets.errors import RemoteFailed
from conda_assets.model import Stored, shown_url
from conda_assets.remote.kind import AT_ONCE, Gone, Held, RemoteStore, Sent
from conda_assets.remote.oci import manifests
from conda_assets.remote.oci.client import Repository
from conda_assets.remote.oci.manifests import EMPTY, MANIFEST, MARKER, VERSION, Kept
from conda_assets.remote.oci.sending import has_blob, put_blob, send_blob
from conda_assets.settings import Network
from conda_assets.web.failures import told_s

__all__ = ["OciStore"]

_LEASE_BYTES = 16 << 20
_MANIFEST_BYTES = 4 << 20
_DELETES = (
    "its operator may allow it: `REGISTRY_STORAGE_DELETE_ENABLED=true` for the registry of CNCF Distribution, "
    "a rule for tags `object-*` elsewhere"
)


class OciStore(RemoteStore):
    """See `RemoteStore`; the layout is the package's. A key is a tag, an ETag the digest of its manifest."""

    frees = "the registry frees the bytes when its own collector runs: `registry garbage-collect --delete-untagged <config.yml>`"

    def __init__(self, remote: str, network: Network) -> None:
        self.remote, self.shown = remote, shown_url(remote)
        self._repository = Repository(remote, network)
        self._has_empty = False

    def close(self) -> None:
        """Nothing to do: all sources share the connections."""

    def is_marked(self) -> bool:
        """By the marker."""
        kept = self._read(MARKER, foreign=True)
        if kept is None:
            return False
        if kept.layout != VERSION:
            raise RemoteFailed(self.shown, f"has layout {kept.layout}, this conda-assets knows {VERSION}", "update conda-assets")
        return True

    def mark(self) -> None:
        """Tag a manifest that says so."""
        self._write(MARKER, "store", None, self._now_s())

    def size_of(self, sha256: str) -> int | None:
        """By the manifest."""
        kept = self._read(manifests.object_tag(sha256))
        return kept.size_bytes if kept is not None else None

    def send(self, name: str, stored: Stored, sent: Sent) -> int | None:
        """The blob, then the manifest that keeps it."""
        tag = manifests.object_tag(stored.sha256)
        kept = self._read(tag)
        if kept is not None and kept.size_bytes != stored.size_bytes:
            said = f"{tag} has {kept.size_bytes} bytes, expected {stored.size_bytes}: it is damaged"
            raise RemoteFailed(self.shown, said, "delete that tag, then push again")
        if kept is not None and has_blob(self._repository, stored.sha256):
            sent(stored.size_bytes)
            return None
        count = send_blob(self._repository, name, stored, sent)
        fresh = self._read(tag)
        if fresh is None:
            self._write(tag, "file", (stored.sha256, stored.size_bytes), self._now_s())
        return count if fresh is None or kept is not None else None

    def put_alias(self, digest: Digest, sha256: str) -> None:
        """The file's manifest, by another tag."""
        tag, kept = manifests.alias_tag(digest), self._read(manifests.object_tag(sha256))
        if kept is not None:
            before = self._read(tag)
            if before is None or before.digest != kept.digest:
                self._tag(tag, kept.content)

    def files(self) -> tuple[list[Held], float]:
        """The tags, and the manifest of each."""
        now_s = self._now_s()
        tags = [tag for tag in self._repository.tags() if manifests.sha256_of(tag)]
        rows = [_held(tag, kept) for tag, kept in self._all(tags)]
        return [row for row in rows if row.sha256 == manifests.sha256_of(row.key)], now_s

    def url_of(self, sha256: str) -> str:
        """By its tag."""
        return self.shown_key(manifests.object_tag(sha256))

    def shown_key(self, key: str) -> str:
        """As other tools name it."""
        return f"{self.shown}:{key}"

    def put_lease(self, machine: str, name: str, content: bytes) -> None:
        """A blob and its manifest; what stood there before goes, where this registry lets it."""
        tag = manifests.lease_tag(machine, name)
        before = self._read(tag)
        sha256, answer = put_blob(self._repository, content)
        digest = self._write(tag, "lease", (sha256, len(content)), told_s(answer.headers.get("Date")))
        if before is not None and before.digest != digest:
            try:
                self._delete(before.digest)
            except RemoteFailed:
                # Who may write need not have the right to delete; the registry's own collector takes what has no tag.
                return

    def leases(self) -> list[Held]:
        """The tags, and the manifest of each."""
        return [_held(tag, kept) for tag, kept in self._all(t for t in self._repository.tags() if t.startswith("lease-"))]

    def read_lease(self, row: Held) -> bytes:
        """The blob."""
        kept = self._read(row.key)
        if kept is None:
            raise Gone(self.shown, f"{row.key} is there no more")
        return self._repository.get(f"blobs/sha256:{kept.sha256}", "be read", most_bytes=_LEASE_BYTES).body

    def stray_aliases(self, stay: Collection[str], before_s: float) -> tuple[str, ...]:
        """Those that a manifest of their own keeps; the others go with their file's."""
        tags = self._repository.tags()
        files = {kept.digest for _, kept in self._all(tag for tag in tags if manifests.sha256_of(tag))}
        aliases = self._all(tag for tag in tags if manifests.is_alias(tag))
        return tuple(
            tag for tag, kept in aliases if kept.digest not in files and kept.sha256 not in stay and kept.created_s < before_s
        )

    def unended(self, before_s: float) -> tuple[()]:
        """None: a registry removes them itself, and lists them to nobody."""
        return ()

    def end(self, upload: object) -> None:
        """Nothing to do."""

    def delete(self, row: Held | str) -> None:
        """The manifest as it was listed: one that was written since stays."""
        if isinstance(row, Held):
            self._delete(row.etag)
            return
        kept = self._read(row)
        if kept is None:
            return
        file = self._read(manifests.object_tag(kept.sha256))
        if file is None or file.digest != kept.digest:
            self._delete(kept.digest)

    # Manifests

    def _read(self, tag: str, *, foreign: bool = False) -> Kept | None:
        """None where there is none. `foreign`: another's is an error, else it is none."""
        try:
            answer = self._repository.get(f"manifests/{tag}", "be read", most_bytes=_MANIFEST_BYTES)
        except Gone:
            return None
        kept = manifests.read(answer.body)
        if kept is None and foreign:
            raise RemoteFailed(self.shown, f"its tag {tag} is not one of ours", "choose another repository")
        return kept

    def _all(self, tags: Iterable[str]) -> list[tuple[str, Kept]]:
        wanted = list(tags)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="manifests") as pool:
            found = list(zip(wanted, pool.map(self._read, wanted), strict=True))
        return [(tag, kept) for tag, kept in found if kept is not None]

    def _write(self, tag: str, kind: str, layer: tuple[str, int] | None, now_s: float) -> str:
        if not self._has_empty:
            put_blob(self._repository, EMPTY)
            self._has_empty = True
        return self._tag(tag, manifests.make(kind, layer, now_s))

    def _tag(self, tag: str, content: bytes) -> str:
        self._repository.again("PUT", f"manifests/{tag}", "be written", {"Content-Type": MANIFEST}, content)
        return manifests.digest_of(content)

    def _delete(self, digest: str) -> None:
        try:
            self._repository.again("DELETE", f"manifests/{digest}", "be deleted", {})
        except Gone:
            return
        except RemoteFailed as error:
            if error.refused or error.fix:
                raise
            raise RemoteFailed(self.shown, error.said, _DELETES) from error

    def _now_s(self) -> float:
        try:
            answer = self._repository.get("tags/list?n=1", "be listed", most_bytes=64 << 20)
        except Gone:
            answer = put_blob(self._repository, EMPTY)[1]
        return told_s(answer.headers.get("Date"))


def _held(tag: str, kept: Kept) -> Held:
    return Held(tag, kept.size_bytes, kept.created_s, kept.digest, kept.sha256)
