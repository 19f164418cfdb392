"""Factories: everything that is opened from settings.

Only the command line and the web app pass whole settings on. The result of a factory is closed with
`close` or as a context manager. This module does not import scanner.factories.network, which loads
the HTTP client.
"""

from scanner.factories.captures import open_capture_search, open_intake
from scanner.factories.cases import (
    authorities_of,
    case_rules,
    open_case_service,
    open_case_store,
)
from scanner.factories.checkpoints import open_acquisition, open_checkpoints
from scanner.factories.faces import (
    EnrolmentSession,
    open_calibration,
    open_enrolment_session,
    open_face_tools,
    open_pack,
    open_reader,
    open_registrar,
)
from scanner.factories.scans import (
    open_identifier,
    open_objections,
    open_scan_session,
    open_scan_store,
    reproduction_tools,
    sampler_options,
    staging_of,
)
from scanner.factories.vaults import REPAIR, key_store, open_vault, witnesses_of

__all__ = [
    "REPAIR",
    "EnrolmentSession",
    "authorities_of",
    "case_rules",
    "key_store",
    "open_acquisition",
    "open_calibration",
    "open_capture_search",
    "open_case_service",
    "open_case_store",
    "open_checkpoints",
    "open_enrolment_session",
    "open_face_tools",
    "open_identifier",
    "open_intake",
    "open_objections",
    "open_pack",
    "open_reader",
    "open_registrar",
    "open_scan_session",
    "open_scan_store",
    "open_vault",
    "reproduction_tools",
    "sampler_options",
    "staging_of",
    "witnesses_of",
]
