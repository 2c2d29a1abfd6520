"""Every error of conda-assets, one tree.

    AssetsError
    ├── UsageError               2    a flag, a name or a target that cannot be meant
    │   ├── EnvironmentMissing   2    no such prefix
    │   ├── FileMissing          2    no environment.yml, no such file
    │   └── UnknownAsset         2    the environment has no asset of that name
    ├── SpecInvalid              2    the `assets:` section, all its faults at once
    │   └── LockInvalid          2    a lock file, all its faults at once
    ├── LockStale                3    a lock that does not fit its file, where it has to
    ├── AssetFailed              1    one asset could not be brought
    │   ├── DigestMismatch       4    bytes arrived, but other bytes
    │   ├── SizeMismatch         1    the server announces another size than the file asks for
    │   ├── NotThere             1    404, 410
    │   ├── AccessDenied         1    401, 403
    │   ├── UpstreamChanged      1    the file was replaced while it was fetched
    │   ├── UpstreamReplaced     4    the publisher says that the file has other bytes than the lock
    │   ├── NotTheFile           1    an HTML page, an empty body, a compressed body instead of the file
    │   ├── NetworkFailed        1    worth another try (retryable)
    │   ├── TlsFailed            1    certificate or handshake
    │   ├── InsecureRedirect     1    https that leads to http, or a loop
    │   ├── Offline              1    not in the store, and the network may not be used
    │   ├── HashRequired         1    `--require-hashes` and no hash
    │   ├── NotStored            1    a bundle wants bytes that the store does not have
    │   ├── NoSource             1    a scheme that this version cannot fetch
    │   ├── DiskFull             1    found before or during the transfer
    │   ├── DiskRefused          1    permission, read-only, file-system limits
    │   ├── UnsafePath           1    a link planted where an asset should go
    │   ├── NotAnArchive         1    `unpack` on something that is no archive
    │   └── ArchiveRefused       1    a damaged or hostile archive, or one that needs a package that is not here
    ├── FilesDamaged             4    files of an unpacked folder are not as they were unpacked
    ├── BundleRefused            2    a bundle that is none, is damaged, or is hostile
    ├── EngineFailed             1    aria2c does not start or answer
    ├── StoreFailed              1    the store cannot be used
    ├── RemoteFailed             1    a store in a bucket cannot be used
    ├── BootstrapFailed          1    the embedded engine could not make the environment
    ├── CentreRefused            2    the download centre does not do what it was asked for
    │   ├── NotSignedIn          2    401: no token, no session, or a wrong one
    │   ├── NotAllowed           2    403: signed in, but not for this
    │   ├── NotFound             2    404: no such job, user, token or file
    │   ├── OutOfTurn            2    409: not in the state that this needs
    │   ├── OverQuota            2    403: more bytes than the person may ask for
    │   └── TooOften             2    429: too many wrong passwords or tokens
    └── Interrupted            130    Ctrl-C

An error is a fact: typed fields, a stable `code`, an `exit_code`; the sentence, the hints and the JSON come from them.
Secrets and query strings never enter a field: pass URLs through `model.shown_url` first.
"""

from __future__ import annotations

from typing import ClassVar

from conda_assets.records import dataclass

__all__ = [
    "AccessDenied",
    "ArchiveRefused",
    "AssetFailed",
    "AssetsError",
    "BootstrapFailed",
    "BundleRefused",
    "CentreRefused",
    "DigestMismatch",
    "DiskFull",
    "DiskRefused",
    "EngineFailed",
    "EnvironmentMissing",
    "Fault",
    "FileMissing",
    "FilesDamaged",
    "HashRequired",
    "Hint",
    "InsecureRedirect",
    "Interrupted",
    "LockInvalid",
    "LockStale",
    "NetworkFailed",
    "NoSource",
    "NotAllowed",
    "NotAnArchive",
    "NotFound",
    "NotSignedIn",
    "NotStored",
    "NotTheFile",
    "NotThere",
    "Offline",
    "OutOfTurn",
    "OverQuota",
    "RemoteFailed",
    "SizeMismatch",
    "SpecInvalid",
    "StoreFailed",
    "TlsFailed",
    "TooOften",
    "UnknownAsset",
    "UnsafePath",
    "UpstreamChanged",
    "UpstreamReplaced",
    "UsageError",
]

# Of many damaged files, this many are named in a sentence.
_NAMED = 5


