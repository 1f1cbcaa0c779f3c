"""What is posted to a version: read strictly, checked, and refused with a code and the row."""
