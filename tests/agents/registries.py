"""Registries of crates and of Go modules, as small as they can be: a folder of files, served over HTTP."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """The output of tests stays clean."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def crate(folder: Path, address: str) -> None:
    """A registry with one crate, `greet` 1.0.0."""
    files = {
        "Cargo.toml": '[package]\nname = "greet"\nversion = "1.0.0"\nedition = "2021"\n',
        "src/lib.rs": 'pub fn hello() -> &\'static str { "hello" }\n',
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            about = tarfile.TarInfo(f"greet-1.0.0/{name}")
            about.size = len(text)
            archive.addfile(about, io.BytesIO(text.encode()))
    row = {
        "name": "greet", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False,
        "cksum": hashlib.sha256(packed.getvalue()).hexdigest(),
    }  # fmt: skip
    (folder / "gr" / "ee").mkdir(parents=True)
    (folder / "gr" / "ee" / "greet").write_text(json.dumps(row) + "\n")
    (folder / "greet.crate").write_bytes(packed.getvalue())
    (folder / "config.json").write_text(json.dumps({"dl": f"{address}/{{crate}}.crate"}))


def go_module(folder: Path) -> None:
    """A proxy with one module, `example.com/greet` v1.0.0."""
    place = folder / "example.com" / "greet" / "@v"
    place.mkdir(parents=True)
    manifest = "module example.com/greet\n\ngo 1.19\n"
    (place / "list").write_text("v1.0.0\n")
    (place / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    (place / "v1.0.0.mod").write_text(manifest)
    with zipfile.ZipFile(place / "v1.0.0.zip", "w") as archive:
        archive.writestr("example.com/greet@v1.0.0/go.mod", manifest)
        archive.writestr(
            "example.com/greet@v1.0.0/greet.go",
            'package greet\n\nfunc Hello() string { return "hello" }\n',
        )
