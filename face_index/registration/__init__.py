"""Registration of one person, or of a list of people, from photos and consent."""
