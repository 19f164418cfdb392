#!/usr/bin/env bash
# Takes docs/report.png, the picture of docs/evidence.md: the upper part of a report, by headless Chromium.
# usage: docs/make_report_picture.sh REPORT.html OUT.png
set -euo pipefail
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
  --disable-component-update --disable-sync --user-data-dir="$profile" --hide-scrollbars \
  --window-size=1080,"${3:-1900}" --screenshot="$2" "file://$(realpath "$1")"