@dataclass(frozen=True)
class Hint:
    """What to do next, as a sentence with the command in backticks; `code` is stable."""

    text: str
    code: str = "next"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a file. `line` and `column` count from 1; 0 where the file has no lines.

    `field`: path in the document, `assets[2].sha256`; empty for the whole file. `asset`: the name, where it is known.
    """

    file: str
    line: int
    column: int
    field: str
    message: str
    hint: str = ""
    asset: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        what = f"{self.field} ({self.asset})" if self.asset else self.field
        return ": ".join(part for part in (where, what, self.message) if part) + (f" ({self.hint})" if self.hint else "")


class AssetsError(Exception):
    """Root of the tree; nothing else leaves the package."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        """One sentence: what, where, expected and got."""
        return self.code

    @property
    def hints(self) -> tuple[Hint, ...]:
        """Next steps, most useful first."""
        return ()

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, object]:
        """The error as it stands in `--json`: code, message, hints."""
        return {"code": self.code, "message": self.message, "hints": [hint.text for hint in self.hints]}


@dataclass(eq=False)
class UsageError(AssetsError):
    """The command line cannot be meant."""

    said: str
    hint: str = ""
    code: ClassVar[str] = "usage"
    exit_code: ClassVar[int] = 2

    @property
    def message(self) -> str:
        return self.said

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(self.hint),) if self.hint else ()


@dataclass(eq=False)
class EnvironmentMissing(UsageError):
    """No environment there."""

    code: ClassVar[str] = "environment_missing"


@dataclass(eq=False)
class FileMissing(UsageError):
    """No such file, or nothing to read by default."""

    code: ClassVar[str] = "file_missing"


@dataclass(eq=False)
class UnknownAsset(UsageError):
    """The environment or the file has no asset of that name."""

    code: ClassVar[str] = "unknown_asset"


@dataclass(eq=False)
class SpecInvalid(AssetsError):
    """The `assets:` section has faults; all are listed, in file order."""

    faults: tuple[Fault, ...]
    code: ClassVar[str] = "spec_invalid"
    exit_code: ClassVar[int] = 2

    @property
    def message(self) -> str:
        count = len(self.faults)
        files = sorted({fault.file for fault in self.faults})
        head = f"{count} fault{'s' if count != 1 else ''} in the assets section of {', '.join(files)}"
        return "\n".join([head + ":", *(f"  {fault}" for fault in self.faults)])

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("`conda assets schema` prints a JSON Schema that editors complete and check with", "schema"),)

    def to_json(self) -> dict[str, object]:
        return {
            **super().to_json(),
            "faults": [
                {
                    "file": f.file,
                    "line": f.line,
                    "column": f.column,
                    "field": f.field,
                    "message": f.message,
                    "hint": f.hint,
                    "asset": f.asset,
                }
                for f in self.faults
            ],
        }


@dataclass(eq=False)
class LockInvalid(SpecInvalid):
    """A lock file has faults; all are listed, in file order. `relock`: the command that makes it anew."""

    relock: str = ""
    code: ClassVar[str] = "lock_invalid"

    @property
    def message(self) -> str:
        count = len(self.faults)
        head = f"{count} fault{'s' if count != 1 else ''} in the lock {', '.join(sorted({fault.file for fault in self.faults}))}"
        return "\n".join([head + ":", *(f"  {fault}" for fault in self.faults)])

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"take the last good one from version control, or delete it and run `{self.relock}`", "lock"),)


@dataclass(eq=False)
class LockStale(AssetsError):
    """The lock does not fit its file, and it was asked to. `why`: sentences; `relock`: the command that mends it."""

    lock: str
    why: tuple[str, ...]
    relock: str = ""
    code: ClassVar[str] = "lock_stale"
    exit_code: ClassVar[int] = 3

    @property
    def message(self) -> str:
        return "\n".join([f"{self.lock} is out of date:", *(f"  {each}" for each in self.why)])

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"bring it up to date with `{self.relock}`", "lock"),)


@dataclass(eq=False)
class AssetFailed(AssetsError):
    """One asset could not be brought. `asset` is its name, `cause` a sentence without the name."""

    asset: str
    cause: str
    code: ClassVar[str] = "asset_failed"

    @property
    def message(self) -> str:
        return f"{self.asset}: {self.cause}"

    @property
    def hints(self) -> tuple[Hint, ...]:
        fix = f"correct `url:` of `{self.asset}`, or add one of its `mirrors:`, and run the same command again"
        return (Hint(fix, "url"),)


@dataclass(eq=False)
class DigestMismatch(AssetsError):
    """Bytes arrived, but not the bytes that were promised. `source`: the shown URL they came from.

    `relock`: the command that takes the new bytes into the lock, where it is the lock that promises.
    `vouched_by`: who promised them, for people; empty: the file or its lock. `damaged`: `source` is a stored file.
    """

    asset: str
    algorithm: str
    expected: str
    got: str
    source: str = ""
    relock: str = ""
    vouched_by: str = ""
    damaged: bool = False
    code: ClassVar[str] = "digest_mismatch"
    exit_code: ClassVar[int] = 4

    @property
    def message(self) -> str:
        came = f" from {self.source}" if self.source else ""
        says = f" (says {self.vouched_by})" if self.vouched_by else ""
        return f"{self.asset}: expected {self.algorithm} {self.expected}{says}, got {self.got}{came}"

    @property
    def hints(self) -> tuple[Hint, ...]:
        if self.damaged:
            return (Hint("delete that file, then run `conda assets fetch` where there is a network", "fetch"),)
        if self.relock:
            return (Hint(f"if the publisher replaced the file and the new one is wanted, run `{self.relock}`", "relock"),)
        if self.vouched_by:
            return (Hint("the publisher's own digest and bytes differ: try again later, or tell the publisher", "publisher"),)
        return (
            Hint(
                f"if the publisher replaced the file, put the new {self.algorithm} beside `{self.asset}` in the file",
                "relock",
            ),
        )


@dataclass(eq=False)
class SizeMismatch(AssetsError):
    """The server announces another size than the file or its lock (then `relock` is set); nothing was fetched. Sizes in bytes."""

    asset: str
    expected: int
    got: int
    source: str
    relock: str = ""
    code: ClassVar[str] = "size_mismatch"

    @property
    def message(self) -> str:
        return f"{self.asset}: expected {self.expected} bytes, {self.source} announces {self.got}"

    @property
    def hints(self) -> tuple[Hint, ...]:
        if self.relock:
            return (Hint(f"if the publisher replaced the file and the new one is wanted, run `{self.relock}`", "relock"),)
        return (Hint(f"correct `size:` of `{self.asset}`, or ask the publisher what changed", "size"),)


@dataclass(eq=False)
class NotThere(AssetFailed):
    """The publisher says that there is no such file (404, 410). `fix`: what to do about it, where its answer tells."""

    fix: str = ""
    code: ClassVar[str] = "not_found"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(self.fix or f"check `url:` of `{self.asset}` in a browser, or add one of its `mirrors:`", "url"),)


@dataclass(eq=False)
class AccessDenied(AssetFailed):
    """The publisher wants credentials, or other ones (401, 403). `fix`: where to get them, where that is known."""

    fix: str = ""
    code: ClassVar[str] = "access_denied"

    @property
    def hints(self) -> tuple[Hint, ...]:
        usual = (
            f"give `{self.asset}` a `headers:` entry such as `Authorization: Bearer ${{TOKEN}}`, or its host a line in `~/.netrc`"
        )
        return (Hint(self.fix or usual, "credentials"),)


@dataclass(eq=False)
class UpstreamChanged(AssetFailed):
    """The file at the URL was replaced while it was being fetched; the parts cannot be mixed."""

    code: ClassVar[str] = "upstream_changed"
    retryable: ClassVar[bool] = True

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("run the same command again when the publisher has done with it", "resume"),)


@dataclass(eq=False)
class UpstreamReplaced(AssetFailed):
    """The publisher vouches for other bytes than the lock does; nothing was fetched. `relock`: takes them into the lock."""

    relock: str = ""
    code: ClassVar[str] = "upstream_replaced"
    exit_code: ClassVar[int] = 4

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"if the new file is wanted, run `{self.relock}`", "relock"),)


@dataclass(eq=False)
class NotTheFile(AssetFailed):
    """The server answers 200 with something else: a login page, an empty body, a re-encoded one. `fix`: what helps, if known."""

    fix: str = ""
    code: ClassVar[str] = "not_the_file"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(self.fix or "open the URL in a browser: it may want a login, a click or a quota", "url"),)


@dataclass(eq=False)
class NetworkFailed(AssetFailed):
    """No answer, a cut, a stall, 429 or 5xx: worth another try. `retry_after_s`: what the server asked for, in seconds.

    `fix`: what helps more than patience, such as a token against a limit. `cut`: the connection ended in the middle of an answer,
    so the server does not object to what it is asked. `busy`: it says that it is asked too much (429, 503).
    """

    retry_after_s: float = 0.0
    fix: str = ""
    cut: bool = False
    busy: bool = False
    code: ClassVar[str] = "network"
    retryable: ClassVar[bool] = True

    @property
    def hints(self) -> tuple[Hint, ...]:
        again = Hint("run the same command again: it resumes from what has arrived", "resume")
        return (Hint(self.fix, "credentials"), again) if self.fix else (again,)


@dataclass(eq=False)
class TlsFailed(AssetFailed):
    """The certificate or the handshake is not acceptable."""

    code: ClassVar[str] = "tls"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("behind a company proxy, `conda config --set ssl_verify /path/to/ca.pem`", "ssl_verify"),)


@dataclass(eq=False)
class InsecureRedirect(AssetFailed):
    """A redirect from https to http, to another scheme, or in a loop."""

    code: ClassVar[str] = "redirect"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"open `url:` of `{self.asset}` in a browser: where it ends may be what to write there", "url"),)


@dataclass(eq=False)
class Offline(AssetFailed):
    """Not in the store, and the network may not be used."""

    code: ClassVar[str] = "offline"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("run `conda assets sync` once where there is a network, with the same store", "fetch"),)


@dataclass(eq=False)
class HashRequired(AssetFailed):
    """`--require-hashes` was given and the asset has no hash."""

    code: ClassVar[str] = "hash_required"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"add `sha256:` to `{self.asset}`, or run `conda assets lock`", "hash"),)


@dataclass(eq=False)
class NotStored(AssetFailed):
    """The bytes are not in the store, and nothing is fetched here."""

    code: ClassVar[str] = "not_stored"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("run `conda assets fetch` first, with the same `-f` and groups", "fetch"),)


@dataclass(eq=False)
class NoSource(AssetFailed):
    """The scheme or the feature is part of the grammar, but this version cannot fetch it. `fix`: another way, if there is one."""

    fix: str = ""
    code: ClassVar[str] = "no_source"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(self.fix, "source"),) if self.fix else super().hints


@dataclass(eq=False)
class DiskFull(AssetsError):
    """Not enough room. Sizes in bytes; `asset` is empty when all files together do not fit.

    `quota`: there is room, but not for this user.
    """

    folder: str
    needed: int
    free: int
    asset: str = ""
    quota: bool = False
    code: ClassVar[str] = "disk_full"

    @property
    def message(self) -> str:
        who = f"{self.asset}: " if self.asset else ""
        if self.quota:
            return f"{who}your disk quota for {self.folder} is used up, {self.needed:,} bytes are needed"
        return f"{who}{self.folder} has {self.free:,} bytes free, {self.needed:,} are needed"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (
            Hint("make room there, or set `CONDA_ASSETS_STORE` to a folder on a larger disk", "space"),
            Hint("then run the same command again: it resumes from what has arrived", "resume"),
        )


@dataclass(eq=False)
class DiskRefused(AssetFailed):
    """The operating system refuses to write there: permission, read-only, name too long."""

    code: ClassVar[str] = "disk_refused"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("look at the owner and the mode of that folder, then run the same command again", "disk"),)


@dataclass(eq=False)
class UnsafePath(AssetFailed):
    """A link or a foreign object stands where the asset should go."""

    code: ClassVar[str] = "unsafe_path"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"see who put it there, remove it, or give `{self.asset}` another `path:`; then sync again", "path"),)


@dataclass(eq=False)
class NotAnArchive(AssetFailed):
    """`unpack` is asked for, and the file is none of the archives that can be unpacked."""

    code: ClassVar[str] = "not_an_archive"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"take `unpack:` out of `{self.asset}`, or check its `url:` in a browser", "unpack"),)


@dataclass(eq=False)
class ArchiveRefused(AssetFailed):
    """The archive is damaged or hostile, or needs what is not here. `fix`: what to do about it, where that is known."""

    fix: str = ""
    code: ClassVar[str] = "archive"

    @property
    def hints(self) -> tuple[Hint, ...]:
        usual = f"ask the publisher of `{self.asset}` for another archive, or take `unpack:` out to have it as it is"
        return (Hint(self.fix or usual, "archive"),)


@dataclass(eq=False)
class FilesDamaged(AssetsError):
    """Files of an unpacked folder are gone, or have other bytes. `members`: (path below the folder, what is wrong with it)."""

    asset: str
    folder: str
    members: tuple[tuple[str, str], ...]
    code: ClassVar[str] = "files_damaged"
    exit_code: ClassVar[int] = 4

    @property
    def message(self) -> str:
        named = ", ".join(f"{path} ({cause})" for path, cause in self.members[:_NAMED])
        more = len(self.members) - _NAMED
        return f"{self.asset}: damaged in {self.folder}: {named}" + (f" and {more:,} more" if more > 0 else "")

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("`conda assets verify --repair` unpacks them again, and keeps what you have changed beside them", "repair"),)

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "members": [{"path": path, "cause": cause} for path, cause in self.members]}


@dataclass(eq=False)
class BundleRefused(AssetsError):
    """A bundle that is none of ours, is cut off, or tries to be more than one. `source`: as the user typed it."""

    source: str
    said: str
    code: ClassVar[str] = "bundle"
    exit_code: ClassVar[int] = 2

    @property
    def message(self) -> str:
        return f"{self.source} is refused: {self.said}"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("make it anew with `conda assets export -o bundle.tar`, and compare the sha256 of both copies", "export"),)


@dataclass(eq=False)
class EngineFailed(AssetsError):
    """aria2c does not start or does not answer."""

    said: str
    code: ClassVar[str] = "engine"

    @property
    def message(self) -> str:
        return self.said

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("`conda assets info` shows which aria2c is used and why", "info"),)


@dataclass(eq=False)
class StoreFailed(AssetsError):
    """The store cannot be used."""

    said: str
    code: ClassVar[str] = "store"

    @property
    def message(self) -> str:
        return self.said

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint("set `CONDA_ASSETS_STORE` to a folder that you can write", "store"),)


@dataclass(eq=False)
class RemoteFailed(AssetsError):
    """A store elsewhere (a bucket, a registry) cannot be used. `store`: its shown URL; `fix`: what to do about it.

    `refused`: it says no to these credentials.
    """

    store: str
    said: str
    fix: str = ""
    refused: bool = False
    code: ClassVar[str] = "remote"

    @property
    def message(self) -> str:
        return f"the store {self.store}: {self.said}"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(self.fix, "remote"),) if self.fix else ()


@dataclass(eq=False)
class BootstrapFailed(AssetsError):
    """The embedded engine could not make the environment."""

    said: str
    hint: str = ""
    code: ClassVar[str] = "bootstrap"

    @property
    def message(self) -> str:
        return self.said

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(self.hint),) if self.hint else ()


@dataclass(eq=False)
class CentreRefused(AssetsError):
    """The download centre does not do what it was asked for. `status`: HTTP's."""

    said: str
    hint: str = ""
    code: ClassVar[str] = "refused"
    exit_code: ClassVar[int] = 2
    status: ClassVar[int] = 400

    @property
    def message(self) -> str:
        return self.said

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(self.hint),) if self.hint else ()


