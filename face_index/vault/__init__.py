"""vault.db: registered people, their consents, sealed photos and templates, and the audit log.

Only this package writes that file. Photos, templates and proofs are sealed with a key per identity;
a master key that is stored elsewhere wraps those keys. Erasing a person destroys their key and
their rows, in the vault and in every backup that the program made.
"""

from face_index.vault.records import Document, Submission
from face_index.vault.vault import Vault

__all__ = ["Document", "Submission", "Vault"]
