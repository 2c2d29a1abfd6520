"""aria2's own interface, so that its front ends (AriaNg, aria2p, browser extensions) work with the centre as they are.

JSON-RPC 2.0 over HTTP POST and WebSocket at /jsonrpc; the secret token (`token:…`) is a token of the centre, so each call has a
person with a role and a quota behind it. What is not listed in `methods` does not exist, and an option that is not listed is
refused: no folder, no file name, no hook, no proxy, no header can be given. Nothing of it reaches the aria2c behind the centre.
Source: https://aria2.github.io/manual/en/html/aria2c.html#rpc-interface
"""

from __future__ import annotations
