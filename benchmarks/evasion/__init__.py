"""LikenessBench-Evade: files made so that a scan misses whom they show."""
