"""The images of a training: files of many formats -> measured planes -> sides. Knows no network."""
