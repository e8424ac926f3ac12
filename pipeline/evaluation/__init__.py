"""How good a model is on a benchmark: scores, metrics, statistics. Knows models only through `scorer.Scorer`."""
