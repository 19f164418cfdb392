"""Uploads: streamed to disk and hashed on the way, within limits, never held in memory."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from streaming_form_data import StreamingFormDataParser
from streaming_form_data.parser import ParseFailedException
from streaming_form_data.targets import BaseTarget, ValueTarget

from crawlers.checkpoints.checkpoint_store import files_still_there
from scanner.fingerprints.fingerprint import Fingerprint
from scanner.settings import Settings
from scanner.web.errors import GateRefused
from scanner.web.queue.arriving_file import ArrivingFile, ArrivingFingerprints, WeightsHash
from scanner.web.queue.job import SENT, Job
from scanner.web.queue.jobs import Jobs
from scanner.web.request_slots import RequestSlots

MAX_NAME_BYTES = 200  # bytes of UTF-8
_MAX_DECLARED_BYTES = 64_000
_RESERVED_BYTES = 200_000_000  # stays free on the disk for the databases
_WRITE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A complete upload; `declared` and `webhook` are other parts of the form.

    Attributes:
        weights_hash: SHA-256 of the tensor bytes, if it is a safetensors file.
        fingerprint: of its weights; None if it has none.
    """

    path: Path
    name: str
    sha256: str
    size_bytes: int
    declared: str
    webhook: str = ""
    weights_hash: str = ""
    fingerprint: Fingerprint | None = None


class _File(BaseTarget):  # type: ignore[misc]
    """Writes a file in a thread, so that other requests continue, and counts its bytes."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__()
        self.size_bytes, self._max_bytes = 0, max_bytes
        self._sha256, self._waiting = hashlib.sha256(), bytearray()
        self._weights = WeightsHash()
        self._stream = path.open("xb")
        self.arriving = ArrivingFile(path)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def weights_hash(self) -> str:
        return self._weights.hex

    async def on_data_received_async(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self.size_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        self._waiting += chunk
        if len(self._waiting) >= _WRITE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        waiting, self._waiting = bytes(self._waiting), bytearray()
        await asyncio.to_thread(self._write, waiting)

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._weights.update(data)
        self._stream.write(data)
        self._stream.flush()
        self.arriving.arrived(self._stream.tell())

    def close(self) -> None:
        if not self._stream.closed:
            self.arriving.arrived(self._stream.tell(), end=True)
            self._stream.close()


class _Declared(ValueTarget):  # type: ignore[misc]
    async def on_data_received_async(self, chunk: bytes) -> None:
        self._seen = getattr(self, "_seen", 0) + len(chunk)
        if self._seen > _MAX_DECLARED_BYTES:
            raise GateRefused(413, "too-large", "a field beside the file is longer than 64 kB")
        await super().on_data_received_async(chunk)


class UploadReceiver:
    """Receives uploads, a few at a time; the others wait for a slot."""

    def __init__(self, settings: Settings) -> None:
        self._web, self._folder = settings.web, settings.uploads_path
        self._slots = RequestSlots(settings.web.upload_slots, settings.web.upload_wait_s)
        self._fingerprints = ArrivingFingerprints(settings.web.upload_slots)

    async def receive(self, request: Request, job_id: str, field: str = "listing") -> Upload:
        """Store the file of a request: the part `file` of a form, or the plain bytes of the body.

        Args:
            field: another part of the form, or query parameter, that describes the file.

        Raises:
            GateRefused: too large, no room, too many at once, or a request without a file.
        """
        max_bytes = self._web.max_upload_mb * 1_000_000
        declared_bytes = int(request.headers.get("content-length") or 0)
        if declared_bytes > max_bytes + _MAX_DECLARED_BYTES + 10_000:
            raise too_large(max_bytes)
        async with self._slots.acquire():
            await asyncio.to_thread(self._require_room, declared_bytes)
            path = self._folder / f"{job_id}.part"
            file = _File(path, max_bytes)
            made = self._fingerprints.begin(file.arriving)
            try:
                name, declared, webhook = await self._read(request, file, field)
                await file.flush()
                file.close()
                fingerprint = await asyncio.wrap_future(made)
            except ClientDisconnect as error:
                file.close()
                path.unlink(missing_ok=True)
                raise GateRefused(
                    400, "cut-off", "the upload was cut off; send it again"
                ) from error
            except BaseException:
                file.close()
                path.unlink(missing_ok=True)
                raise
            if file.size_bytes == 0:
                path.unlink(missing_ok=True)
                raise GateRefused(
                    422,
                    "no-file",
                    "no bytes came; send the file as the part `file`, or as the body",
                )
            final = path.with_suffix(".upload")
            path.replace(final)
            return Upload(
                final,
                safe_name(name),
                file.sha256,
                file.size_bytes,
                declared,
                webhook,
                file.weights_hash,
                fingerprint,
            )

    def close(self) -> None:
        """End the threads that make fingerprints."""
        self._fingerprints.close()

    def discard(self, source: str) -> None:
        """Delete an upload that no job needs; does nothing for any other path."""
        path = Path(source)
        if path.parent == self._folder:
            path.unlink(missing_ok=True)

    async def _read(self, request: Request, file: _File, field: str) -> tuple[str, str, str]:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            async for chunk in request.stream():
                await file.on_data_received_async(chunk)
            return request.query_params.get("name", ""), request.query_params.get(field, ""), ""
        declared, webhook = _Declared(), _Declared()
        try:
            parser = StreamingFormDataParser(headers=dict(request.headers))
            parser.register("file", file)
            parser.register(field, declared)
            parser.register("webhook", webhook)
            async for chunk in request.stream():
                if chunk:
                    await parser.adata_received(chunk)
        except ParseFailedException as error:
            raise GateRefused(400, "not-multipart", f"the form cannot be read: {error}") from error
        description, address = (
            field.value.decode("utf-8", "replace") for field in (declared, webhook)
        )
        return file.multipart_filename or "", description, address

    def _require_room(self, size_bytes: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stored = sum(size for _, size, _ in files_still_there(self._folder))
        if stored + size_bytes > self._web.upload_budget_gb * 1e9:
            raise GateRefused(
                503, "no-room", "too many uploads wait for the worker; try again later", 300
            )
        if shutil.disk_usage(self._folder).free - size_bytes < _RESERVED_BYTES:
            raise GateRefused(507, "disk-full", "there is no room on the server's disk", 600)


def cancel_job(jobs: Jobs, uploads: UploadReceiver, job_id: str) -> Job:
    """Cancel a job, and delete its upload if the worker has not begun; raises NotThere."""
    job = jobs.cancel(job_id)
    if job.kind in SENT and job.started_at is None:
        uploads.discard(job.source)
    return job


def too_large(max_bytes: int) -> GateRefused:
    """The error for a file over the limit."""
    return GateRefused(
        413, "too-large", f"the file is larger than the {max_bytes / 1e6:,.0f} MB that are taken"
    )


def safe_name(name: str) -> str:
    """A sender's file name without folders, control characters and direction marks, shortened."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C").strip(" .")
    stem, dot, ending = plain.rpartition(".")
    kept = _cut(ending, 40)
    short = f"{_cut(stem, MAX_NAME_BYTES - 41)}{dot}{kept}" if dot else _cut(plain, MAX_NAME_BYTES)
    return short or "upload"


def _cut(text: str, max_bytes: int) -> str:
    """Cut a text to a number of bytes, in which file systems count; "中" has three."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")
