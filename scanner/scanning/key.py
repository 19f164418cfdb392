"""A key with the parts that it consists of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its parts.

    Attributes:
        parts: plain JSON values by name.
    """

    parts: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the parts, lower-case hex."""
        canonical = json.dumps(self.parts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def differs(self, parts: dict[str, Any]) -> list[str]:
        """Return the names of the parts that are not the same, sorted."""
        names = self.parts.keys() | parts.keys()
        return sorted(name for name in names if self.parts.get(name) != parts.get(name))
