"""An FTP server on a loopback port of its own, as much of it as downloads need: passive, binary, with SIZE, MDTM and REST.

with FtpServer({"set/w.bin": b"…"}, user="me", password="word") as server:
    server.url("set/w.bin")
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType

__all__ = ["FtpServer"]

_DATE = "20251101120000"


class FtpServer:
    """Anonymous unless `user` is given. `said`: every command that came in, of all connections. `rests`: it can go on."""

    def __init__(self, files: Mapping[str, bytes], *, user: str = "", password: str = "", rests: bool = True) -> None:
        self.files, self.user, self.password, self.rests = dict(files), user, password, rests
        self.said: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = [self._listener]
        self._threads[0].start()

    def __enter__(self) -> FtpServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in list(self._threads):
            thread.join(10)

    def url(self, path: str, login: str = "") -> str:
        return f"ftp://{login}127.0.0.1:{self.port}/{path}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        try:
            _Conversation(self, connection).run()
        except (OSError, ValueError):
            pass
        finally:
            connection.close()


class _Conversation:
    def __init__(self, server: FtpServer, connection: socket.socket) -> None:
        self._server, self._connection = server, connection
        self._folder, self._user, self._in, self._from = "", "", not server.user, 0
        self._data: socket.socket | None = None

    def run(self) -> None:
        self._say("220 ready")
        with self._connection.makefile("rb") as lines:
            for raw in lines:
                line = raw.decode().rstrip("\r\n")
                self._server.said.append(line)
                word, _, rest = line.partition(" ")
                if word.upper() == "QUIT":
                    self._say("221 bye")
                    return
                self._do(word.upper(), rest)

    def _do(self, word: str, rest: str) -> None:
        if word == "USER":
            self._user = rest
            self._say("331 password")
        elif word == "PASS":
            self._in = not self._server.user or (self._user, rest) == (self._server.user, self._server.password)
            self._say("230 welcome" if self._in else f"530 {rest} is wrong")
        elif not self._in:
            self._say("530 log in")
        elif word in ("CWD", "PWD", "TYPE", "PASV", "EPSV", "REST"):
            getattr(self, f"_{word.lower()}")(rest)
        elif word in ("SIZE", "MDTM", "RETR"):
            content = self._server.files.get(rest.lstrip("/") if rest.startswith("/") else self._folder + rest)
            if content is None:
                self._say("550 no such file")
            elif word == "RETR":
                self._send(content)
            else:
                self._say(f"213 {len(content) if word == 'SIZE' else _DATE}")
        else:
            self._say("502 what")

    def _cwd(self, rest: str) -> None:
        self._folder = (rest.lstrip("/") if rest.startswith("/") else self._folder + rest).strip("/")
        self._folder += "/" if self._folder else ""
        known = any(name.startswith(self._folder) for name in self._server.files)
        self._say("250 there" if known else "550 no such folder")

    def _pwd(self, rest: str) -> None:
        self._say(f'257 "/{self._folder.rstrip("/")}"')

    def _type(self, rest: str) -> None:
        self._say("200 fine")

    def _rest(self, rest: str) -> None:
        self._from = int(rest) if self._server.rests else 0
        self._say("350 go on" if self._server.rests else "502 what")

    def _pasv(self, rest: str) -> None:
        port = self._listen()
        self._say(f"227 passive (127,0,0,1,{port >> 8},{port & 255})")

    def _epsv(self, rest: str) -> None:
        self._say(f"229 passive (|||{self._listen()}|)")

    def _listen(self) -> int:
        self._data = socket.create_server(("127.0.0.1", 0))
        self._server._open.append(self._data)
        port: int = self._data.getsockname()[1]
        return port

    def _send(self, content: bytes) -> None:
        assert self._data is not None
        start, self._from = self._from, 0
        self._say("150 coming")
        stream, _ = self._data.accept()
        self._data.close()
        try:
            with stream:
                stream.sendall(content[start:])
        except OSError:
            self._say("426 cut")
        else:
            self._say("226 done")

    def _say(self, line: str) -> None:
        self._connection.sendall(f"{line}\r\n".encode())
