"""What listing and header alone say of a checkpoint, before any download or sampling."""
