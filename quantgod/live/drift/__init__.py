"""Whether what comes is still what the model was made on."""
