"""Notices: templates with declared fields, drafts as text, DOCX and PDF, and their tracking."""
