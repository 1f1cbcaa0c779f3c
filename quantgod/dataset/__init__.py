"""Turn minute bars into labelled, split and scaled windows."""
