"""Registration: photos and consent of one person or of a list of people, into the vault."""
