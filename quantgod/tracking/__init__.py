"""MLflow, and nothing else: runs, stage keys, buffered metrics, datasets."""
