"""Notices: what a law or a hub asks for, as template files with declared fields; written as text, DOCX and PDF; tracked."""
