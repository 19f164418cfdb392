"""Registers the miniature world's people and scans its hub, which has Civitai's protocol.

Most tests use the result. Run it with `python -m tests.demo HOME`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scanner.cli.scanning import report_path, write_report
from scanner.miniature.demo import demo_settings, register_world
from scanner.miniature.hub import serve_hub
from scanner.miniature.world import load_world
from scanner.scanning.scan import run_scan
from scanner.settings import load_settings
from tests.opening import open_session


class _Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


def scan_the_hub(home: Path) -> dict[str, Any]:
    """Register and scan; return the document that `scan --json` prints."""
    scan_session = open_session(demo_settings(load_settings({"home": home})))
    register_world(scan_session, _Silent())
    with serve_hub(load_world().files) as host:
        # Signed download URLs have another host name, as Civitai's have.
        for place in (host, host.replace("127.0.0.1", "localhost")):
            scan_session.transport.destinations.allow(place)
        result = run_scan(scan_session, [f"civitai={host}"], _Silent())
    path = report_path(scan_session.settings, result.scan.scan_id, "en")
    write_report(scan_session, result, "en", path)
    rows = list(result.to_json_rows())
    scan_session.close()
    return {
        "results": rows,
        "report": str(path),
        "scan": result.scan.scan_id,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scan_the_hub(Path(sys.argv[1])), default=str))
