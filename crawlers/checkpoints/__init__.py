"""Checkpoint files: headers, formats, downloads and the store on disk. Nothing is executed."""
