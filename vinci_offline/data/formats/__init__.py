"""Datasets of other tools: one file a format, each an importer and, where the format can hold it, an exporter."""
