"""Import and export of other tools' datasets. A format is a file; a family of formats is a folder."""
