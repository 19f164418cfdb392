"""S3-compatible object storage on loopback: moto's server, and buckets that settings lead to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from crawlers.hubs import storage


@contextmanager
def object_storage() -> Iterator[str]:
    """Start a server; return its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def open_bucket(url: str, name: str) -> Iterator[Any]:
    """Make a bucket to which the usual environment variables lead; return a client of boto3.

    The bucket is emptied and deleted at the end.
    """
    with pytest.MonkeyPatch.context() as patched:
        for variable, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
            "FSSPEC_S3_ENDPOINT_URL": url,
        }.items():
            patched.setenv(variable, value)
        patched.setitem(fsspec.config.conf, "s3", {"endpoint_url": url})
        storage._filesystem.cache_clear()
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket=name)
        yield client
        for entry in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=entry["Key"])
        client.delete_bucket(Bucket=name)
