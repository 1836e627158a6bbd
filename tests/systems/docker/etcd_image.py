"""An image with Debian's etcd on the base image of the tests: no registry is asked."""

from __future__ import annotations

import functools
import io
import tarfile
from pathlib import Path

from tests.systems.docker.engine import BASE, client
from tests.systems.etcd_system import ETCD

_DOCKERFILE = "ARG BASE\nFROM ${BASE}\nCOPY etcd /usr/local/bin/etcd\n"


@functools.cache
def etcd_image() -> str:
    """Its name; built when the binary, or the base, was not built in yet (the engine's own cache knows)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, mode in (("Dockerfile", _DOCKERFILE.encode(), 0o644), ("etcd", Path(ETCD or "").read_bytes(), 0o755)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    out.seek(0)
    tag = "coordchaos-test-etcd:latest"
    sdk = client()
    sdk.images.build(fileobj=out, custom_context=True, tag=tag, buildargs={"BASE": BASE}, rm=True)
    sdk.close()
    return tag
