"""Sources of images and vectors: files, folders, tables, downloads, and the cache of decoded images."""
