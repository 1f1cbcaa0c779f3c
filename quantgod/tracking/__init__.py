"""Use MLflow: runs, stage keys, buffered metrics, datasets."""
