"""Names and other texts that people type: what is stored of them, and what is kept out of logs."""

from __future__ import annotations

import re
import unicodedata

from face_index.errors import NameRefused, NotDecidable
from face_index.identity import Identity

LONGEST_NAME = 200


def checked_name(text: str, what: str = "name") -> str:
    """Return a name or reference as it is stored: in NFC, without surrounding spaces.

    Raises:
        NameRefused: The name could not tell people apart.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise NameRefused(f"an empty {what} cannot tell people apart")
    if len(name) > LONGEST_NAME:
        raise NameRefused(
            f"a {what} of {len(name):,} characters is too long; {LONGEST_NAME} are allowed"
        )
    if not name.isprintable():
        raise NameRefused(f"the {what} {name!r} holds signs that cannot be printed")
    if re.fullmatch(r"[0-9a-f]{32}", name):
        raise NameRefused(
            f"the {what} {name!r} could be taken for an id; add a letter after f, or a word"
        )
    return name


def required_text(text: str, what: str) -> str:
    """Return a text that the record of a decision needs, without surrounding spaces.

    Raises:
        NotDecidable: The text is blank.
    """
    if not text.strip():
        raise NotDecidable(f"{what} must be said")
    return text.strip()


def without_name(text: str, identity: Identity) -> str:
    """Replace a person's name and reference in a text for the audit log.

    The log outlives the person, so their name must not be in it.
    """
    words = [word for word in [*identity.name.split(), identity.reference or ""] if len(word) > 1]
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(re.escape(word), "[name]", text, flags=re.IGNORECASE)
    return text
