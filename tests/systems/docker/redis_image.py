"""An image with this machine's own Redis on the base image of the tests: no registry is asked."""

from __future__ import annotations

import functools
import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.systems.docker.engine import BASE, client

REDIS = shutil.which("redis-server")
_INSIDE = "/opt/redis"
_PROGRAMS = ("redis-server", "redis-cli")


@functools.cache
def redis_image() -> str:
    """Its name. The programs bring the libraries and the loader they were linked with, whatever the base has."""
    files: dict[str, bytes] = {}
    for program in _PROGRAMS:
        path = Path(shutil.which(program) or "").resolve()
        listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
        libraries = [Path(found) for found in re.findall(r"(/\S+) \(0x", listed)]
        files |= {f"lib/{library.name}": library.read_bytes() for library in libraries}
        loader = next(library.name for library in libraries if library.name.startswith("ld-"))
        files[f"lib/{program}"] = path.read_bytes()
        lib = f"{_INSIDE}/lib"
        files[f"bin/{program}"] = f'#!/bin/sh\nexec {lib}/{loader} --library-path {lib} {lib}/{program} "$@"\n'.encode()
    files["Dockerfile"] = f"ARG BASE\nFROM ${{BASE}}\nCOPY lib {_INSIDE}/lib\nCOPY bin /usr/local/bin\nEXPOSE 6379\n".encode()
    return _built(files)


def _built(files: dict[str, bytes]) -> str:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    out.seek(0)
    tag = "coordchaos-test-redis:latest"
    sdk = client()
    sdk.images.build(fileobj=out, custom_context=True, tag=tag, buildargs={"BASE": BASE}, rm=True)
    sdk.close()
    return tag
