"""vault.db: who is registered, what they agreed to, their sealed photos and templates, and who did what when.

The only package that writes that file. Photos, templates and proofs are sealed with a key per identity;
that key is wrapped by a master key kept elsewhere. Erasing a person destroys their key and their rows,
here and in every backup that the program made.
"""

from face_index.vault.records import Document, Submission
from face_index.vault.vault import Vault

__all__ = ["Document", "Submission", "Vault"]