@dataclass(eq=False)
class NotSignedIn(CentreRefused):
    """No token, no session, or a wrong one."""

    code: ClassVar[str] = "not_signed_in"
    status: ClassVar[int] = 401


@dataclass(eq=False)
class NotAllowed(CentreRefused):
    """Signed in, but not for this."""

    code: ClassVar[str] = "not_allowed"
    status: ClassVar[int] = 403


@dataclass(eq=False)
class NotFound(CentreRefused):
    """No such job, user, token or file."""

    code: ClassVar[str] = "unknown_here"
    status: ClassVar[int] = 404


@dataclass(eq=False)
class OutOfTurn(CentreRefused):
    """Not in the state that this needs."""

    code: ClassVar[str] = "out_of_turn"
    status: ClassVar[int] = 409


@dataclass(eq=False)
class OverQuota(CentreRefused):
    """More bytes than the person may ask for."""

    code: ClassVar[str] = "over_quota"
    status: ClassVar[int] = 403


@dataclass(eq=False)
class TooOften(CentreRefused):
    """Too many wrong passwords or tokens. `after_s`: until the next one is looked at."""

    after_s: int = 60
    code: ClassVar[str] = "too_often"
    status: ClassVar[int] = 429


@dataclass(eq=False)
class Interrupted(AssetsError):
    """Ctrl-C: partial files are kept. `resume`: the command that goes on."""

    resume: str = ""
    code: ClassVar[str] = "interrupted"
    exit_code: ClassVar[int] = 130

    @property
    def message(self) -> str:
        return "interrupted; what has arrived is kept"

    @property
    def hints(self) -> tuple[Hint, ...]:
        return (Hint(f"resume with `{self.resume}`", "resume"),) if self.resume else ()
