"""Watch whether live rows still resemble those that the model was made on."""
