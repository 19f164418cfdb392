"""What a checkpoint draws: base models, plans, the sampler and its checks. Knows no gallery."""
