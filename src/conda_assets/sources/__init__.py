"""What publishers say about their files, one module a URL scheme."""
