"""Files in, Parquet out: archives of raw messages become stored minute bars."""
