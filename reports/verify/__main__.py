"""Verify an evidence bundle offline.

Usage: python -I verify_bundle.py BUNDLE [--signer FINGERPRINT] [--tsa-root ROOT.pem]
                                         [--revocations LIST.json] [--json]

This file needs Python 3.11 and the package `cryptography`. It is long because it is one file, so
that it runs where nothing else is installed. Take it from the program, never from a bundle.

A bundle holds the public key of its signer and the certificates of its timestamp authorities, so
a bundle that was made anew with other keys is consistent as well. Use --signer with the
fingerprint that the signer published and --tsa-root with the authority's root certificate to
check both.

Each file is checked by name. The checks cover

- the BagIt manifests (RFC 8493), and files that were added, removed or renamed,
- the Ed25519 signature over the tag manifests,
- RFC 3161 timestamps over statement and signature: status, imprint, nonce, policy, extensions,
  signature, certificates, purpose and time,
- the case against its JSON Schema,
- that pictures, header, captures, custody, environment and weights are those that the case names,
- that the record is the one that the audit log names, and that dates and decisions are the log's.

Not checked: that the reports and the JSON-LD say what the case says. They are sealed, and can be
made again from the case.

The exit code is 0 if everything holds, 1 if something does not, and 2 if an argument is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from cryptography import x509

from reports.verify.bundle import verify


def main() -> int:
    """Run the command: print one line for each item that is open or fails, return the exit code."""
    parser = argparse.ArgumentParser(description="Verify an evidence bundle offline.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--signer", help="fingerprint (SHA-256) of the key that must have signed")
    parser.add_argument(
        "--tsa-root",
        type=Path,
        action="append",
        default=[],
        help="PEM file of roots that timestamps must chain to",
    )
    parser.add_argument(
        "--revocations", type=Path, help="the signer's newest list of what was decided later"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        roots = tuple(
            certificate
            for path in options.tsa_root
            for certificate in x509.load_pem_x509_certificates(path.read_bytes())
        )
        items = verify(options.bundle, options.signer, roots, options.revocations)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    ok = all(item.ok for item in items)
    if options.json:
        document = {"ok": ok, "items": [asdict(item) for item in items]}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return 0 if ok else 1
    for item in items:
        if not item.ok:
            sys.stdout.write(f"PROBLEM {item.item}: {item.problem}\n")
        elif item.note:
            sys.stdout.write(f"note    {item.item}: {item.note}\n")
    verdict = "Everything that can be checked holds" if ok else "This bundle does NOT hold"
    sound = sum(item.ok for item in items)
    sys.stdout.write(f"{verdict}: {sound} of {len(items)} items are sound.\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
